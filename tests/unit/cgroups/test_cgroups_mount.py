"""Where cgroup2 is: unified, hybrid, legacy, and places that only look like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgroups import errors, mount

FIXTURES = Path(__file__).parents[2] / "fixtures"


def mountinfo(fixture: str, at: str, place: Path, offered: str) -> str:
    """The captured table with its cgroup2 moved to a directory that offers these controllers."""
    (place / "cgroup.controllers").write_text(f"{offered}\n")
    return (FIXTURES / fixture / "mountinfo").read_text().replace(f" {at} ", f" {place} ")


def test_a_unified_host(tmp_path: Path) -> None:
    """One hierarchy with every controller; no v1 beside it."""
    table = mountinfo("uml-6.1", "/sys/fs/cgroup", tmp_path, "cpu io memory pids")
    found = mount.find_cgroup2(table)
    assert found == mount.Mount(tmp_path, frozenset({"cpu", "io", "memory", "pids"}), hybrid=False)
    found.require("memory", "io")


def test_a_hybrid_host_lacks_the_memory_controller(tmp_path: Path) -> None:
    """cgroup2 at /sys/fs/cgroup/unified is found, and says itself that v1 has its memory controller."""
    table = mountinfo("hybrid-6.18", "/sys/fs/cgroup/unified", tmp_path, "hugetlb")
    found = mount.find_cgroup2(table)
    assert found.hybrid and found.controllers == {"hugetlb"}
    with pytest.raises(errors.ControllerMissing, match="it offers: hugetlb; a v1 hierarchy owns"):
        found.require("memory")


def test_a_legacy_host_has_none() -> None:
    """With v1 alone the error says so."""
    lines = (FIXTURES / "hybrid-6.18" / "mountinfo").read_text().splitlines(keepends=True)
    with pytest.raises(errors.NoCgroup2, match="only cgroup v1"):
        mount.find_cgroup2("".join(line for line in lines if "cgroup2" not in line))


def test_no_cgroups_at_all() -> None:
    """A table without any cgroup mount."""
    with pytest.raises(errors.NoCgroup2, match="no entry of type cgroup2"):
        mount.find_cgroup2("16 1 0:15 / / rw - ext4 /dev/vda rw\n")


def test_the_whole_hierarchy_comes_before_a_part_of_it(tmp_path: Path) -> None:
    """A bind mount of one cgroup is not where the tree begins."""
    part, whole = tmp_path / "part", tmp_path / "whole"
    for place in (part, whole):
        place.mkdir()
        (place / "cgroup.controllers").write_text("memory\n")
    table = f"30 1 0:9 /a {part} rw - cgroup2 none rw\n31 1 0:9 / {whole} rw shared:4 master:2 - cgroup2 none rw\n"
    assert mount.find_cgroup2(table).path == whole


def test_a_mount_that_another_one_hides_is_not_taken(tmp_path: Path) -> None:
    """Of two mounts on one place the later one is what is there."""
    table = f"30 1 0:9 / {tmp_path} rw - cgroup2 none rw\n31 30 0:9 / {tmp_path} rw - tmpfs none rw\n"
    with pytest.raises(errors.NoCgroup2):
        mount.find_cgroup2(table)


def test_escapes_of_the_mount_table_are_undone() -> None:
    """A space in a path is written in octal."""
    (line,) = mount.parse_mountinfo(r"30 1 0:9 / /mnt/my\040cgroups rw - cgroup2 none rw")
    assert line.mount_point == "/mnt/my cgroups"


def test_a_broken_table_is_refused() -> None:
    """A line without mountinfo's separator is not guessed at."""
    with pytest.raises(errors.BadValue, match="mount table"):
        mount.parse_mountinfo("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")


def test_a_directory_is_not_cgroup2_for_its_looks(tmp_path: Path) -> None:
    """statfs(2) decides, not the names of files."""
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    assert not mount.is_cgroup2(tmp_path)
    assert not mount.is_cgroup2(tmp_path / "missing")
