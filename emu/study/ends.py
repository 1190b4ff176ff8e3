"""Why requests ended as they did: what is known of each that was not answered by the app. Plain values.

All times are seconds since the run began.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from emu.record.events import Owner

ACTIVATOR = "activator"
CLIENT_LEFT = "client-left"
BY_APP = "app"
"""The reason of an answer that neither of the two gave: it is the app's own."""
NOT_RECORDED = "not-recorded"


@dataclass(frozen=True)
class End:
    """A request that queue-proxy or the activator answered itself, or broke, or whose client left."""

    t: float
    who: str
    """`queue-proxy` or `activator`."""
    status: int
    """0 where no answer was given."""
    reason: str
    why: str = ""
    """In the words of Go's network library, where it is a connection's end."""
    waited_s: float = 0.0
    """For a place in the app; in the activator for a pod as well."""
    held_s: float = 0.0
    """For its app to be resumed."""
    app_s: float | None = None
    """In the app; None for one that never got there."""
    inside: int = 0
    """Requests that had a place then."""
    waiting: int = 0
    """Requests that waited for one then."""
    period_s: float | None = None
    """Of the timer that ran out."""
    pod: str = ""
    """Whose queue-proxy it was; empty for the activator, and in older runs."""

    @property
    def begun_s(self) -> float:
        """When the request had arrived."""
        return self.t - self.waited_s - self.held_s - (self.app_s or 0.0)

    @property
    def slug(self) -> str:
        """The reason, as summary.json names it."""
        return f"{ACTIVATOR}-{self.reason}" if self.who == ACTIVATOR else self.reason


@dataclass(frozen=True)
class Wait:
    """A request waited for a place in the app, until `t`."""

    t: float
    waited_s: float
    pod: str = ""
    """Whose queue-proxy it was; empty for the activator, and in older runs."""


@dataclass(frozen=True)
class Ends:
    """What queue-proxy and the activator recorded."""

    ends: tuple[End, ...] = ()
    """In order of time."""
    waits: tuple[Wait, ...] = ()
    """In order of time; those that ended before they had a place among them."""
    recorded: bool = False
    """Whether they kept such a record at all."""
    until_s: float | None = None
    """Until when it is whole; None where there is none."""
    kept: frozenset[Owner] = frozenset()
    """The instances of queue-proxy whose record is there and undamaged, by attempt."""
    keepers: frozenset[str] = frozenset()
    """The pods whose queue-proxy kept such a record; an empty name is the activator, or an older run's."""
    untils: Mapping[str, float] = field(default_factory=dict)
    """The same as `until_s`, for each pod whose record ends at a time of its own."""

    def of(self, pods: Collection[str], *, own: bool = False) -> Ends:
        """The recorded ends of requests to these pods; `own`: those that their queue-proxies recorded alone."""
        known = set(pods) if own else {"", *pods}
        return replace(
            self,
            ends=tuple(one for one in self.ends if one.pod in known),
            waits=tuple(one for one in self.waits if one.pod in known),
            recorded=bool(self.keepers & known),
        )
