"""Makes this process as heavy as a profile says, in memory that the kernel charges, reclaims and swaps as any other.

Anonymous memory: an arena of private mappings. Its pages are written as requests come in and given back to the kernel
with MADV_DONTNEED. Our own anonymous memory counts towards the sum; it is read from the kernel now and then.

The executable: a file in the image, mapped as code is. What a request would execute of it is touched for each
request, and a request proceeds only once all of that was there at one time, as a thread runs only when the page of
its next instruction is there. Where too little of memory.max is left for these pages, each one that comes in pushes
another out, and the process stalls as the real one does.
"""

from __future__ import annotations

import mmap
import os
import resource
import time
from pathlib import Path

from emu.daemon import loop
from emu.policy.footprint import Footprint, Profile

PAGE = mmap.PAGESIZE
CHUNK = 16 << 20
EXECUTABLE = "/usr/local/lib/emu/executable"
"""A file of random bytes in our image that stands for the other binary's."""
OWN_EVERY_S = 0.05
"""How old a reading of its own memory may be."""
OWN_EVERY = 16
"""… and how many requests may have come since."""
CODE_EVERY_S = 0.001
"""Requests closer together than this share one look at the code."""
OWN_CODE_BYTES = 2_500_000
"""What serving takes of its own executables (`emu calibrate` measured it); it counts towards the profile's."""
FEW_FAULTS = 4
"""A pass over the code with no more reads from the disk than this went through."""
TURN_S = 5.0
"""A stalled request proceeds after this long all the same, so that the process stays alive, barely."""


class Arena:
    """Anonymous memory of a size that can be changed; every page of it was written."""

    def __init__(self) -> None:
        self._chunks: list[mmap.mmap] = []
        self.size = 0

    def resize(self, size: int) -> None:
        """Hold so many bytes, in whole pages."""
        size = -(-size // PAGE) * PAGE
        while self.size < size:
            index, offset = divmod(self.size, CHUNK)
            if index == len(self._chunks):
                self._chunks.append(_anonymous(CHUNK))
            end = min(CHUNK, offset + size - self.size)
            self._chunks[index][offset:end:PAGE] = b"\1" * ((end - offset) // PAGE)
            self.size += end - offset
        if self.size > size:
            self._shrink(size)

    def _shrink(self, size: int) -> None:
        keep, offset = divmod(size, CHUNK)
        for chunk in self._chunks[keep + 1 :]:
            chunk.close()
        del self._chunks[keep + 1 :]
        if keep < len(self._chunks):
            self._chunks[keep].madvise(mmap.MADV_DONTNEED, offset, CHUNK - offset)
        self.size = size


def _anonymous(size: int) -> mmap.mmap:
    space = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        try:
            space.madvise(mmap.MADV_NOHUGEPAGE)  # a huge page would be charged whole for the first byte in it
        except OSError:
            return space  # a kernel built without huge pages
    return space


class Code:
    """The executable's pages."""

    def __init__(self, path: str, size: int, needed: int) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size = min(size, os.fstat(fd).st_size) // PAGE * PAGE
            self._map = mmap.mmap(fd, self.size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
        finally:
            os.close(fd)
        self._needed = min(needed, self.size)
        self._looked_at = 0.0
        self._map[::PAGE]

    def execute(self, now: float) -> bool:
        """Touch what serving a request takes, until all of it was there at once; False when that never came."""
        if now - self._looked_at < CODE_EVERY_S or not self._needed:
            return True
        until = now + TURN_S
        faults = _faults()
        while True:
            self._map[: self._needed : PAGE]
            before, faults = faults, _faults()
            self._looked_at = time.monotonic()
            if faults - before <= FEW_FAULTS:
                return True
            if self._looked_at >= until:
                return False


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def own_memory() -> tuple[int, int]:
    """Our anonymous memory, swapped or not, and our mapped file pages, in bytes (/proc/self/status)."""
    found = {"RssAnon": 0, "VmSwap": 0, "RssFile": 0}
    with Path("/proc/self/status").open("rb") as status:
        for line in status:
            name = line.split(b":", 1)[0].decode()
            if name in found:
                found[name] = int(line.split()[1]) * 1024
    return found["RssAnon"] + found["VmSwap"], found["RssFile"]


class Weight:
    """Keeps the process at its profile's weight. `executable` is the file to map."""

    def __init__(self, profile: Profile, log: loop.Log, executable: str = EXECUTABLE) -> None:
        self._log = log
        now = time.monotonic()
        self._policy = Footprint(profile, now)
        self._arena = Arena()
        own, mapped = own_memory()
        self._own = own
        self._own_at = now
        self._since_own = 0
        size = max(profile.executable_bytes - mapped, profile.code_bytes)
        needed = max(0, profile.code_bytes - OWN_CODE_BYTES)
        self.code = Code(executable, size, needed) if profile.code_bytes else None

    @property
    def held(self) -> int:
        """Bytes of anonymous memory that were added."""
        return self._arena.size

    def arrived(self, bodied: bool, waiting: int, now: float) -> None:
        """A request came in; `waiting` wait for a place, it included."""
        self._policy.arrived(bodied)
        self.adjust(waiting, now)

    def left(self, bodied: bool, hung_up: bool) -> None:
        """A request ended. Nothing is given back at once."""
        self._policy.left(bodied, hung_up)

    def own_fell(self, waiting: int, now: float) -> None:
        """Its own memory was given back: hold as much more."""
        self._read_own(now)
        self._hold(waiting, now)

    def settle(self, now: float) -> None:
        """Make up for what our own memory changed by since the last request came: by connections to the app that
        were made after it, or by what the interpreter gave back.
        """
        self._read_own(now)
        self._resize(self._policy.lacking(self._own))

    def adjust(self, waiting: int, now: float) -> None:
        """Hold what is to be held now, and run the code."""
        self._since_own += 1
        if now - self._own_at >= OWN_EVERY_S or self._since_own >= OWN_EVERY:
            self._read_own(now)
        self._hold(waiting, now)
        if self.code is not None and not self.code.execute(now):
            self._log.seldom("stalled", inFlight=self._policy.inside, seconds=TURN_S)

    def _read_own(self, now: float) -> None:
        self._since_own = 0
        self._own = own_memory()[0] - self._arena.size
        self._own_at = now

    def _hold(self, waiting: int, now: float) -> None:
        self._resize(self._policy.missing(waiting, self._own, now))

    def _resize(self, missing: int) -> None:
        if abs(missing - self._arena.size) >= PAGE:
            self._arena.resize(missing)
