"""Control files as attributes, on a captured tree: what a kernel has, what it lacks, what it would not take."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cgroupspy.controllers import Controller as CgroupspyController
from cgroupspy.interfaces import BaseFileInterface

from cgroups import NO_LIMIT
from cgroups.controllers import MemoryController
from cgroups.errors import BadValue, CgroupGone
from cgroups.group import Cgroup
from cgroups.io import IoMax
from cgroups.tree import Tree

CAPTURED = Path(__file__).parents[2] / "fixtures" / "uml-6.1" / "cgroup"


@pytest.fixture
def group(tmp_path: Path) -> Cgroup:
    """A copy of a captured cgroup, two levels down."""
    shutil.copytree(CAPTURED, tmp_path / "top" / "pod")
    return Cgroup(tmp_path / "top" / "pod")


def test_reading_an_attribute_reads_the_file(group: Cgroup) -> None:
    """Each file as the type that it is."""
    assert group.memory.max is NO_LIMIT
    assert group.memory.low == 0
    assert group.memory.oom_group is False
    assert group.memory.peak == 10915840
    assert group.memory.stat is not None and group.memory.stat.anon == 0
    assert group.memory.events_local is not None and group.memory.events_local.oom_kill == 0
    assert group.io.stat is not None and group.io.stat["98:0"].dios == 0
    assert group.cpu.weight == 100
    assert group.core.type == "domain"


def test_a_file_that_the_kernel_lacks_reads_as_none(group: Cgroup) -> None:
    """The captured kernel has no PSI and no memory.swap.peak: absent is `None`."""
    assert group.memory.pressure is None
    assert group.memory.swap_peak is None


def test_a_cgroup_that_is_gone_is_not_an_absent_file(group: Cgroup) -> None:
    """`None` never stands for a removed cgroup."""
    shutil.rmtree(group.path)
    with pytest.raises(CgroupGone):
        _ = group.memory.pressure


def test_setting_an_attribute_writes_the_file(group: Cgroup) -> None:
    """A limit in bytes, no limit, a switch, one device's line."""
    for name in ("memory.max", "memory.swap.max", "memory.oom.group", "io.max"):
        (group.path / name).write_text("")
    group.memory.max = 64 << 20
    group.memory.swap_max = NO_LIMIT
    group.memory.oom_group = True
    group.io.max = IoMax("98:0", wbps=1000)
    assert (group.path / "memory.max").read_text() == "67108864"
    assert (group.path / "memory.swap.max").read_text() == "max"
    assert (group.path / "memory.oom.group").read_text() == "1"
    assert (group.path / "io.max").read_text() == "98:0 rbps=max wbps=1000 riops=max wiops=max"


@pytest.mark.parametrize("value", [None, -1, 1.5, True, "64Mi"])
def test_a_limit_that_cannot_be_is_refused_before_the_kernel_sees_it(group: Cgroup, value: object) -> None:
    """The file is as it was, and the error names it."""
    with pytest.raises(BadValue, match=r"memory\.max"):
        group.memory.max = value  # type: ignore[assignment]
    assert group.memory.max is NO_LIMIT


def test_a_file_to_read_cannot_be_set(group: Cgroup) -> None:
    """memory.current is the kernel's to say."""
    with pytest.raises(AttributeError, match=r"memory\.current"):
        group.memory.current = None


def test_a_broken_file_is_an_error_that_names_the_path(group: Cgroup) -> None:
    """A text that is not in the file's format is neither `None` nor 0."""
    (group.path / "memory.current").write_text("lots\n")
    with pytest.raises(BadValue, match=str(group.path / "memory.current")):
        _ = group.memory.current


def test_the_files_are_descriptors_of_cgroupspy() -> None:
    """Each control file is a cgroupspy interface, and only those of v2 are listed."""
    assert issubclass(MemoryController, CgroupspyController)
    listed = MemoryController(Cgroup("/nowhere")).list_interfaces()
    assert isinstance(MemoryController.max, BaseFileInterface)
    assert listed["max"].filename == b"memory.max"
    assert "tasks" not in listed and "notify_on_release" not in listed


def test_limits_all_at_once(group: Cgroup) -> None:
    """Every limit and protection of the memory controller in one value."""
    limits = group.memory.limits()
    assert (limits.max, limits.min, limits.swap_max, limits.oom_group) == (NO_LIMIT, 0, NO_LIMIT, False)


def test_a_snapshot_walks_the_tree_with_every_controller_on_each_node(group: Cgroup) -> None:
    """A tree of cgroupspy's, where one node has memory, io and cpu side by side."""
    tree = Tree(group.path.parent)
    pod = tree.get_node_by_path("/pod")
    assert [node.path for node in tree.walk()] == [b"/", b"/pod"]
    assert pod.memory.max is NO_LIMIT and pod.cpu.weight == 100
    assert pod.group == group
