"""The load of a run: its phases, and every request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from emu.study.ends import End

Reached = Literal["pod", "none", "unknown"]
OK = "2xx"
"""The outcome of a request that was answered with success."""


@dataclass(frozen=True)
class Request:
    """One request. `error` is `unanswered` where the run ended before it did."""

    id: int
    phase: str
    due_s: float
    sent_s: float
    first_byte_s: float | None
    done_s: float | None
    status: int | None
    error: str | None
    bytes: int = 0
    reason: str | None = None
    """Why it was not answered well, as summary.json names it; None where nothing went wrong."""
    end: End | None = None
    """What queue-proxy or the activator recorded of its end; None where the app answered it, or nothing is known."""
    begun_s: float | None = None
    """When the load generator took it up; None where it did not say so, and `due_s` stands for it."""
    pod: str = ""
    """The pod that it was sent to, by its client or by the activator; empty where it reached none, or that is not
    known.
    """
    container: str = ""
    """The container of that pod that it was sent to."""
    revision: str = ""
    """The revision that the ingress drew for it; empty where there was only one, or the record is older."""
    ports: tuple[int, ...] | None = None
    """The client's and the activator's, where it was sent to one; empty without a connection. None in older runs."""
    forwarded_s: float | None = None
    """When the activator sent it on to the pod."""
    cold: bool = False
    """It waited in the activator because there was no pod."""
    reached: Reached = "unknown"
    """Whether it got to a pod."""

    @property
    def through_activator(self) -> bool:
        """It was sent to an activator, and that is on record."""
        return self.ports is not None

    @property
    def in_pod_s(self) -> float:
        """From when the pod had it."""
        return self.sent_s if self.forwarded_s is None else self.forwarded_s

    @property
    def begin_s(self) -> float:
        """From when its latency counts."""
        return self.due_s if self.begun_s is None else self.begun_s

    @property
    def late_s(self) -> float | None:
        """How long after it was due the load generator took it up; None where that was not recorded."""
        return None if self.begun_s is None else max(0.0, self.begun_s - self.due_s)

    @property
    def took_s(self) -> float | None:
        """From its begin to its end, whatever that was; None where the run ended first."""
        return None if self.done_s is None else self.done_s - self.begin_s

    @property
    def outcome(self) -> str:
        """What became of it: `2xx`, any other status by its number, or the name of an error."""
        if self.error is not None or self.status is None:
            return self.error or "unanswered"
        return OK if 200 <= self.status < 300 else str(self.status)

    @property
    def answered(self) -> bool:
        """A whole answer arrived, whatever its status."""
        return self.error is None

    @property
    def latency_s(self) -> float | None:
        """From when it was begun to its end: connecting counts, what the load generator was late does not. None for
        one that was not answered.
        """
        return self.took_s if self.answered else None


@dataclass
class InFlight:
    """How many requests were sent and not yet done: a step curve, `n[i]` from `t[i]` on."""

    t: list[float] = field(default_factory=list)
    n: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class PhaseSpan:
    """A phase of the load. What it set going is counted to it until the next one begins."""

    name: str
    begin_s: float
    end_s: float
    """When its load ended."""
    until_s: float
    """When the next phase begins, or the run ended."""
    waits_for: str | None = None
    """What was to end it before its time, in words."""
    met: bool | None = None
    """Whether that came; None where it waited for nothing, or the run ended first."""
    bound_s: float | None = None
    """How long it may take."""
    unsent: int = 0
    """Of one that waits: how many requests were due by its end and not sent."""
    pod: str = ""
    """The pod that it sends to; empty where there is only one."""
    container: str = ""
    """The container that does what the requests ask for; empty where that was not recorded."""
    reads: str | None = None
    """The file that each of its requests reads."""
    files_of: str = ""
    """The pod whose volume that file is in."""
