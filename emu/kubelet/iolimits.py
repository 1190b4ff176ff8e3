"""io.max: which lines a container or the node gets, and how they are written.

A kubelet sets none of this. The disk is the one that has the runtime's volumes. Systemd leaves io.max alone unless it
has been given a limit itself, so the files are written directly with either cgroup driver.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from cgroups.io import IoMax
from emu.errors import EmuError
from emu.machine import disks
from emu.spec import IoControls

_ELSEWHERE = "run it in the sandbox: --on sandbox; or remove `io.max`"


@dataclass(frozen=True)
class Disks:
    """The devices that io.max can be about on this machine, by number."""

    files: str | None = None
    """The disk that has files and volumes; None where the kernel cannot limit it."""
    swap: tuple[str, ...] = ()

    def lines(self, wanted: IoControls) -> list[IoMax]:
        """The lines of io.max that a scenario asks for. EmuError where there is no such device."""
        found: list[IoMax] = []
        if rates := wanted.max.disk.given:
            if self.files is None:
                raise EmuError(
                    "io.max.disk: the disk with the files cannot be limited",
                    "the kernel knows limits for whole block devices, and they are on none (tmpfs, btrfs or overlay)",
                    _ELSEWHERE,
                )
            found.append(IoMax(self.files, **rates))
        if rates := wanted.max.swap.given:
            if not self.swap:
                raise EmuError(
                    "io.max.swap: there is no swap device",
                    "this machine has no swap, or swaps to a file, whose disk has other files too",
                    "raise sandbox.swap, or remove `io.max.swap`",
                )
            if found and self.files in self.swap:
                raise EmuError(
                    "io.max has limits for disk and for swap, and they are one device here",
                    f"both are on {self.files}, which has one line in io.max",
                    "keep one of `io.max.disk` and `io.max.swap`, or run it in the sandbox: --on sandbox",
                )
            found += [IoMax(device, **rates) for device in self.swap]
        return found


def find_disks(runtime_root: Path) -> Disks:
    """Those of this machine; `runtime_root` is where the runtime has its volumes."""
    return Disks(disks.disk_with(runtime_root), tuple(disks.swap_disks()))


def check(wanted: Iterable[IoControls], found: Disks, run: Path) -> None:
    """EmuError where a limit that is asked for cannot be set, before anything starts. `run`: the run's cgroup."""
    lines = [line for one in wanted for line in found.lines(one)]
    if lines and not (run / "io.max").exists():
        lacking = "has no io.max (CONFIG_BLK_DEV_THROTTLING)" if (run / "io.stat").exists() else "no io controller"
        raise EmuError(
            "io.max cannot be set",
            f"this kernel {lacking}",
            "boot a kernel that has it, as the sandbox's: --on sandbox; or remove `io.max`",
        )


def limit(path: Path, lines: Iterable[IoMax]) -> None:
    """Write them. EmuError where the kernel refuses one."""
    for line in lines:
        try:
            Cgroup(path).io.max = line
        except CgroupError as error:
            raise EmuError(f"cannot set io.max to {line}", error.why, "see `emu doctor`") from error
