"""samples.raw.zst → a timeline for each cgroup, one for the host, and which process was ever where.

A 30 s run holds thousands of samples of a dozen files each, most of them unchanged: a text is parsed once, when it
differs from the one before, and only for the keys that are drawn or counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat
from math import inf
from pathlib import Path

from cgroups.errors import BadValue
from cgroups.parse import parse_flat, parse_int, parse_io_stat, parse_limit, parse_pids, parse_pressure, pick
from cgroups.values import NO_LIMIT
from emu.files.typed import LARGEST_INT
from emu.messages import QUEUE_PORT
from emu.record.events import LONGEST_RUN_S, Damage, Owner
from emu.record.samples import HOST, MM_STAT, NODE, Sample, read_samples
from emu.study.kernel_parts import KERNEL_PARTS, ZSWAP, dirty, other_kernel
from emu.study.model.freezes import Freeze, frozen_span
from emu.study.model.machine import HostTimeline
from emu.study.model.timeline import Column, IoColumns, Timeline

Row = dict[str, int | None]
_STAT = {
    "anon": "anon",
    "kernel": "kernel",
    "sock": "sock",
    "shmem": "shmem",
    "refaults": "workingset_refault_file",
    "refaults_anon": "workingset_refault_anon",
    "pgfault": "pgfault",
    "pgmajfault": "pgmajfault",
    "scanned": "pgscan",
    "reclaimed": "pgsteal",
    "zswap": "zswap",
    "zswapped": "zswapped",
    "swapped_in": "pswpin",
    "swapped_out": "pswpout",
    "zswap_in": "zswpin",
    "zswap_out": "zswpout",
    "zswap_written": "zswpwb",
    "inactive_file": "inactive_file",
    "active_file": "active_file",
    **{name: name for name in KERNEL_PARTS},
}
_MEMINFO = {
    "total": "MemTotal",
    "swap_total": "SwapTotal",
    "available": "MemAvailable",
    "free": "MemFree",
    "page_cache": "Cached",
    "anon": "AnonPages",
}


_COUNTERS = frozenset(
    (
        "refaults",
        "refaults_anon",
        "pgfault",
        "pgmajfault",
        "scanned",
        "reclaimed",
        "swapped_in",
        "swapped_out",
        "zswap_in",
        "zswap_out",
        "zswap_written",
        "cpu_usec",
        "cpu_system_usec",
        "throttled_usec",
        "psi_some_usec",
        "psi_full_usec",
        "io_some_usec",
        "io_full_usec",
    )
)
_COUNTER_PARTS = ("all.", "local.", "swap.", "io.")
_LIMITS = frozenset(("memory_max", "memory_high", "memory_low", "memory_min", "swap_max", "swap_high"))
"""Of the newest cgroup: none where it has no limit, as in one that is gone."""
_STAYS = frozenset(("io",))
"""No figure: io.stat could be read."""


@dataclass
class Sampled:
    """What the samples held. `complaints` has a line for each thing that could not be read."""

    timelines: dict[Owner, Timeline] = field(default_factory=dict)
    host: HostTimeline = field(default_factory=HostTimeline)
    node: Timeline | None = None
    """Of the cgroup that all pods are in; None where it was not watched."""
    pids: dict[int, Owner] = field(default_factory=dict)
    freezes: list[Freeze] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    end: float | None = None
    """CLOCK_MONOTONIC of the last sample's end, or of its begin where no more is known."""


class _Table:
    """Rows of named values, as columns that all have the length of `t`."""

    def __init__(self) -> None:
        self.t: list[float] = []
        self.columns: dict[str, Column] = {}
        self.row: Row = {}
        self.texts: dict[str, bytes] = {}
        self.gone = False
        """Its cgroup was removed; another one of this name has a table of its own."""

    def add(self, t: float) -> None:
        """Append the row as it is now."""
        for name in self.row.keys() - self.columns.keys():
            self.columns[name] = [None] * len(self.t)
        self.t.append(t)
        row = self.row
        for name, column in self.columns.items():
            column.append(row.get(name))

    def column(self, name: str) -> Column:
        """A column by name; all None where it was never measured."""
        return self.columns.get(name) or [None] * len(self.t)


def _together(tables: list[_Table], times: list[float]) -> _Table:
    """What several cgroups came to together, from the first sample of one to the last of `times`. One that is gone
    holds nothing, and what it counted stays counted; of limits the newest cgroup's count.
    """
    whole = _Table()
    whole.t = times[bisect_left(times, min(table.t[0] for table in tables)) :]
    for name in dict.fromkeys(name for table in tables for name in table.columns):
        column: Column = [None] * len(whole.t)
        whole.columns[name] = column
        for table in tables:
            _add(column, name, table.column(name), bisect_left(whole.t, table.t[0]))
    return whole


def _add(column: Column, name: str, more: Column, at: int) -> None:
    """Add a cgroup's column to that of all, from its first sample on."""
    known = [value for value in more if value is not None]
    end = at + len(more)
    if name in _LIMITS:
        column[at:] = [*more, *([None] * (len(column) - end))]
        return
    is_counter = name in _COUNTERS or name in _STAYS or name.startswith(_COUNTER_PARTS)
    after = None if not known or more[-1] is None else more[-1] if is_counter else 0
    for row, value in enumerate(chain(more, repeat(after, len(column) - end)), at):
        if value is not None:
            before = column[row] or 0
            column[row] = max(before, value) if name in _STAYS or name == "memory_peak" else before + value


def read_timelines(path: Path, origin: float) -> Sampled:
    """Everything that the samples hold. What is damaged is left out, and listed in `complaints`."""
    sampled = Sampled()
    tables: dict[Owner, _Table] = {}
    older: list[tuple[Owner, _Table]] = []
    times: list[float] = []
    until: dict[float, float] = {}
    complaints: dict[str, str] = {}
    damage = Damage()
    try:
        for sample in read_samples(path, damage):
            if abs(sample.t - origin) <= LONGEST_RUN_S:
                older += _take(sample, tables, sampled, complaints, origin)
                times.append(sample.t - origin)
                if sample.until is not None:
                    until[times[-1]] = sample.until - origin
            else:
                damage.lines += 1
    except FileNotFoundError:
        sampled.complaints.append(f"there are no samples: {path.name} is missing")
    except OSError as error:
        after = "" if sampled.end is None else f" after {sampled.end - origin:.2f} s"
        sampled.complaints.append(f"{path.name} cannot be read{after} ({error.strerror or error})")
    if damage.frames:
        what = "1 damaged frame, which was" if damage.frames == 1 else f"{damage.frames} damaged frames, which were"
        sampled.complaints.append(f"{path.name} has {what} left out: a frame holds some seconds")
    if damage.lines:
        what = "1 damaged sample, which was" if damage.lines == 1 else f"{damage.lines} damaged samples, which were"
        sampled.complaints.append(f"{path.name} has {what} left out")
    sampled.complaints.extend(complaints.values())
    for owner, table in tables.items():
        if owner == HOST:
            sampled.host = _host(table)
        elif owner == NODE:
            sampled.node = _timeline(NODE, table, until)
        else:
            before = [one for whose, one in older if whose == owner]
            known = _together([*before, table], times) if table.gone or before else table
            sampled.timelines[owner] = _timeline(owner, known, until)
    sampled.freezes = [freeze for line in sampled.timelines.values() for freeze in _freezes(line)]
    return sampled


def _take(
    sample: Sample, tables: dict[Owner, _Table], into: Sampled, complaints: dict[str, str], origin: float
) -> Iterator[tuple[Owner, _Table]]:
    """A sample's rows. Yields tables that others take the place of."""
    for owner, files in sample.files.items():
        table = tables.get(owner)
        if table is None or table.gone:
            if table is not None:
                yield owner, table
            table = tables[owner] = _Table()
        if owner in sample.read:
            for file, text in files.items():
                if table.texts.get(file) is text:
                    continue
                table.texts[file] = text
                try:
                    table.row.update(_read(owner, file, text, into))
                except (BadValue, ValueError, LookupError) as error:
                    why = error.why if isinstance(error, BadValue) else "it has another form"
                    complaints.setdefault(file, f"{owner.label}: {file} has an unreadable text ({why})")
        table.add(sample.t - origin)
    for owner, table in tables.items():
        if not owner.container and owner not in sample.files:
            table.gone = True
    into.end = sample.t if sample.until is None else sample.until


def _read(owner: Owner, file: str, text: bytes, into: Sampled) -> Row:
    """What a control file says. BadValue or ValueError where it says nothing that a kernel would."""
    row: Row = {}
    if file == "cgroup.procs":
        pids = parse_pids(text)
        row["processes"] = len(pids)
        into.pids.update(dict.fromkeys(pids, owner))
    elif reader := _zram(file) if file.endswith(MM_STAT) else _READERS.get(file):
        reader(text, row)
        if any(value is not None and abs(value) >= LARGEST_INT for value in row.values()):
            raise ValueError("no kernel counts so far")
    return row


def _memory_stat(text: bytes, row: Row) -> None:
    found = pick(text, (*_STAT.values(), "file", "file_dirty", "file_writeback", "swapcached"))
    for name, key in _STAT.items():
        row[name] = found[key]
    file, shmem = found["file"], found["shmem"]
    row["page_cache"] = None if file is None or shmem is None else file - shmem
    row["dirty"], writeback = dirty(found), found["file_writeback"]
    row["swap_writeback"] = None if writeback is None else min(writeback, found["swapcached"] or 0)
    row["kernel_other"] = other_kernel(found)
    kernel, reclaimable = found["kernel"], found["slab_reclaimable"]
    less = None if reclaimable is None else reclaimable + (found[ZSWAP] or 0)
    row["kernel_unreclaimable"] = None if kernel is None or less is None else max(0, kernel - less)


def _number(name: str) -> Callable[[bytes, Row], None]:
    def read(text: bytes, row: Row) -> None:
        row[name] = parse_int(text)

    return read


def _limit(name: str) -> Callable[[bytes, Row], None]:
    def read(text: bytes, row: Row) -> None:
        limit = parse_limit(text)
        row[name] = None if limit is NO_LIMIT else limit

    return read


def _events(prefix: str) -> Callable[[bytes, Row], None]:
    def read(text: bytes, row: Row) -> None:
        row.update({f"{prefix}{name}": value for name, value in parse_flat(text).items()})

    return read


def _io(text: bytes, row: Row) -> None:
    row["io"] = 1
    for device, stat in parse_io_stat(text).items():
        row[f"io.read {device}"] = stat.rbytes
        row[f"io.write {device}"] = stat.wbytes


def _cpu(text: bytes, row: Row) -> None:
    found = pick(text, ("usage_usec", "system_usec", "throttled_usec"))
    row["cpu_usec"], row["cpu_system_usec"] = found["usage_usec"], found["system_usec"]
    row["throttled_usec"] = found["throttled_usec"]


def _pressure(name: str) -> Callable[[bytes, Row], None]:
    def read(text: bytes, row: Row) -> None:
        pressure = parse_pressure(text)
        row[f"{name}_some_usec"] = pressure.some.total_usec if pressure.some else None
        row[f"{name}_full_usec"] = pressure.full.total_usec if pressure.full else None

    return read


def _cgroup_events(text: bytes, row: Row) -> None:
    row["frozen"] = pick(text, ("frozen",))["frozen"]


def _meminfo(text: bytes, row: Row) -> None:
    pairs = (line.split() for line in text.decode(errors="replace").splitlines())
    fields = {words[0].rstrip(":"): int(words[1]) * 1024 for words in pairs if len(words) > 1 and words[1].isdigit()}
    row.update({name: fields.get(key) for name, key in _MEMINFO.items()})
    if "SwapTotal" in fields and "SwapFree" in fields:
        row["swap_used"] = fields["SwapTotal"] - fields["SwapFree"]


def _vmstat(text: bytes, row: Row) -> None:
    """How often an allocation found no free memory and had to reclaim, in all zones together."""
    counts = parse_flat(text)
    row["reclaim_stalls"] = sum(value for name, value in counts.items() if name.startswith("allocstall"))


def _zram(file: str) -> Callable[[bytes, Row], None]:
    """Of a zram device: the size of the pages on it, and what they take in memory (zram.rst, mm_stat)."""
    device = file.removesuffix(MM_STAT)

    def read(text: bytes, row: Row) -> None:
        stored, _, used = text.split()[:3]
        row[f"zram.stored {device}"], row[f"zram.used {device}"] = int(stored), int(used)

    return read


def _listeners(text: bytes, row: Row) -> None:
    """Of the pod: who waits at queue-proxy's port, in both families together."""
    lines = (line.split() for line in text.splitlines())
    row["backlog"] = sum(int(waiting) for port, waiting, _ in lines if int(port) == QUEUE_PORT)


_READERS: dict[str, Callable[[bytes, Row], None]] = {
    "memory.current": _number("memory_current"),
    "memory.peak": _number("memory_peak"),
    "memory.max": _limit("memory_max"),
    "memory.high": _limit("memory_high"),
    "memory.low": _limit("memory_low"),
    "memory.min": _limit("memory_min"),
    "memory.swap.max": _limit("swap_max"),
    "memory.swap.high": _limit("swap_high"),
    "memory.swap.events": _events("swap."),
    "memory.swap.current": _number("swap"),
    "memory.stat": _memory_stat,
    "memory.events": _events("all."),
    "memory.events.local": _events("local."),
    "io.stat": _io,
    "cpu.stat": _cpu,
    "memory.pressure": _pressure("psi"),
    "io.pressure": _pressure("io"),
    "cgroup.events": _cgroup_events,
    "listeners": _listeners,
    "meminfo": _meminfo,
    "vmstat": _vmstat,
}


def _timeline(owner: Owner, table: _Table, until: Mapping[float, float]) -> Timeline:
    line = Timeline(owner, t=table.t, until=_until(table.t, until) if until else [])
    for name in line.plain_columns():
        if name != "working_set":
            setattr(line, name, table.column(name))
    pairs = zip(line.memory_current, table.column("inactive_file"), strict=True)
    line.working_set = [None if now is None or cold is None else max(0, now - cold) for now, cold in pairs]
    line.events = _part(table, "local.")
    line.events_all = _part(table, "all.")
    line.swap_events = _part(table, "swap.")
    has_io = table.column("io")
    line.has_io = any(value is not None for value in has_io)
    reads, writes = _part(table, "io.read "), _part(table, "io.write ")
    for device in dict.fromkeys((*reads, *writes)):
        line.io[device] = IoColumns(_from_zero(reads[device], has_io), _from_zero(writes[device], has_io))
    seen = [value for value in (*table.column("memory_peak"), *line.memory_current) if value is not None]
    line.memory_peak = max(seen, default=None)
    return line


def _until(t: list[float], until: Mapping[float, float]) -> list[float]:
    """When each sample had been read: before the next one was begun, whatever a damaged file says."""
    pairs = zip(t, [*t[1:], inf], strict=True)
    return [min(until.get(begun, begun if after == inf else after), after) for begun, after in pairs]


def _part(table: _Table, prefix: str) -> dict[str, Column]:
    return {name[len(prefix) :]: column for name, column in table.columns.items() if name.startswith(prefix)}


def _from_zero(column: Column, measured: Column) -> Column:
    """io.stat names a device from its first byte on; before that it was read and listed nothing: 0."""
    return [
        0 if value is None and reading is not None else value for value, reading in zip(column, measured, strict=True)
    ]


def _host(table: _Table) -> HostTimeline:
    names = (*_MEMINFO, "swap_used", "reclaim_stalls")
    line = HostTimeline(table.t, **{name: table.column(name) for name in names})
    line.zram_stored = _sum(table, "zram.stored ")
    line.zram = _sum(table, "zram.used ")
    return line


def _sum(table: _Table, prefix: str) -> Column:
    """Of all columns whose names begin so; None where none has a value."""
    columns = _part(table, prefix).values()
    rows = [[value for value in row if value is not None] for row in zip(*columns, strict=True)]
    return [sum(row) if row else None for row in rows] if rows else [None] * len(table.t)


def _freezes(line: Timeline) -> list[Freeze]:
    freezes: list[Freeze] = []
    began: float | None = None
    for t, frozen in zip(line.t, line.frozen, strict=True):
        if frozen and began is None:
            began = t
        elif frozen == 0 and began is not None:
            freezes.append(frozen_span(line.owner, began, t))
            began = None
    if began is not None:
        freezes.append(frozen_span(line.owner, began))
    return freezes
