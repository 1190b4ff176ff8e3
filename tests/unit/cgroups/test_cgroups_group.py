"""What can be said of a cgroup without a kernel; tests/kernel has the rest."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest

from cgroups import errors
from cgroups.group import Cgroup, enable_down_to, own_cgroup, parse_proc_cgroup
from cgroups.mount import Mount


def test_making_the_object_touches_nothing() -> None:
    """A path that is nowhere is a `Cgroup` that does not exist."""
    assert not Cgroup("/nowhere/at/all").exists()


def test_nothing_of_it_is_left_for_the_collector() -> None:
    """It and its controllers are no cycle: both are gone with the last who refers to them."""
    made = Cgroup("/nowhere/at/all")
    watched = [weakref.ref(one) for one in (made, made.core, made.memory, made.io, made.cpu)]
    del made
    assert [one() for one in watched] == [None] * 5


def test_a_directory_outside_of_cgroup2_is_not_littered(tmp_path: Path) -> None:
    """Creating a cgroup in an ordinary file system fails and leaves nothing behind."""
    with pytest.raises(errors.NoCgroup2):
        Cgroup(tmp_path / "pod").create()
    assert list(tmp_path.iterdir()) == []


def test_creating_one_that_exists(tmp_path: Path) -> None:
    """It is refused, unless that is as good to the caller."""
    with pytest.raises(errors.CgroupBusy, match="exists already"):
        Cgroup(tmp_path).create()
    assert Cgroup(tmp_path).create(exist_ok=True).path == tmp_path


def test_creating_without_a_parent(tmp_path: Path) -> None:
    """The error says that the parent is not there."""
    with pytest.raises(errors.CgroupGone):
        Cgroup(tmp_path / "a" / "b").create()


def test_a_context_removes_only_what_it_created(tmp_path: Path) -> None:
    """A cgroup that was there before is there after."""
    with Cgroup(tmp_path):
        pass
    assert tmp_path.is_dir()


def test_removing_what_is_gone_is_as_good(tmp_path: Path) -> None:
    """Removal is done when it is not there."""
    Cgroup(tmp_path / "gone").remove()


def test_enabling_what_is_not_offered(tmp_path: Path) -> None:
    """The error names what is missing and what there is, before anything is written."""
    (tmp_path / "cgroup.controllers").write_text("cpu hugetlb\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    with pytest.raises(errors.ControllerMissing, match=r"lacks memory, io \(it offers: cpu, hugetlb\)"):
        Cgroup(tmp_path).enable("cpu", "memory", "io")
    assert (tmp_path / "cgroup.subtree_control").read_text() == ""


def test_enabling_outside_of_the_mount(tmp_path: Path) -> None:
    """A path that the mount does not hold is named."""
    mount = Mount(tmp_path / "cgroup", frozenset(), hybrid=False)
    with pytest.raises(errors.NoCgroup2, match="not below"):
        enable_down_to(tmp_path / "elsewhere", "memory", mount=mount)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice\n", "/system.slice"),
        ("12:memory:/a\n1:name=systemd:/b\n0::/user.slice/x:y\n", "/user.slice/x:y"),
        ("12:memory:/a\n", None),
    ],
)
def test_the_v2_line_of_proc_cgroup(text: str, path: str | None) -> None:
    """The "0::" line, whole, whatever v1 lines stand beside it."""
    assert parse_proc_cgroup(text) == path


def test_the_cgroup_of_a_process_that_is_not_there(tmp_path: Path) -> None:
    """No process, no cgroup."""
    with pytest.raises(errors.NoProcess):
        own_cgroup(2**22 + 1, Mount(tmp_path, frozenset(), hybrid=False))
