"""Reads the head of an answer to a small request of a daemon's own: a probe's, or one to the freezer daemon.

What is proxied goes another way, without streams: emu.daemon.http.client.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class ReplyHead:
    """The final answer's head."""

    status: int
    fields: dict[str, str]
    """By name in lower case; of several with a name the first."""


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
