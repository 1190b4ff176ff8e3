"""Read /dev/kmsg: one record a read(2), its number in sequence, and what was lost reported as lost.

The format is the kernel's Documentation/ABI/testing/dev-kmsg. The ring buffer is overwritten while nothing reads;
the kernel then answers EPIPE once and continues with the oldest record it still has. Anyone who may write /dev/kmsg
can put lines there, with a facility that is not 0: only facility 0 is the kernel's own word.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from cgroups import errors

KERNEL_FACILITY = 0
"""The facility of records that the kernel itself wrote."""

_RECORD_SIZE = 1 << 14
"""More than the kernel's longest record (8 KiB); a buffer that is too small makes it answer EINVAL."""
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_DMESG = re.compile(r"(?:<(\d+)>)?\[ *(\d+)\.(\d{6})\] ?(?:\[ *([TC]\d+)\] )?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class KmsgRecord:
    """One record of the kernel log.

    `priority` is the level, 0 (emergency) to 7 (debug). `sequence` is `None` for a record that came from dmesg's or a
    journal's text. `timestamp_us` is the kernel's own stamp, microseconds since boot (printk's clock, near
    CLOCK_MONOTONIC, not the same). `text` is as printed: escapes undone, so it may hold newlines. `tags` are the
    KEY=value lines that follow some records. `caller` ("T1234", "C0") is there on kernels that note who printed.
    """

    priority: int
    facility: int
    sequence: int | None
    timestamp_us: int
    text: str
    tags: Mapping[str, str] = field(default_factory=dict)
    caller: str | None = None
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class KmsgGap:
    """Records that were overwritten before they were read: those after `after` and before `before`.

    `after` is `None` when nothing had been read yet, and `lost` is `None` then: the kernel does not say how many.
    """

    after: int | None
    before: int

    @property
    def lost(self) -> int | None:
        """How many records are missing."""
        return None if self.after is None else self.before - self.after - 1


def parse_record(raw: bytes) -> KmsgRecord:
    """One record as read from /dev/kmsg. Raises `BadValue` for anything else."""
    head, semicolon, rest = raw.partition(b";")
    fields = head.split(b",")
    try:
        prefix, sequence, timestamp_us = int(fields[0]), int(fields[1]), int(fields[2])
    except (IndexError, ValueError):
        semicolon = b""
    if not semicolon:
        raise errors.BadValue(
            f"cannot read the kernel log record {raw[:80]!r}",
            "it does not begin with priority, sequence number, time and flag",
            "pass one record as read from /dev/kmsg",
        )
    text, *lines = rest.removesuffix(b"\n").split(b"\n")
    pairs = (line[1:].partition(b"=") for line in lines if line.startswith(b" "))
    caller = next((extra[7:].decode() for extra in fields[3:] if extra.startswith(b"caller=")), None)
    return KmsgRecord(
        priority=prefix & 7,
        facility=prefix >> 3,
        sequence=sequence,
        timestamp_us=timestamp_us,
        text=_unescape(text),
        tags={_unescape(key): _unescape(value) for key, _, value in pairs},
        caller=caller,
        raw=raw,
    )


def parse_dmesg(text: str) -> list[KmsgRecord]:
    """The records in dmesg's text ("[    1.234567] …"). It has no level and no number: priority 6, sequence None.

    Lines without a stamp continue the record before them; ones before the first stamp are passed over.
    """
    records: list[KmsgRecord] = []
    for line in text.splitlines():
        found = _DMESG.fullmatch(line)
        if found:
            prefix = int(found[1] or 6)
            stamp = int(found[2]) * 1_000_000 + int(found[3])
            records.append(
                KmsgRecord(prefix & 7, prefix >> 3, None, stamp, found[5], caller=found[4], raw=line.encode())
            )
        elif records:
            last = records.pop()
            records.append(
                KmsgRecord(
                    last.priority,
                    last.facility,
                    None,
                    last.timestamp_us,
                    f"{last.text}\n{line}",
                    caller=last.caller,
                    raw=last.raw + b"\n" + line.encode(),
                )
            )
    return records


def only(records: Iterable[KmsgRecord | KmsgGap], facility: int = KERNEL_FACILITY) -> list[KmsgRecord | KmsgGap]:
    """The records of one facility, and every gap."""
    return [record for record in records if isinstance(record, KmsgGap) or record.facility == facility]


class KmsgReader:
    """Follows /dev/kmsg without blocking. A context manager; opening needs CAP_SYSLOG or kernel.dmesg_restrict=0.

    `from_end`: only what comes after opening; else from the oldest record that the kernel has. `facility`: give only
    its records (by default 0, the kernel's own; `None` for all); gaps are always given.
    """

    def __init__(
        self, path: Path | str = "/dev/kmsg", from_end: bool = True, facility: int | None = KERNEL_FACILITY
    ) -> None:
        self.path = Path(path)
        self.from_end = from_end
        self.facility = facility
        self._fd: int | None = None
        self._last: int | None = None
        self._overrun = False

    def open(self) -> Self:
        """Open the log. Raises `Forbidden`, or `CgroupError` where there is no such device."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _explain(error, self.path) from error
        with contextlib.suppress(OSError):  # a pipe that stands in for the device has no end to go to
            os.lseek(fd, 0, os.SEEK_END if self.from_end else os.SEEK_SET)
        self._fd = fd
        return self

    def close(self) -> None:
        """Close the log."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def fileno(self) -> int:
        """The descriptor, non-blocking: poll it for POLLIN (and POLLPRI, POLLERR after an overrun)."""
        if self._fd is None:
            raise ValueError(f"{self.path} is not open")
        return self._fd

    def read_available(self) -> list[KmsgRecord | KmsgGap]:
        """Everything that is there now, oldest first, a gap where records were lost; [] when nothing is new."""
        found: list[KmsgRecord | KmsgGap] = []
        while (raw := self._read()) is not None:
            if not raw:
                continue
            record = parse_record(raw)
            found.extend(self._gap_before(record))
            if self.facility is None or record.facility == self.facility:
                found.append(record)
        return found

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> bytes | None:
        """One raw record; b"" for an overrun, which the next record will show the size of; `None` for nothing new."""
        try:
            return os.read(self.fileno(), _RECORD_SIZE) or None
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise _explain(error, self.path) from error
            self._overrun = True
            return b""

    def _gap_before(self, record: KmsgRecord) -> list[KmsgGap]:
        assert record.sequence is not None
        last, overrun = self._last, self._overrun
        self._last, self._overrun = record.sequence, False
        lost = overrun if last is None else record.sequence != last + 1
        return [KmsgGap(last, record.sequence)] if lost else []


def _unescape(text: bytes) -> str:
    r"""The text as it was printed: the kernel writes control bytes, backslash and non-ASCII as \xNN."""
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text).decode("utf-8", "backslashreplace")


def _explain(error: OSError, path: Path) -> errors.CgroupError:
    what = f"cannot read the kernel log {path}"
    if error.errno in (errno.EPERM, errno.EACCES):
        return errors.Forbidden(
            what,
            f"user {os.geteuid()} may not ({error.strerror})",
            "run as root, add CAP_SYSLOG, or set kernel.dmesg_restrict=0",
            errno=error.errno,
        )
    return errors.CgroupError(
        what, error.strerror or str(error), "in a container pass the device on: --device /dev/kmsg", errno=error.errno
    )
