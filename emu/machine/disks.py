"""The disks of this machine by the numbers that io.stat and io.max have: whole disks, not partitions."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def disk_of(device: int) -> str:
    """The number of the whole disk that a device number belongs to: io.stat counts by disk, not by partition."""
    number = f"{os.major(device)}:{os.minor(device)}"
    place = Path("/sys/dev/block") / number
    if (place / "partition").exists():
        lines = _lines(place.resolve().parent / "dev")
        return lines[0] if lines else number
    return number


def disk_with(path: Path) -> str | None:
    """The disk that a path is on; None where it is on none that the kernel can limit (tmpfs, btrfs, overlay, …), and
    for a path that is not there, as an engine's that has other mounts than emu.
    """
    if not path.exists():
        return None
    number = disk_of(path.stat().st_dev)
    return number if (Path("/sys/dev/block") / number).exists() else None


def swap_areas(text: str) -> list[tuple[str, int]]:
    """What /proc/swaps lists: each file or device with its size in bytes."""
    rows = (line.split() for line in text.splitlines()[1:])
    return [(row[0], int(row[2]) * 1024) for row in rows if len(row) > 2]


def swap_disks() -> list[str]:
    """The disks that pages are swapped to. Swap files are on none of their own."""
    return [number for number, in_file in _swapped_to().items() if not in_file]


def swap_file_disks() -> list[str]:
    """The disks that have swap files, and other files too."""
    return [number for number, in_file in _swapped_to().items() if in_file]


def _swapped_to() -> dict[str, bool]:
    """Each disk with swap, and whether that is in files alone."""
    found: dict[str, bool] = {}
    for line in _lines(Path("/proc/swaps"))[1:]:
        area = Path(line.split()[0])
        with suppress(OSError):
            at, in_file = area.stat(), not area.is_block_device()
            number = disk_of(at.st_dev if in_file else at.st_rdev)
            found[number] = found.get(number, True) and in_file
    return found


def disk_names() -> dict[str, str]:
    """Every whole disk by its number, with its name."""
    found = {}
    for disk in sorted(Path("/sys/block").glob("*")):
        if lines := _lines(disk / "dev"):
            found[lines[0]] = disk.name
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
