"""The kernel's log while a run is recorded: every line is kept, and every OOM kill is an event."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from cgroups.errors import CgroupError
from cgroups.kmsg import KmsgGap, KmsgReader, KmsgRecord
from cgroups.oom import OomParser
from emu.record.events import Event, KernelLogGap, Note, OomKillLogged, now
from emu.record.writing import writing


class KernelLog:
    """Follows the log from `open` on into a file. No I/O in the constructor."""

    def __init__(self, path: Path, poll: select.poll, append: Callable[[Event], None]) -> None:
        self._path = path
        self._poll = poll
        self._append = append
        self._reader: KmsgReader | None = None
        self._oom = OomParser()
        self.fileno = -1
        """Readable when there is something to read, as the poll knows; -1 where the log cannot be read."""
        self.fd = -1
        """The file that its lines go to."""

    def open(self) -> None:
        """Open the file and the log. If the log cannot be read, a note says so, and the rest is recorded."""
        self.fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._reader = KmsgReader().open()
            self.fileno = self._reader.fileno()
            self._poll.register(self.fileno, select.POLLIN | select.POLLPRI)
        except CgroupError as error:
            why = f"{error.why}; kills are known from memory.events alone"
            self._append(Note(t=now(), what=error.what, why=why, level="warning"))

    def read(self) -> None:
        """Read and keep what has been logged since."""
        if self._reader is None:
            return
        try:
            records = self._reader.read_available()
        except CgroupError as error:
            self._append(Note(t=now(), what=error.what, why=error.why, level="error"))
            self._poll.unregister(self.fileno)
            self._reader = None
            return
        moment = now()
        for record in records:
            if isinstance(record, KmsgGap):
                self._append(KernelLogGap(t=moment, lost=record.lost))
            else:
                self._keep(record, moment)

    def _keep(self, record: KmsgRecord, moment: float) -> None:
        raw = record.raw.rstrip(b"\n").replace(b"\n", b"\\n")
        # The line before the event: whoever finds the kill finds the kernel's words on it.
        with writing(self._path):
            os.write(self.fd, b"%.6f %b\n" % (moment, raw))
        kill = self._oom.feed(record)
        if kill is not None:
            self._append(OomKillLogged(t=moment, kernel_us=record.timestamp_us, log=asdict(kill)))
