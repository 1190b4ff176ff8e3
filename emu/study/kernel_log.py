"""kmsg.log → the kernel's lines on the run's clock, and the OOM kills that they report.

printk stamps its lines with a clock of its own that runs beside CLOCK_MONOTONIC with a small constant between them.
Each line was also stamped when it was read, which is never before it was written: the smallest difference seen is the
best estimate of that constant, and errs late by no more than the quickest read. A process that the kernel killed also
ends after the line that says so: where its end was seen before that line was read, the end is the better bound.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cgroups import oom_lines
from cgroups.errors import BadValue
from cgroups.kmsg import KERNEL_FACILITY, KmsgRecord, parse_record
from cgroups.oom import OomKill, scan_oom
from cgroups.parse import parse_flat
from emu.files import typed
from emu.files.regular import read_lines
from emu.record.events import LONGEST_RUN_S, OomKillLogged
from emu.study.model.machine import KernelLine

_NO_NUMBER = re.compile(rb"\d{400}")
"""The kernel prints no number of so many digits."""
_BLOCK_US = 1_000_000
"""The lines of one OOM block are closer together than this."""
_SAME_KILL_S = 1.0
"""A process that is killed has ended sooner after that than this, and no other has its pid by then."""
_INSTANT_S = 1e-6
"""The clocks' resolution: what comes first is shown first."""


@dataclass(frozen=True)
class LoggedTask:
    """A row of the kernel's table of tasks: what a process held then."""

    pid: int
    name: str
    rss_bytes: int
    other_bytes: int = 0
    """Its swap and page tables."""
    oom_score_adj: int | None = None


@dataclass(frozen=True)
class LoggedKill:
    """A kill as the kernel's log reports it; `t` is the kernel's stamp in seconds since the run began."""

    t: float
    kernel_us: int
    pid: int
    comm: str
    invoker: str | None = None
    oom_memcg: str | None = None
    task_memcg: str | None = None
    is_global: bool | None = None
    anon_rss_bytes: int | None = None
    file_rss_bytes: int | None = None
    shmem_rss_bytes: int | None = None
    limit_bytes: int | None = None
    usage_bytes: int | None = None
    memory: dict[str, int] = field(default_factory=dict)
    """memory.stat of the cgroup that ran out, as the block has it; empty where it was rate limited."""
    swap_usage_bytes: int | None = None
    swap_limit_bytes: int | None = None
    """Of the cgroup that ran out; None is no limit, or not logged."""
    tasks: tuple[LoggedTask, ...] = ()
    """Empty where the table was rate limited."""
    group: bool = False
    lines: tuple[str, ...] = ()
    """The kernel's own words: who invoked, the summary, the kill."""


@dataclass
class KernelLog:
    """All that is known of the kernel's log."""

    lines: list[KernelLine] = field(default_factory=list)
    kills: list[LoggedKill] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def read_kernel_log(
    path: Path,
    events: list[OomKillLogged],
    origin: float,
    page_bytes: int = 4096,
    ends: Collection[tuple[int, float]] = (),
) -> KernelLog:
    """The recorded lines and kills; kills that only an event reports (the log was lost) are among them. `ends`: pids,
    and when on the run's clock each was seen to have ended.
    """
    log = KernelLog()
    stamped = _stamped(path, log, origin)
    pairs = [(read_at, record.timestamp_us) for read_at, record in stamped]
    pairs += [(event.t, event.kernel_us) for event in events]
    ahead = min((read_at - stamp / 1e6 for read_at, stamp in pairs), default=0.0) - origin
    records = [record for _, record in stamped]
    ahead = min([ahead, *_bounds_of_ends(stamped, ends, ahead)])
    blocks = _in_blocks(records)
    for (read_at, record), in_block in zip(stamped, blocks, strict=True):
        us = record.timestamp_us
        when, read_s = us / 1e6 + ahead, read_at - origin
        line = KernelLine(when, us, read_s, record.priority, record.text, record.sequence, in_block)
        log.lines.append(line)
    kernel = [record for record in records if record.facility == KERNEL_FACILITY]
    logged: dict[tuple[int, int], Mapping[str, Any]] = {}
    for kill in scan_oom(kernel).kills:
        logged.setdefault((kill.timestamp_us, kill.pid), typed.fitting(OomKill, asdict(kill)))
    for event in events:
        known = typed.fitting(OomKill, event.log)
        logged.setdefault((event.kernel_us, known.get("pid", 0)), known)
    log.kills = [
        _kill(us, us / 1e6 + ahead, fields, kernel, page_bytes)
        for (us, _), fields in sorted(logged.items(), key=_stamp)
    ]
    return log


def _bounds_of_ends(
    stamped: list[tuple[float, KmsgRecord]], ends: Collection[tuple[int, float]], ahead: float
) -> Iterator[float]:
    """How far printk's clock may be ahead at most for each killed process to have ended after its kill was logged. A
    pid may be that of another process later or before: only ends of about the same time count.
    """
    for _, record in stamped:
        killed = oom_lines.killed(record.text) if record.facility == KERNEL_FACILITY else None
        if killed is not None:
            latest = record.timestamp_us / 1e6 + _INSTANT_S
            bounds = [ended_s - latest for pid, ended_s in ends if pid == killed.pid]
            yield from (bound for bound in bounds if abs(bound - ahead) < _SAME_KILL_S)


def _stamp(entry: tuple[tuple[int, int], Mapping[str, Any]]) -> int:
    return entry[0][0]


def _stamped(path: Path, log: KernelLog, origin: float) -> list[tuple[float, KmsgRecord]]:
    """Each record with the time at which it was read; torn lines are passed over and reported."""
    found: list[tuple[float, KmsgRecord]] = []
    torn = 0
    try:
        for line in read_lines(path):
            read_at, _, raw = line.rstrip(b"\n").partition(b" ")
            try:
                if _NO_NUMBER.search(raw):
                    raise ValueError(raw)
                record = parse_record(raw.replace(b"\\n", b"\n"))
                found.append((_time(read_at, record, origin), record))
            except (ValueError, BadValue):
                torn += 1
    except FileNotFoundError:
        return found
    except OSError as error:
        log.complaints.append(f"kmsg.log cannot be read ({error.strerror or error})")
    if torn:
        log.complaints.append(f"kmsg.log has {torn} unreadable {'line' if torn == 1 else 'lines'}")
    return found


def _time(read_at: bytes, record: KmsgRecord, origin: float) -> float:
    """When it was read. ValueError for a time that is none of this run's, or a stamp that no kernel gives."""
    t = float(read_at)
    if not abs(t - origin) <= LONGEST_RUN_S or not 0 <= record.timestamp_us < typed.LARGEST_INT:
        raise ValueError(read_at)
    return t


def _in_blocks(records: list[KmsgRecord]) -> list[bool]:
    """Which records are of the OOM killer: a block from who invoked it to the kill, and its single lines."""
    found: list[bool] = []
    began: int | None = None
    for record in records:
        text = record.text
        if oom_lines.invoked(text):
            began = record.timestamp_us
        late = began is not None and record.timestamp_us - began > _BLOCK_US
        began = None if late else began
        kill = oom_lines.killed(text) is not None
        single = kill or oom_lines.note(text) is not None or oom_lines.group(text) is not None
        found.append(began is not None or single or oom_lines.summary(text) is not None)
        began = None if kill else began
    return found


def _tasks(rows: object, page_bytes: int) -> tuple[LoggedTask, ...]:
    """The rows of the kernel's table, as far as they have a size."""
    known = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list | tuple) else []
    return tuple(
        LoggedTask(
            int(row["pid"]),
            str(row.get("name")),
            int(row["rss_pages"]) * page_bytes,
            _whole(row.get("swapents")) * page_bytes + _whole(row.get("pgtables_bytes")),
            adj if isinstance(adj := row.get("oom_score_adj"), int) else None,
        )
        for row in known
        if isinstance(row.get("pid"), int) and isinstance(row.get("rss_pages"), int)
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _kill(
    kernel_us: int, t: float, fields: Mapping[str, Any], records: list[KmsgRecord], page_bytes: int
) -> LoggedKill:
    limit, swap_limit = fields.get("limit_bytes"), fields.get("swap_limit_bytes")
    pid, invoker = int(fields.get("pid", 0)), fields.get("invoker")
    return LoggedKill(
        t=t,
        kernel_us=kernel_us,
        pid=pid,
        comm=str(fields.get("comm", "?")),
        invoker=invoker,
        oom_memcg=fields.get("oom_memcg"),
        task_memcg=fields.get("task_memcg"),
        is_global=fields.get("global_oom"),
        anon_rss_bytes=fields.get("anon_rss_bytes"),
        file_rss_bytes=fields.get("file_rss_bytes"),
        shmem_rss_bytes=fields.get("shmem_rss_bytes"),
        limit_bytes=limit if isinstance(limit, int) else None,
        usage_bytes=fields.get("usage_bytes"),
        memory=_memory_stat(fields.get("memory_stat")),
        swap_usage_bytes=fields.get("swap_usage_bytes"),
        swap_limit_bytes=swap_limit if isinstance(swap_limit, int) else None,
        tasks=_tasks(fields.get("tasks"), page_bytes),
        group=bool(fields.get("group")),
        lines=_own_words(kernel_us, pid, invoker, records),
    )


def _memory_stat(text: str | None) -> dict[str, int]:
    try:
        return parse_flat(text) if text else {}
    except BadValue:
        return {}


def _own_words(kernel_us: int, pid: int, invoker: str | None, records: list[KmsgRecord]) -> tuple[str, ...]:
    """The lines that a person looks for: who invoked, the summary with the victim's pid, the kill line."""
    near = [record for record in records if kernel_us - _BLOCK_US <= record.timestamp_us <= kernel_us]
    words: list[str] = []
    if invoker is not None:
        asked = [record.text for record in near if oom_lines.invoked(record.text)]
        words.extend(asked[-1:])
    for record in near:
        summary = oom_lines.summary(record.text)
        if summary is not None and summary.pid == pid:
            words.append(record.text)
    for record in near:
        line = oom_lines.killed(record.text)
        if line is not None and line.pid == pid and record.timestamp_us == kernel_us:
            words.append(record.text)
    return tuple(dict.fromkeys(words))
