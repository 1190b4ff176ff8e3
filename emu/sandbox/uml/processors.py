"""Which of the host's processors a guest runs on: one, and one of its own where there are enough.

User-Mode Linux runs one thing at a time, spread over a kernel process and one for each address space in the guest; at
each system call one wakes the other. On one processor that is a switch, on two a wake-up across, which costs far more
(docs/benchmarks.md). So a guest is pinned. Guests share processors out by locks, and one whose processor is kept busy
by others moves to a quieter one.

Standard library only: the keeper runs it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from emu.machine import proc
from emu.sandbox.uml.locks import locked

LOOK_S = 2.0
"""How often the keeper looks whether the guest's processor is kept busy by others."""
_FIRST_LOOK_S = 0.1
_WORTH_MOVING = 0.2
"""The share of a processor's time that a move must gain: a move costs warm caches."""
_MOST_GUESTS = 64


def quieter(mine: int, own: float, busy: Mapping[int, float]) -> int | None:
    """The processor to move to, or None to stay. `busy` is the share of its time that each worked; of `mine` the
    guest's `own` part is no reason to go. Pure.
    """
    others = busy.get(mine, 0.0) - own
    elsewhere = {number: share for number, share in busy.items() if number != mine}
    if not elsewhere:
        return None
    best = min(elsewhere, key=lambda number: (elsewhere[number], number))
    return best if others - elsewhere[best] >= _WORTH_MOVING else None


def first_choice(free: Mapping[int, int], busy: Mapping[int, float]) -> int:
    """Where a new guest goes: where the fewest guests are (`free` counts them), and of those where it is quietest."""
    return min(free, key=lambda number: (free[number], round(busy.get(number, 0.0), 1), number))


def parse_stat(text: str) -> dict[int, tuple[int, int]]:
    """Each processor's ticks from /proc/stat: (at work, all). Waiting for a disk is no work."""
    ticks = {}
    for line in text.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            numbers = [int(field) for field in fields[:8]]
            ticks[int(name.removeprefix("cpu"))] = (sum(numbers) - numbers[3] - numbers[4], sum(numbers))
    return ticks


def shares(before: Mapping[int, tuple[int, int]], after: Mapping[int, tuple[int, int]]) -> dict[int, float]:
    """The share of the time between two looks that each processor worked."""
    return {
        number: (work - before[number][0]) / (whole - before[number][1])
        for number, (work, whole) in after.items()
        if number in before and whole > before[number][1]
    }


class Seat:
    """A guest's processor: chosen, locked, and changed when others keep it busy."""

    def __init__(self, directory: Path) -> None:
        """`directory` is where the locks are. Nothing is locked or moved by the constructor."""
        self._directory = directory
        self._allowed = frozenset(os.sched_getaffinity(0))
        self._lock = -1
        self._seen: tuple[float, dict[int, tuple[int, int]], float] | None = None
        self._wanted: int | None = None
        self.processor: int | None = None
        """None: the guest runs wherever it may."""

    def take(self) -> None:
        """Choose and lock a processor, where there is a choice. A directory that cannot be written is no reason to
        have no guest: it is not pinned then.
        """
        if len(self._allowed) < 2:
            return
        before = _ticks(self._allowed)
        time.sleep(_FIRST_LOOK_S)
        busy = shares(before, _ticks(self._allowed))
        with contextlib.suppress(OSError):
            guests = {number: self._guests(number) for number in self._allowed}
            self._sit(first_choice(guests, busy))

    def pin(self, pid: int) -> None:
        """Run a process, and what it starts from now on, on this processor alone."""
        if self.processor is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(pid, {self.processor})

    def look(self, kernel: int) -> None:
        """See whether others keep the processor busy; move the guest if they did twice in a row."""
        if self.processor is None:
            return
        now, ticks, own = time.monotonic(), _ticks(self._allowed), _seconds(kernel)
        seen, self._seen = self._seen, (now, ticks, own)
        if seen is None:
            return
        target = quieter(self.processor, (own - seen[2]) / (now - seen[0]), shares(seen[1], ticks))
        if target is None or target != self._wanted:
            self._wanted = target
            return
        self._wanted = self._seen = None
        with contextlib.suppress(OSError):
            self._sit(target)
            for _ in range(2):  # what was started meanwhile is met the second time
                for pid in (kernel, *_children(kernel)):
                    self.pin(pid)

    def _sit(self, number: int) -> None:
        for level in range(_MOST_GUESTS):
            fd = locked(self._path(number, level))
            if fd is not None:
                break
        else:
            return
        if self._lock >= 0:
            os.close(self._lock)
        self._lock, self.processor = fd, number

    def _guests(self, number: int) -> int:
        """How many guests have a processor: the first lock that is free shows it."""
        for level in range(_MOST_GUESTS):
            fd = locked(self._path(number, level))
            if fd is not None:
                os.close(fd)
                return level
        return _MOST_GUESTS

    def _path(self, number: int, level: int) -> Path:
        return self._directory / f"processor-{number}.{level}.lock"


def _ticks(allowed: Collection[int]) -> dict[int, tuple[int, int]]:
    try:
        ticks = parse_stat(Path("/proc/stat").read_text())
    except OSError:
        return {}
    return {number: counts for number, counts in ticks.items() if number in allowed}


def _children(kernel: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{kernel}/task/{kernel}/children").read_text().split()]
    except OSError:
        return []


def _seconds(kernel: int) -> float:
    """The processor time of a guest: its kernel's, that of its ended children, and of those that live."""
    return (_times(kernel, 4) + sum(_times(child, 2) for child in _children(kernel))) / os.sysconf("SC_CLK_TCK")


def _times(pid: int, count: int) -> int:
    return sum(int(field) for field in (proc.fields(pid) or ())[11 : 11 + count])
