"""OOM kills in sentences: whose memory it was and why this one was chosen, and where Docker's flag lied."""

from __future__ import annotations

from emu.report.topics.kernel_memory import SOCK, largest
from emu.report.topics.kill_headline import emus_command, first_of_each, while_resized
from emu.report.topics.topic import Figures
from emu.report.words import capital, count, listed, of_limit
from emu.study.model.kills import OomVerdict
from emu.study.model.study import Study
from emu.study.oom import DOCKER_FLAG, EXIT_CODE
from emu.units import format_bytes, often

_PARTS = {
    "anon": "anonymous memory",
    "page_cache": "page cache",
    "shmem": "shared memory",
    "kernel": "kernel memory",
    "sock": SOCK,
}
MOST_CANDIDATES = 6
"""So many containers that the kernel chose from are named."""
LONGEST = 80
"""A command is shown to so many characters."""
SHARED = 1.1
"""From this ratio of all processes' resident memory to what was charged on, they share pages."""
_WITNESS = {EXIT_CODE: "the exit code 137", DOCKER_FLAG: "Docker's OOMKilled flag"}


def sentences(study: Study, summary: Figures) -> list[str]:
    """The first kill of each container, and where Docker's flag lied."""
    firsts = first_of_each(study.kills)
    found = [text for kill in firsts for text in _sentences(study, kill, several=len(firsts) > 1)]
    return [*found, *_at_end(study), *_flags(study)]


def _sentences(study: Study, kill: OomVerdict, *, several: bool) -> list[str]:
    """Of one kill; where there were `several`, with whose process it was."""
    found = []
    if kill.victim is not None and kill.anon_rss_bytes is not None:
        parts = ((kill.file_rss_bytes, "file pages"), (kill.shmem_rss_bytes, "shared memory"))
        more = [f"{format_bytes(size)} of {name}" for size, name in parts if size]
        held = listed([f"{format_bytes(kill.anon_rss_bytes)} of anonymous memory", *more])
        first = "first " if len(study.kills_of(kill.container)) > 1 else ""
        process = f"The {first}process killed in {kill.container}" if several else f"The {first}killed process"
        found.append(f"{process}, {kill.victim} (pid {kill.pid}), held {held}.")
    found += _culprit(kill)
    found += _made_of(kill)
    if kill.swap_left == "no-swap" and kill.swap_limit_bytes != 0:
        found.append(f"{kill.container} might have swapped, but the machine has no swap.")
    if len(kill.pids) > 1:
        found.append(
            f"The kernel killed {count(len(kill.pids), 'process', 'processes')} of {kill.container} together "
            "(memory.oom.group)."
        )
    found += _unseen(study, kill)
    frozen = [one for one in study.kills_of(kill.container) if one.frozen]
    if frozen:
        times = "" if len(frozen) == len(study.kills_of(kill.container)) == 1 else f" {often(len(frozen))}"
        found.append(f"{kill.container} was frozen when it was killed{times}: SIGKILL works on frozen processes.")
    if kill.invoker and while_resized(study, kill):
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


def _unseen(study: Study, kill: OomVerdict) -> list[str]:
    """That a cluster would not show it: no container ended, so nothing of it is in the pod's status."""
    ended = any(one.is_finding for one in study.instances_of(kill.container))
    whole = any(not one.child for one in study.kills_of(kill.container))
    if not kill.child or whole or ended or emus_command(kill.victim_is):
        return []
    return [
        f"kubectl shows nothing of it: {kill.container} did not end, so there is no restart and no OOMKilled. Only "
        "the kernel's log and memory.events have it."
    ]


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
        f"{format_bytes(size)} of {_PARTS[name]}{_of_it(kill, name, whole)}"
        for name, size in parts
        if size * 100 > whole
    ]
    who = {"pod": "The pod", "node": "All pods together"}.get(kill.level, kill.container)
    return [f"{who} held {listed(holders)} then."] if holders else []


def _of_it(kill: OomVerdict, part: str, whole: int) -> str:
    """What a part is made of, where that is much: of the page cache what could not be dropped."""
    if part == "kernel":
        return largest(kill, whole)
    if part == "page_cache" and (kill.dirty_bytes or 0) * 20 > whole:
        return f" ({format_bytes(kill.dirty_bytes)} of it not on disk yet, which cannot be dropped)"
    return ""


def _culprit(kill: OomVerdict) -> list[str]:
    """Whose memory it was, where that was not the container's main process."""
    one = kill.culprit
    if one is None or one.rss_bytes is None:
        return []
    if shares_pages(kill):
        added = format_bytes(one.all_rss_bytes)
        return [
            f"The {one.processes} processes of {kill.container} share pages: their memory adds up to {added}, and "
            "each page is charged once. A page that one of them writes to becomes its own, and is charged again."
        ]
    if one.kind == "main":
        return []
    fits = one.rss_bytes <= (kill.limit_bytes or 0)  # file pages of others may be in it
    size = of_limit(one.rss_bytes, kill.limit_bytes if fits else None)
    command = emus_command(one.kind)
    if not command:
        started = f"processes that {kill.container}'s main process had started"
        if kill.limit_bytes is not None and 2 * one.rss_bytes < kill.limit_bytes:  # others had more of what ran out
            return [f"{capital(started)} held {size}."]
        return [f"Most of it was held by {started}: {size}."]
    shown = one.command or ""
    shown = f"{shown[:LONGEST]}…" if len(shown) > LONGEST else shown
    return [f"{capital(command)} ({shown}) held {size}: what a probe or a hook runs is charged, too."]


def shares_pages(kill: OomVerdict) -> bool:
    """Its processes map more than what ran out was charged for, so they share pages, as after fork."""
    one = kill.culprit
    charged = sum(kill.held.get(part, 0) for part in ("anon", "shmem"))
    if one is None or one.all_rss_bytes is None:
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
        "The kernel kills the process that has most, counting what it holds and oom_score_adj thousandths of "
        f"{_whole(kill)}: {listed(listed_ones)}."
    )


def _whole(kill: OomVerdict) -> str:
    """What oom_score_adj counts thousandths of: what ran out, and the swap that may be used beside it."""
    known = [one for one in kill.candidates if one.oom_score_adj]
    if not known:
        return "what ran out"
    most = max(known, key=lambda one: abs(one.oom_score_adj))
    whole = (most.points_bytes - most.held_bytes) * 1000 // most.oom_score_adj
    if kill.limit_bytes is None:
        return f"{format_bytes(whole)} (the machine's memory and swap)"
    beside = "" if whole < kill.limit_bytes + 2**20 else " and swap"
    return f"{format_bytes(whole)} (what ran out{beside})"


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
