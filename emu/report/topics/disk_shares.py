"""A disk that pods share by io.weight: how much of it each had while requests of one waited for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from emu.report.topics.topic import Figures, Listing, Topic
from emu.report.words import listed
from emu.study.measures import Window, median_answer_s
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
    io_weight: int
    disk_read_bytes: int
    disk_write_bytes: int

    @property
    def moved_bytes(self) -> int:
        """Both ways."""
        return self.disk_read_bytes + self.disk_write_bytes


@dataclass(frozen=True)
class Shares:
    """A phase in which several pods wanted the disk."""

    phase: str
    answers: int
    took_s: float
    """The median of its answers."""
    parts: tuple[Part, ...]
    """That of the pod which the phase sends to is the first."""


def shares(study: Study) -> list[Shares]:
    """Every phase with an answer in which its pod and others read or wrote; none where the disk is not shared by
    weight.
    """
    found = (_shares(study, phase) for phase in study.phases if study.machine.io_weights and phase.pod)
    return [one for one in found if one is not None]


def _shares(study: Study, phase: PhaseSpan) -> Shares | None:
    took_s = median_answer_s(study, phase)
    window = Window(study, phase.begin_s, phase.until_s)
    parts = []
    for pod, weight in study.machine.io_weights.items():
        io = window.io([line for line in study.pod_timelines if workload(line.owner.pod) == pod])
        read, written = io["disk_read_bytes"], io["disk_write_bytes"]
        parts.append(Part(pod, weight, read or 0, written or 0))
    wanted = sorted(
        (one for one in parts if one.moved_bytes >= LEAST_BYTES), key=lambda one: one.pod != workload(phase.pod)
    )
    if took_s is None or len(wanted) < 2 or wanted[0].pod != workload(phase.pod):
        return None
    answers = sum(one.phase == phase.name and one.answered for one in study.requests or ())
    return Shares(phase.name, answers, took_s, tuple(wanted))


def figures(study: Study) -> Figures:
    """`disk_shares`: each such phase."""
    return {"disk_shares": [asdict(one) for one in shares(study)]}


def headline(study: Study, summary: Figures) -> list[str]:
    """The phase in which most was moved."""
    found = shares(study)
    return [_words(max(found, key=lambda one: sum(part.moved_bytes for part in one.parts)))] if found else []


def _words(one: Shares) -> str:
    mine, others = one.parts[0], one.parts[1:]
    meanwhile = listed([f"{_moved(part)} at {part.io_weight}" for part in others])
    took, which = format_seconds(one.took_s), one.phase
    if one.answers > 1:  # what was moved is all of theirs, the time is one's
        which += f", {one.answers:,} answers, {took} in the median"
    within = f" in {took}" if one.answers == 1 else ""
    return f"{_moved(mine)}{within} at an io.weight of {mine.io_weight} ({which}); meanwhile {meanwhile}"


def _moved(part: Part) -> str:
    ways = [
        f"{did} {format_bytes(size)}"
        for did, size in (("read", part.disk_read_bytes), ("wrote", part.disk_write_bytes))
        if size >= LEAST_BYTES
    ]
    return f"{part.pod} {' and '.join(ways) or f'moved {format_bytes(part.moved_bytes)}'}"


def sentences(study: Study, summary: Figures) -> list[str]:
    """One for each phase, and what a weight is."""
    found = [f"{_words(one)}." for one in shares(study)]
    if found:
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
            format_seconds(one.took_s) if part is one.parts[0] else None,
        )
        for one in shares(study)
        for part in one.parts
    )
    heads = ("phase", "pod", "io.weight", "read", "written", "answered in")
    return (
        Listing(heads, rows, ("Bytes of io.stat, of the disk without swap, until the next phase.",)) if rows else None
    )


DISK_SHARES = Topic("Disk, shared by weight", figures, headline, sentences, listing)
