"""The machine's own files, which the recorder reads as often as a cgroup's slow ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from emu.record.samples import HOST, MM_STAT, SampleWriter

FILES = ("/proc/meminfo", "/proc/diskstats", "/proc/pressure/memory", "/proc/vmstat")
"""One that this kernel does not have is left out."""
_VMSTAT = "vmstat"
_VMSTAT_LINES = (b"allocstall", b"pgscan_direct ", b"pgsteal_direct ", b"pswpin ", b"pswpout ", b"oom_kill ")
"""The lines of /proc/vmstat that are kept, of some 200: what allocations had to do for want of free memory."""


class MachineFiles:
    """Kept open. No I/O in the constructor."""

    def __init__(self) -> None:
        self._open: list[tuple[int, int]] = []
        self._vmstat = -1

    def open(self, writer: SampleWriter) -> None:
        """Open those files that this kernel has."""
        named = [("memory.pressure" if "pressure" in path else path.rsplit("/", 1)[1], path) for path in FILES]
        named += [(f"{device}{MM_STAT}", f"/sys/block/{device}/mm_stat") for device in _zram_devices()]
        for name, path in named:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            source = writer.declare(HOST, name, path)
            self._open.append((source, fd))
            if name == _VMSTAT:
                self._vmstat = source

    def read(self, writer: SampleWriter) -> None:
        """Put what they say now into the sample."""
        for source, fd in self._open:
            text = os.pread(fd, 1 << 16, 0)
            writer.put(source, _kept(text) if source == self._vmstat else text)


def _kept(text: bytes) -> bytes:
    """The lines of /proc/vmstat that are recorded."""
    return b"".join(line for line in text.splitlines(keepends=True) if line.startswith(_VMSTAT_LINES))


def _zram_devices() -> Iterator[str]:
    """Those that this machine swaps to."""
    with suppress(OSError):
        for line in Path("/proc/swaps").read_text().splitlines()[1:]:
            device = line.split(maxsplit=1)[0].rpartition("/")[2]
            if device.startswith("zram"):
                yield device
