"""OOM kills in words: who died, at whose limit, whose memory it was, and why nothing more could be given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.report.entry import Entry
from emu.report.page.areas import draw_marks
from emu.report.page.canvas import safe
from emu.report.topics.containers import other_ends
from emu.report.topics.kernel_words import kernel_words, oom_blocks
from emu.report.topics.topic import (
    Cell,
    Column,
    Figures,
    Listing,
    MemoryPanel,
    Name,
    Note,
    Part,
    Topic,
    View,
    Words,
    of_pod,
)
from emu.report.words import count, listed, of_limit
from emu.study.model.kills import OomVerdict
from emu.study.model.study import Happening, Study
from emu.study.model.timeline import Timeline
from emu.study.oom import DOCKER_FLAG, EXIT_CODE
from emu.units import format_bytes, format_seconds, often

_PARTS = {
    "anon": "anonymous memory",
    "page_cache": "page cache",
    "shmem": "shared memory",
    "kernel": "kernel memory",
    "sock": "socket buffers",
}
WORTH_A_WORD = 0.02
"""Where at least this share of the requests in flight had not been accepted, that is said."""
_KERNEL = {
    "slab_reclaimable": "slab that could be reclaimed",
    "slab_unreclaimable": "slab that cannot be reclaimed",
    "kernel_stack": "stacks of threads",
    "pagetables": "page tables",
    "percpu": "per-CPU data",
}
MOST_CANDIDATES = 6
"""So many containers that the kernel chose from are named."""
FULL = 0.95
"""From this share of its limit on, a container that was not killed filled it: reclaim leaves some pages free."""
SWAPPED = 0.1
"""From this share of its limit on in swap, it lived because of swap."""
LONGEST = 80
"""A command is shown to so many characters."""
KERNEL_SHARE = 0.1
"""From this share of what ran out on, it is said what kernel memory was."""
SHARED = 1.1
"""From this ratio of all processes' resident memory to what was charged on, they share pages."""
_PROBES = ("liveness", "readiness", "startup")
_WITNESS = {EXIT_CODE: "the exit code 137", DOCKER_FLAG: "Docker's OOMKilled flag"}


def figures(study: Study) -> Figures:
    """`oom_kills`: each, with all that is known of it."""
    return {"oom_kills": [_all_of(kill) for kill in study.kills]}


def _all_of(kill: OomVerdict) -> dict[str, Any]:
    return {**of_pod(kill), "candidates": [of_pod(one) for one in kill.candidates]}


def sentences(study: Study, summary: Figures) -> list[str]:
    """The first kill of each container, and where Docker's flag lied."""
    found = [text for kill in _one_each(study.kills) for text in _sentences(study, kill)]
    return [*found, *_at_end(study), *_flags(study)]


def kill_headline(study: Study) -> str:
    """The first kill: who, when, why, and how the others stood."""
    first = study.kills[0]
    mine = study.kills_of(first.container)
    who = victim_words(first)
    when = (
        f"{format_seconds(first.after_first_request_s)} after the first request"
        if first.after_first_request_s is not None
        else f"{format_seconds(first.time_s)} into the run"
    )
    times = f" {often(len(mine))}, first" if len(mine) > 1 else ""
    still = " while frozen" if first.frozen else " as the run ended it" if first.at_end else ""
    text = f"{who} was OOM-killed{still}{times} {when}: {_cause(study, first)}"
    if first.in_flight:
        waited = "request was" if first.in_flight == 1 else "requests were"
        text += f" while {first.in_flight:,} {waited} waiting for an answer"
        if (first.in_backlog or 0) >= WORTH_A_WORD * first.in_flight:
            text += f", {first.in_backlog:,} of them not accepted yet"
    text += "; the container lived on" if first.child else ""
    others = [kill for kill in _one_each(study.kills) if kill.container != first.container]
    text += "".join(f"; {kill.container} was OOM-killed too{_full_swap(kill)}" for kill in others)
    mentioned = {kill.container for kill in others} | {first.container}
    return text + "".join(f"; {held}" for held in _others_held(study, first, mentioned))


def victim_words(kill: OomVerdict) -> str:
    """`app`, `a child process of app`, `the readiness probe's command in app`."""
    if not kill.child:
        return kill.container
    command = _command(kill.victim_is)
    return f"{command} in {kill.container}" if command else f"a child process of {kill.container}"


def _command(kind: str | None) -> str:
    """What emu itself ran in the container; nothing for its own processes."""
    return {"preStop": "the preStop hook's command"}.get(
        kind or "", f"the {kind} probe's command" if kind in _PROBES else ""
    )


def _cause(study: Study, kill: OomVerdict) -> str:
    limit = "" if kill.limit_bytes is None else f" of {format_bytes(kill.limit_bytes)}"
    if kill.level == "host":
        text = "the machine itself had no memory left"
        return f"{text}, and its swap was full" if kill.swap_left == "machine-full" else text
    resized = [one.detail["memory_max"] for one in _resizes(study, kill)][-1:]
    limit += ", set by a resize," if limit and resized == [kill.limit_bytes] else ""
    text = {
        "container": f"its own limit{limit} was reached",
        "pod": f"the pod's limit{limit}{_same(study, kill)} was reached",
    }.get(kill.level, f"all pods together reached the node's limit{limit}")
    text += _full_swap(kill)
    if kill.swap_left == "machine-full":
        text += ", with the machine's swap full"
    whose = _command(kill.culprit.kind if kill.culprit else None)
    return f"{text} by {whose}" if whose and not kill.child else text


def _resizes(study: Study, kill: OomVerdict) -> list[Happening]:
    """The resizes of its container that had begun by then."""
    mine = (kill.pod, kill.container.rpartition("/")[2])
    return [
        one
        for one in study.resizes
        if (one.pod, one.subject.rpartition("/")[2]) == mine
        and one.t <= kill.time_s
        and one.detail["outcome"] in ("started", "completed")
    ]


def _while_resized(study: Study, kill: OomVerdict) -> bool:
    """Whether a resize was under way."""
    return [one.detail["outcome"] for one in _resizes(study, kill)][-1:] == ["started"]


def _same(study: Study, kill: OomVerdict) -> str:
    """Of a pod whose only limited container has the same limit: the pod's is reached first, as pause counts too."""
    own = next((one.memory_max for one in study.instances if one.owner == kill.owner), None)
    return f", which {kill.container} has too," if own is not None and own == kill.limit_bytes else ""


def _full_swap(kill: OomVerdict) -> str:
    """That its own swap limit was used up, where it was."""
    if kill.swap_left != "limit" or kill.swap_limit_bytes is None:
        return ""
    return f", with its swap limit (memory.swap.max) of {format_bytes(kill.swap_limit_bytes)} used up"


def _others_held(study: Study, kill: OomVerdict, mentioned: set[str]) -> list[str]:
    """What the other containers used at the time of a kill; of one that filled its limit later and lived, that."""
    found = []
    for line in sorted(study.timelines.values(), key=lambda line: line.owner.pod != kill.pod):
        if line.label in mentioned or line.label not in study.containers:
            continue
        before = [(t, used) for t, used in zip(line.t, line.memory_current, strict=True) if used is not None]
        before = [(t, used) for t, used in before if t <= kill.time_s]
        gone = line.t and line.t[-1] < kill.time_s - 1.0
        if before and not gone:
            limit = next((one.memory_max for one in study.instances if one.owner == line.owner), None)
            found.append(_lived(line, kill, limit) or f"{line.label} used {of_limit(before[-1][1], limit)}")
            mentioned = {*mentioned, line.label}
    return found


def _lived(line: Timeline, kill: OomVerdict, limit: int | None) -> str | None:
    """Of a container that was not killed: that it filled its own limit after the kill, and swap took the rest."""
    after = [n for n, t in enumerate(line.t) if t > kill.time_s]
    most = max((line.memory_current[n] or 0 for n in after), default=0)
    swapped = max((line.swap[n] or 0 for n in after), default=0)
    if limit is None or most < FULL * limit or swapped < SWAPPED * limit:
        return None
    return (
        f"{line.label} filled its limit of {format_bytes(limit)} later and was not OOM-killed, "
        f"with up to {format_bytes(swapped)} in swap"
    )


def _one_each(kills: list[OomVerdict]) -> list[OomVerdict]:
    """The first kill of each container."""
    return list({kill.container: kill for kill in reversed(kills)}.values())[::-1]


def _sentences(study: Study, kill: OomVerdict) -> list[str]:
    found = []
    if kill.victim is not None and kill.anon_rss_bytes is not None:
        held = f"{format_bytes(kill.anon_rss_bytes)} of anonymous memory"
        if kill.file_rss_bytes:
            held += f" and {format_bytes(kill.file_rss_bytes)} of file pages"
        found.append(f"The killed process, {kill.victim} (pid {kill.pid}), held {held}.")
    found += _culprit(kill)
    found += _made_of(kill)
    if kill.swap_left == "no-swap" and kill.swap_limit_bytes != 0:
        found.append(f"{kill.container} might have swapped, but the machine has no swap.")
    if len(kill.pids) > 1:
        found.append(
            f"The kernel killed {count(len(kill.pids), 'process', 'processes')} of {kill.container} together."
        )
    frozen = [one for one in study.kills_of(kill.container) if one.frozen]
    if frozen:
        times = "" if len(frozen) == len(study.kills_of(kill.container)) == 1 else f" {often(len(frozen))}"
        found.append(f"{kill.container} was frozen when it was killed{times}: SIGKILL works on frozen processes.")
    if kill.invoker and _while_resized(study, kill):
        found.append(
            f"The kernel's log names {kill.invoker} as the one that needed memory: it wrote the lower memory.max. In "
            "a cluster that is the container runtime, here it is emu."
        )
    elif kill.invoker and kill.invoker != kill.victim:
        found.append(f"{kill.invoker} made the allocation that failed, and {kill.victim} was killed for it.")
    if kill.level != "container":
        found += _chosen(study, kill)
    if not kill.log:
        witnesses = listed([_WITNESS.get(word, word) for word in kill.evidence])
        found.append(f"Known from {witnesses}; the kernel's log has no line of it.")
    return found


def _at_end(study: Study) -> list[str]:
    """Kills that came only because the run was over."""
    late = [kill for kill in study.kills if kill.at_end]
    if not late:
        return []
    names = listed(list(dict.fromkeys(kill.container for kill in late)))
    whole = len(study.kills)
    of = "The OOM kill" if len(late) == whole == 1 else f"{len(late)} of {count(whole, 'OOM kill')}"
    return [f"{of} came while the run was stopping {names}: stopping needs memory too, and no request caused it."]


def _made_of(kill: OomVerdict) -> list[str]:
    """What filled the memory that ran out, the largest part first; parts under a hundredth are left out."""
    whole = sum(kill.held.values())
    parts = sorted(kill.held.items(), key=lambda part: -part[1])
    holders = [
        f"{format_bytes(size)} of {_PARTS[name]}{_kernel(kill, whole) if name == 'kernel' else ''}"
        for name, size in parts
        if size * 100 > whole
    ]
    who = {"pod": "The pod", "node": "All pods together"}.get(kill.level, kill.container)
    return [f"{who} held {listed(holders)} then."] if holders else []


def _kernel(kill: OomVerdict, whole: int) -> str:
    """What kernel memory was most of all, where it is much."""
    name, size = max(kill.held_kernel.items(), key=lambda part: part[1], default=("", 0))
    return f" ({format_bytes(size)} of it {_KERNEL[name]})" if size > KERNEL_SHARE * whole else ""


def _culprit(kill: OomVerdict) -> list[str]:
    """Whose memory it was, where that was not the container's main process."""
    one = kill.culprit
    if one is None or one.rss_bytes is None:
        return []
    if _shares(kill):
        added = format_bytes(one.all_rss_bytes)
        return [
            f"Its {one.processes} processes share pages: their memory adds up to {added}, and each page is charged "
            "once. A page that one of them writes to becomes its own, and is charged again."
        ]
    if one.kind == "main":
        return []
    size = of_limit(one.rss_bytes, kill.limit_bytes)
    command = _command(one.kind)
    if not command:
        return [f"Most of it was held by processes that {kill.container}'s main process had started: {size}."]
    shown = one.command or ""
    shown = f"{shown[:LONGEST]}…" if len(shown) > LONGEST else shown
    return [f"{command[0].upper()}{command[1:]} ({shown}) held {size}: what a probe or a hook runs is charged, too."]


def _shares(kill: OomVerdict) -> bool:
    """Its processes map more than the cgroup was charged for, so they share pages, as after fork."""
    one = kill.culprit
    charged = sum(kill.held.get(part, 0) for part in ("anon", "shmem"))
    if one is None or one.all_rss_bytes is None or kill.level != "container":
        return False
    return one.processes > 1 and one.all_rss_bytes > SHARED * charged > 0


def _chosen(study: Study, kill: OomVerdict) -> list[str]:
    """Why the kernel may have chosen this container: its oom_score_adj against the others'."""
    if len(kill.candidates) > 1:
        return [_compared(kill)]
    scores = {one.container: one.oom_score_adj for one in study.instances if one.container in study.containers}
    mine = scores.pop(kill.container, None)
    if mine is None or not scores or mine <= max(scores.values()):
        return []
    others = listed([f"{name} {score}" for name, score in scores.items()])
    return [f"The kernel prefers the process with the higher oom_score_adj: {kill.container} has {mine}, {others}."]


def _compared(kill: OomVerdict) -> str:
    """Those that the kernel chose from, the first one first, with what it compares."""
    listed_ones = [
        f"{one.container} held {format_bytes(one.held_bytes)} with oom_score_adj {one.oom_score_adj}"
        for one in kill.candidates[:MOST_CANDIDATES]
    ]
    more = len(kill.candidates) - MOST_CANDIDATES
    listed_ones += [f"{more} more"] if more > 0 else []
    return (
        "The kernel kills the process that has most, counting what it holds and oom_score_adj thousandths of what "
        f"ran out: {listed(listed_ones)}."
    )


def _flags(study: Study) -> list[str]:
    """Where Docker's flag lied, in either direction."""
    died = [kill for kill in study.kills if not kill.child]
    denied = [kill for kill in died if any(word.startswith(DOCKER_FLAG) for word in kill.contradicts)]
    found = []
    if denied:
        whole = "the kill" if len(died) == 1 else f"{len(denied)} of {len(died)} kills"
        found.append(
            f"Docker's own OOMKilled flag said false for {whole}: it races with the exit, so it proves nothing."
        )
    for entry in study.instances:
        if entry.docker_oom_killed and not any(kill.owner == entry.owner for kill in study.kills):
            found.append(f"Docker calls {entry.container} OOMKilled, but memory.events shows no oom_kill.")
    return found


def kill_parts(view: View) -> Iterator[Part]:
    """A row for each kill, and the kernel's own words; on the terminal a line for each."""
    kills = view.each.kills
    if not kills:
        yield Note("No OOM kill was recorded.", style="missing")
        return
    heads = ("at", "container", "attempt", "ran out", "asked for memory", "killed", "pid", "it held", "in flight",
             "whose", "swap", "evidence", "said otherwise")  # fmt: skip
    numbers = ("at", "attempt", "pid", "in flight")
    columns = tuple(Column(head, number=head in numbers) for head in heads)
    yield Listing(columns, tuple(map(_row, kills)), place="page", whole=True)
    blocks = oom_blocks(view.each.kernel_lines)
    for kill in kills:
        yield from kernel_words(kill, blocks, first=kill is kills[0])
    for kill in kills:
        yield from _lines(kill)


def _lines(kill: OomVerdict) -> Iterator[Note]:
    what = "a child of " if kill.child else ""
    limit = "" if kill.limit_bytes is None else f", limit {format_bytes(kill.limit_bytes)}"
    doubts = f"; but {', '.join(kill.contradicts)}" if kill.contradicts else ""
    where = f"{what}{kill.container}, {kill.level} level{limit}"
    yield Note(f"{kill.time_s:10.3f} s  {where}; known from {', '.join(kill.evidence)}{doubts}", "terminal")
    yield from (Note(f"{'':14}{line}", "terminal", "rest") for line in kill.log)


def _row(kill: OomVerdict) -> tuple[Cell, ...]:
    limit = "" if kill.limit_bytes is None else f", memory.max {format_bytes(kill.limit_bytes)}"
    return (
        f"{kill.time_s:.3f} s",
        Name(kill.container),
        kill.attempt,
        Words(f"{kill.level}{limit}"),
        kill.invoker,
        f"{kill.victim or 'not known'}{' (a child; the container lived on)' if kill.child else ''}",
        ", ".join(map(str, kill.pids)) if len(kill.pids) > 1 else kill.pid and str(kill.pid),
        _held(kill),
        kill.in_flight,
        _whose(kill),
        _SWAP.get(kill.swap_left or ""),
        tuple(map(Name, kill.evidence)) or "none",
        ", ".join(kill.contradicts) or None,
    )


_SWAP = {
    "not-allowed": "not allowed",
    "limit": "its limit used up",
    "no-swap": "the machine has none",
    "machine-full": "the machine's was full",
    "some": "some was left",
}


def _whose(kill: OomVerdict) -> str | None:
    """Whose processes held most of it."""
    one = kill.culprit
    if one is None:
        return None
    who = {"main": "its main process", "child": "its children"}.get(one.kind, f"what {one.kind} ran")
    twice = ", shared pages counted for each process" if _shares(kill) else ""
    return Words(who if one.rss_bytes is None else f"{who}: {format_bytes(one.rss_bytes)}{twice}")


def _held(kill: OomVerdict) -> str | None:
    named = [("anon-rss", kill.anon_rss_bytes), ("file-rss", kill.file_rss_bytes)]
    named += [("shmem-rss", kill.shmem_rss_bytes or None), ("swap", kill.swap_bytes or None)]
    text = ", ".join(f"{name} {format_bytes(value)}" for name, value in named if value is not None)
    return Words(text) if text else None


def log(study: Study) -> Iterator[Entry]:
    """Each, with what it is known from."""
    for kill in study.kills:
        who = victim_words(kill)
        who += " (frozen)" if kill.frozen else ""
        text = f"OOM kill: {who}, {kill.level} level, known from {', '.join(kill.evidence)}"
        doubts = f"; but {', '.join(kill.contradicts)}" if kill.contradicts else ""
        # just after the kernel's own line of it
        yield Entry(kill.time_s + 1e-6, "emu", f"{text}{doubts}", {"container": kill.container, "level": kill.level})


def marks(on: MemoryPanel) -> None:
    """A cross for each kill, a line down through all panels, and the victim's name where there is room."""
    canvas, kills = on.canvas, on.kills
    outline = {"width": 1, "color": "var(--paper)"}
    marker = {"symbol": "x", "size": 11, "color": "var(--kill)", "line": outline}
    at = [(kill.time_s, _kill_text(kill)) for kill in kills]
    draw_marks(canvas, on.panel, "OOM kill", at, on.top * 0.93, marker, "oom-kill")
    taken = [kill.time_s for kill in kills] + [t for t, _ in other_ends(on)]
    for kill in kills:
        canvas.line(kill.time_s, "var(--kill)")
        said = f"OOM kill: {safe(kill.victim or 'victim not known')}"
        width = canvas.width_s(said)
        for side, begin, end in (
            ("left", kill.time_s, kill.time_s + width),
            ("right", kill.time_s - width, kill.time_s),
        ):
            crowded = any(begin < t < end for t in taken)
            if not crowded and begin >= 0 and end <= canvas.end_s:
                shift = 8 if side == "left" else -8
                canvas.words(on.panel, kill.time_s, 0.93, said, colour="var(--kill)", xanchor=side, xshift=shift)
                taken += [begin + width / 2]
                break


def _kill_text(kill: OomVerdict) -> str:
    pid = "" if kill.pid is None else f" (pid {kill.pid})"
    anon = "" if kill.anon_rss_bytes is None else f", anon-rss {format_bytes(kill.anon_rss_bytes)}"
    return f"<b>OOM kill</b>: {safe(kill.victim or 'unknown')}{pid}, limit of the {safe(kill.level)} hit{anon}"


KILLS = Topic("OOM kills", figures, sentences=sentences, more=kill_parts, log=log, marks=marks)
