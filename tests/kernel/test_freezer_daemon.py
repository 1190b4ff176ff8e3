"""The freezer daemon as a process, on real cgroups: what it answers is what the kernel says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cgroups.freeze import freeze
from cgroups.group import Cgroup
from emu.record.events import ContainerPaused, ContainerResumed, MemoryReclaimed, read_events
from tests.kernel.freezer import Freezer, frozen, one_pod, resident
from tests.kernel.support import DEADLINE_S, Child, eventually

pytestmark = [pytest.mark.kernel, pytest.mark.part(name="kernel")]
MIB = 1 << 20


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Freezer]]:
    """Starts a daemon for these cgroups; more keywords are more words on its command line."""
    with ExitStack() as stack:

        def start(*groups: Cgroup, words: tuple[str, ...] = ()) -> Freezer:
            made = Freezer(tmp_path, [one_pod(*groups)], words)
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def two(group: Cgroup) -> tuple[Cgroup, Cgroup]:
    """Two containers of a pod."""
    group.enable("memory")
    return (group / "app").create(), (group / "sidecar").create()


def test_200_is_the_kernels_word(daemon: Callable[..., Freezer], two: tuple[Cgroup, Cgroup]) -> None:
    """Every container with a process is frozen after a pause, and runs after a resume; events have how long."""
    with Child(two[0]) as app, Child(two[1]):
        freezer = daemon(*two)
        assert freezer.ask("pause") == 200
        assert all(frozen(one) for one in two)
        app.start("held.append(1)")
        assert app.answer(timeout_s=0.1) is None
        assert freezer.ask("resume") == 200
        assert not any(frozen(one) for one in two)
        assert app.answer() == b"done\n"
        events = list(read_events(freezer.events))
        assert [type(event) for event in events] == [ContainerPaused] * 2 + [ContainerResumed] * 2


def test_who_may_not_and_what_is_not(daemon: Callable[..., Freezer], two: tuple[Cgroup, Cgroup]) -> None:
    """400 without a token, 403 with another, 404 for another action; nothing is frozen by them."""
    with Child(two[0]):
        freezer = daemon(*two)
        assert freezer.ask("pause", None) == 400
        assert freezer.ask("pause", "another") == 403
        assert freezer.ask("stop") == 404
        assert not frozen(two[0])


def test_a_pause_that_the_kernel_does_not_confirm_is_500(
    daemon: Callable[..., Freezer], two: tuple[Cgroup, Cgroup], group: Cgroup
) -> None:
    """A container that is gone has no process: nothing to pause. A resume below a frozen ancestor cannot be done."""
    freezer = daemon(*two)
    assert freezer.ask("pause") == 500
    with Child(two[0]):
        freeze(group)
        assert freezer.ask("resume") == 500
        group.core.freeze = False
        assert freezer.ask("resume") == 200


def test_a_daemon_killed_while_a_pod_is_frozen_is_restarted(
    daemon: Callable[..., Freezer], two: tuple[Cgroup, Cgroup]
) -> None:
    """The pod stays frozen meanwhile; the new daemon sees that, and resumes it."""
    with Child(two[0]):
        freezer = daemon(*two)
        assert freezer.ask("pause") == 200
        freezer.kill()
        assert frozen(two[0])
        freezer.start()
        reported: dict[str, Any] = json.loads(freezer.page("/status"))
        assert [one["frozen"] for one in reported["pods"][0]["containers"]] == [True, False]
        assert 'emu_freezer_frozen_containers{pod="pod"} 1' in freezer.page("/metrics")
        assert freezer.ask("resume") == 200
        assert not frozen(two[0])


def test_a_container_killed_while_frozen_is_no_hindrance(
    daemon: Callable[..., Freezer], two: tuple[Cgroup, Cgroup]
) -> None:
    """The resume is done, for nothing stands still; the next instance is paused by its own name."""
    with Child(two[0]) as app:
        freezer = daemon(two[0])
        assert freezer.ask("pause") == 200
        two[0].kill()
        assert app.wait() == -9
    assert freezer.ask("resume") == 200
    with Child(two[1]):
        freezer.name(two[1])
        assert freezer.ask("pause") == 200
        assert frozen(two[1])
        assert freezer.ask("resume") == 200


def test_frozen_memory_is_reclaimed_and_the_container_stays_frozen(
    daemon: Callable[..., Freezer], two: tuple[Cgroup, Cgroup]
) -> None:
    """Anonymous memory goes to swap where there is some; the record has before, after, and why not all came."""
    with Child(two[0]) as app:
        app.run(f"held.append(bytearray({64 * MIB}))")
        freezer = daemon(two[0], words=("--reclaim", "all"))
        before = two[0].memory.current or 0
        assert freezer.ask("pause") == 200
        eventually(lambda: any(isinstance(event, MemoryReclaimed) for event in read_events(freezer.events)))
        assert frozen(two[0])
        (event,) = (event for event in read_events(freezer.events) if isinstance(event, MemoryReclaimed))
        if "SwapTotal:              0 kB" in Path("/proc/meminfo").read_text():
            assert "this machine has no swap" in event.why
        else:
            assert (two[0].memory.current or 0) <= 0.2 * before
            assert (event.after["swap"] or 0) >= 60 * MIB
        assert freezer.ask("resume") == 200
        app.run("held[0][::4096] = bytes(len(held[0][::4096]))")


def test_without_swap_it_says_what_stays_and_why(daemon: Callable[..., Freezer], two: tuple[Cgroup, Cgroup]) -> None:
    """memory.swap.max 0 keeps anonymous memory where it is."""
    if two[0].memory.swap_max is None:
        pytest.skip("this kernel has no swap for cgroups")
    two[0].memory.swap_max = 0
    with Child(two[0]) as app:
        app.run(f"held.append(bytearray({32 * MIB}))")
        freezer = daemon(two[0], words=("--reclaim", "all"))
        assert freezer.ask("pause") == 200
        eventually(lambda: any(isinstance(event, MemoryReclaimed) for event in read_events(freezer.events)))
        (event,) = (event for event in read_events(freezer.events) if isinstance(event, MemoryReclaimed))
        assert "of anonymous memory stay: " in event.why
        assert "memory.swap.max is 0" in event.why or "no swap" in event.why
        assert freezer.ask("resume") == 200


def test_a_thousand_pauses_leave_the_daemon_as_small_as_it_was(
    daemon: Callable[..., Freezer], two: tuple[Cgroup, Cgroup]
) -> None:
    """Its memory is that of after the first hundred: a cycle leaves nothing behind, nor for the collector. What each
    cycle left would show in both halves; an arena of the allocator, which is one MiB, comes in one of them.
    (bench/freeze.py looks at ten thousand.)
    """
    with Child(two[0]):
        freezer = daemon(two[0])
        freezer.cycle(100)
        sizes = [resident(freezer.process.pid)]
        for _ in range(2):
            freezer.cycle(500)
            sizes.append(resident(freezer.process.pid))
        assert min(sizes[1] - sizes[0], sizes[2] - sizes[1]) <= MIB // 2
        assert sizes[2] - sizes[0] <= 2 * MIB


def test_a_pause_and_a_resume_that_cross_are_both_answered(
    daemon: Callable[..., Freezer], two: tuple[Cgroup, Cgroup]
) -> None:
    """In whatever order they are done, the last word is the kernel's."""
    with Child(two[0]):
        freezer = daemon(two[0])
        found: list[int] = []
        both = [threading.Thread(target=lambda a=a: found.append(freezer.ask(a))) for a in ("pause", "resume") * 10]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(DEADLINE_S)
        assert found == [200] * 20
        assert freezer.ask("resume") == 200
        assert not frozen(two[0])
