"""What this machine's kernel can do with a tmpfs, tried out as the kubelet does."""

from __future__ import annotations

import tempfile
from functools import cache

from emu.errors import EmuError
from emu.machine import command

_FIX = "see what mount(8) says"
_PATIENCE_S = 30.0


def mount(folder: str, size_bytes: int, mode: str = "0777", *, noswap: bool = False) -> None:
    """Mount a tmpfs of this size. EmuError."""
    options = f"nosuid,nodev,size={size_bytes},mode={mode}" + (",noswap" if noswap else "")
    _run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], f"cannot mount a tmpfs at {folder}")


def unmount(folder: str) -> None:
    """Unmount what is mounted there, at once, even where somebody still uses it. EmuError."""
    _run(["umount", "--lazy", folder], f"cannot unmount {folder}")


@cache
def supports_noswap() -> bool:
    """Whether pages of a tmpfs can be kept from swap (Linux 6.4): a mount that is removed again says so."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            mount(folder, 1 << 20, noswap=True)
        except EmuError:
            return False
        unmount(folder)
    return True


def _run(words: list[str], what: str) -> None:
    command.run(words, what=what, fix=_FIX, timeout_s=_PATIENCE_S)
