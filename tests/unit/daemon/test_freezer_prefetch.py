"""What the freezer daemon remembers of wakes, and what it does where the kernel will not read ahead.

The kernel's part is made up; tests/kernel/test_prefetch.py has the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from emu.daemon import loop
from emu.daemon.freezer import main as daemon
from emu.daemon.freezer import prefetch, reclaimer, states
from emu.daemon.freezer.methods import Method, Reclaimed, Took
from emu.daemon.freezer.pods import FreezerPod, Pods, Target, write_pods
from emu.daemon.freezer.prefetcher import Prefetcher
from emu.policy.prefetching import Area, common, total
from emu.policy.reclaiming import Held
from emu.record.events import ContainerResumed, EventLog, FreezerFailed, MemoryPrefetched, read_events
from tests.unit.daemon.daemon_wire import DEADLINE_S

PAGE = 4096
SWAPPED = [Area(1, 0, 100 * PAGE, 100 * PAGE)]
PAUSE, RESUME = b'{"action": "pause"}', b'{"action": "resume"}'


class Kernel:
    """A container whose pages are all in swap once it is reclaimed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.touched: list[Area] = []
        self.asked: list[Area] = []
        self.refuses: OSError | None = None
        self.room = 1 << 40
        monkeypatch.setattr(prefetch, "swapped", lambda _: SWAPPED)
        monkeypatch.setattr(prefetch, "mapped", lambda areas: list(common(areas, self.touched)))
        monkeypatch.setattr(prefetch, "room_bytes", lambda _: self.room)
        monkeypatch.setattr(prefetch, "read_back", self._read_back)

    def _read_back(self, areas: Sequence[Area]) -> int:
        if self.refuses is not None:
            raise self.refuses
        self.asked = list(areas)
        return total(areas)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Instead of the real one."""
    return Kernel(monkeypatch)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """The app."""
    return Target("app", 0, "id-app", tmp_path)


def wake(prefetcher: Prefetcher, target: Target) -> None:
    """A pause, a reclaim, and what is done before the resume."""
    prefetcher.paused(target)
    prefetcher.reclaimed(target)
    prefetcher.fetch(target)


def test_the_next_wake_gets_what_the_last_one_touched(kernel: Kernel, target: Target) -> None:
    """And no more of what the one before that did."""
    prefetcher = Prefetcher("touched")
    wake(prefetcher, target)
    kernel.touched = [Area(1, 10 * PAGE, 20 * PAGE)]
    wake(prefetcher, target)
    assert [(area.begin, area.end) for area in kernel.asked] == [(10 * PAGE, 20 * PAGE)]
    kernel.touched = [Area(1, 15 * PAGE, 16 * PAGE)]
    wake(prefetcher, target)
    assert [(area.begin, area.end) for area in kernel.asked] == [(15 * PAGE, 16 * PAGE)]


def test_a_resume_before_anything_was_reclaimed_reads_nothing(kernel: Kernel, target: Target) -> None:
    """Nor one that comes so soon after the pause that nobody has looked at what the wake touched."""
    prefetcher = Prefetcher("all")
    prefetcher.paused(target)
    assert prefetcher.fetch(target) is None
    wake(prefetcher, target)
    assert prefetcher.fetch(target) is None


def test_containers_that_are_gone_are_forgotten(kernel: Kernel, target: Target) -> None:
    """A next instance's first wake is a first wake."""
    prefetcher = Prefetcher("touched")
    wake(prefetcher, target)
    prefetcher.keep(["another"])
    assert prefetcher.fetch(target) is None


class Instant(Method):
    """Freezes and thaws at once."""

    name = "cgroup"

    def __init__(self) -> None:
        self.frozen = False

    def freeze(self, target: Target) -> Took:
        """Frozen."""
        self.frozen = True
        return Took(None, 0.0)

    def thaw(self, target: Target) -> Took:
        """Thawed."""
        self.frozen = False
        return Took(None, 0.0)


def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Target, wakes: int) -> list[Any]:
    """The events of a daemon that pauses, reclaims and resumes the app so often."""
    method = Instant()
    held = Held(100, 80, 20, 0)
    for module in (daemon, states):
        monkeypatch.setattr(module, "is_frozen", lambda _: method.frozen)
        monkeypatch.setattr(module, "is_live", lambda _: True)
    monkeypatch.setattr(reclaimer, "reclaim", lambda *_: Reclaimed(100, held, held, 0.01, "", False))
    write_pods(tmp_path / "pods.json", [FreezerPod("one", "token", (target,))])
    seen: list[str] = []
    log = loop.Log("freezer")
    monkeypatch.setattr(log, "event", lambda event, **_: seen.append(event))
    events = EventLog(tmp_path / "events.jsonl")
    steps = [reclaimer.read_step("all")]
    made = daemon.Freezer(
        Pods(tmp_path / "pods.json"), method, steps=steps, prefetcher=Prefetcher("all"), events=events, log=log
    )

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.002)

    async def story() -> None:
        for number in range(wakes):
            assert await made.handle(b"token", PAUSE) == (200, "")
            await until(lambda n=number: seen.count("swapped") > n or "prefetch-failed" in seen)
            assert await made.handle(b"token", RESUME) == (200, "")

    asyncio.run(asyncio.wait_for(story(), DEADLINE_S))
    made.close()
    return list(read_events(tmp_path / "events.jsonl"))


def test_it_is_on_record_before_the_resume(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Target
) -> None:
    """How much, of how much, and why not all."""
    kernel.room = 0
    events = play(tmp_path, monkeypatch, target, 1)
    fetched, resumed = events[-2:]
    assert isinstance(fetched, MemoryPrefetched) and isinstance(resumed, ContainerResumed)
    assert (fetched.swapped_bytes, fetched.known_bytes, fetched.prefetched_bytes) == (100 * PAGE, None, 0)
    assert "limit" in fetched.why


def test_a_kernel_that_refuses_is_asked_once_and_the_pod_is_resumed_all_the_same(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Target
) -> None:
    """The record says why."""
    kernel.refuses = PermissionError(1, "Operation not permitted")
    events = play(tmp_path, monkeypatch, target, 1)
    failed = [event for event in events if isinstance(event, FreezerFailed)]
    assert [(one.action, one.container) for one in failed] == [("prefetch", "app")]
    assert "Operation not permitted" in failed[0].why
    assert isinstance(events[-1], ContainerResumed)
