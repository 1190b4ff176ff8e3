"""The kernel wakes a poll when an events file changes."""

from __future__ import annotations

import pytest

from cgroups.events import EventWatcher
from cgroups.group import Cgroup
from tests.kernel.support import DEADLINE_S, Child

pytestmark = [pytest.mark.kernel, pytest.mark.part(name="kernel")]


def test_a_cgroup_that_fills_and_empties(group: Cgroup) -> None:
    """cgroup.events changes with the first process in and the last one out."""
    path = group.path / "cgroup.events"
    with EventWatcher() as watcher:
        assert watcher.add(path)["populated"] == 0
        assert watcher.wait(0) == []
        with Child(group):
            (change,) = watcher.wait(DEADLINE_S)
            assert (change.path, change.delta) == (path, {"populated": 1})
        (change,) = watcher.wait(DEADLINE_S)
        assert change.delta == {"populated": -1}


def test_hitting_a_limit_is_reported(group: Cgroup) -> None:
    """memory.events counts reclaim at the limit while nobody is killed, here and in the parent's own count."""
    limit_bytes = 24 << 20
    with EventWatcher() as watcher, Child(group) as child:
        child.run("import tempfile; data = bytes(1 << 20)")
        group.memory.high = limit_bytes
        watcher.add(group.path / "memory.events")
        child.start("held.append(bytearray(b'x') * (32 << 20))")
        (change,) = watcher.wait(DEADLINE_S)
        assert change.delta.get("high", 0) > 0
        assert "oom_kill" not in change.delta
        group.memory.high = 1 << 30


def test_a_cgroup_that_is_removed_is_gone(top: Cgroup) -> None:
    """It is said once, and the file is watched no more."""
    group = (top / "short").create()
    with EventWatcher() as watcher:
        watcher.add(group.path / "cgroup.events")
        group.remove()
        (fd,) = watcher.filenos()
        change = watcher.changed(fd)
        assert change is not None and change.gone
        assert watcher.paths() == []
