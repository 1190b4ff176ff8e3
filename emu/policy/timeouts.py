"""When a request has taken too long: queue-proxy's three timers, and how it dials its app.

Rules from Knative's pkg/http/handler/timeout.go and pkg/network/transports.go. All times are seconds on one clock
that only the caller reads.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import takewhile
from typing import Generic, Literal, TypeVar

Key = TypeVar("Key", bound=Hashable)

Timer = Literal["response", "response-start", "idle"]
"""Which of the three ran out."""

TIMEOUT_STATUS = 504
TIMEOUT_BODY = b"request timeout"
"""The answer's body when nothing was sent yet, or what is appended to a body that has begun; no newline."""

DIAL_FIRST_S = 0.05
DIAL_GROWTH = 1.4
DIAL_RETRIES = 15
DIAL_JITTER = 0.1
DIAL_PAUSE_S = 0.03


def dial_limits(chance: Callable[[], float]) -> Iterator[tuple[float, float]]:
    """How long each attempt to connect to the app may take, and the pause before it, in seconds.

    Only an attempt that timed out is followed by another. `chance` gives a number from 0 to 1: limits begin at
    50 ms again, grow by 1.4 and gain up to a tenth; pauses are 30 to 60 ms (wait.Backoff, as transports.go sets it).
    """
    limit = DIAL_FIRST_S
    yield limit, 0.0
    for _ in range(DIAL_RETRIES):
        yield limit * (1 + DIAL_JITTER * chance()), DIAL_PAUSE_S * (1 + chance())
        limit *= DIAL_GROWTH


class Deadlines(Generic[Key]):
    """Deadlines that all lie the same `period_s` after their start, so that they stay sorted at no cost.

    A period of None is a timer that is off: nothing is ever due.
    """

    def __init__(self, period_s: float | None) -> None:
        self.period_s = period_s
        self._due: dict[Key, float] = {}

    def start(self, key: Key, now: float) -> None:
        """Start the timer of a key that has none running."""
        if self.period_s is not None:
            self._due[key] = now + self.period_s

    def restart(self, key: Key, now: float) -> None:
        """Start the key's timer again if it runs."""
        if self._due.pop(key, None) is not None:
            self.start(key, now)

    def stop(self, key: Key) -> None:
        """Forget the key."""
        self._due.pop(key, None)

    def __contains__(self, key: Key) -> bool:
        return key in self._due

    def age_s(self, key: Key, now: float) -> float:
        """How long ago the timer of a key was started; 0 where none runs."""
        due = self._due.get(key)
        return 0.0 if due is None or self.period_s is None else now - (due - self.period_s)

    def next_at(self) -> float | None:
        """The earliest deadline; None when no timer runs."""
        return next(iter(self._due.values()), None)

    def due(self, now: float) -> list[Key]:
        """The keys whose time has come, in order; their timers run no more."""
        expired = [key for key, _ in takewhile(lambda entry: entry[1] <= now, self._due.items())]
        for key in expired:
            del self._due[key]
        return expired


class RequestTimeouts(Generic[Key]):
    """The timers of all requests in flight.

    revision: since the request's arrival, waiting for a place included; 0 is at once, not never.
    response start: no byte of an answer yet; a first write ends it. idle: since the last write, or since the
    arrival while there was none. The last two are off when 0 or less.
    """

    def __init__(self, revision_s: float, response_start_s: float = 0.0, idle_s: float = 0.0) -> None:
        self._revision: Deadlines[Key] = Deadlines(max(0.0, revision_s))
        self._start: Deadlines[Key] = Deadlines(response_start_s if response_start_s > 0 else None)
        self._idle: Deadlines[Key] = Deadlines(idle_s if idle_s > 0 else None)
        self._all = tuple(timer for timer in (self._revision, self._start, self._idle) if timer.period_s is not None)
        self.shortest_s = min(timer.period_s for timer in self._all if timer.period_s is not None)
        """No deadline of a request that arrives now is sooner than this many seconds."""
        self.watches_writes = len(self._all) > 1
        """Whether `wrote` has any effect."""
        self.begin: Callable[[Key, float], None] = self._begin_all if self.watches_writes else self._revision.start
        """(request, now): it arrived."""
        self.end: Callable[[Key], None] = self._end_all if self.watches_writes else self._revision.stop
        """(request): it is over."""

    def _begin_all(self, key: Key, now: float) -> None:
        for timer in self._all:
            timer.start(key, now)

    def wrote(self, key: Key, now: float) -> None:
        """Bytes of its answer came from the app."""
        self._start.stop(key)
        self._idle.restart(key, now)

    def _end_all(self, key: Key) -> None:
        for timer in self._all:
            timer.stop(key)

    def due(self, now: float) -> list[tuple[Key, Timer]]:
        """The requests that are to be ended now, each once, and by which timer; they are forgotten here."""
        expired: dict[Key, Timer] = {}
        named: tuple[tuple[Timer, Deadlines[Key]], ...] = (
            ("response", self._revision), ("response-start", self._start), ("idle", self._idle),
        )  # fmt: skip
        for name, timer in named:
            for key in timer.due(now):
                expired.setdefault(key, name)
        for key in expired:
            self.end(key)
        return list(expired.items())

    def period_s(self, timer: Timer) -> float | None:
        """How long it runs; None where it is off."""
        return {"response": self._revision, "response-start": self._start, "idle": self._idle}[timer].period_s

    def next_at(self) -> float | None:
        """When to ask again; None while nothing is in flight."""
        return min((at for timer in self._all if (at := timer.next_at()) is not None), default=None)
