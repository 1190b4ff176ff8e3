"""Where cgroup2 is mounted, that it truly is cgroup2, and which controllers it offers.

A host boots in one of three modes. Unified: cgroup2 at /sys/fs/cgroup with every controller. Hybrid: v1 hierarchies
own the controllers, and cgroup2 sits at /sys/fs/cgroup/unified with few of them or none. Legacy: no cgroup2 at all.
A path proves nothing, so the file system type decides: from mountinfo, then from statfs(2).
"""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cgroups import errors, files

CGROUP2_SUPER_MAGIC = 0x63677270
"""statfs(2)'s f_type of cgroup2: "cgrp" in ASCII (linux/magic.h)."""

_OCTAL = re.compile(r"\\([0-7]{3})")
_SANDBOX_FIX = "boot with systemd.unified_cgroup_hierarchy=1, or use a host or a virtual machine with cgroup v2"


@dataclass(frozen=True, slots=True)
class Mount:
    """A cgroup2 mount: its place, its top cgroup's controllers, and whether v1 hierarchies are mounted beside it.

    `root` is the cgroup that the mount point shows: "/" unless a container or a bind mount shows a part of the tree.
    """

    path: Path
    controllers: frozenset[str]
    hybrid: bool
    root: str = "/"

    def require(self, *controllers: str) -> None:
        """Raise `ControllerMissing` unless each of these is offered here."""
        missing = sorted(set(controllers) - self.controllers)
        if not missing:
            return
        offered = ", ".join(sorted(self.controllers)) or "none"
        because = "; a v1 hierarchy owns the others" if self.hybrid else ""
        raise errors.ControllerMissing(
            f"cgroup2 at {self.path} lacks the controller {', '.join(missing)}",
            f"it offers: {offered}{because}",
            _SANDBOX_FIX,
        )


@dataclass(frozen=True, slots=True)
class MountLine:
    """The fields of one line of /proc/PID/mountinfo that matter here (proc(5))."""

    root: str
    mount_point: str
    fstype: str


def parse_mountinfo(text: str) -> list[MountLine]:
    """Every mount in the text, in order. A line that is not in mountinfo's format raises `BadValue`."""
    lines = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if not separator or len(fields) < 6 or not kinds[0]:
            raise errors.BadValue(
                f"cannot read the mount table line {line!r}",
                "it has not the fields of /proc/PID/mountinfo",
                "pass the text of /proc/self/mountinfo",
            )
        lines.append(MountLine(_unescape(fields[3]), _unescape(fields[4]), kinds[0]))
    return lines


def find_cgroup2(mountinfo: str | None = None) -> Mount:
    """The cgroup2 mount to work in: one that shows the whole hierarchy before one that shows a part, then the first.

    Without `mountinfo` the table is this process's own, and statfs(2) must agree that the place is cgroup2.
    Raises `NoCgroup2` where there is none.
    """
    own = mountinfo is None
    table = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape") if mountinfo is None else mountinfo
    lines = parse_mountinfo(table)
    visible = list({line.mount_point: line for line in lines}.values())  # a later mount hides an earlier one
    found = [line for line in visible if line.fstype == "cgroup2"]
    hybrid = any(line.fstype == "cgroup" for line in visible)
    if not found:
        raise errors.NoCgroup2(
            "no cgroup v2 hierarchy is mounted",
            "only cgroup v1 is" if hybrid else "the mount table has no entry of type cgroup2",
            f"mount -t cgroup2 none /sys/fs/cgroup, or {_SANDBOX_FIX}",
        )
    best = min(found, key=lambda line: line.root != "/")
    path = Path(best.mount_point)
    if own and not is_cgroup2(path):
        raise errors.NoCgroup2(
            f"{path} is not cgroup v2",
            "the mount table says cgroup2 and statfs(2) does not: another mount hides it",
            f"unmount what hides {path}",
        )
    return Mount(path, frozenset(files.read(path / "cgroup.controllers").split()), hybrid, best.root)


def is_cgroup2(path: Path) -> bool:
    """Whether statfs(2) says that the path is on cgroup2. `False` for a path that does not exist."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)  # struct statfs is 120 bytes on x86-64; f_type is its first long
    if libc.statfs(os.fsencode(path), buffer) != 0:
        return False
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF == CGROUP2_SUPER_MAGIC


def _unescape(field: str) -> str:
    r"""A mountinfo field as it was: the kernel writes space, tab, newline and backslash as \ooo."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), field)
