"""Swap on zram: a block device whose pages are compressed in memory, which no cgroup is charged for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emu.errors import EmuError
from emu.machine import command
from emu.machine.disks import swap_areas

_WHAT, _TIMEOUT_S = "cannot swap to zram", 60.0
_SYS = Path("/sys/block")


def areas() -> list[tuple[str, int]]:
    """What this machine swaps to, with sizes in bytes."""
    return swap_areas(Path("/proc/swaps").read_text(errors="replace"))


def is_zram(area: str) -> bool:
    """Whether a swap area is compressed memory."""
    return Path(area).name.startswith("zram")


def swap_to(device: str, before: Sequence[str]) -> None:
    """Swap to a device that was made, and no more to what there is `before`. EmuError."""
    # The new area first: what the others hold needs room when they are switched off.
    _run("mkswap", f"/dev/{device}")
    _run("swapon", f"/dev/{device}")
    for area in before:
        _run("swapoff", area)


def back(before: Sequence[str], device: str) -> None:
    """Swap to what there was `before` again, and remove the device. EmuError."""
    # Those first, likewise.
    for area in before:
        if area not in [one for one, _ in areas()]:
            _run("swapon", area)
    if f"/dev/{device}" in [one for one, _ in areas()]:
        _run("swapoff", f"/dev/{device}")
    (_SYS / device / "reset").write_text("1")


def unused() -> str:
    """The name of a device that has no size yet. EmuError."""
    if not _unused():
        _run("modprobe", "zram")
    found = _unused()
    if not found:
        raise EmuError(_WHAT, "this kernel has no free zram device (CONFIG_ZRAM, /sys/block/zram0)", _FIX)
    return found[0]


def make(device: str, size_bytes: int) -> None:
    """Give an unused device its size. EmuError."""
    try:
        (_SYS / device / "disksize").write_text(f"{size_bytes}")
    except OSError as error:
        raise EmuError(_WHAT, f"{_SYS / device / 'disksize'}: {error.strerror or error}", _FIX) from error


def _unused() -> list[str]:
    sized = ((path.name, (path / "disksize").read_text().strip()) for path in sorted(_SYS.glob("zram*")))
    return [name for name, size in sized if size == "0"]


_FIX = "remove `node.swapDevice`, or run it where the kernel has zram: --on sandbox, --on vm"


def _run(*words: str) -> None:
    command.run(words, what=_WHAT, fix=_FIX, timeout_s=_TIMEOUT_S)
