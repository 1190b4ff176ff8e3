"""The load generator waits for the recorder's samples, with a bound."""

from __future__ import annotations

import asyncio
import socket

import pytest

from emu.daemon.load.sampling import Sampling
from emu.policy import sampling


def test_a_recorder_that_hangs_delays_the_load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The phase after the one that waited in vain begins at once; a recorder that is back is waited for again."""
    monkeypatch.setattr(sampling, "WAIT_S", 0.05)
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    missed: list[tuple[str, float]] = []

    async def play() -> None:
        asks = Sampling(theirs.detach(), lambda phase, waited_s: missed.append((phase, waited_s)))
        asks.open()
        await asks.take("a")
        await asks.take("b")
        assert [mine.recv(20), mine.recv(20)] == [b"1", b"2"]
        assert missed == [("a", 0.05), ("b", 0.0)]
        for number in (b"1", b"2"):
            mine.send(number)
        monkeypatch.setattr(sampling, "WAIT_S", 120.0)
        waiting = asyncio.create_task(asks.take("c"))
        assert await asyncio.to_thread(mine.recv, 20) == b"3"
        assert not waiting.done()
        mine.send(b"3")
        await waiting
        asks.close()

    asyncio.run(play())
    assert len(missed) == 2
    mine.close()


def test_nothing_is_waited_for_where_nothing_records() -> None:
    """As for a load by itself."""

    async def play() -> None:
        asks = Sampling(None, lambda *_: pytest.fail("it waited"))
        asks.open()
        await asks.take("a")
        asks.close()

    asyncio.run(play())
