"""The activator's probe of a pod: does its queue-proxy say that the app is ready?"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from emu.daemon.http.reply import connected, read_head
from emu.messages import ACTIVATOR_PROBE
from emu.policy.activation import PROBE_LIMIT_S

_PROBED = b"queue"


async def healthy(address: str, port: int) -> bool:
    """Whether queue-proxy says, in time, that the app is ready."""
    try:
        return await asyncio.wait_for(_asked(address, port), PROBE_LIMIT_S)
    except (TimeoutError, OSError, EOFError, ValueError, asyncio.LimitOverrunError):
        return False


async def _asked(address: str, port: int) -> bool:
    async with connected(address, port) as (reader, writer):
        writer.write(ACTIVATOR_PROBE)
        head = await read_head(reader)
        return head.status == HTTPStatus.OK and await reader.read() == _PROBED
