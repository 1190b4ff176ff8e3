"""Kernel log records → OOM kills, by the kernel's own field names. Pure.

A report is a block of lines that ends in the kill line. The kernel writes ten blocks in five seconds at most, and
kill lines always, so a kill may come without its block: then it says who died and not in which cgroup. With
memory.oom.group one block is followed by a kill line for every process, the first victim among them once more.

Lines of two blocks could come interleaved. Where the kernel notes who printed (`KmsgRecord.caller`) they are kept
apart by that; where it does not, a second block that begins within the first takes away what is not certain:
such a kill keeps what its own lines say and is not `complete`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from cgroups import oom_lines
from cgroups.kmsg import KERNEL_FACILITY, KmsgGap, KmsgRecord
from cgroups.oom_block import Block
from cgroups.oom_lines import Killed, OomTask, Summary
from cgroups.values import Limit

_TOGETHER_US = 1_000_000
"""Lines of one report come within milliseconds; after this long a report that has not ended never will."""
_MAX_CONTEXTS = 64


@dataclass(frozen=True, slots=True)
class OomKill:
    """One kill line, joined with its block where there was one. What is not known is `None`.

    `complete`: the block was seen from its first line. `group`: the cgroup whose memory.oom.group asked for it.
    `repeat`: the group's first victim, signalled before and logged again; the kernel's oom_kill counts it again too.
    `pid` is of the initial pid namespace. `usage_bytes`, `limit_bytes` and `memory_stat` are those of `oom_memcg`.
    `timestamp_us` and `sequence` are the kill line's.
    """

    pid: int
    comm: str
    total_vm_bytes: int
    anon_rss_bytes: int
    file_rss_bytes: int
    timestamp_us: int
    sequence: int | None
    shmem_rss_bytes: int | None = None
    pgtables_bytes: int | None = None
    oom_score_adj: int | None = None
    uid: int | None = None
    global_oom: bool | None = None
    invoker: str | None = None
    invoker_pid: int | None = None
    gfp_mask: str | None = None
    order: int | None = None
    constraint: str | None = None
    oom_memcg: str | None = None
    task_memcg: str | None = None
    usage_bytes: int | None = None
    limit_bytes: Limit | None = None
    swap_usage_bytes: int | None = None
    swap_limit_bytes: Limit | None = None
    memory_stat: str | None = None
    tasks: tuple[OomTask, ...] | None = None
    group: str | None = None
    repeat: bool = False
    complete: bool = False


@dataclass(frozen=True, slots=True)
class OomNote:
    """Another word of the OOM killer.

    `kind`: "suppressed" (`count` reports fell to the rate limit), "no_victim", "already_exiting", "reaped",
    "not_reaped". Reaper lines are optional: a victim that dies at once leaves none.
    """

    kind: str
    text: str
    timestamp_us: int
    sequence: int | None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class OomLog:
    """All that a stretch of the kernel log says of OOM."""

    kills: list[OomKill]
    notes: list[OomNote]


@dataclass
class _Context:
    """The reports of one printer (all of them, where the kernel does not note who printed)."""

    block: Block | None = None
    summaries: dict[int, Summary] = field(default_factory=dict)
    old_global: bool | None = None
    group: str | None = None
    killed: set[int] = field(default_factory=set)
    last_us: int = 0


class OomParser:
    """Feed it the log record by record; it gives each kill as its line comes. `notes` collects the rest.

    Records of another facility than the kernel's are not believed. A gap ends every report that is under way.
    """

    def __init__(self) -> None:
        self.notes: list[OomNote] = []
        self._contexts: dict[str | None, _Context] = {}

    def feed(self, record: KmsgRecord | KmsgGap) -> OomKill | None:
        """The kill that this record reports, else `None`.

        Of an oom.group kill the first comes before the line that says so: its `group` is `None` here, and is filled
        in by `scan_oom`.
        """
        if isinstance(record, KmsgGap):
            self._contexts.clear()
            return None
        if record.facility != KERNEL_FACILITY:
            return None
        context = self._contexts.get(record.caller) or _Context()
        if found := oom_lines.killed(record.text):
            kill = _kill(context, found, record)
            self._keep(context, record)
            return kill
        if found_note := oom_lines.note(record.text):
            kind, count = found_note
            self.notes.append(OomNote(kind, record.text, record.timestamp_us, record.sequence, count))
            if context.block and kind in ("no_victim", "already_exiting"):
                context.block.done = True
        elif _take(context, record):
            self._keep(context, record)
        return None

    def _keep(self, context: _Context, record: KmsgRecord) -> None:
        context.last_us = record.timestamp_us
        self._contexts.pop(record.caller, None)
        self._contexts[record.caller] = context
        if len(self._contexts) > _MAX_CONTEXTS:
            del self._contexts[next(iter(self._contexts))]


def scan_oom(records: Iterable[KmsgRecord | KmsgGap]) -> OomLog:
    """Every kill and every note in the records, in order, the first victims of group kills marked as such."""
    parser = OomParser()
    kills: list[OomKill] = []
    for record in records:
        kill = parser.feed(record)
        if kill is None:
            continue
        if kill.repeat:
            first = max(i for i, before in enumerate(kills) if before.pid == kill.pid)
            kills[first] = replace(kills[first], group=kill.group)
        kills.append(kill)
    return OomLog(kills, parser.notes)


def parse_oom(records: Iterable[KmsgRecord | KmsgGap]) -> list[OomKill]:
    """Every kill line in the records, in order. Count distinct pids for processes, all of them for oom_kill."""
    return scan_oom(records).kills


def _take(context: _Context, record: KmsgRecord) -> bool:
    """Take in a line that is not a kill line; whether it was one of a report."""
    text, block = record.text, context.block
    if invoked := oom_lines.invoked(text):
        late = record.timestamp_us - context.last_us > _TOGETHER_US
        mixed = block is not None and not late and (block.mixed or not block.done)
        context.block, context.group, context.old_global = Block(invoked, mixed=mixed), None, None
        if late:
            context.summaries.clear()
        return True
    if old_choice := oom_lines.chosen(text):
        pid, context.old_global = old_choice
        if block and not block.done:
            block.chosen = pid
        return True
    if (path := oom_lines.group(text)) is not None:
        context.group = path
        return True
    if summary := oom_lines.summary(text):
        if summary.pid is not None:
            context.summaries[summary.pid] = summary
        if block and not block.done:
            block.mixed = block.mixed or block.summary is not None
            block.summary = summary
        return True
    return block is not None and not block.done and not block.mixed and block.take(text)


def _kill(context: _Context, line: Killed, record: KmsgRecord) -> OomKill:
    """The kill line with as much of the block, or of the group's block, as is surely its own."""
    block = context.block
    kill = _alone(line, record, context.old_global)
    context.old_global = None
    if record.timestamp_us - context.last_us > _TOGETHER_US:
        context.group = None
        context.summaries.clear()
    summary = context.summaries.pop(line.pid, None)
    own = block is not None and not block.done and not block.mixed and _is_victim(block, line)
    if own and block is not None:
        block.done, context.group, context.killed = True, None, {line.pid}
        return _with_block(kill, block, None if block.chosen not in (None, line.pid) else block.summary)
    if context.group is not None and _in_group(context, line):
        repeat = line.pid in context.killed
        context.killed.add(line.pid)
        kill = replace(kill, group=context.group, repeat=repeat)
        if block and block.done and not block.mixed and block.summary:
            summary = block.summary if block.summary.pid == line.pid else None
            return _with_block(kill, block, summary)
        return kill
    context.group, context.killed = None, {line.pid}
    if block and (block.mixed or block.summary):
        block.done = block.done or summary is not None
    return _with_summary(kill, summary)


def _is_victim(block: Block, line: Killed) -> bool:
    if block.summary and block.summary.pid is not None:
        return block.summary.pid == line.pid
    return (
        block.chosen is not None
    )  # until 5.2 the kill line follows the choice at once, and may name the chosen one's child


def _in_group(context: _Context, line: Killed) -> bool:
    """Whether a kill line after a group's is of the group: its block's table, if there was one, lists them all."""
    block = context.block
    listed = block.tasks if block and block.done else []
    return not listed or any(task.pid == line.pid for task in listed)


def _alone(line: Killed, record: KmsgRecord, old_global: bool | None) -> OomKill:
    return OomKill(
        pid=line.pid,
        comm=line.comm,
        uid=line.uid,
        global_oom=old_global if line.global_oom is None else line.global_oom,
        total_vm_bytes=line.total_vm_bytes,
        anon_rss_bytes=line.anon_rss_bytes,
        file_rss_bytes=line.file_rss_bytes,
        shmem_rss_bytes=line.shmem_rss_bytes,
        pgtables_bytes=line.pgtables_bytes,
        oom_score_adj=line.oom_score_adj,
        timestamp_us=record.timestamp_us,
        sequence=record.sequence,
    )


def _with_summary(kill: OomKill, summary: Summary | None) -> OomKill:
    if summary is None:
        return kill
    return replace(
        kill,
        constraint=summary.constraint,
        oom_memcg=summary.oom_memcg,
        task_memcg=summary.task_memcg,
        uid=summary.uid if kill.uid is None else kill.uid,
    )


def _with_block(kill: OomKill, block: Block, summary: Summary | None) -> OomKill:
    memory, swap = block.usage.get("memory"), block.usage.get("swap")
    shared = block.summary
    return replace(
        _with_summary(kill, summary),
        invoker=block.invoked.comm,
        invoker_pid=block.invoker_pid,
        gfp_mask=block.invoked.gfp_mask,
        order=block.invoked.order,
        constraint=shared.constraint if shared else None,
        oom_memcg=shared.oom_memcg if shared else None,
        usage_bytes=memory[0] if memory else None,
        limit_bytes=memory[1] if memory else None,
        swap_usage_bytes=swap[0] if swap else None,
        swap_limit_bytes=swap[1] if swap else None,
        memory_stat="\n".join(block.stats) if block.stats else None,
        tasks=tuple(block.tasks) if block.columns is not None else None,
        complete=True,
    )
