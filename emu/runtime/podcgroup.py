"""A run's cgroup and those of its pods in it, for both of Docker's cgroup drivers.

cgroupfs: a path below the root, ours to make and limit. systemd: a slice; systemd owns it and may rewrite what it did
not set itself, so limits go through systemd's properties. A run's cgroup holds its node's `kubepods`; in that are
those of the classes, pods in their class's (Guaranteed ones in `kubepods`), all with the names that a kubelet whose
--cgroup-root is the run's gives them, and containers below that, as `<id>` or `docker-<id>.scope`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cgroups import files
from cgroups.group import Cgroup, enable_down_to
from cgroups.mount import Mount
from emu.errors import EmuError
from emu.machine import command

PARENT = "emu"
"""All of emu's cgroups are below this cgroup (cgroupfs) or slice (systemd)."""
CONTROLLERS = ("memory", "io", "cpu", "pids")
OWNER_ATTRIBUTES = ("user.emu.owner", "trusted.emu.owner")
"""Extended attributes of a run's cgroup that may say whose it is; the first is for kernels from 5.7 on."""
_SYSTEMCTL_S = 60.0
_PROPERTIES = {
    "memory.max": "MemoryMax",
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax",
    "cpu.weight": "CPUWeight",
    "cpu.max": "CPUQuota",
    "io.weight": "IOWeight",
}
"""Systemd's names for control files (systemd.resource-control)."""


def _property(file: str, value: str) -> str:
    """A control file's value as systemd has it: CPUQuota is a share of a processor, and nothing is no quota."""
    if file == "cpu.max":
        quota, period = value.split()
        value = "" if quota == "max" else f"{100 * int(quota) / int(period):.2f}%"
    return f"{_PROPERTIES[file]}={'infinity' if value == 'max' else value}"


def read_owner(path: Path) -> str | None:
    """Whose a run's cgroup is, as `PodCgroup.own` wrote it; None where it says nothing."""
    for name in OWNER_ATTRIBUTES:
        try:
            return os.getxattr(path, name).decode()
        except OSError:
            continue
    return None


class PodCgroup(ABC):
    """A run's cgroup, or one in those that `within` names, from the run's on: kubepods, a class's, a pod's. No I/O in
    the constructor.
    """

    def __init__(self, mount: Mount, name: str, within: tuple[str, ...] = ()) -> None:
        self._mount = mount
        self.name = name
        self._within = within

    def child(self, name: str) -> Self:
        """A cgroup in this one."""
        return type(self)(self._mount, name, (*self._within, self.name))

    @property
    @abstractmethod
    def path(self) -> Path:
        """The cgroup's directory in the mounted tree."""

    @property
    @abstractmethod
    def docker_parent(self) -> str:
        """What Docker wants as `cgroup_parent`."""

    @abstractmethod
    def container_path(self, container_id: str) -> Path:
        """The directory of a container's cgroup while it runs."""

    @abstractmethod
    def create(self) -> None:
        """Make it, with the controllers enabled for its children."""

    manager_writes_controls = False
    """Whether somebody else (systemd) writes a container's control files as it starts, over what we wrote."""

    def manage_controls(self, container_id: str, wanted: Mapping[str, str]) -> None:
        """Have the manager know a container's controls (file → value), so that it does not undo them."""
        return

    def own(self, owner: str) -> None:
        """Write on the cgroup whose it is, so that `emu clean` can distinguish a dead run's from a living one's."""
        for name in OWNER_ATTRIBUTES:
            try:
                os.setxattr(self.path, name, owner.encode())
            except OSError:
                continue
            return

    @abstractmethod
    def control(self, wanted: Mapping[str, str]) -> None:
        """Set its control files: file → value."""

    def kill(self) -> None:
        """End every process in it and below, at once."""
        group = Cgroup(self.path)
        if group.exists():
            group.kill()

    @abstractmethod
    def remove(self) -> None:
        """Remove it with everything below."""


class CgroupfsPod(PodCgroup):
    """Docker's `cgroupfs` driver."""

    @property
    def path(self) -> Path:
        """`/sys/fs/cgroup/emu/<run>/kubepods/pod<pod>`."""
        return self._mount.path / self.docker_parent.lstrip("/")

    @property
    def docker_parent(self) -> str:
        """A path from the root of the hierarchy."""
        return "/" + "/".join((PARENT, *self._within, self.name))

    def container_path(self, container_id: str) -> Path:
        """Named by the id."""
        return self.path / container_id

    def create(self) -> None:
        """Make it and our parent, controllers enabled from the root down."""
        Cgroup(self._mount.path / PARENT).create(exist_ok=True)
        Cgroup(self.path).create()
        # From the root down: a cgroup can hand on only the controllers that it was given.
        enable_down_to(self.path, *CONTROLLERS, mount=self._mount)
        Cgroup(self.path).enable(*CONTROLLERS)

    def control(self, wanted: Mapping[str, str]) -> None:
        """Written to the files; not to that of swap where the kernel has none."""
        for name, value in wanted.items():
            path = self.path / name
            if name != "memory.swap.max" or path.exists():
                files.write(path, value)

    def remove(self) -> None:
        """Kill what is left in it, then remove it; our parent goes with its last run."""
        self.kill()
        group = Cgroup(self.path)
        if group.exists():
            group.remove()
        parent = Cgroup(self._mount.path / PARENT)
        if parent.exists() and not parent.children() and not parent.procs():
            parent.remove()


class SystemdPod(PodCgroup):
    """Docker's `systemd` driver: most hosts have this one."""

    @property
    def slice(self) -> str:
        """The unit's name. A dash nests slices, so those within a name become underscores."""
        return f"{'-'.join(self._levels)}.slice"

    @property
    def _levels(self) -> list[str]:
        return [PARENT, *(part.replace("-", "_") for part in (*self._within, self.name))]

    @property
    def path(self) -> Path:
        """`/sys/fs/cgroup/emu.slice/emu-<run>.slice/emu-<run>-kubepods.slice`."""
        levels = self._levels
        return self._mount.path.joinpath(*(f"{'-'.join(levels[:end])}.slice" for end in range(1, len(levels) + 1)))

    @property
    def docker_parent(self) -> str:
        return self.slice

    def container_path(self, container_id: str) -> Path:
        """A scope in the slice."""
        return self.path / f"docker-{container_id}.scope"

    def create(self) -> None:
        """Have systemd make the slice, with accounting on so that its controllers are enabled."""
        self._properties("MemoryAccounting=yes", "IOAccounting=yes", "CPUAccounting=yes", "TasksAccounting=yes")
        self._systemctl("start", self.slice)

    def control(self, wanted: Mapping[str, str]) -> None:
        """Through systemd's properties."""
        if wanted:
            self._properties(*(_property(name, value) for name, value in wanted.items()))

    manager_writes_controls = True

    def manage_controls(self, container_id: str, wanted: Mapping[str, str]) -> None:
        """As properties of the scope; memory.oom.group has none, and is left to a write."""
        properties = [_property(name, value) for name, value in wanted.items() if name in _PROPERTIES]
        if properties:
            self._systemctl("set-property", "--runtime", f"docker-{container_id}.scope", *properties)

    def remove(self) -> None:
        """Stop the slice, which stops all below it, and forget its properties and theirs."""
        self.kill()
        # Listed before the slice stops: its directories go with it, their properties stay in /run/systemd.
        below = [path.name for path in self.path.rglob("*.slice")]
        self._systemctl("stop", self.slice)
        self._systemctl("revert", self.slice, *below)

    def _properties(self, *properties: str) -> None:
        self._systemctl("set-property", "--runtime", self.slice, *properties)

    def _systemctl(self, *words: str) -> None:
        command.run(
            ["systemctl", *words],
            what=f"cannot set up the slice {self.slice}",
            fix="check systemd's log: journalctl -b -u init.scope; or use the User-Mode Linux sandbox: --on sandbox",
            timeout_s=_SYSTEMCTL_S,
        )


DRIVERS: Mapping[str, type[PodCgroup]] = {"cgroupfs": CgroupfsPod, "systemd": SystemdPod}
"""The two places where Docker may put containers, by its own words."""


def run_cgroup(driver: str, mount: Mount, name: str) -> PodCgroup:
    """A run's cgroup, the right one for Docker's cgroup driver. EmuError for a driver that is neither."""
    if driver not in DRIVERS:
        raise EmuError(
            f"cannot place a pod under Docker's cgroup driver {driver!r}",
            "only cgroupfs and systemd put containers into cgroups that emu can limit",
            "start dockerd with --exec-opt native.cgroupdriver=systemd, or use the sandbox: --on sandbox",
        )
    return DRIVERS[driver](mount, name)


def existing_runs(driver: str, mount: Mount) -> list[PodCgroup]:
    """Every run's cgroup that is there, whoever made it."""
    if driver == "systemd":
        parent = mount.path / f"{PARENT}.slice"
        names = [path.name.removeprefix(f"{PARENT}-").removesuffix(".slice") for path in parent.glob("*.slice")]
    else:
        parent = mount.path / PARENT
        names = [path.name for path in parent.glob("*") if path.is_dir()]
    return [run_cgroup(driver, mount, name) for name in sorted(names)]
