"""Swap on zram: a block device whose pages are compressed in memory, which no cgroup is charged for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    """Whether it is a zram device."""
    return Path(area).name.startswith("zram")


@contextmanager
def in_place_of_disks() -> Iterator[None]:
    """Swap to a zram device as large as what this machine swaps to now, and to that again afterwards. EmuError."""
    before = areas()
    device = _made(sum(size for _, size in before))
    try:
        _run("mkswap", f"/dev/{device}")
        _run("swapon", f"/dev/{device}")
        for area, _ in before:
            _run("swapoff", area)
        yield
    finally:
        for area, _ in before:
            if area not in [one for one, _ in areas()]:
                _run("swapon", area)
        if f"/dev/{device}" in [one for one, _ in areas()]:
            _run("swapoff", f"/dev/{device}")
        (_SYS / device / "reset").write_text("1")


def _made(size_bytes: int) -> str:
    """A new device of this size; its name."""
    if not _unused():
        _run("modprobe", "zram")
    found = _unused()
    if not found:
        raise EmuError(_WHAT, "this kernel has no free zram device (CONFIG_ZRAM, /sys/block/zram0)", _FIX)
    try:
        (_SYS / found[0] / "disksize").write_text(f"{size_bytes}")
    except OSError as error:
        raise EmuError(_WHAT, f"{_SYS / found[0] / 'disksize'}: {error.strerror or error}", _FIX) from error
    return found[0]


def _unused() -> list[str]:
    sized = ((path.name, (path / "disksize").read_text().strip()) for path in sorted(_SYS.glob("zram*")))
    return [name for name, size in sized if size == "0"]


_FIX = "remove `node.swapDevice`, or run it where the kernel has zram: --on sandbox, --on vm"


def _run(*words: str) -> None:
    command.run(words, what=_WHAT, fix=_FIX, timeout_s=_TIMEOUT_S)
