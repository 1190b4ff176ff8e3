"""The activator's probe of a pod: does its queue-proxy say that the app is ready?"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from emu.daemon.http.chunks import ChunkReader
from emu.daemon.http.reply import connected, read_head
from emu.daemon.within import within
from emu.messages import ACTIVATOR_PROBE_AGENT, NETWORK_PROBE_HEADER
from emu.policy.activation import PROBE_LIMIT_S

_PROBED = b"queue"


def probe_request(address: str, port: int) -> bytes:
    """As Knative's activator asks (pkg/activator/net/revision_backends.go), but on a connection of its own."""
    return (
        f"GET /healthz HTTP/1.1\r\nHost: {address}:{port}\r\nUser-Agent: {ACTIVATOR_PROBE_AGENT}\r\n"
        f"{NETWORK_PROBE_HEADER}: queue\r\nConnection: close\r\n\r\n"
    ).encode()


async def healthy(address: str, port: int) -> bool:
    """Whether queue-proxy says, in time, that the app is ready."""
    try:
        return await within(PROBE_LIMIT_S, _asked(address, port))
    except (TimeoutError, OSError, EOFError, ValueError, asyncio.LimitOverrunError):
        return False


async def _asked(address: str, port: int) -> bool:
    async with connected(address, port) as (reader, writer):
        writer.write(probe_request(address, port))
        head = await read_head(reader)
        body = await reader.read()
        whole = True
        if head.fields.get("transfer-encoding", "").lower() == "chunked":
            chunks = ChunkReader()
            body = chunks.feed(body)
            whole = chunks.done
        return head.status == HTTPStatus.OK and whole and body == _PROBED
