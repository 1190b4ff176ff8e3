"""A cgroup that the recorder watches: its control files, kept open, and what its memory.events said last."""

from __future__ import annotations

import os

from emu.record.events import Owner
from emu.record.samples import SampleWriter

FAST_FILES = (
    "memory.current",
    "memory.stat",
    "memory.events",
    "memory.events.local",
    "memory.swap.current",
    "io.stat",
    "cpu.stat",
    "memory.pressure",
)
"""Read at every tick; one that this kernel does not have is left out."""
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
        self.reported: dict[int, dict[str, int]] = {}
        self.reported_at = 0.0

    def open(self, writer: SampleWriter) -> None:
        """Open those files that this kernel has."""
        for names, into in ((FAST_FILES, self.fast), (SLOW_FILES, self.slow)):
            for name in names:
                path = f"{self.path}/{name}"
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except OSError:
                    continue
                source = writer.declare(self.owner, name, path)
                into.append((source, fd))
                if name in ("memory.events", "memory.events.local"):
                    self.events[source] = (name.endswith("local"), fd)

    def close(self) -> None:
        """Close them."""
        for _, fd in (*self.fast, *self.slow):
            os.close(fd)
        self.fast, self.slow, self.events = [], [], {}
