"""The pieces of a kill: what counters counted, joined with what the kernel's log reported, by container and time.

First each container's own counters with its own log lines; then what only the pod's hierarchical counter saw; last,
where no counter could be read at all, what Docker claims.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from emu.policy.kubelet.ending import KILLED
from emu.study.counters import Rise, rises
from emu.study.kernel_log import LoggedKill
from emu.study.model.instances import Instance
from emu.study.model.study import Study

JOIN_S = 1.0
"""Two records this close may report the same kill: a sample, an event and a log line come from different readers."""
EXIT_S = 10.0
"""Docker reports a killed main process as exited within this time; a busy small machine took 2 s."""


@dataclass
class Kill:
    """One kill while it is being pieced together."""

    instance: Instance
    t: float
    counted: bool = False
    logged: list[LoggedKill] = field(default_factory=list)
    group: bool = False


def collect(study: Study, logged: list[LoggedKill]) -> list[Kill]:
    """Every kill of a process of this pod, in order of time."""
    ours = [(instance, kill) for kill in logged if (instance := _owner(study, kill)) is not None]
    kills: list[Kill] = []
    for instance in study.instances:
        mine = [kill for owner, kill in ours if owner == instance]
        kills.extend(_of_instance(study, instance, mine))
    _adopt(kills, [kill for kill in logged if not any(kill is known for _, known in ours)])
    kills.extend(_from_the_pod(study, kills))
    kills.extend(_from_the_flag(study, kills))
    return sorted(kills, key=lambda kill: kill.t)


def _owner(study: Study, kill: LoggedKill) -> Instance | None:
    """Whose process it was: by the cgroup that the log names, else by where the process was seen before."""
    for instance in study.instances:
        if kill.task_memcg and instance.id and instance.id in kill.task_memcg:
            return instance
        if kill.task_memcg and instance.cgroup and within(kill.task_memcg, instance.cgroup):
            return instance
    if kill.task_memcg:
        return None
    key = study.pids.get(kill.pid)
    alive = [entry for entry in study.instances if kill.pid == entry.pid or entry.owner == key]
    return next((entry for entry in alive if _lived_at(entry, kill.t)), None)


def within(path: str, ancestor: str) -> bool:
    """Whether a cgroup is another one or below it; either may be named from a namespace's root or from the mount."""
    same = f"{path}/".endswith(f"{ancestor}/") or f"{ancestor}/".endswith(f"{path}/")
    return same or f"{ancestor}/" in f"{path}/"


def _lived_at(instance: Instance, t: float) -> bool:
    begin = instance.created_s if instance.created_s is not None else instance.started_s
    return (begin is None or begin - JOIN_S <= t) and (instance.exited_s is None or t <= instance.exited_s + JOIN_S)


def _of_instance(study: Study, instance: Instance, logged: list[LoggedKill]) -> list[Kill]:
    """The kills that the instance's own counters count, each joined with its log lines; then those only logged."""
    grouped = rises(study, instance.owner, "oom_group_kill") or [Rise(kill.t, 1) for kill in logged if kill.group][:1]
    kills: list[Kill] = []
    for rise in rises(study, instance.owner, "oom_kill"):
        if any(abs(rise.t - group.t) <= JOIN_S for group in grouped):
            if not any(kill.group for kill in kills):
                kills.append(Kill(instance, rise.t, counted=True, group=True))
            continue
        kills.extend(Kill(instance, rise.t, counted=True) for _ in range(rise.by))
    for entry in sorted(logged, key=lambda entry: entry.t):
        same = next((kill for kill in kills if any(known.pid == entry.pid for known in kill.logged)), None)
        group = next((kill for kill in kills if kill.group), None)
        free = [kill for kill in kills if not kill.logged]
        home = same or group or min(free, key=lambda kill: abs(kill.t - entry.t), default=None)
        if home is None:
            home = Kill(instance, entry.t, group=bool(grouped))
            kills.append(home)
        home.logged.append(entry)
    return kills


def _adopt(kills: list[Kill], strangers: list[LoggedKill]) -> None:
    """A kill line of a process never seen before (forked between two samples) belongs to the kill that was counted
    at its time and has no line of its own.
    """
    for entry in strangers:
        if entry.task_memcg:
            continue
        free = [kill for kill in kills if kill.counted and not kill.logged and abs(kill.t - entry.t) <= JOIN_S]
        if free:
            min(free, key=lambda kill: abs(kill.t - entry.t)).logged.append(entry)


def _from_the_pod(study: Study, kills: list[Kill]) -> list[Kill]:
    """Kills that only the pod's hierarchical counter saw: first those logged already, then exits with 137."""
    seen = [rise for entry in study.instances for rise in rises(study, entry.owner, "oom_kill")]
    unseen: list[Rise] = []
    for rise in (rise for pod in study.pods for rise in rises(study, pod, "oom_kill", below=True)):
        by = rise.by
        for own in [own for own in seen if abs(own.t - rise.t) <= JOIN_S]:
            if by > 0:
                by -= own.by
                seen.remove(own)
        if by > 0:
            unseen.append(Rise(rise.t, by))
    found: list[Kill] = []
    for rise in unseen:
        known = [kill for kill in kills if not kill.counted and abs(kill.t - rise.t) <= EXIT_S]
        if known:
            min(known, key=lambda kill: abs(kill.t - rise.t)).counted = True
            continue
        taken = {kill.instance.owner for kill in (*kills, *found)}
        dead = [
            entry
            for entry in study.instances
            if entry.exit_code == KILLED
            and not entry.asked
            and entry.owner not in taken
            and entry.exited_s is not None
        ]
        near = [entry for entry in dead if -JOIN_S <= (entry.exited_s or 0.0) - rise.t <= EXIT_S]
        if near:
            nearest = min(near, key=lambda entry: abs((entry.exited_s or 0.0) - rise.t))
            found.append(Kill(nearest, rise.t, counted=True))
    return found


def _from_the_flag(study: Study, kills: list[Kill]) -> list[Kill]:
    """Docker's flag with exit 137, believed only where no memory.events of the pod could be read at all."""
    counted = any(line.events or line.events_all for line in study.timelines.values()) or study.memory_marks
    taken = {kill.instance.owner for kill in kills}
    if counted:
        return []
    return [
        Kill(entry, entry.exited_s)
        for entry in study.instances
        if entry.docker_oom_killed
        and entry.exit_code == KILLED
        and entry.owner not in taken
        and entry.exited_s is not None
    ]
