"""OOM kills in the headline: who died, when, at whose limit, and how the others stood."""

from __future__ import annotations

from emu.messages import SANDBOX
from emu.report.topics.evictions import NAMED
from emu.report.topics.kernel_memory import FILLS, filled_by_the_kernel
from emu.report.words import count, of_limit
from emu.study.counters import value_at
from emu.study.measures import last
from emu.study.model.instances import Instance, container_of
from emu.study.model.kills import OomVerdict
from emu.study.model.study import Happening, Study
from emu.study.model.timeline import Timeline
from emu.units import format_bytes, format_seconds, often

WORTH_A_WORD = 0.02
"""Where at least this share of the requests in flight had not been accepted, that is said."""
FULL = 0.95
"""From this share of its limit on, a container that was not killed filled it: reclaim leaves some pages free."""
SWAPPED = 0.1
"""From this share of its limit on in swap, it lived because of swap."""
LEFT, LEFT_SHARE = 2**20, 0.05
"""Less than this, or than this share of what ran out, was left behind by chance."""
RESIZE_S = 0.25
"""A kill within this after a resize was still the resize's."""
SOON_S = 10.0
"""A container that ended by itself within this after it had lost a child process did not live on."""
_PROBES = ("liveness", "readiness", "startup")


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
    when += _never_ready(study, mine)
    pods = len({kill.pod for kill in mine})
    times = f" {often(len(mine))}{f' in {pods} pods' if pods > 1 else ''}, first" if len(mine) > 1 else ""
    still = " while frozen" if first.frozen else " as the run ended it" if first.at_end else ""
    text = f"{who} was OOM-killed{still}{times} {when}: {_cause(study, first)}"
    files = _outlived(study, first) or _by_files(first)
    text += files
    if first.in_flight:
        waited = "request was" if first.in_flight == 1 else "requests were"
        text += f"{',' if files else ''} while {first.in_flight:,} {waited} waiting for an answer"
        if (first.in_backlog or 0) >= WORTH_A_WORD * first.in_flight:
            text += f", {first.in_backlog:,} of them not accepted yet"
    text += filled_by_the_kernel(first)
    text += f"; {lived_on(study, first)}" if first.child else ""
    text += _kept_in_init(study, first) + _elsewhere(study, first, mine) + _refused(study, first)
    text += _evicted(study, first)
    others = [kill for kill in first_of_each(study.kills) if kill.container != first.container]
    text += "".join(f"; {kill.container} was OOM-killed too{_into_its_own(kill, first)}" for kill in others)
    mentioned = {kill.container for kill in others} | {first.container}
    return text + "".join(f"; {held}" for held in _others_held(study, first, mentioned))


def _never_ready(study: Study, mine: list[OomVerdict]) -> str:
    """That a container was killed before it could do anything: its limit is too small for its start."""
    killed = [one for one in study.instances if any(kill.owner == one.owner and not kill.child for kill in mine)]
    if not killed or any(one.ready_s is not None or one.role == "init" for one in killed):
        return ""
    return f",{' each time' if len(killed) > 1 else ''} before it was ready"


def _kept_in_init(study: Study, kill: OomVerdict) -> str:
    """That no other container of the pod was ever started: the one that was killed has to end, or to start, first."""
    mine = [one for one in study.instances if one.pod == kill.pod and container_of(one.container) != SANDBOX]
    killed = [one for one in mine if one.container == kill.container]
    begun = any(one.role == "container" and one.started_s is not None for one in mine)
    inits = bool(killed) and all(one.role != "container" for one in killed)
    return "; the pod's containers were never started" if inits and not begun else ""


def lived_on(study: Study, kill: OomVerdict) -> str:
    """What became of a container that lost a child process: a server that gives up without its worker ends, too."""
    mine = next((one for one in study.instances if one.owner == kill.owner), None)
    after_s = None if mine is None or mine.exited_s is None else mine.exited_s - kill.time_s
    if mine is None or after_s is None or _was_ended(mine) or not 0.0 <= after_s <= SOON_S:
        return f"the container lived on{_for_the_probe(study, kill)}"
    code = "" if mine.exit_code is None else f" with exit code {mine.exit_code}"
    return f"the container ended {format_seconds(after_s)} later{code}"


def _was_ended(one: Instance) -> bool:
    """Not by itself: by the run, the kubelet (also one that it evicted), the kernel or with the engine."""
    return bool(one.asked or one.stop or one.killed_for or one.oom_ended or one.with_engine)


def _for_the_probe(study: Study, kill: OomVerdict) -> str:
    """That a probe whose command was killed had failed thereby, and the container was killed for it."""
    mine = [one for one in study.instances if one.container == kill.container and one.killed_for is not None]
    mine = [one for one in mine if not one.asked and (one.exited_s or 0.0) >= kill.time_s]
    number = sum(one.killed_for == kill.victim_is for one in mine)
    return f", and was killed {often(number)} for that probe, which failed" if number else ""


def victim_words(kill: OomVerdict) -> str:
    """`app`, `a child process of app`, `the readiness probe's command in app`."""
    if not kill.child:
        return kill.container
    command = emus_command(kill.victim_is)
    return f"{command} in {kill.container}" if command else f"a child process of {kill.container}"


def emus_command(kind: str | None) -> str:
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
    whose = emus_command(kill.culprit.kind if kill.culprit else None)
    return f"{text} by {whose}" if whose and not kill.child else text


def _by_files(kill: OomVerdict) -> str:
    """That files filled it, where they did: those in memory, of a volume or of /dev/shm, or page cache that was still
    to be written to disk.
    """
    shmem, whole = kill.held.get("shmem", 0), sum(kill.held.values())
    if shmem > FILLS * whole:
        return f", {format_bytes(shmem)} of it files in memory (shmem)"
    if (kill.dirty_bytes or 0) > FILLS * whole:
        return f", {format_bytes(kill.dirty_bytes)} of it page cache that was not on disk yet"
    return ""


def _elsewhere(study: Study, first: OomVerdict, mine: list[OomVerdict]) -> str:
    """That it was killed again at another limit, and what an instance before had left there."""
    others = [kill for kill in mine if kill.pod == first.pod]
    other = next((kill for kill in others if kill.level != first.level), None)
    if other is None:  # at the same limit: because of what had outlived the instance before
        left = [_outlived(study, kill) for kill in others if kill.attempt != first.attempt]
        return next((f"; after a restart it was reached again{said}" for said in left if said), "")
    when = "later" if other.attempt == first.attempt else "after a restart"
    return f"; {when} {_cause(study, other)}{_outlived(study, other)}"


def _outlived(study: Study, kill: OomVerdict) -> str:
    """Files in memory that are charged to the pod, because the container that wrote them is gone."""
    newest: dict[str, Timeline] = {}
    for owner, line in sorted(study.timelines.items(), key=lambda one: one[0].attempt or 0):
        if owner.pod == kill.pod and owner.container and line.t and line.t[0] <= kill.time_s:
            newest[owner.container] = line
    exited = {one.owner for one in study.instances if one.exited_s is not None and one.exited_s < kill.time_s}
    there = [line for line in newest.values() if line.owner not in exited]
    mine = [line for line in study.timelines.values() if line.owner.pod == kill.pod and line.owner.container]
    ended = [line for line in mine if line.t and line.t[0] <= kill.time_s and line not in there]
    wrote = {one.owner.container for one in ended if (last(one.shmem) or 0) >= LEFT}
    own = sum(value_at(line.t, line.shmem, kill.time_s) or 0 for line in there)
    left = (kill.held.get("shmem") or 0) - own
    if kill.level != "pod" or not wrote or left < max(LEFT, LEFT_SHARE * sum(kill.held.values())):
        return ""
    gone = wrote - {line.owner.container for line in there}  # it has no instance any more
    whom = f"{wrote.pop()}, which wrote them" if len(wrote) == len(gone) == 1 else "the container which wrote them"
    return f", {format_bytes(left)} of it files in memory (shmem) that outlived {whom}"


def _evicted(study: Study, kill: OomVerdict) -> str:
    """Whom the kubelet evicted on the node that ran out, and who of the two was first: it or the kernel."""
    if kill.level != "node" or not study.evictions:
        return ""
    apart = [(one.pod, one.t - kill.time_s) for one in study.evictions[:NAMED]]
    pods = [f"{pod} {format_seconds(abs(t))} {'after' if t > 0 else 'before'} that" for pod, t in apart]
    more = f", and {count(len(study.evictions) - NAMED, 'more pod')}" if len(study.evictions) > NAMED else ""
    return f"; the kubelet evicted {', then '.join(pods)}{more}"


def _refused(study: Study, kill: OomVerdict) -> str:
    """How many resizes of the container were refused before."""
    mine = (kill.pod, kill.container.rpartition("/")[2])
    number = sum(
        (one.pod, one.subject.rpartition("/")[2]) == mine
        and one.t <= kill.time_s
        and one.detail["outcome"] not in ("started", "completed")
        for one in study.resizes
    )
    return f"; {count(number, 'resize')} before that {'was' if number == 1 else 'were'} refused" if number else ""


def _resizes(study: Study, kill: OomVerdict) -> list[Happening]:
    """The resizes of its container that had begun by then; where the pod's limit was met, of any in the pod."""
    mine = kill.container.rpartition("/")[2]
    return [
        one
        for one in study.resizes
        if one.pod == kill.pod
        and (kill.level == "pod" or one.subject.rpartition("/")[2] == mine)
        and one.t <= kill.time_s
        and one.detail["outcome"] in ("started", "completed")
    ]


def while_resized(study: Study, kill: OomVerdict) -> bool:
    """Whether a resize was under way, or had just been: the time of a kill is known to about a tick of printk."""
    last = _resizes(study, kill)[-1:]
    return any(one.detail["outcome"] == "started" or kill.time_s - one.t < RESIZE_S for one in last)


def _same(study: Study, kill: OomVerdict) -> str:
    """Of a pod whose only limited container has the same limit: the pod's is reached first, as pause counts too."""
    own = next((one.memory_max for one in study.instances if one.owner == kill.owner), None)
    return f", which {kill.container} has too," if own is not None and own == kill.limit_bytes else ""


def _into_its_own(kill: OomVerdict, first: OomVerdict) -> str:
    """After how long, in a pod that gets requests of its own; then at which limit."""
    began_s, after_s = kill.time_s - (kill.after_first_request_s or 0.0), kill.after_first_request_s
    apart = kill.pod != first.pod and after_s is not None and began_s > first.time_s
    when = f" {format_seconds(after_s)} after its first request" if apart and after_s is not None else ""
    return f"{when}{_at_another(kill, first)}"


def _at_another(kill: OomVerdict, first: OomVerdict) -> str:
    """At which limit, where it is another one than that of the first kill."""
    where = {"container": "at its own limit", "pod": "at its pod's limit", "node": "at the node's limit"}
    limit = "" if kill.limit_bytes is None else f" of {format_bytes(kill.limit_bytes)}"
    if kill.level not in where:
        text = "" if first.level == kill.level else ", as the machine itself had no memory left"
    elif kill.level == "container" or kill.level != first.level or (kill.level == "pod" and kill.pod != first.pod):
        text = f", {where[kill.level]}{limit}"
    else:
        text = ""
    return f"{text}{_full_swap(kill)}"


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
            then = "" if line.owner.pod == kill.pod else " then"
            used = f"{line.label} used {of_limit(before[-1][1], limit)}{then}"
            found.append(_lived(line, kill, limit) or used)
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


def first_of_each(kills: list[OomVerdict]) -> list[OomVerdict]:
    """The first kill of each container, in order of time."""
    found: dict[str, OomVerdict] = {}
    for kill in kills:
        found.setdefault(kill.container, kill)
    return list(found.values())
