"""The activator's probe of a pod: does its queue-proxy say that the app is ready?"""

from __future__ import annotations

import asyncio

from emu.messages import ACTIVATOR_PROBE
from emu.policy.activation import PROBE_LIMIT_S

_PROBED = b"\r\n\r\nqueue"


async def healthy(address: str, port: int) -> bool:
    """Whether queue-proxy says, in time, that the app is ready."""
    try:
        return await asyncio.wait_for(_asked(address, port), PROBE_LIMIT_S)
    except (TimeoutError, OSError):
        return False


async def _asked(address: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(ACTIVATOR_PROBE)
        said = await reader.read()
    finally:
        writer.close()
    return said.split(b" ", 2)[1:2] == [b"200"] and said.endswith(_PROBED)
