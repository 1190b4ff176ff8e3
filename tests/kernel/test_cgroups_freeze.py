"""Freezing is done when the kernel says so."""

from __future__ import annotations

import pytest

from cgroups import errors
from cgroups.freeze import freeze, thaw
from cgroups.group import Cgroup
from tests.kernel.support import Child, eventually

pytestmark = [pytest.mark.kernel, pytest.mark.part(name="kernel")]


def usage_usec(group: Cgroup) -> int:
    """The CPU time of a cgroup."""
    stat = group.cpu.stat
    assert stat is not None and stat.usage_usec is not None
    return stat.usage_usec


def test_a_frozen_process_does_nothing_until_it_is_thawed(group: Cgroup) -> None:
    """Frozen it uses no CPU and answers nobody; thawed it answers what it was asked meanwhile."""
    with Child(group) as busy, Child(group) as child:
        busy.start("exec('while True: pass')")
        eventually(lambda: usage_usec(group) > 0)
        assert freeze(group) >= 0
        assert group.events().frozen is True
        before = usage_usec(group)
        child.start("held.append(1)")
        assert child.answer(timeout_s=0.2) is None
        assert usage_usec(group) == before
        assert thaw(group) >= 0
        assert group.events().frozen is False
        assert child.answer() == b"done\n"
        eventually(lambda: usage_usec(group) > before)


def test_a_frozen_process_dies_by_kill(group: Cgroup) -> None:
    """A kill needs no thaw."""
    with Child(group) as child:
        freeze(group)
        group.kill()
        assert child.wait() == -9
    thaw(group)


def test_freezing_an_empty_cgroup_is_done_at_once(group: Cgroup) -> None:
    """There is nobody to wait for; once more is as good."""
    freeze(group)
    freeze(group)
    thaw(group)
    thaw(group)


def test_a_child_of_a_frozen_cgroup_is_frozen_and_cannot_be_thawed_alone(group: Cgroup) -> None:
    """The error names the ancestor that holds it."""
    inner = (group / "inner").create()
    with Child(inner):
        freeze(group)
        assert inner.events().frozen is True
        with pytest.raises(errors.DeadlineMissed, match=f"its ancestor {group.path} is frozen"):
            thaw(inner, deadline_s=0.05)
        thaw(group)
        assert inner.events().frozen is False


def test_freezing_what_is_gone(group: Cgroup) -> None:
    """A cgroup that was removed cannot be frozen, and is not said to be."""
    group.remove()
    with pytest.raises(errors.CgroupGone):
        freeze(group)
