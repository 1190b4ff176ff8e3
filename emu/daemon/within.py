"""How long something may take, as the process that waits for it sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

TURNS = 10
"""Turns of the loop, after the time is up, in which what has come by then is noticed. A new connection takes five."""
T = TypeVar("T")


async def within(limit_s: float, awaited: Awaitable[T]) -> T:
    """What comes of it, or TimeoutError where it takes longer.

    A loop looks at its timers before it looks at its sockets. A process that did not run for longer than `limit_s`,
    on a busy machine, finds the time up and the answer there, and that counts: a connection that the other side has
    accepted is not dropped and dialled again.
    """
    async with asyncio.timeout(None) as limit:
        last_look = _LastLook(limit, limit_s)
        try:
            return await awaited
        finally:
            last_look.cancel()


async def in_time(until: float | None, awaited: Awaitable[T]) -> T:
    """What comes of it until this time of the loop, or, where that is None, whenever it comes. TimeoutError."""
    if until is None:
        return await awaited
    return await within(max(0.0, until - asyncio.get_running_loop().time()), awaited)


class _LastLook:
    """Ends a wait once its time is up and so many turns have brought nothing."""

    __slots__ = ("_left", "_limit", "_loop", "_next")

    def __init__(self, limit: asyncio.Timeout, limit_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._left = TURNS
        self._next: asyncio.Handle = self._loop.call_later(limit_s, self._look)

    def _look(self) -> None:
        if self._left:
            self._left -= 1
            self._next = self._loop.call_soon(self._look)
        else:
            self._limit.reschedule(self._loop.time())

    def cancel(self) -> None:
        """It came, or nobody waits for it any more."""
        self._next.cancel()
