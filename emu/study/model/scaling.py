"""Scaling: starts that were measured, and when there was no pod."""

from __future__ import annotations

from dataclasses import dataclass

from emu.policy.starts import Stage


@dataclass(frozen=True)
class Start:
    """One trial of a start: a request came to a pod that was as warm as `temperature`. Bytes, seconds, counts."""

    trial: int
    wanted: str
    """The temperature that was prepared."""
    temperature: str
    """What was found."""
    attempt: int
    arrived_s: float
    first_byte_s: float | None
    done_s: float
    status: int | None
    error: str | None
    stages: tuple[Stage, ...] = ()
    """One after the other from the arrival to the first byte."""
    faults: int | None = None
    """Page faults of the app from the arrival to the end of the answer; for one that was started, all since."""
    major_faults: int | None = None
    swap_in_bytes: int | None = None
    io_read_bytes: int | None = None
    held_bytes: int = 0
    """Memory of the pod's containers while it waited."""
    held_swap_bytes: int = 0
    image_cached_bytes: int | None = None
    image_bytes: int | None = None
    """The size of the image's files."""
    image_cached_after_bytes: int | None = None
    """Of them, what was in the page cache after the image was loaded."""

    @property
    def answered(self) -> bool:
        """The app answered: an activator that gave up says 503."""
        return self.error is None and self.first_byte_s is not None and self.status is not None and self.status < 500


@dataclass(frozen=True)
class Absence:
    """The pod was scaled to zero, and back if it was. Seconds; None: it did not happen."""

    decided_s: float
    """It was to go."""
    gone_s: float | None = None
    """Its containers and its cgroup were gone."""
    wanted_s: float | None = None
    """There was to be a pod again. It may be before the old one was gone."""
    ready_s: float | None = None
    """It was ready, and took the requests that waited."""
    waited: int = 0
    """How many those were."""
    why: str = ""
    """Why it was to go."""
    revision: str = ""
    """Whose pod it was; empty in runs from before there could be several."""

    def zero_s(self, end_s: float) -> tuple[float, float] | None:
        """From when to when there was no pod, and none on its way; None if that never was so."""
        if self.gone_s is None:
            return None
        until = end_s if self.wanted_s is None else self.wanted_s
        return (self.gone_s, until) if until > self.gone_s else None


@dataclass(frozen=True)
class ScaleUse:
    """What the autoscaler and the activator did in a run."""

    absences: tuple[Absence, ...] = ()
    """In order of time."""
    waited_s: tuple[float, ...] = ()
    """How long each request waited in the activator that was then forwarded."""
    timed_out: int = 0
    """Requests that were answered 504 while they waited."""
    abandoned: int = 0
    """Requests whose client went away while they waited."""
    to_zero: bool | None = None
    """Whether an idle service is scaled to zero at all; None where that was not recorded."""
