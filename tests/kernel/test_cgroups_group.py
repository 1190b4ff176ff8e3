"""A real cgroup tree: its rules, its limits, its end."""

from __future__ import annotations

import errno

import pytest

from cgroups import NO_LIMIT, errors, files
from cgroups.events import OpenFile
from cgroups.group import Cgroup, enable_down_to, own_cgroup
from cgroups.mount import Mount, is_cgroup2
from cgroups.tree import Tree
from tests.kernel.support import Child, eventually

pytestmark = [pytest.mark.kernel, pytest.mark.part(name="kernel")]


def test_the_mount_is_cgroup2(mount: Mount) -> None:
    """statfs(2) agrees with the mount table."""
    assert is_cgroup2(mount.path)
    assert "memory" in mount.controllers


def test_the_life_of_a_cgroup(top: Cgroup) -> None:
    """Created, filled, killed, removed."""
    group = (top / "life").create()
    with Child(group) as child:
        assert group.procs() == [child.pid]
        assert group.events().populated
        assert own_cgroup(child.pid) == group
        group.kill()
        assert child.wait() == -9
    group.wait_empty()
    assert group.procs() == []
    group.remove()
    assert not group.exists()
    group.remove()


def test_killing_without_cgroup_kill(group: Cgroup) -> None:
    """The way of older kernels reaches every level of the subtree too."""
    inner = (group / "inner").create()
    with Child(group) as outside, Child(inner) as inside:
        group._kill_one_by_one()
        assert (outside.wait(), inside.wait()) == (-9, -9)
    group.wait_empty()


def test_removing_takes_the_descendants_and_waits_for_no_one_alive(top: Cgroup) -> None:
    """With a live process below it says who lives, and removes nothing."""
    group = (top / "tree").create()
    leaf = (group / "branch").create()
    leaf = (leaf / "leaf").create()
    with Child(leaf) as child:
        with pytest.raises(errors.DeadlineMissed, match=str(child.pid)):
            group.remove(deadline_s=0.05)
        assert leaf.exists()
    group.remove()
    assert not group.exists()


def test_a_context_cleans_up_after_an_error(top: Cgroup) -> None:
    """What was created is gone, its processes too, and the error goes on."""
    with Child(top.children()[0] if top.children() else (top / "elsewhere").create()) as child:
        with pytest.raises(RuntimeError, match="half way"), Cgroup(top.path / "context") as group:
            (group / "inner").create().add(child.pid)
            raise RuntimeError("half way")
        assert child.wait() == -9
    assert not (top / "context").exists()


def test_creating_twice(group: Cgroup) -> None:
    """The second time is refused, or as good."""
    with pytest.raises(errors.CgroupBusy):
        Cgroup(group.path).create()
    assert Cgroup(group.path).create(exist_ok=True) == group


def test_no_processes_where_controllers_are_handed_on(top: Cgroup, group: Cgroup) -> None:
    """The tree's rule, from both sides, and the error names what is in the way."""
    with Child(group) as child:
        with pytest.raises(errors.CgroupBusy, match=f"processes of its own: {child.pid}") as caught:
            group.enable("memory")
        assert caught.value.errno == errno.EBUSY
        with pytest.raises(errors.CgroupBusy, match=r"hands controllers on to its children: .*memory"):
            top.add(child.pid)


def test_a_controller_that_the_parent_does_not_hand_on(group: Cgroup) -> None:
    """It is missing below, and the error says what there is."""
    inner = (group / "inner").create()
    with pytest.raises(errors.ControllerMissing, match="lacks memory"):
        inner.enable("memory")


def test_enabling_from_the_top_down(mount: Mount, group: Cgroup) -> None:
    """Every level hands the controller on, and the last one has its files."""
    leaf = ((group / "a").create() / "b").create()
    assert leaf.memory.max is None
    enable_down_to(leaf.path, "memory", mount=mount)
    assert leaf.memory.max is NO_LIMIT
    enable_down_to(leaf.path, "memory", mount=mount)


def test_adding_a_process_that_has_ended(group: Cgroup) -> None:
    """The kernel's ESRCH has its own name."""
    with Child(group) as child:
        group.kill()
        child.wait()
        with pytest.raises(errors.NoProcess):
            group.add(child.pid)


def test_limits_read_back(group: Cgroup) -> None:
    """What is set is what is read: numbers, no limit, zero, a switch."""
    group.memory.max = 64 << 20
    group.memory.high = 48 << 20
    group.memory.low = 1 << 20
    group.memory.min = 0
    group.memory.oom_group = True
    limits = group.memory.limits()
    assert (limits.max, limits.high, limits.low, limits.min) == (64 << 20, 48 << 20, 1 << 20, 0)
    assert limits.oom_group is True
    group.memory.max = group.memory.high = NO_LIMIT
    group.memory.oom_group = False
    assert group.memory.max is NO_LIMIT and group.memory.oom_group is False


def test_swap_limit_reads_back(group: Cgroup) -> None:
    """0 is no swap at all, which is not "no limit"; a kernel without swap accounting has no such file."""
    if group.memory.swap_max is None:
        assert not (group.path / "memory.swap.max").exists()
        return
    group.memory.swap_max = 0
    assert group.memory.swap_max == 0
    group.memory.swap_max = NO_LIMIT
    assert group.memory.swap_max is NO_LIMIT


def test_a_limit_is_rounded_down_to_pages(group: Cgroup) -> None:
    """The kernel keeps whole pages."""
    group.memory.max = 1_000_000
    assert isinstance(group.memory.max, int) and 0 < 1_000_000 - group.memory.max < 65536


def test_a_value_that_the_kernel_does_not_take(group: Cgroup) -> None:
    """EINVAL names the value and the file."""
    with pytest.raises(errors.BadValue, match=r"'64Mi' to .*memory\.max"):
        files.write(group.path / "memory.max", "64Mi")


def test_every_file_of_this_kernel_is_read_or_none(group: Cgroup) -> None:
    """No reader chokes on what a live kernel writes; `None` only where the file is not there."""
    for controller in (group.core, group.memory, group.io, group.cpu):
        for name, file in controller.list_interfaces().items():
            if not file.writeonly and name != "swap_events":
                exists = (group.path / file.name).exists()
                assert (getattr(controller, name) is not None) == exists, file.name


def test_memory_is_charged_and_reported(group: Cgroup) -> None:
    """What a process fills shows as anon, in the current use, and in the peak."""
    with Child(group) as child:
        child.run("held.append(bytearray(b'x') * (20 << 20))")
        stat = group.memory.stat
        assert stat is not None and stat.anon is not None and stat.anon >= 20 << 20
        assert group.memory.current is not None and group.memory.current >= stat.anon
        assert group.memory.peak is None or group.memory.peak >= 20 << 20


def test_cpu_time_is_reported(group: Cgroup) -> None:
    """Work shows in cpu.stat, in microseconds."""
    with Child(group) as child:
        child.run("sum(range(3_000_000))")
        assert group.cpu.stat is not None and group.cpu.stat.usage_usec is not None
        assert group.cpu.stat.usage_usec > 0


def test_an_open_file_outlives_its_cgroup_only_as_an_error(top: Cgroup) -> None:
    """After rmdir an open file says that the cgroup is gone: its counts must be read before."""
    group = (top / "short").create()
    with OpenFile(group.path / "memory.events") as file:
        assert b"oom_kill 0" in file.read()
        group.remove()
        with pytest.raises(errors.CgroupGone):
            file.read()
    with pytest.raises(errors.CgroupGone):
        _ = group.memory.current


def test_a_snapshot_of_the_live_tree(top: Cgroup, group: Cgroup) -> None:
    """The tree of cgroupspy over a real hierarchy."""
    (group / "inner").create()
    names = [node.name for node in Tree(top.path).walk()]
    assert names[1:] == [b"pod", b"inner"]
    eventually(lambda: not group.events().populated)
