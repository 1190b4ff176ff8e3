"""The tree of cgroups at any moment: who is in whom, and what each was charged by its last sample.

A row of the tree is a place: pods of a workload that came one after another have the same one, and so have the
instances of a container. Whatever a cgroup was charged beyond those below it is a row of its own: pages of containers
that are gone, and of tmpfs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from emu.messages import SANDBOX
from emu.policy.kubelet.names import qos_name
from emu.policy.qos import QosClass
from emu.record.events import Owner
from emu.study.model.instances import Instance, container_of
from emu.study.model.kills import OomVerdict
from emu.study.model.study import Study
from emu.study.model.timeline import Column, Timeline
from emu.study.pods import lanes

Level = Literal["node", "class", "pod", "container", "own"]
PARTS = ("anon", "shmem", "kernel", "sock", "page_cache", "swap")
"""What memory.stat splits a charge into, from what the kernel cannot drop; swap is beyond memory.current."""
COUNTED_S = 0.25
"""A kill that a sample has counted is at most so much later in the kernel's log: the recorder may have waited between
taking the time and reading, and the clocks are aligned to milliseconds.
"""
OWN_BYTES = 2**20
"""A cgroup that was never charged so much itself has no row for it: the kernel reads one cgroup after another."""
_CLASSES: tuple[QosClass, ...] = ("Guaranteed", "Burstable", "BestEffort")


@dataclass(frozen=True)
class Stay:
    """One cgroup in a place: while it was there."""

    owner: Owner
    line: Timeline
    until_s: float
    """The first sample that no longer has it; infinite for one that was there to the end."""
    instance: Instance | None = None

    def covers(self, t: float) -> bool:
        """Whether it was there at a time, by the samples."""
        return bool(self.line.t) and self.line.t[0] <= t < self.until_s


@dataclass(frozen=True)
class Seen:
    """An OOM kill, and the last sample before it: from that one on the tree has it."""

    kill: OomVerdict
    t: float


@dataclass(frozen=True)
class Place:
    """A row of the tree."""

    level: Level
    name: str
    """What it is called whichever cgroup is there; a pod's is that of its first."""
    depth: int
    above: int | None
    """The row that it is in, by its number."""
    stays: tuple[Stay, ...] = ()
    """In order of time. None of a class that was not sampled, whose pods are added up, and of `own`."""
    kills: tuple[Seen, ...] = ()
    """A container's: those that it suffered. Of the others, those because their own limit was met."""

    def stay_at(self, t: float) -> Stay | None:
        """The cgroup that was there at a time."""
        return next((stay for stay in reversed(self.stays) if stay.covers(t)), None)


@dataclass(frozen=True)
class Charge:
    """What a cgroup was charged, and what it was allowed, in bytes. None is no limit, or not measured."""

    current: int | None = None
    parts: dict[str, int] = field(default_factory=dict)
    """By PARTS; what was not measured is not there."""
    limits: dict[str, int] = field(default_factory=dict)
    """memory.max and the like, those that are set."""


LIMITS = {f"memory.{kind}": f"memory_{kind}" for kind in ("max", "high", "low", "min")}
"""Control files that limit or protect, with the column of each."""
PROTECTION = ("memory.low", "memory.min")
"""Those that keep reclaim away; 0 keeps nothing."""


def places(study: Study) -> list[Place]:
    """All rows, each after the one that it is in. `study` has the containers' own names."""
    rows: list[Place] = []
    node = None
    if study.node is not None and study.node.t:
        kills = tuple(_seen(study, [kill for kill in study.kills if kill.level == "node"]))
        rows.append(Place("node", "node", 0, None, (_stay(study, study.node),), kills))
        node = 0
    by_class: dict[QosClass | None, list[tuple[str, ...]]] = {}
    for lane in lanes(study):
        by_class.setdefault(_class(study, lane.pods[0]), []).append(lane.pods)
    for qos in (None, *_CLASSES):
        above = node
        if node is not None and qos in ("Burstable", "BestEffort") and qos in by_class:
            rows.append(Place("class", qos, 1, node))
            above = len(rows) - 1
        for pods in by_class.get(qos, ()):
            _add_pod(rows, study, pods, above)
    if node is not None:
        _add_own(rows, node)
    return rows


def _class(study: Study, pod: str) -> QosClass | None:
    """By where its cgroup is; None where that is not on record."""
    own, root = study.cgroups.get(pod), study.pod_cgroup
    if own is None or root is None or own == root or not own.startswith(f"{root}/"):
        return None
    between = own.removeprefix(f"{root}/").split("/")[:-1]
    last = between[-1].removesuffix(".slice").rpartition("-")[2] if between else "Guaranteed"
    return next((qos for qos in _CLASSES if qos_name(qos) == last.lower()), None)  # capitals: in older runs


def _add_pod(rows: list[Place], study: Study, pods: tuple[str, ...], above: int | None) -> None:
    """A pod, or several one after another, with its containers in order of start and the sandbox last."""
    depth = 0 if above is None else rows[above].depth + 1
    mine = {owner: line for owner, line in study.timelines.items() if owner.pod in pods and line.t}
    kills = [kill for kill in study.kills if kill.pod in pods]
    whole = tuple(_stay(study, line) for owner, line in mine.items() if not owner.container)
    full = _seen(study, [kill for kill in kills if kill.level == "pod"])
    rows.append(Place("pod", pods[0], depth, above, _in_order(whole), tuple(full)))
    number = len(rows) - 1
    below: dict[str, list[Stay]] = {}
    for owner, line in mine.items():
        if owner.container:
            below.setdefault(container_of(owner.container), []).append(_stay(study, line))
    order = [one.container for one in study.instances if one.pod in pods]
    known = sorted(below, key=lambda name: (name == SANDBOX, order.index(name) if name in order else len(order)))
    for name in known:
        own = _seen(study, [kill for kill in kills if kill.container == name])
        rows.append(Place("container", name, depth + 1, number, _in_order(below[name]), tuple(own)))
    if whole:
        _add_own(rows, number)


def _seen(study: Study, kills: Sequence[OomVerdict]) -> Iterator[Seen]:
    return (Seen(kill, last_before(study, kill)) for kill in kills)


def _in_order(stays: Sequence[Stay]) -> tuple[Stay, ...]:
    return tuple(sorted(stays, key=lambda stay: stay.line.t[0]))


def _stay(study: Study, line: Timeline) -> Stay:
    instance = next((one for one in study.instances if one.owner == line.owner), None)
    return Stay(line.owner, line, _gone(study, line), instance)


def _gone(study: Study, line: Timeline) -> float:
    """When a cgroup was no longer there: it has no more samples. A pod's line stays, with nothing in it."""
    if not line.owner.container and line.owner.pod in {one.pod for one in study.instances}:
        ends = [one.exited_s for one in study.instances if one.pod == line.owner.pod]
        over = max(float("inf") if end is None else end for end in ends)
        last = len(line.t)
        while last > 1 and not line.memory_current[last - 1] and line.t[last - 1] >= over:
            last -= 1
        if last < len(line.t):
            return line.t[last]
    times = study.host.t
    after = bisect_right(times, line.t[-1])
    return times[after] if after < len(times) else float("inf")


def _add_own(rows: list[Place], number: int) -> None:
    """A row for what a cgroup was charged itself, if that ever was anything."""
    stays = [stay for row in _below(rows, number) for stay in row.stays]
    held: dict[float, int] = {}
    for stay in stays:
        for t, current in zip(stay.line.t, stay.line.memory_current, strict=True):
            if t < stay.until_s:
                held[t] = held.get(t, 0) + (current or 0)
    own = (
        current - held.get(t, 0)
        for stay in rows[number].stays
        for t, current in zip(stay.line.t, stay.line.memory_current, strict=True)
        if current is not None and t < stay.until_s
    )
    if max(own, default=0) >= OWN_BYTES:
        rows.append(Place("own", f"charged to the {rows[number].level} itself", rows[number].depth + 1, number))


def _below(rows: Sequence[Place], number: int) -> Iterator[Place]:
    """The cgroups right below one; of a class that was not sampled, its pods."""
    for place, row in enumerate(rows):
        if row.above == number and row.level != "own":
            yield from [row] if row.stays else _below(rows, place)


def charges(rows: Sequence[Place], t: float) -> list[Charge | None]:
    """What each place was charged by its last sample at or before a time; None where no cgroup was there."""
    found: list[Charge | None] = [_sampled(row.stay_at(t), t) for row in rows]
    for number, row in enumerate(rows):
        if row.level == "class" and not row.stays:
            found[number] = _sum([found[place] for place, one in enumerate(rows) if one.above == number])
    for number, row in enumerate(rows):
        whole = None if row.above is None else found[row.above]
        if row.level == "own" and whole is not None:
            found[number] = _rest(whole, [found[p] for p, one in enumerate(rows) if one.above == row.above])
    return found


def _sampled(stay: Stay | None, t: float) -> Charge | None:
    if stay is None:
        return None
    line = stay.line
    row = bisect_right(line.t, t) - 1
    parts = {part: _value(getattr(line, part), row) for part in PARTS}
    limits = {file: _value(getattr(line, column), row) for file, column in LIMITS.items()}
    limits = {file: None if value == 0 and file in PROTECTION else value for file, value in limits.items()}
    if not any(value is not None for value in line.memory_max) and stay.instance is not None:
        limits["memory.max"] = stay.instance.memory_max  # its memory.max was never read
    return Charge(_value(line.memory_current, row), _known(parts), _known(limits))


def _value(column: Column, row: int) -> int | None:
    return column[row] if row < len(column) else None


def _known(values: dict[str, int | None]) -> dict[str, int]:
    return {name: value for name, value in values.items() if value is not None}


def _sum(charged: Sequence[Charge | None]) -> Charge | None:
    known = [one for one in charged if one is not None]
    if not known:
        return None
    parts = {part: sum(one.parts[part] for one in known if part in one.parts) for part in PARTS}
    named = {part for one in known for part in one.parts}
    return Charge(
        sum(one.current or 0 for one in known), {part: value for part, value in parts.items() if part in named}
    )


def _rest(whole: Charge, below: Sequence[Charge | None]) -> Charge:
    """The remainder of a charge without those below: never less than nothing, and no part more than all of it. Files
    are read one after another, so that differences of a few pages mean nothing.
    """
    held = _sum(below) or Charge(0)
    current = None if whole.current is None else max(0, whole.current - (held.current or 0))
    parts = {part: max(0, value - held.parts.get(part, 0)) for part, value in whole.parts.items()}
    return Charge(current, parts if current is None else {part: min(value, current) for part, value in parts.items()})


@dataclass(frozen=True)
class Moment:
    """A time that a reader asks for first of all."""

    t: float
    words: str
    """`the last sample before queue-proxy was OOM-killed at 4.833 s`."""
    label: str
    """In short: `queue-proxy killed, 4.833 s`."""


def last_before(study: Study, kill: OomVerdict) -> float:
    """The last sample that has the victim as it was when it was killed. A sample's time is from before its files are
    read, so the last one before a kill by its time may have counted it.
    """
    line = study.timelines.get(kill.owner)
    if line is None or not line.t:
        return kill.time_s
    row = max(bisect_right(line.t, kill.time_s) - 1, 0)
    counted = line.events_all.get("oom_kill") or line.events.get("oom_kill") or [None] * len(line.t)
    near = range(row, bisect_right(line.t, kill.time_s - COUNTED_S), -1)
    return line.t[next((at - 1 for at in near if at and (counted[at] or 0) > (counted[at - 1] or 0)), row)]


def moments(study: Study, rows: Sequence[Place]) -> list[Moment]:
    """When each was killed, or the first pod was evicted, and when all together held most. The first of them is the
    moment that a headline speaks of.
    """
    several = sum(row.level == "pod" for row in rows) > 1
    found = [_kill(study, kill, several=several) for kill in study.kills]
    for one in study.evictions[:1]:
        found.append(Moment(one.t, f"when the pod {one.pod} was evicted", f"{one.pod} evicted, {one.t:.3f} s"))
    return [*found, *_peak(rows)]


def _kill(study: Study, kill: OomVerdict, *, several: bool) -> Moment:
    name = f"{kill.pod}/{kill.container}" if several and kill.pod else kill.container
    who = f"a child process of {name}" if kill.child else name
    when = f"{kill.time_s:.3f} s"
    words = f"the last sample before {who} was OOM-killed at {when}"
    return Moment(last_before(study, kill), words, f"{name} killed, {when}")


def _peak(rows: Sequence[Place]) -> Iterator[Moment]:
    top = [row for row in rows if row.above is None]
    held: dict[float, int] = {}
    for stay in (stay for row in top for stay in row.stays):
        for t, current in zip(stay.line.t, stay.line.memory_current, strict=True):
            held[t] = held.get(t, 0) + (current or 0)
    if held:
        who = "all pods together" if len(top) > 1 else f"the {top[0].level}"
        t = max(held, key=lambda t: held[t])
        yield Moment(t, f"when {who} held most", f"held most, {t:.3f} s")


def name_at(place: Place, t: float) -> str:
    """What a place is called at a time: that of a pod, as the pod that was there then."""
    stay = place.stay_at(t)
    return stay.owner.pod if place.level == "pod" and stay else place.name
