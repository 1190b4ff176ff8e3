"""Swapped memory of a frozen process, read back ahead by another: what the kernel does, and the daemon with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cgroups.freeze import freeze, thaw
from cgroups.group import Cgroup
from emu.daemon.freezer.methods import reclaim
from emu.daemon.freezer.prefetch import mapped, read_back, room_bytes, swapped
from emu.policy.prefetching import Area, common, total
from emu.record.events import MemoryPrefetched, MemoryReclaimed, read_events
from tests.kernel.freezer import Freezer, one_pod, target
from tests.kernel.support import Child, eventually

pytestmark = [pytest.mark.kernel, pytest.mark.part(name="kernel")]
MIB = 1 << 20
BIG, PART = 32 * MIB, 12 * MIB


@pytest.fixture
def app(group: Cgroup) -> Iterator[tuple[Cgroup, Child]]:
    """A container that holds 32 MiB; skipped where there is no swap."""
    if "SwapTotal:              0 kB" in Path("/proc/meminfo").read_text():
        pytest.skip("this machine has no swap; `make test` runs this in the sandbox")
    group.enable("memory")
    made = (group / "app").create()
    with Child(made) as child:
        child.run(f"held.append(bytearray({BIG}))")
        child.run("held[0][::4096] = bytes(range(256)) * (len(held[0]) // 4096 // 256)")
        yield made, child


def touch(child: Child, size: int = BIG) -> None:
    """Look at each page of so much of what it holds."""
    child.run(f"assert sum(held[0][:{size}:4096]) == sum(range(256)) * ({size} // 4096 // 256)")


def major_faults(group: Cgroup) -> int:
    """So far."""
    stat = group.memory.stat
    assert stat is not None
    return stat.pgmajfault or 0


def take(group: Cgroup) -> list[Area]:
    """Freeze it, and take what it holds; what is in swap then."""
    freeze(group)
    reclaim(target(group), "all", lambda: False)
    return swapped(group.path)


def test_what_was_read_back_is_charged_to_its_owner_and_costs_no_major_fault(app: tuple[Cgroup, Child]) -> None:
    """The frozen container holds it again, though another asked; it is not mapped before it is touched."""
    group, child = app
    areas = take(group)
    assert total(areas) >= BIG
    held = group.memory.current or 0
    assert read_back(areas) == total(areas)
    eventually(lambda: (group.memory.current or 0) >= held + 0.9 * total(areas))
    assert mapped(areas) == []
    before = major_faults(group)
    thaw(group)
    touch(child)
    with_it = major_faults(group) - before
    take(group)
    before = major_faults(group)
    thaw(group)
    touch(child)
    without = major_faults(group) - before
    assert with_it < 0.1 * without


def test_mapped_is_what_was_touched(app: tuple[Cgroup, Child]) -> None:
    """Also where all of it was read back."""
    group, child = app
    areas = take(group)
    read_back(areas)
    thaw(group)
    touch(child, PART)
    freeze(group)
    touched = total(mapped(areas))
    assert PART <= touched <= PART + 0.25 * BIG
    thaw(group)


def test_what_a_process_had_is_no_error_once_it_has_ended(app: tuple[Cgroup, Child]) -> None:
    """There is nothing to read back."""
    group, child = app
    areas = take(group)
    group.kill()
    child.wait()
    assert (read_back(areas), mapped(areas), swapped(group.path)) == (0, [], [])


def test_room_is_what_the_nearest_limit_leaves(app: tuple[Cgroup, Child], top: Cgroup) -> None:
    """Its own, or that of the pod above it; memory.high is one too."""
    group, _ = app
    assert room_bytes(group.path) > 64 * MIB
    top.memory.max = (top.memory.current or 0) + 64 * MIB
    assert 32 * MIB <= room_bytes(group.path) <= 64 * MIB
    group.memory.high = (group.memory.current or 0) + MIB
    assert room_bytes(group.path) <= MIB


def test_the_daemon_reads_back_what_the_wake_before_touched(app: tuple[Cgroup, Child], tmp_path: Path) -> None:
    """The first time a little of everything, then what was touched: fewer major faults, and not all is read back."""
    group, child = app
    freezer = Freezer(tmp_path, [one_pod(group)], ("--reclaim", "all", "--prefetch", "touched"))
    try:
        faults = []
        for wake in range(3):
            assert freezer.ask("pause") == 200
            _until(freezer, MemoryReclaimed, wake + 1)
            before = major_faults(group)
            # The daemon looks at what is in swap once it is reclaimed: asked before that, it would know of nothing.
            eventually(lambda wake=wake: freezer.said("swapped") > wake)
            assert freezer.ask("resume") == 200
            touch(child, PART)
            faults.append(major_faults(group) - before)
        reported = [event for event in read_events(freezer.events) if isinstance(event, MemoryPrefetched)]
        assert len(reported) == 3
        assert reported[0].known_bytes is None
        assert all(0 < event.prefetched_bytes <= 0.5 * event.swapped_bytes for event in reported)
        assert (reported[1].known_bytes or 0) >= PART
        assert faults[2] < faults[0]
    finally:
        freezer.close()


def _until(freezer: Freezer, kind: type, count: int) -> None:
    eventually(lambda: sum(isinstance(event, kind) for event in read_events(freezer.events)) >= count)


def test_areas_are_of_the_mapping_that_they_are_in(app: tuple[Cgroup, Child]) -> None:
    """What is held lies in one large mapping, and is nearly all that is large."""
    group, child = app
    areas = take(group)
    large = [area for area in areas if area.mapping_bytes >= BIG]
    assert BIG <= total(large) <= BIG + MIB
    assert {area.pid for area in areas} == {child.pid}
    assert total(common(areas, large)) == total(large)
    thaw(group)
