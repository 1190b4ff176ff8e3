"""Swap on zram: a block device whose pages are compressed in memory, which no cgroup is charged for."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from emu.errors import EmuError
from emu.machine import command
from emu.machine.swap import FIX

_WHAT, _TIMEOUT_S = "cannot swap to zram", 60.0
_SYS = Path("/sys/block")


def is_zram(area: str) -> bool:
    """Whether a swap area is compressed memory."""
    return Path(area).name.startswith("zram")


def is_offered(modules: Path | None = None) -> bool:
    """Whether this kernel has it, built in or as a module, loaded or not."""
    if _unused():
        return True
    modules = Path("/lib/modules") / os.uname().release if modules is None else modules
    for name in ("modules.builtin", "modules.dep"):
        with suppress(OSError):
            if "/zram.ko" in (modules / name).read_text(errors="replace"):
                return True
    return False


def unused() -> str:
    """The name of a device that has no size yet. EmuError."""
    if not _unused():
        command.run(("modprobe", "zram"), what=_WHAT, fix=FIX, timeout_s=_TIMEOUT_S)
    found = _unused()
    if not found:
        raise EmuError(_WHAT, "this kernel has no free zram device (CONFIG_ZRAM, /sys/block/zram0)", FIX)
    return found[0]


def make(device: str, size_bytes: int) -> None:
    """Give an unused device its size. EmuError."""
    try:
        (_SYS / device / "disksize").write_text(f"{size_bytes}")
    except OSError as error:
        raise EmuError(_WHAT, f"{_SYS / device / 'disksize'}: {error.strerror or error}", FIX) from error


def remove(device: str) -> None:
    """Take its size and its memory away, once it is not swapped to. OSError."""
    (_SYS / device / "reset").write_text("1")


def _unused() -> list[str]:
    sized = ((path.name, (path / "disksize").read_text().strip()) for path in sorted(_SYS.glob("zram*")))
    return [name for name, size in sized if size == "0"]
