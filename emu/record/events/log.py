"""Writing events.jsonl: whole lines, by several processes at once."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from pathlib import Path

from emu.record.events.base import Event, OfPod

REPLACED = "another file is in its place"
"""Why events cannot be appended to the file of that name."""


def now() -> float:
    """CLOCK_MONOTONIC in seconds: the one clock of every record."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class _File:
    """events.jsonl as one process appends to it, however many logs write there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1
        self.lost = 0
        self.failure: OSError | None = None
        self._torn = False
        self._was: tuple[int, int] | None = None
        """Which file it is: another one of its name is somebody else's."""
        self._size = 0

    def append(self, line: bytes) -> None:
        """Write a line now; if that fails, it is lost and counted."""
        try:
            if self.fd < 0:
                self._open()
            # One write(2) with O_APPEND: the lines of several processes do not mix. After a torn one, a fresh line.
            written = os.write(self.fd, b"\n" + line if self._torn else line)
            if written < len(line):
                self._torn = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.failure = error
            self.lost += 1
            return
        self._torn, self.failure = False, None

    def _open(self) -> None:
        new = 0 if self._was is not None else os.O_CREAT
        self.fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | new, 0o644)
        facts = os.fstat(self.fd)
        # A number is given away again, but a record does not get shorter.
        if self._was not in (None, (facts.st_dev, facts.st_ino)) or facts.st_size < self._size:
            self.close()
            raise OSError(errno.ESTALE, REPLACED, str(self.path))
        self._was = facts.st_dev, facts.st_ino

    def close(self) -> None:
        """Close the file; a later append opens it again."""
        if self.fd >= 0:
            self._size = max(self._size, os.fstat(self.fd).st_size)
            os.close(self.fd)
            self.fd = -1


class EventLog:
    """Appends events to events.jsonl, whole lines, straight to the kernel: a kill loses nothing written.

    An event that cannot be written is lost and counted; whoever appends has better to do than to fail for it. Who
    owns the log looks at `failure` now and then.
    """

    def __init__(self, path: Path) -> None:
        self._file = _File(path)
        self._pod = ""

    def of_pod(self, name: str) -> EventLog:
        """The same log for whoever runs one pod: it fills in the pod's name where an event has one."""
        log = EventLog(self._file.path)
        log._file, log._pod = self._file, name
        return log

    @property
    def fd(self) -> int:
        """The open file's descriptor; -1 before the first append."""
        return self._file.fd

    @property
    def lost(self) -> int:
        """Events that could not be written."""
        return self._file.lost

    @property
    def failure(self) -> OSError | None:
        """Why not, the last time; None once one could be written again."""
        return self._file.failure

    def append(self, event: Event) -> None:
        """Write one event now."""
        if self._pod and isinstance(event, OfPod) and not event.pod:
            event = replace(event, pod=self._pod)
        self._file.append(event.to_line().encode())

    def close(self) -> None:
        """Close the file; a later append opens it again."""
        self._file.close()
