"""A cgroup that the recorder watches: its control files, kept open, and what its memory.events said last."""

from __future__ import annotations

import errno
import os
from typing import Any

from cgroups import parse
from emu.record.events import MemoryEventsRose, Owner
from emu.record.samples import SampleWriter
from emu.record.writing import NotRecordedError

FAST_FILES = (
    # Ahead of memory.stat: to read these has kernels before 6.16 add up what their CPUs counted of the cgroup. Of
    # memory.stat itself they do so only once some tens of pages of each CPU are missing.
    "io.stat",
    "cpu.stat",
    "memory.current",
    "memory.stat",
    "memory.events",
    "memory.events.local",
    "memory.swap.current",
    "memory.pressure",
)
"""Read at every tick, in this order; one that this kernel does not have is left out."""
SLOW_FILES = (
    "cgroup.procs",
    "memory.peak",
    "memory.max",
    "memory.high",
    "memory.low",
    "memory.min",
    "memory.swap.max",
    "memory.swap.high",
    "memory.swap.events",
    "io.pressure",
)
"""Read less often (pace.py), and when memory.events changes."""

NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""A file that cannot be opened for one of these is no file that this kernel does not have."""
_CALM_S = 0.1
"""How often, at most, near misses (`max`, `high`, `low`) of one cgroup get a line; kills get theirs at once."""
_AT_ONCE = ("oom", "oom_kill", "oom_group_kill")


class Watched:
    """One cgroup: its open files, and what its memory.events said last."""

    def __init__(self, path: str, owner: Owner) -> None:
        self.path = path
        self.owner = owner
        self.fast: list[tuple[int, int]] = []
        self.slow: list[tuple[int, int]] = []
        self.events: dict[int, tuple[bool, int]] = {}
        """source number → (memory.events.local?, descriptor)"""
        self.texts: dict[int, bytes] = {}
        self._reported: dict[int, dict[str, int]] = {}
        self._reported_at = 0.0

    def open(self, writer: SampleWriter) -> None:
        """Open those files that this kernel has."""
        for names, into in ((FAST_FILES, self.fast), (SLOW_FILES, self.slow)):
            for name in names:
                path = f"{self.path}/{name}"
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except OSError as error:
                    if error.errno in NO_DESCRIPTOR:
                        raise NotRecordedError(f"{path}: {error.strerror}") from error
                    continue
                source = writer.declare(self.owner, name, path)
                into.append((source, fd))
                if name in ("memory.events", "memory.events.local"):
                    self.events[source] = (name.endswith("local"), fd)

    def whose(self) -> dict[str, Any]:
        """The fields of an event that say whose it is."""
        return {"pod": self.owner.pod, "label": self.owner.label, "attempt": self.owner.attempt, "path": self.path}

    def rise(self, source: int, text: bytes, moment: float) -> MemoryEventsRose | None:
        """The event to record for a memory.events that reads like this (`moment` in seconds); None where nothing
        rose, or only what can wait.
        """
        values = parse.parse_flat(text)
        reported = self._reported.get(source, {})
        delta = {
            name: value - reported.get(name, 0) for name, value in values.items() if value != reported.get(name, 0)
        }
        urgent = any(name in delta for name in _AT_ONCE)
        if not delta or (not urgent and moment < self._reported_at + _CALM_S):
            return None
        self._reported[source] = values
        self._reported_at = moment
        return MemoryEventsRose(
            t=moment, **self.whose(), local=self.events[source][0], delta=delta, values=dict(values)
        )

    def close(self) -> None:
        """Close the control files; nothing is watched any more."""
        for _, fd in (*self.fast, *self.slow):
            os.close(fd)
        self.fast, self.slow, self.events = [], [], {}
