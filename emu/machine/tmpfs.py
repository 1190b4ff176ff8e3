"""What this machine's kernel can do with a tmpfs, tried out as the kubelet does. No program is run for it: each costs
the sandbox more than the mount.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from functools import cache

from emu.errors import EmuError

_NOSUID, _NODEV, _DETACH = 2, 4, 2  # linux/mount.h; MNT_DETACH of umount2(2)
_FIX = "see what the kernel says: dmesg"
_libc = ctypes.CDLL(None, use_errno=True)


def mount(folder: str, size_bytes: int, mode: str = "0777", *, noswap: bool = False) -> None:
    """Mount a tmpfs of this size. EmuError."""
    options = f"size={size_bytes},mode={mode}" + (",noswap" if noswap else "")
    flags = ctypes.c_ulong(_NOSUID | _NODEV)
    result = _libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options.encode())
    _check(result, f"cannot mount a tmpfs at {folder}")


def unmount(folder: str) -> None:
    """Unmount what is mounted there, at once, even where somebody still uses it. EmuError."""
    _check(_libc.umount2(os.fsencode(folder), _DETACH), f"cannot unmount {folder}")


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


def _check(result: int, what: str) -> None:
    if result < 0:
        raise EmuError(what, os.strerror(ctypes.get_errno()), _FIX)
