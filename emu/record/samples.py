r"""samples.raw.zst: control files as the kernel gave them, written first, interpreted later.

The format is text framing around raw bytes, so that a person can read it with `less` and a torn end costs only
the last sample:

    D <source> <owner> <attempt|-> <file name> <path>\n    declares a source once, before its first use; the owner is
                                                          `<pod>/<container>`, `<pod>/` for a whole pod, `node` for
                                                          the cgroup that all pods are in, or `host`
    S <t in ns, CLOCK_MONOTONIC> <why>\n                 begins a sample: at a `tick`, at an `event`, or between two
                                                          phases of the load (`phase`)
    F <source> <length>\n<length raw bytes>\n              one file's text; a file that has not changed since
                                                          the source's last F line is left out
    G <source>\n                                            the file could no longer be read (its cgroup is gone)
    E <ns>\n                                               ends the sample, each file of which had been read so long
                                                          after it began; one without this was torn by a kill

It is packed into zstd frames as it is written (frames.py), each sample a flushed block. Every frame begins with
all declarations and leaves no file out at first, so that it can be read without those before it. Older runs have the
text unpacked, in samples.raw, or owners without a pod: `app`, and `pod` for the whole, or an E without a time.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from emu.files.regular import bounded_lines, open_regular
from emu.record.events import LONGEST_RUN_S, POD_LABEL, Damage, Owner
from emu.record.frames import FrameWriter, is_packed, read_frames

HOST = Owner("", "host", None)
"""The whole machine, or the sandbox's kernel."""
NODE = Owner("", "node", None)
"""The cgroup that all pods of a run are in, the node's `kubepods`."""
MM_STAT = ".mm_stat"
"""How the name of a zram device's file ends: `zram0.mm_stat`, of /sys/block/zram0."""
_FLUSH_NS = 100_000_000
"""Samples of so long are packed and written together: that costs less CPU than each by itself."""
_LONGEST_TEXT = 2**22
"""More than any control file has."""


@dataclass(frozen=True)
class Source:
    """One control file that is read again and again."""

    number: int
    owner: Owner
    file: str
    """`memory.stat`, `io.stat`, `meminfo` …"""
    path: str


@dataclass
class Sample:
    """The state at one moment. `files` holds, by owner, the last text of each file: only cgroups that were still
    there. `read` names those that were read in this sample. Both are the reader's own and change
    as it reads on; take what you need before the next sample.
    """

    t: float
    why: str
    files: dict[Owner, dict[str, bytes]] = field(default_factory=dict)
    read: set[Owner] = field(default_factory=set)
    until: float | None = None
    """When all of it had been read; None where that was not recorded."""


class SampleWriter:
    """Appends samples, those of a tenth of a second in one write, and all at hand with one for an event: so much
    a kill can cost. Of a file that could not be written once, no more can be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._parts: list[bytes] = []
        self._declared: list[bytes] = []
        self._last: dict[int, bytes] = {}
        self._next = 0
        self._known: dict[int, bytes] = {}
        """The declarations of files that are still there."""
        self._frames = FrameWriter()
        self._unwritten: list[bytes] = []
        self._flushed_ns = -_FLUSH_NS

    @property
    def fd(self) -> int:
        """The open file's descriptor; -1 while it is closed."""
        return self._fd

    def open(self) -> None:
        """Open the file for appending."""
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def declare(self, owner: Owner, file: str, path: str) -> int:
        """Give a file its number."""
        number = self._next
        self._next += 1
        attempt = "-" if owner.attempt is None else str(owner.attempt)
        self._known[number] = f"D {number} {_written(owner)} {attempt} {file} {path}\n".encode()
        self._declared.append(self._known[number])
        return number

    def put(self, source: int, text: bytes) -> bool:
        """Add a file's text to the sample under way, if it changed; whether it did."""
        if self._last.get(source) == text:
            return False
        self._last[source] = text
        self._parts.append(b"F %d %d\n%b\n" % (source, len(text), text))
        return True

    def gone(self, source: int) -> None:
        """Say that a file can no longer be read."""
        self._parts.append(b"G %d\n" % source)
        self._last.pop(source, None)
        self.forget(source)

    def forget(self, source: int) -> None:
        """Declare a file no more: it will not be put again. Nothing is said of it."""
        self._known.pop(source, None)

    def end(self, t_ns: int, why: str, took_ns: int | None = None) -> None:
        """End the sample begun at `t_ns`, each file of which had been read `took_ns` later (None: that is not known),
        and write out what is due. OSError where there is no room for all of it: then none of it is written.
        """
        head = b"S %d %b\n" % (t_ns, why.encode())
        end = b"E\n" if took_ns is None else b"E %d\n" % took_ns
        self._unwritten += (*self._declared, head, *self._parts, end)
        self._parts.clear()
        self._declared.clear()
        if why != "tick" or t_ns >= self._flushed_ns + _FLUSH_NS:
            self._flushed_ns = t_ns
            self._flush()

    def _flush(self) -> None:
        packed, ended = self._frames.block(b"".join(self._unwritten))
        self._unwritten.clear()
        self._write(packed)
        if ended:  # the next frame is readable without this one: it declares and has every file again
            self._declared.extend(self._known.values())
            self._last.clear()

    def close(self) -> None:
        """End the last frame and close the file. OSError where there is no room for its end: what is there is read
        without.
        """
        if self._fd < 0:
            return
        try:
            if self._unwritten:
                self._flush()
            if end := self._frames.end():
                self._write(end)
        finally:
            os.close(self._fd)
            self._fd = -1

    def _write(self, packed: bytes) -> None:
        written = os.write(self._fd, packed)
        if written < len(packed):
            # What was written of it is taken back, so that the file ends with a whole sample.
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_samples(path: Path, damage: Damage | None = None) -> Iterator[Sample]:
    """Every sample of a run in order of time, each with the whole state at that moment; see `Sample` for what
    may be kept. A sample that a damaged file has only a part of is passed over and counted in `damage`, and so is one
    that is not after the one before. A torn end is passed over.
    """
    damage = Damage() if damage is None else damage
    reader = _Reader(damage)
    with open_regular(path) as file:
        if not is_packed(file):
            yield from reader.samples(file)
            return
        for frame in read_frames(file, damage):
            if frame.lost:
                reader.forget()
            yield from reader.samples(io.BytesIO(frame.text))


class _Reader:
    """The state of reading, line by line."""

    def __init__(self, damage: Damage) -> None:
        self._damage = damage
        self._last = 0.0
        self.state = Sample(0.0, "")
        self.whole = False
        """Each line of the sample under way made sense."""
        self.broken = False
        """Something since the last whole sample made none."""
        self._sources: dict[int, Source] = {}

    def forget(self) -> None:
        """Forget all values: after a gap, one that is not repeated may have changed."""
        self.state.files.clear()
        self._sources.clear()

    def samples(self, stream: BinaryIO) -> Iterator[Sample]:
        """The samples of a file, damaged lines passed over and counted."""
        self.whole = False
        for head in bounded_lines(stream):
            if head.startswith(b"S ") and self.broken:
                self._damage.lines += 1
                self.broken = False
            try:
                if not self.take(head, stream):
                    continue
            except (ValueError, LookupError):
                self.whole, self.broken = False, True
                continue
            if not self._last <= self.state.t <= (self._last or self.state.t) + LONGEST_RUN_S:
                self._damage.lines += 1
                continue
            self._last = self.state.t
            yield self.state
            self.state.read = set()

    def take(self, head: bytes, stream: BinaryIO) -> bool:
        """Take in a line, and the text that follows it; True if it ends a sample. ValueError or LookupError where it
        makes no sense.
        """
        kind = head[:2]
        if kind == b"F ":
            _, number, size = head.split()
            self._file(int(number), int(size), stream)
        elif kind == b"S ":
            _, t_ns, why = head.split()
            self.state.t, self.state.why, self.whole = int(t_ns) / 1e9, why.decode(), True
            self.state.until = None
        elif kind == b"G ":
            source = self._sources[int(head.split()[1])]
            self.state.files.pop(source.owner, None)
        elif kind == b"D ":
            source = _declared(head)
            self._sources[source.number] = source
        elif kind == b"E\n":
            return self.whole
        elif kind == b"E ":
            self.state.until = self.state.t + _took_s(head)
            return self.whole
        else:
            raise ValueError(head)
        return False

    def _file(self, number: int, length: int, stream: BinaryIO) -> None:
        source = self._sources[number]
        if not 0 <= length <= _LONGEST_TEXT:
            raise ValueError(length)
        text = stream.read(length + 1)
        if len(text) != length + 1 or text[-1:] != b"\n":
            stream.seek(-len(text), os.SEEK_CUR)  # the length was wrong: what follows may be whole
            raise ValueError(number)
        self.state.files.setdefault(source.owner, {})[source.file] = text[:-1]
        self.state.read.add(source.owner)


def _took_s(head: bytes) -> float:
    """Of the line that ends a sample: a torn one says too little."""
    took_ns = int(head[2:])
    if not head.endswith(b"\n") or not 0 <= took_ns <= LONGEST_RUN_S * 1e9:
        raise ValueError(head)
    return took_ns / 1e9


def _declared(head: bytes) -> Source:
    _, number, owner, attempt, file, path = head.decode(errors="replace").rstrip("\n").split(" ", 5)
    return Source(int(number), _read_owner(owner, None if attempt == "-" else int(attempt)), file, path)


def _written(owner: Owner) -> str:
    return f"{owner.pod}/{owner.container}" if owner.pod else owner.label


def _read_owner(text: str, attempt: int | None) -> Owner:
    pod, named, container = text.rpartition("/")
    return Owner(pod, "" if container == POD_LABEL and not named else container, attempt)
