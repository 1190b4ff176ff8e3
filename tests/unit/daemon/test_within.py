"""How long something may take, also for a process that did not run meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

import pytest

from emu.daemon.http.client import connect
from emu.daemon.loop import new_loop
from emu.daemon.within import within
from tests.unit.daemon.daemon_wire import DEADLINE_S, FakeApp

LIMIT_S = 0.02
LOOPS = pytest.mark.parametrize("make", [asyncio.new_event_loop, new_loop], ids=["standard", "ours"])


@LOOPS
def test_what_does_not_come_is_late(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """And is no longer waited for; what comes sooner is its outcome, whatever it is."""

    async def play() -> None:
        never = asyncio.get_running_loop().create_future()
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            await within(LIMIT_S, never)
        assert time.monotonic() - begun >= LIMIT_S * 0.9
        assert never.cancelled()
        assert await within(DEADLINE_S, asyncio.sleep(LIMIT_S, "here")) == "here"
        with pytest.raises(ValueError, match="no"):
            await within(DEADLINE_S, _refused())

    _run(make, play())


async def _refused() -> None:
    raise ValueError("no")


@LOOPS
def test_a_connection_that_is_there_is_not_late(
    make: Callable[[], asyncio.AbstractEventLoop], fake_app: FakeApp
) -> None:
    """However long this process did not run after it had begun to connect: the kernel has connected meanwhile."""

    async def play() -> None:
        loop = asyncio.get_running_loop()
        dialled = loop.create_task(connect("127.0.0.1", fake_app.port, LIMIT_S))
        other = loop.create_task(
            within(LIMIT_S, loop.create_connection(asyncio.Protocol, "127.0.0.1", fake_app.port))
        )
        await asyncio.sleep(0)
        time.sleep(5 * LIMIT_S)
        (await dialled).drop()
        (await other)[0].close()

    _run(make, play())


def _run(make: Callable[[], asyncio.AbstractEventLoop], story: Coroutine[None, None, None]) -> None:
    loop = make()
    try:
        loop.run_until_complete(asyncio.wait_for(story, DEADLINE_S))
    finally:
        loop.close()
