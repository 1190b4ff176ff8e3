"""The OOM verdict: every OOM kill in the pod, whose limit it was, who died, and how well that is known.

No single witness is enough (cgroup-v2.rst, "memory.events", and measured kills):

- memory.events(.local) are the counters of record. `oom` rises where the limit was hit, `oom_kill` where the victim
  died; a global OOM raises `oom_kill` alone. But a cgroup may vanish before its counters are read: then the pod's
  hierarchical memory.events still shows that somebody was killed, and an exit with 137 at that time shows who.
- The kernel's log names who asked and what the victim held. But all of a block except its kill line is rate limited,
  that line names no cgroup, and other people's kills are in the same log: a process must be known as ours.
- Exit 137 is any SIGKILL; `docker kill` leaves the same trace. It never makes a verdict alone.
- Docker's OOMKilled flag races with the exit event. It is only ever a further voice, or a contradiction.
"""

from __future__ import annotations

from emu.messages import QUEUE_PROXY, SANDBOX
from emu.policy.kubelet.ending import KILLED
from emu.policy.oom_victims import points
from emu.record.events import Owner
from emu.record.samples import NODE
from emu.study.counters import Rise, rises, value_at
from emu.study.culprit import culprit, victim
from emu.study.kernel_log import LoggedKill
from emu.study.kernel_parts import KERNEL_PARTS, OTHER, dirty, other_kernel
from emu.study.model.instances import Instance, container_of
from emu.study.model.kills import Candidate, OomVerdict
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.oom_pieces import EXIT_S, JOIN_S, Kill, collect, within
from emu.study.requests import most_in_flight
from emu.study.restraints import is_full

OOM_KILLED, ERROR, COMPLETED, START_ERROR = "OOMKilled", "Error", "Completed", "StartError"
MEMORY_EVENTS, KMSG, EXIT_CODE, DOCKER_FLAG = "memory.events", "kmsg", "exit-code", "docker-flag"


def exit_reason(instance: Instance, kills: list[OomVerdict]) -> str | None:
    """How Kubernetes would word the end of an instance; None while it runs. OOMKilled only by our own verdict, and
    then whatever the exit code: runtimes keep in mind that a process of the container was killed, if only a child.
    What was never started has a reason of its own.
    """
    if instance.exit_code is None:
        return None
    if any(kill.owner == instance.owner for kill in kills):
        return OOM_KILLED
    if instance.started_s is None:
        return START_ERROR
    return COMPLETED if instance.exit_code == 0 else ERROR


def judge(study: Study, logged: list[LoggedKill]) -> list[OomVerdict]:
    """Every OOM kill of the run, in order of time."""
    kills = collect(study, logged)
    return sorted((_verdict(study, kill, kills) for kill in kills), key=lambda one: one.time_s)


def _verdict(study: Study, kill: Kill, kills: list[Kill]) -> OomVerdict:
    first = kill.logged[0] if kill.logged else None
    instance = kill.instance
    t = first.t if first else kill.t
    died = _main_died(kill, kills)
    level, doubts = _level(study, kill, first)
    timeline = study.timelines.get(instance.owner)
    pod = study.timelines.get(instance.owner.whole_pod)
    whose = {"pod": pod, "node": study.node}.get(level, timeline)
    evidence, contradicts = _voices(kill, died)
    swap_limit = _swap_limit(first, level, instance, whose, t)
    if swap_limit is None and level == "pod":
        swap_limit = _swap_limit_below(study, instance, t)
    began = study.first_request_to(instance.pod)
    return OomVerdict(
        time_s=t,
        container=instance.container,
        attempt=instance.attempt,
        level=level,
        invoker=first.invoker if first else None,
        victim=first.comm if first else None,
        pid=first.pid if first else None,
        pids=tuple(dict.fromkeys(entry.pid for entry in kill.logged)),
        child=not died,
        frozen=study.was_frozen(instance.owner, t),
        at_end=instance.stop is not None and instance.stop.why == "run" and instance.stop.asked_s <= t,
        anon_rss_bytes=first.anon_rss_bytes if first else None,
        file_rss_bytes=first.file_rss_bytes if first else None,
        shmem_rss_bytes=first.shmem_rss_bytes if first else None,
        limit_bytes=_limit(first, level, instance, whose, t),
        usage_bytes=_usage(first, level, whose, t),
        held=_held(first, level, whose, t),
        dirty_bytes=_dirty(first, level, whose, t),
        held_kernel=_held_kernel(first, level, whose, t),
        victim_is=None if first is None else victim(study, instance, first),
        culprit=culprit(study, instance, kill.logged, level),
        swap_bytes=_before(timeline, "swap", t),
        swap_limit_bytes=swap_limit,
        swap_left="not-allowed"
        if _nobody_may_swap(study, instance, level)
        else _swap_left(study, first, whose, swap_limit, t),
        in_flight=None if study.requests is None else most_in_flight(study.in_flight_to(instance.pod), t - 0.2, t),
        in_backlog=_before(pod, "backlog", t) if instance.container == QUEUE_PROXY else None,
        after_first_request_s=None if began is None or began > t else t - began,
        evidence=evidence,
        contradicts=(*doubts, *contradicts),
        log=tuple(dict.fromkeys(line for entry in kill.logged for line in entry.lines)),
        kernel_us=first.kernel_us if first else None,
        pod=instance.pod,
        candidates=_candidates(study, first, level, t),
    )


def _main_died(kill: Kill, kills: list[Kill]) -> bool:
    """Whether the container ended by this kill. A killed child leaves it running."""
    instance = kill.instance
    if any(entry.pid == instance.pid for entry in kill.logged):
        return True
    if kill.group:
        return True
    if instance.exit_code != KILLED or instance.asked or instance.exited_s is None:
        return False
    last = max((other for other in kills if other.instance.owner == instance.owner), key=lambda other: other.t)
    return last is kill and -JOIN_S <= instance.exited_s - kill.t <= EXIT_S


def _level(study: Study, kill: Kill, logged: LoggedKill | None) -> tuple[str, tuple[str, ...]]:
    """Whose memory ran out, by the counters; the log decides between several and is contradicted by none."""
    by_log = _level_by_log(study, kill.instance, logged)
    counted = _levels_by_counters(study, kill)
    if not counted:
        return by_log or "container", ()
    if by_log is None or by_log in counted:
        return by_log or counted[0], ()
    if counted == ["host"]:
        return by_log, ()  # that nothing had risen is no reading: on a busy machine counters are read seconds later
    if by_log == "container" and not rises(study, kill.instance.owner, "oom"):
        return by_log, ()  # its cgroup was gone before its counter was read; what rose above it was another kill's
    return counted[0], (f"{KMSG}: {by_log} level",)


def _level_by_log(study: Study, instance: Instance, logged: LoggedKill | None) -> str | None:
    if logged is None or (logged.oom_memcg is None and not logged.is_global):
        return None
    if logged.oom_memcg is None:
        return "host"
    if instance.id and instance.id in logged.oom_memcg:
        return "container"
    if instance.cgroup and within(logged.oom_memcg, instance.cgroup):
        return "container"
    pod = study.cgroups.get(instance.pod) or study.pod_cgroup
    if pod and within(logged.oom_memcg, pod):
        return "pod"
    return "node" if study.pod_cgroup and within(logged.oom_memcg, study.pod_cgroup) else "host"


def _levels_by_counters(study: Study, kill: Kill) -> list[str]:
    """Where `oom` rose at that time: several where it rose at several; `host` where it rose nowhere that we read."""
    if not kill.counted:
        return []
    own = rises(study, kill.instance.owner, "oom")
    pod = rises(study, kill.instance.owner.whole_pod, "oom")
    below = rises(study, kill.instance.owner.whole_pod, "oom", below=True)

    def near(found: list[Rise]) -> int:
        return sum(rise.by for rise in found if abs(rise.t - kill.t) <= JOIN_S)

    levels = ["container"] if near(own) else []
    levels += ["pod"] if near(pod) else []
    levels += ["node"] if near(rises(study, NODE, "oom", below=False)) else []
    if not levels and near(below) > near(pod):
        return ["container"]
    return levels or ["host"]


def _voices(kill: Kill, died: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    instance = kill.instance
    evidence = [MEMORY_EVENTS] if kill.counted else []
    contradicts = []
    if kill.logged:
        evidence.append(KMSG)
    if died and instance.exit_code == KILLED:
        evidence.append(EXIT_CODE)
    elif died and instance.exit_code is not None:
        contradicts.append(f"{EXIT_CODE}: {instance.exit_code}")
    if instance.docker_oom_killed:
        evidence.append(DOCKER_FLAG)
    elif died and instance.docker_oom_killed is False:
        contradicts.append(f"{DOCKER_FLAG}: false")
    return tuple(evidence), tuple(contradicts)


def _limit(logged: LoggedKill | None, level: str, instance: Instance, whose: Timeline | None, t: float) -> int | None:
    if level == "host":
        return None
    if logged and logged.limit_bytes is not None:
        return logged.limit_bytes
    return _before(whose, "memory_max", t) or (instance.memory_max if level == "container" else None)


def _swap_limit(
    logged: LoggedKill | None, level: str, instance: Instance, whose: Timeline | None, t: float
) -> int | None:
    if level == "host":
        return None
    if logged and logged.swap_limit_bytes is not None:
        return logged.swap_limit_bytes
    read = _before(whose, "swap_max", t)
    return instance.swap_max if read is None and level == "container" else read


def _swap_limit_below(study: Study, instance: Instance, t: float) -> int | None:
    """What the containers of its pod may swap together: a pod has no limit of its own. None where one has none."""
    newest = {
        one.container: one.swap_max
        for one in study.instances
        if one.pod == instance.pod and container_of(one.container) != SANDBOX and _was_there(one, t)
    }
    known = [limit for limit in newest.values() if limit is not None]
    return sum(known) if known and len(known) == len(newest) else None


def _was_there(instance: Instance, t: float) -> bool:
    return (instance.created_s or 0.0) <= t and (instance.exited_s is None or instance.exited_s >= t - JOIN_S)


def _nobody_may_swap(study: Study, instance: Instance, level: str) -> bool:
    """Whether no container below the pod's or node's limit that was hit may use swap."""
    pods = {"pod": {instance.pod}, "node": {one.pod for one in study.instances}}.get(level, set())
    below = [one for one in study.instances if one.pod in pods and container_of(one.container) != SANDBOX]
    return bool(below) and all(one.swap_max == 0 for one in below)


def _swap_left(
    study: Study, logged: LoggedKill | None, whose: Timeline | None, limit: int | None, t: float
) -> str | None:
    """Why no more could go to swap; see `OomVerdict.swap_left`."""
    host = study.host
    if limit == 0:
        return "not-allowed"
    total = value_at(host.t, host.swap_total, t)
    total = study.machine.swap_bytes if total is None else total
    if total == 0:
        return "no-swap"
    mine = logged.swap_usage_bytes if logged else None
    mine = _before(whose, "swap", t) if mine is None else mine
    if limit is not None and mine is not None and is_full(mine, limit):
        return "limit"
    used = value_at(host.t, host.swap_used, t)
    if used is None or total is None:
        return None
    return "machine-full" if is_full(used, total) else "some"


def _usage(logged: LoggedKill | None, level: str, whose: Timeline | None, t: float) -> int | None:
    if logged and logged.usage_bytes is not None:
        return logged.usage_bytes
    return None if level == "host" else _before(whose, "memory_current", t)


def _held(logged: LoggedKill | None, level: str, whose: Timeline | None, t: float) -> dict[str, int]:
    """What the memory was: by the kernel's own statistics of the level that ran out, else by the last sample."""
    stat = logged.memory if logged and level != "host" else {}
    if "anon" in stat and "file" in stat:
        held = {name: stat.get(name) for name in ("anon", "shmem", "kernel", "sock")}
        held["page_cache"] = stat["file"] - stat.get("shmem", 0)
    else:
        held = {name: _before(whose, name, t) for name in ("anon", "page_cache", "shmem", "kernel", "sock")}
    return {name: value for name, value in held.items() if value is not None}


def _dirty(logged: LoggedKill | None, level: str, whose: Timeline | None, t: float) -> int | None:
    """What of the page cache is not on disk yet, by the same."""
    stat = logged.memory if logged and level != "host" else {}
    logs = dirty(stat)
    return _before(whose, "dirty", t) if logs is None else logs


def _held_kernel(logged: LoggedKill | None, level: str, whose: Timeline | None, t: float) -> dict[str, int]:
    """What its kernel memory was."""
    stat = logged.memory if logged and level != "host" else {}
    held = {**{name: stat.get(name) for name in KERNEL_PARTS}, OTHER: other_kernel(stat)}
    if all(value is None for value in held.values()):
        held = {name: _before(whose, name, t) for name in (*KERNEL_PARTS, OTHER)}
    return {name: value for name, value in held.items() if value is not None}


def _candidates(study: Study, logged: LoggedKill | None, level: str, t: float) -> tuple[Candidate, ...]:
    """The containers that the kernel chose from, each by its process with the most points."""
    if logged is None or level == "container":
        return ()
    swap = value_at(study.host.t, study.host.swap_total, t)
    swap = study.machine.swap_bytes if swap is None else swap
    memory = study.machine.memory_bytes if level == "host" else logged.limit_bytes
    if memory is None or swap is None:
        return ()
    limit = logged.swap_limit_bytes
    whole = memory + (swap if limit is None or level == "host" else min(limit, swap))
    mains = {one.pid: one.owner for one in study.instances if one.pid is not None and _lives_at(one, t)}
    found: dict[Owner, Candidate] = {}
    for task in logged.tasks:
        owner = mains.get(task.pid) or study.pids.get(task.pid)
        if owner is None or task.oom_score_adj is None or container_of(owner.container) == SANDBOX:
            continue
        held = task.rss_bytes + task.other_bytes
        score = points(held, task.oom_score_adj, whole)
        if score is not None and (owner not in found or score > found[owner].points_bytes):
            found[owner] = Candidate(owner.pod, owner.container, held, task.oom_score_adj, score)
    return tuple(sorted(found.values(), key=lambda one: -one.points_bytes))


def _lives_at(instance: Instance, t: float) -> bool:
    return instance.exited_s is None or instance.exited_s >= t


def _before(line: Timeline | None, column: str, t: float) -> int | None:
    """The last value before a time, as far as it was sampled."""
    return None if line is None else value_at(line.t, getattr(line, column), t)
