"""A service's route: how its requests are split among its revisions, and how that changes in a rollout.

Mechanism only: what each revision gets, and for whom a change has to wait, is `emu.policy.routing`'s. The load
generator draws a revision for each request, as an ingress does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from emu.messages import host_of
from emu.policy.loadplan import Part, Split
from emu.policy.routing import Traffic, in_words, not_ready, revisions_of, weights
from emu.record.events import EventLog, TrafficSplit, now
from emu.serving.revision import Revision
from emu.spec import ServicePlan

HTTP_PORT = 80
"""Where a service is asked, at its Host."""


class Route:
    """Of one service. `turn` is called at each turn of the run."""

    def __init__(
        self, plan: ServicePlan, revisions: Mapping[str, Revision], log: EventLog, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._revisions = revisions
        self._log = log
        self._say = say
        self._traffic: Traffic = plan.traffic
        """In force."""
        self._asked: Traffic | None = None
        """What is to be in force as soon as it can."""

    def start(self) -> None:
        """Make the revisions that get traffic at first, each with its first pod."""
        self._record(self._traffic, reached=True)
        self._make(self._traffic)

    def roll_out(self, traffic: Traffic) -> None:
        """Ask for other traffic."""
        self._asked = traffic
        waiting = not_ready(traffic, self._ready)
        self._record(traffic, reached=False, waits_for=waiting)
        self._make(traffic)
        self._reach()
        wait = f", as soon as {', '.join(waiting)} is ready" if waiting else ""
        self._say(f"rollout of {self._plan.name}: {in_words(traffic)}{wait}")
        self.turn()

    def turn(self) -> None:
        """Move the traffic if it has waited long enough."""
        if self._asked is None or not_ready(self._asked, self._ready):
            return
        self._traffic, self._asked = self._asked, None
        self._record(self._traffic, reached=True)
        self._say(f"traffic of {self._plan.name}: {in_words(self._traffic)}")
        self._reach()

    def splits(self, tags: tuple[str, ...]) -> list[Split]:
        """For the service's own Host, and for those with tags."""
        return [self._split(tag) for tag in ("", *tags)]

    def _split(self, tag: str) -> Split:
        parts = tuple(
            Part(name, *self._revisions[name].entrance, weight)
            for name, weight in weights(self._traffic, tag).items()
        )
        return Split(host_of(self._plan.name, tag), HTTP_PORT, parts)

    @property
    def _ready(self) -> list[str]:
        return [name for name, one in self._revisions.items() if one.was_ready]

    def _make(self, traffic: Traffic) -> None:
        for name in sorted(revisions_of(traffic), key=self._plan.names.index):
            if not self._revisions[name].begun:
                self._revisions[name].start()

    def _reach(self) -> None:
        """A revision is reachable while the route leads to it, or is to."""
        routed = revisions_of((*self._traffic, *(self._asked or ())))
        for name, one in self._revisions.items():
            if one.begun:
                one.reach(name in routed)

    def _record(self, traffic: Traffic, *, reached: bool, waits_for: Sequence[str] = ()) -> None:
        self._log.append(
            TrafficSplit(
                t=now(), service=self._plan.name, traffic=[*traffic], reached=reached, waits_for=[*waits_for]
            )
        )
