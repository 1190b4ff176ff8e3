"""The lines of an OOM report in the kernel log, one recogniser each: text → what it says, or `None`. Pure.

Formats of mm/oom_kill.c and mm/memcontrol.c, kernels 4.19 to 6.18. A task's name (comm) is up to 15 bytes of its own
choice, with commas, spaces and parentheses if it likes, so what surrounds it is what is matched: a name that imitates
the rest of a line does not change what the numbers say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cgroups.values import NO_LIMIT, Limit

_NO_LIMIT_KB = (1 << 63) // 1024 - 4
"""What the kernel prints for "no limit": PAGE_COUNTER_MAX pages, as kB."""

_INVOKED = re.compile(
    r"(?P<comm>.*) invoked oom-killer: gfp_mask=(?P<gfp>0x[0-9a-f]+(?:\([^)]*\))?),"
    r"(?: nodemask=.*?,)? order=(?P<order>-?\d+), oom_score_adj=(?P<adj>-?\d+)",
    re.DOTALL,
)
_CPU = re.compile(
    r"CPU: \d+ (?:UID: \d+ )?PID: (?P<pid>\d+) Comm: .* (?:Not tainted|Tainted:)", re.DOTALL
)  # UID since 6.12
_LEVEL = r"usage (?P<usage>\d+)kB, limit (?P<limit>\d+)kB, failcnt \d+"
_USAGE = re.compile(rf"(?P<what>memory|swap|memory\+swap|kmem): {_LEVEL}")
_STATS = re.compile(r"Memory cgroup stats for (?P<path>.*?):(?P<old> cache:\d+KB .*)?", re.DOTALL)
_STAT_LINE = re.compile(r"[a-z]\w* \d+")
_HEADER = re.compile(r"\[ *pid *\] +(?P<columns>.*name)")
_ROW = re.compile(r"\[ *(?P<pid>\d+)\] +(?P<rest>.*)", re.DOTALL)
_CPUSET = r"(?:cpuset=.*?,mems_allowed=[\d,-]*,)?"  # kernels without CONFIG_CPUSETS print neither
_SUMMARY = re.compile(
    rf"oom-kill:constraint=(?P<constraint>CONSTRAINT_\w+),nodemask=.*?,{_CPUSET}"
    r"(?:global_oom|oom_memcg=(?P<oom_memcg>.*?)),task_memcg=(?P<task_memcg>.*?),"
    r"task=(?P<comm>.*),pid=(?P<pid>\d+),uid=(?P<uid>\d+)",
    re.DOTALL,
)
_V1_LIMIT = re.compile(r"Task in (?P<task_memcg>.*) killed as a result of limit of (?P<oom_memcg>.*)")
_CHOSEN = re.compile(
    r"(?P<where>Memory cgroup out|Out) of memory(?: \([^)]*\))?: "
    r"Kill process (?P<pid>\d+) \(.*\) score \d+ or sacrifice child",
    re.DOTALL,
)
_RSS = r"anon-rss:(?P<anon>\d+)kB, file-rss:(?P<file>\d+)kB(?:, shmem-rss:(?P<shmem>\d+)kB)?"
_KILLED = re.compile(
    r"(?:(?P<where>Memory cgroup out|Out) of memory(?: \([^)]*\))?: )?"
    rf"Killed process (?P<pid>\d+) \((?P<comm>.*)\)(?:, UID (?P<uid_early>\d+),)?"
    rf" total-vm:(?P<total_vm>\d+)kB, {_RSS}"
    r"(?:, UID:(?P<uid>\d+))?(?:,? pgtables:(?P<pgtables>\d+)kB)?(?:,? oom_score_adj:(?P<adj>-?\d+))?",
    re.DOTALL,
)
_GROUP = re.compile(r"Tasks in (?P<path>.*) are going to be killed due to memory\.oom\.group set")
_SUPPRESSED = re.compile(r"(?:oom_kill_process|dump_header): (?P<count>\d+) callbacks suppressed")
_NOTES = (
    ("no_victim", re.compile(r"Out of memory and no killable processes\.\.\.")),
    (
        "already_exiting",
        re.compile(r".*: OOM victim \d+ \(.*\) is already exiting\. Skip killing the task", re.DOTALL),
    ),
    ("reaped", re.compile(r"oom_reaper: reaped process \d+ \(.*\), now anon-rss:.*", re.DOTALL)),
    ("not_reaped", re.compile(r"oom_reaper: unable to reap pid:\d+ \(.*\).*", re.DOTALL)),
)


@dataclass(frozen=True, slots=True)
class Invoked:
    """The first line of a report: the task whose allocation failed, which may be in another container."""

    comm: str
    gfp_mask: str
    order: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The "oom-kill:" line (since 5.0). `oom_memcg` is `None` for a global OOM."""

    constraint: str | None
    oom_memcg: str | None
    task_memcg: str
    comm: str | None
    pid: int | None
    uid: int | None


@dataclass(frozen=True, slots=True)
class OomTask:
    """A row of the "Tasks state" table. Pages are those of the kernel that logged it; `None`: no such column."""

    pid: int
    name: str
    uid: int | None = None
    tgid: int | None = None
    total_vm_pages: int | None = None
    rss_pages: int | None = None
    rss_anon_pages: int | None = None
    rss_file_pages: int | None = None
    rss_shmem_pages: int | None = None
    pgtables_bytes: int | None = None
    swapents: int | None = None
    oom_score_adj: int | None = None


@dataclass(frozen=True, slots=True)
class Killed:
    """The kill line. `global_oom` is `None` where an old kernel's line does not say which kind it was."""

    pid: int
    comm: str
    uid: int | None
    global_oom: bool | None
    total_vm_bytes: int
    anon_rss_bytes: int
    file_rss_bytes: int
    shmem_rss_bytes: int | None
    pgtables_bytes: int | None
    oom_score_adj: int | None


_COLUMNS = {
    "uid": "uid",
    "tgid": "tgid",
    "total_vm": "total_vm_pages",
    "rss": "rss_pages",
    "rss_anon": "rss_anon_pages",
    "rss_file": "rss_file_pages",
    "rss_shmem": "rss_shmem_pages",
    "pgtables_bytes": "pgtables_bytes",
    "swapents": "swapents",
    "oom_score_adj": "oom_score_adj",
}


def invoked(text: str) -> Invoked | None:
    """`COMM invoked oom-killer: …`."""
    found = _INVOKED.match(text)
    return Invoked(found["comm"], found["gfp"], int(found["order"])) if found else None


def invoker_pid(text: str) -> int | None:
    """`CPU: … PID: … Comm: …` of the stack dump."""
    found = _CPU.match(text)
    return int(found["pid"]) if found else None


def usage(text: str) -> tuple[str, int, Limit] | None:
    """`memory: usage …kB, limit …kB, failcnt …`: which counter, bytes used, its limit in bytes."""
    found = _USAGE.match(text)
    if not found:
        return None
    limit_kb = int(found["limit"])
    limit = NO_LIMIT if limit_kb >= _NO_LIMIT_KB else limit_kb * 1024
    return found["what"], int(found["usage"]) * 1024, limit


def stats_header(text: str) -> str | None:
    """`Memory cgroup stats for PATH:`; "" for the form that continues in later lines, else (4.19) the statistics."""
    found = _STATS.fullmatch(text)
    return (found["old"] or "").strip() if found else None


def stat_lines(text: str) -> list[str]:
    """The `key number` lines in a text of nothing else, else []."""
    lines = text.split("\n")
    return lines if all(map(_STAT_LINE.fullmatch, lines)) else []


def table_header(text: str) -> list[str] | None:
    """The columns after `[ pid ]`: kernels since 6.8 have three more."""
    found = _HEADER.fullmatch(text)
    return found["columns"].split() if found else None


def table_row(text: str, columns: list[str]) -> OomTask | None:
    """One task of the table with these columns; the last is the name, which may hold spaces."""
    found = _ROW.fullmatch(text)
    values = found["rest"].split(None, len(columns) - 1) if found else []
    if not found or len(values) not in (len(columns), len(columns) - 1):
        return None
    name = values[-1] if len(values) == len(columns) else ""
    try:
        numbers = {_COLUMNS[key]: int(v) for key, v in zip(columns[:-1], values, strict=False) if key in _COLUMNS}
    except ValueError:
        return None
    return OomTask(int(found["pid"]), name, **numbers)


def summary(text: str) -> Summary | None:
    """`oom-kill:constraint=…`; on 4.19 `Task in A killed as a result of limit of B`, which names no victim."""
    if found := _SUMMARY.fullmatch(text):
        memcg, task = found["oom_memcg"], found["task_memcg"]
        return Summary(found["constraint"], memcg, task, found["comm"], int(found["pid"]), int(found["uid"]))
    if found := _V1_LIMIT.fullmatch(text):
        return Summary(None, found["oom_memcg"], found["task_memcg"], None, None, None)
    return None


def chosen(text: str) -> tuple[int, bool] | None:
    """`Kill process … or sacrifice child` (until 5.2): its pid (a child may die instead), and if it was global."""
    found = _CHOSEN.match(text)
    return (int(found["pid"]), found["where"] == "Out") if found else None


def killed(text: str) -> Killed | None:
    """`Killed process PID (COMM) total-vm:…`."""
    found = _KILLED.match(text)
    if not found:
        return None
    total_vm_kb = int(found["total_vm"])
    uid = found["uid"] or found["uid_early"]
    return Killed(
        pid=int(found["pid"]),
        comm=found["comm"],
        uid=None if uid is None else int(uid),
        global_oom=None if found["where"] is None else found["where"] == "Out",
        total_vm_bytes=total_vm_kb * 1024,
        anon_rss_bytes=int(found["anon"]) * 1024,
        file_rss_bytes=int(found["file"]) * 1024,
        shmem_rss_bytes=None if found["shmem"] is None else int(found["shmem"]) * 1024,
        pgtables_bytes=None if found["pgtables"] is None else _pgtables(int(found["pgtables"]), total_vm_kb),
        oom_score_adj=None if found["adj"] is None else int(found["adj"]),
    )


def group(text: str) -> str | None:
    """`Tasks in PATH are going to be killed due to memory.oom.group set`: the path."""
    found = _GROUP.fullmatch(text)
    return found["path"] if found else None


def note(text: str) -> tuple[str, int | None] | None:
    """Other words of the OOM killer: their kind, and for "suppressed" how many reports the rate limit held back."""
    if found := _SUPPRESSED.fullmatch(text):
        return "suppressed", int(found["count"])
    return next(((kind, None) for kind, pattern in _NOTES if pattern.fullmatch(text)), None)


def _pgtables(number: int, total_vm_kb: int) -> int:
    """Bytes of page tables. Some 5.x kernels printed bytes and called them kB.

    Page tables are about 1/512 of what they map: a figure far beyond that, and whole pages if bytes, is bytes.
    """
    beyond_kb = total_vm_kb // 512 + 8 * 1024
    return number if number > beyond_kb and number % 4096 == 0 else number * 1024
