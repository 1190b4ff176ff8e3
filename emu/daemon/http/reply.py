"""A small request of a daemon's own, over a stream: a probe, one to the freezer daemon, the head of a websocket.

What is proxied goes another way, without streams: emu.daemon.http.client. docs/decisions/0035 says why.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple


class ReplyHead(NamedTuple):
    """The final answer's head."""

    status: int
    fields: dict[str, str]
    """By name in lower case; of several with a name the first."""


@asynccontextmanager
async def connected(
    host: str, port: int, *, tls: ssl.SSLContext | None = None, limit: int = 1 << 16
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection for one request. A head may have up to `limit` bytes. OSError."""
    named = host if tls else None
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=limit, server_hostname=named)
    try:
        yield reader, writer
    finally:
        writer.close()


async def read_head(reader: asyncio.StreamReader) -> ReplyHead:
    """Read up to the body; informational answers are passed over. ValueError where it is no HTTP/1; EOFError, OSError
    or asyncio.LimitOverrunError where it does not come, or is too long for the stream.
    """
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(None, 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise ValueError(f"malformed HTTP response {first!r}")
        status = int(words[1])
        if status >= 200 or status == 101:
            break
    fields: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines if line):
        fields.setdefault(name.lower(), value.strip())
    return ReplyHead(status, fields)
