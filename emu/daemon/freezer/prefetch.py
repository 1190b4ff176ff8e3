"""Which pages of a frozen container are in swap, and how the kernel is asked to read some of them back.

/proc/PID/pagemap has a word for each page: bit 63, it is mapped; bit 62, it is in swap (the kernel's pagemap.rst).
process_madvise(2) with MADV_WILLNEED (Linux 5.10) reads pages of another process from swap, frozen or not, without
mapping them, and returns before they are there. They are charged to the cgroup that they were swapped out of, whoever
asks. In a file's mapping it reads the file instead, and charges whoever asks: that is left to the app, and with it
what a process has changed of such a mapping, its program's data for one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from cgroups import NO_LIMIT
from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.policy.prefetching import Area

PAGE = os.sysconf("SC_PAGE_SIZE")
MOST_AREAS = 50_000
"""More pieces than this are not kept of a container: its memory is too scattered to be worth it."""
_WORD = 8
_MAPPED, _SWAPPED = re.compile(rb"[\x80-\xff]+"), re.compile(rb"[\x40-\x7f]+")
"""By a page's highest byte."""
_USER_END = 1 << 47
_MOST_PAGES = 1 << 17
"""Looked at in one read."""
_SYS_PROCESS_MADVISE = 440
"""The same on every architecture."""
_WILLNEED = 3
_MOST_VECTORS = 1024
_ENDED = (ProcessLookupError, FileNotFoundError)
"""What a process had is gone with it, and that is no error."""


def swapped(cgroup: Path) -> list[Area]:
    """What the processes of a cgroup have in swap, in order of address. OSError where it may not be looked at."""
    found: list[Area] = []
    for pid in Cgroup(cgroup).procs():
        with suppress(*_ENDED):
            found += _pages(pid, _mappings(pid), _SWAPPED)
        if len(found) > MOST_AREAS:
            return found[:MOST_AREAS]
    return found


def mapped(areas: Iterable[Area]) -> list[Area]:
    """The parts of these that are mapped now: they were touched if they were not before."""
    found: list[Area] = []
    for pid, group in groupby(areas, key=lambda area: area.pid):
        with suppress(*_ENDED):
            found += _pages(pid, group, _MAPPED)
    return found


def read_back(areas: Sequence[Area]) -> int:
    """Have the kernel read them from swap; bytes that it has begun to. OSError where it refuses (EPERM, ENOSYS)."""
    begun = 0
    for pid, group in groupby(areas, key=lambda area: area.pid):
        with suppress(*_ENDED):
            begun += _advise(pid, list(group))
    return begun


def room_bytes(cgroup: Path) -> int:
    """What may be charged to a cgroup before a limit of it or of one above is reached, and the machine has."""
    most = _available_bytes()
    for level in (cgroup, *cgroup.parents):
        memory = Cgroup(level).memory
        with suppress(CgroupError):
            held = memory.current
            if held is None:  # the root has none, and no limit
                break
            limits = [limit for limit in (memory.max, memory.high) if limit is not None and limit is not NO_LIMIT]
            most = min([most, *(int(limit) - held for limit in limits)])
    return max(0, most)


def _mappings(pid: int) -> Iterator[Area]:
    """Its mappings of no file that may hold something."""
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        span, access, _, _, inode = line.split(maxsplit=5)[:5]
        begin, end = (int(edge, 16) for edge in span.split("-"))
        if inode == "0" and not access.startswith("---") and end <= _USER_END:
            yield Area(pid, begin, end, end - begin)


def _pages(pid: int, areas: Iterable[Area], wanted: re.Pattern[bytes]) -> Iterator[Area]:
    """The parts of areas whose pages are as wanted."""
    fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for area in areas:
            for begin in range(area.begin, area.end, _MOST_PAGES * PAGE):
                pages = min(_MOST_PAGES, (area.end - begin) // PAGE)
                words = os.pread(fd, pages * _WORD, begin // PAGE * _WORD)
                for run in wanted.finditer(words[_WORD - 1 :: _WORD]):
                    yield Area(pid, begin + run.start() * PAGE, begin + run.end() * PAGE, area.mapping_bytes)
    finally:
        os.close(fd)


def _advise(pid: int, areas: list[Area]) -> int:
    begun = 0
    process = os.pidfd_open(pid)
    try:
        for at in range(0, len(areas), _MOST_VECTORS):
            begun += _process_madvise(process, areas[at : at + _MOST_VECTORS])
    finally:
        os.close(process)
    return begun


def _process_madvise(process: int, areas: list[Area]) -> int:
    vectors = (ctypes.c_size_t * (2 * len(areas)))(*(part for area in areas for part in (area.begin, area.size)))
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    begun = int(call(_SYS_PROCESS_MADVISE, process, vectors, ctypes.c_size_t(len(areas)), _WILLNEED, 0))
    if begun >= 0:
        return begun
    number = ctypes.get_errno()
    if number == errno.ENOMEM:  # an area is no more
        return 0
    raise OSError(number, os.strerror(number))


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
