"""What every process in a container needs: an event loop, descriptors enough, one JSON line per notable event."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import select
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from emu.daemon.zap import Zap

LISTEN_BACKLOG = 4096
COLLECT_AFTER = 20_000
"""Objects made, less those freed, before the collector looks at them."""
T = TypeVar("T")


def new_loop() -> asyncio.AbstractEventLoop:
    """The event loop of uvloop where it can be imported, else the standard one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def run(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a daemon's main to its end; its exit status."""
    raise_descriptor_limit()
    loop = new_loop()
    asyncio.set_event_loop(loop)
    # What was imported stays for ever, and the collector is not to walk it, whatever the number of requests. Not even
    # once, now: that would take 7 % of a start and free nothing. (It was off while daemons in containers
    # imported it.)
    gc.freeze()
    gc.enable()
    # What a request leaves behind is freed by its reference count; looking for cycles among those that are still in
    # flight only costs time.
    gc.set_threshold(COLLECT_AFTER, 10, 10)
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


async def in_thread(threads: ThreadPoolExecutor, call: Callable[..., T], *arguments: Any) -> T:
    """The outcome of what blocks."""
    return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)


class Log:
    """JSON lines on standard output. A log whose reader is gone is silent, and one that is full loses lines
    rather than stop the process; `lost` in the next line says how many.
    """

    def __init__(self, who: str, fd: int = 1) -> None:
        self._who = who
        self._fd = fd
        self._lost = 0
        self._last_at: dict[str, float] = {}
        self._held: dict[str, int] = {}
        self._polls: dict[int, select.poll] = {}
        self.style: Zap | None = None
        """How lines are written; None is the default way."""

    def event(self, event: str, **facts: object) -> None:
        """One line: what happened, the CLOCK_MONOTONIC second, and the facts."""
        line: dict[str, object] = {"t": round(time.monotonic(), 6), "who": self._who, "event": event, **facts}
        if self._lost:
            line["lost"] = self._lost
        if self.style is None:
            self._write(json.dumps(line, separators=(",", ":")) + "\n", self._fd)
        elif (text := self.style.line(event, line, time.time())) is not None:
            self._write(text, self.style.fd)

    def seldom(self, event: str, every_s: float = 1.0, **facts: object) -> None:
        """Like `event`, at most once in `every_s`; `more` in the next line says how many were held back."""
        now = time.monotonic()
        if now - self._last_at.get(event, -every_s) < every_s:
            self._held[event] = self._held.get(event, 0) + 1
            return
        self._last_at[event] = now
        more = self._held.pop(event, 0)
        self.event(event, **facts, **({"more": more} if more else {}))

    def raw(self, line: str) -> None:
        """A line that is JSON already."""
        self._write(line, self._fd)

    def _write(self, line: str, fd: int) -> None:
        poll = self._polls.get(fd)
        if poll is None:
            poll = self._polls[fd] = select.poll()
            poll.register(fd, select.POLLOUT)
        try:
            ready = poll.poll(0)
            if not ready or not ready[0][1] & select.POLLOUT:
                self._lost += 1
                return
            os.write(fd, line.encode())
            self._lost = 0
        except OSError:
            self._lost += 1
