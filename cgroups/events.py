"""Watch the kernel's events files by poll(2): memory.events, memory.events.local, memory.swap.events, cgroup.events.

The kernel wakes a poll for POLLPRI when such a file changed since it was last read through that descriptor, so a file
is kept open and read again with pread(2). Once the cgroup is removed an open file gives ENODEV: its last counts are
lost with it, and the parent's hierarchical memory.events is where they live on.
"""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from cgroups import errors, files, parse

_READ_SIZE = 1 << 16
_MAYBE_MORE = 4000
"""A file of many records comes a page at a time, cut at a record: a shorter read than this was all of it."""


class OpenFile:
    """A control file kept open, by `open` or `with`: reading it again is one pread(2), with no path to look up."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._fd: int | None = None

    def open(self) -> Self:
        """Open the file; once it is open this does nothing. Raises as `cgroups.files.read` does."""
        # Opened once: a poll wakes for changes since the last read through this very descriptor.
        if self._fd is None:
            try:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise files.explain(error, self.path, f"cannot open {self.path}") from error
        return self

    def close(self) -> None:
        """Close the file; it may be opened again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def fileno(self) -> int:
        """The descriptor: poll it for POLLPRI, then read. Raises `ValueError` while the file is not open."""
        if self._fd is None:
            raise ValueError(f"{self.path} is not open")
        return self._fd

    def read(self) -> bytes:
        """The content as it is now. Raises `CgroupGone` once the cgroup was removed."""
        try:
            content = os.pread(self.fileno(), _READ_SIZE, 0)
            last = content
            while len(last) >= _MAYBE_MORE and (last := os.pread(self.fileno(), _READ_SIZE, len(content))):
                content += last
        except OSError as error:
            raise files.explain(error, self.path, f"cannot read {self.path}") from error
        return content

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Change:
    """An events file that changed. `delta`: key → how much it rose (or fell: frozen 1 → 0 is -1), changed keys only.

    `values`: every key as it is now. `gone`: the cgroup was removed; both are empty then, and it is watched no more.
    """

    path: Path
    delta: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)
    gone: bool = False


class EventWatcher:
    """Several events files watched at once. Use it as a context manager; it closes what it opened."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._files: dict[int, OpenFile] = {}
        self._last: dict[int, dict[str, int]] = {}

    def add(self, path: Path | str) -> Mapping[str, int]:
        """Watch a flat keyed events file from now on; returns its counts now, which the first delta starts from.

        Raises `FileAbsent` where this kernel has no such file, `CgroupGone`.
        """
        file = OpenFile(path).open()
        try:
            values = parse.parse_flat(file.read())
        except BaseException:
            file.close()
            raise
        self._files[file.fileno()] = file
        self._last[file.fileno()] = values
        self._poll.register(file.fileno(), select.POLLPRI)
        return values

    def discard(self, path: Path | str) -> None:
        """Watch a path no more; one that is not watched is as good."""
        for fd in [fd for fd, file in self._files.items() if file.path == Path(path)]:
            self._drop(fd)

    def paths(self) -> list[Path]:
        """The directories that are watched now."""
        return [file.path for file in self._files.values()]

    def filenos(self) -> list[int]:
        """The descriptors, to poll for POLLPRI in a loop of one's own; call `changed` with each that is ready."""
        return list(self._files)

    def wait(self, timeout_s: float | None = None) -> list[Change]:
        """What changed, as soon as anything did; [] when nothing did within `timeout_s` (`None`: wait without end).

        Several changes of one file between two calls come as one, with their sum.
        """
        ready = self._poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)
        changes = (self.changed(fd) for fd, _ in ready)
        return [change for change in changes if change is not None]

    def changed(self, fd: int) -> Change | None:
        """Read one watched descriptor again: its change, or `None` if it says the same as before."""
        file, before = self._files[fd], self._last[fd]
        try:
            values = parse.parse_flat(file.read())
        except errors.CgroupGone:
            self._drop(fd)
            return Change(file.path, gone=True)
        delta = {key: value - before.get(key, 0) for key, value in values.items() if value != before.get(key, 0)}
        self._last[fd] = values
        return Change(file.path, delta, values) if delta else None

    def close(self) -> None:
        """Stop watching and close every file."""
        for fd in list(self._files):
            self._drop(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drop(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._files.pop(fd).close()
        del self._last[fd]
