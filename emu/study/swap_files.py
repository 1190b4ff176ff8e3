"""A disk that has files and swap: io.stat counts both together, memory.stat the pages of swap (pswpin, pswpout)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from emu.study.model.machine import Device
from emu.study.model.timeline import Column, IoColumns, Timeline


def part_of(number: str) -> str:
    """What the swap on a disk is called beside the disk itself."""
    return f"{number} swap"


def split(devices: dict[str, Device], lines: Iterable[Timeline], page_bytes: int) -> None:
    """Make two devices of each such disk, in the timelines too: its files, and its swap. Where the kernel does not
    count the pages of a cgroup that swapped the disk stays one, whose bytes are of nothing in particular.
    """
    shared = [device for device in devices.values() if device.is_both]
    if not shared:
        return
    for device in shared:
        devices[part_of(device.number)] = Device(device.number, device.name, "swap")
    for line in lines:
        for device in shared:
            io = line.io.get(device.number)
            if io is not None and (pages := _pages(line)) is not None:
                reads, writes = (
                    _parts(whole, column, page_bytes)
                    for whole, column in zip((io.read_bytes, io.write_bytes), pages, strict=True)
                )
                line.io[device.number] = IoColumns(reads[0], writes[0])
                line.io[part_of(device.number)] = IoColumns(reads[1], writes[1])


def whole(line: Timeline, number: str, column: str) -> Column:
    """Bytes of the whole disk, as io.max bounds them: `read_bytes` or `write_bytes`."""
    found: Column = getattr(line.io[number], column)
    if (swap := line.io.get(part_of(number))) is None:
        return found
    pairs = zip(found, getattr(swap, column), strict=True)
    return [None if files is None else files + (swapped or 0) for files, swapped in pairs]


def is_unsplit(devices: Mapping[str, Device], line: Timeline) -> bool:
    """Whether a part of its bytes is of files and swap together."""
    both = (number for number in line.io if number in devices and devices[number].is_both)
    return any(part_of(number) not in line.io for number in both)


def _pages(line: Timeline) -> tuple[Column, Column] | None:
    """Swapped in and out; none ever, where it had nothing in swap; None where that is not known."""
    if any(value is not None for value in line.swapped_in):
        return line.swapped_in, line.swapped_out
    none: Column = [0] * len(line.t)
    return None if any(line.swap) else (none, none)


def _parts(whole: Column, pages: Column, page_bytes: int) -> tuple[Column, Column]:
    """Of the bytes of a disk those of files, and those of swap. Pages and bytes are not read at the same instant, so
    one may be ahead of the other for a moment: what later readings take back was never the files'.
    """
    files: Column = []
    most: int | None = None
    for moved, swapped in zip(reversed(whole), reversed(pages), strict=True):
        if moved is None:
            files.append(None)
            continue
        rest = max(0, moved - (swapped or 0) * page_bytes)
        most = rest if most is None else min(most, rest)
        files.append(most)
    files.reverse()
    swap = [None if moved is None or part is None else moved - part for moved, part in zip(whole, files, strict=True)]
    return files, swap
