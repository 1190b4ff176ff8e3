"""A disk that pods share, by io.weight or because one of them swaps to it: how much of it each had while requests of
one waited for it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from emu.report.topics.topic import Figures, Listing, Topic
from emu.report.words import listed
from emu.study.measures import MOST, SHARES, Window, percentile, says_something
from emu.study.model.requests import PhaseSpan
from emu.study.model.study import Study
from emu.study.pods import workload
from emu.units import format_bytes, format_seconds

LEAST_BYTES = 2**20
"""Who moved less wanted nothing of the disk."""


@dataclass(frozen=True)
class Part:
    """What one pod read from the disk and wrote to it while a phase lasted."""

    pod: str
    io_weight: int | None
    """None where the disk is not shared by it."""
    disk_read_bytes: int
    disk_write_bytes: int
    swap_io_read_bytes: int
    """Of swap on that disk; 0 where swap is on another one."""
    swap_io_write_bytes: int
    swap_is_known: bool = True
    """Else it is among the bytes of files: kernels before pswpin and pswpout of a cgroup."""

    @property
    def moved_bytes(self) -> int:
        """Both ways."""
        return sum((self.disk_read_bytes, self.disk_write_bytes, self.swap_io_read_bytes, self.swap_io_write_bytes))


@dataclass(frozen=True)
class Shares:
    """A phase in which several pods wanted the disk."""

    phase: str
    answers: int
    took_s: float
    """The median of its answers."""
    tail: str
    """The percentile that says most of its answers: `p99`, or `max` of fewer than a hundred."""
    tail_s: float
    parts: tuple[Part, ...]
    """That of the pod which the phase sends to is the first."""
    alone: str | None = None
    """The phase in which that pod had the disk to itself."""
    alone_s: float | None = None
    """The same percentile of the answers then."""


def shares(study: Study) -> list[Shares]:
    """Every phase with an answer in which its pod and others read or wrote; none where each has a disk of its own in
    effect: no weight divides it, and no one swaps to it.
    """
    if not study.machine.io_weights and not _swaps_there(study):
        return []
    phases = [(phase, _parts(study, phase)) for phase in study.phases if phase.pod]
    return [
        _shares(
            study, phase, parts, [one for one, alone in phases if len(alone) == 1 and alone[0].pod == parts[0].pod]
        )
        for phase, parts in phases
        if parts and parts[0].pod == workload(phase.pod) and _is_shared(study, parts[1:]) and _answers(study, phase)
    ]


def _is_shared(study: Study, others: list[Part]) -> bool:
    """With weights by whoever wants it; without them it is a subject where one of them swaps."""
    swaps = any(
        one.swap_io_read_bytes + one.swap_io_write_bytes >= LEAST_BYTES or not one.swap_is_known for one in others
    )
    return bool(others) and (swaps or bool(study.machine.io_weights))


def _swaps_there(study: Study) -> bool:
    return any(device.is_both for device in study.machine.devices.values())


def _parts(study: Study, phase: PhaseSpan) -> list[Part]:
    """Of those who wanted the disk then, the pod that was asked first."""
    window, there = Window(study, phase.begin_s, phase.until_s), _swaps_there(study)
    parts = []
    for pod in dict.fromkeys(workload(line.owner.pod) for line in study.pod_timelines):
        io = window.io([line for line in study.pod_timelines if workload(line.owner.pod) == pod])
        swap = [io[f"swap_io_{way}_bytes"] or 0 if there else 0 for way in ("read", "write")]
        known, weight = io["disk_read_bytes"] is not None, study.machine.io_weights.get(pod)
        files = [io[f"{'disk' if known else 'io'}_{way}_bytes"] or 0 for way in ("read", "write")]
        parts.append(Part(pod, weight, files[0], files[1], swap[0], swap[1], swap_is_known=known))
    wanted = [one for one in parts if one.moved_bytes >= LEAST_BYTES]
    return sorted(wanted, key=lambda one: one.pod != workload(phase.pod))


def _answers(study: Study, phase: PhaseSpan) -> list[float]:
    taken = (one.latency_s for one in study.requests or () if one.phase == phase.name)
    return sorted(took for took in taken if took is not None)


def _shares(study: Study, phase: PhaseSpan, parts: list[Part], alone: list[PhaseSpan]) -> Shares:
    taken = _answers(study, phase)
    tail = next(name for name in ("p99", MOST) if says_something(name, len(taken)))
    each = ((one.name, _answers(study, one)) for one in alone)
    quiet = next(((name, known) for name, known in each if known and says_something(tail, len(known))), None)
    return Shares(
        phase.name,
        sum(one.phase == phase.name and one.answered for one in study.requests or ()),
        percentile(taken, SHARES["p50"]) or 0.0,
        tail,
        percentile(taken, SHARES[tail]) or 0.0,
        tuple(parts),
        None if quiet is None else quiet[0],
        None if quiet is None else percentile(quiet[1], SHARES[tail]),
    )


def figures(study: Study) -> Figures:
    """`disk_shares`: each such phase."""
    return {"disk_shares": [asdict(one) for one in shares(study)]}


def headline(study: Study, summary: Figures) -> list[str]:
    """The phase in which most was moved."""
    found = shares(study)
    return [_words(max(found, key=lambda one: sum(part.moved_bytes for part in one.parts)))] if found else []


def _words(one: Shares) -> str:
    mine, others = one.parts[0], one.parts[1:]
    meanwhile = listed(
        [_moved(part) + ("" if part.io_weight is None else f" at {part.io_weight}") for part in others]
    )
    took, which = format_seconds(one.took_s), one.phase
    if one.answers > 1:  # what was moved is all of theirs, the time is one's
        which += f", {one.answers:,} answers, {took} in the median"
        which += f", {'at most' if one.tail == MOST else one.tail} {format_seconds(one.tail_s)}"
    within = f" in {took}" if one.answers == 1 else ""
    weight = "" if mine.io_weight is None else f" at an io.weight of {mine.io_weight}"
    said = f"{_moved(mine)}{within}{weight} ({which}); meanwhile {meanwhile}"
    if mine.io_weight is None:
        said += " on the same disk"
    if one.alone_s is not None:
        named = "it took at most" if one.tail == MOST else f"{one.tail} was"
        said += f"; alone ({one.alone}) {named} {format_seconds(one.alone_s)}"
    return said


def _moved(part: Part) -> str:
    ways = [
        f"{did} {format_bytes(size)}"
        for did, size in (
            ("read", part.disk_read_bytes),
            ("wrote", part.disk_write_bytes),
            ("swapped in", part.swap_io_read_bytes),
            ("swapped out", part.swap_io_write_bytes),
        )
        if size >= LEAST_BYTES
    ]
    mixed = "" if part.swap_is_known else " (files and swap)"
    return f"{part.pod} {listed(ways) if ways else f'moved {format_bytes(part.moved_bytes)}'}{mixed}"


def sentences(study: Study, summary: Figures) -> list[str]:
    """One for each phase, and what a weight is."""
    found = [f"{_words(one)}." for one in shares(study)]
    if found and study.machine.io_weights:
        found.append(
            "A weight counts among pods of one QoS class while they want the disk at the same time; what one of "
            "them leaves the others may have."
        )
    return found


def listing(study: Study) -> Listing | None:
    """A row for each pod of each phase."""
    rows = tuple(
        (
            one.phase,
            part.pod,
            part.io_weight,
            format_bytes(part.disk_read_bytes),
            format_bytes(part.disk_write_bytes),
            format_bytes(part.swap_io_read_bytes),
            format_bytes(part.swap_io_write_bytes),
            format_seconds(one.took_s) if part is one.parts[0] else None,
            format_seconds(one.tail_s) if part is one.parts[0] else None,
        )
        for one in shares(study)
        for part in one.parts
    )
    heads = (
        "phase",
        "pod",
        "io.weight",
        "read",
        "written",
        "swapped in",
        "swapped out",
        "median answer",
        "p99 or longest",
    )
    return Listing(heads, rows, ("Bytes of io.stat, of that disk, until the next phase.",)) if rows else None


DISK_SHARES = Topic("Disk, shared", figures, headline, sentences, listing)
