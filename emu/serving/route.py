"""A service's route: how its requests are split among its revisions, and how that changes in a rollout.

Mechanism only: what each revision gets, and for whom a change has to wait, is `emu.policy.routing`'s, and how it
moves a step at a time `emu.policy.rollout`'s. The load generator draws a revision for each request, as an ingress
does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from emu.messages import host_of
from emu.policy.golang import SECOND
from emu.policy.loadplan import Part, Split
from emu.policy.rollout import Rollout, advance, by_host, effective, in_rollout, progress
from emu.policy.routing import Traffic, in_words, not_ready, revisions_of
from emu.record.events import EventLog, TrafficSplit, now
from emu.serving.revision import Revision
from emu.spec import ServicePlan

HTTP_PORT = 80
"""Where a service is asked, at its Host."""


class Route:
    """Of one service. `turn` is called at each turn of the run."""

    def __init__(
        self,
        plan: ServicePlan,
        revisions: Mapping[str, Revision],
        log: EventLog,
        say: Callable[[str], None],
        time_scale: float = 1.0,
    ) -> None:
        self._plan = plan
        self._revisions = revisions
        self._log = log
        self._say = say
        self._time_scale = time_scale
        self._traffic: Traffic = plan.traffic
        """In force, or moving there."""
        self._rollout: Rollout = {}
        """How far it has moved."""
        self._asked: Traffic | None = None
        """What is to be in force as soon as it can."""

    def start(self) -> None:
        """Make the revisions that get traffic at first, each with its first pod."""
        self._rollout = advance(self._traffic, {}, self._now_ns, 0)
        self._record(self._traffic, reached=True)
        self._make(self._traffic)

    def roll_out(self, traffic: Traffic) -> None:
        """Ask for other traffic. A revision is the latest unless a later one was made already."""
        made = [name for name in self._plan.names if self._revisions[name].begun]
        older = set(made[:-1])
        traffic = tuple(one._replace(latest=one.latest and one.revision not in older) for one in traffic)
        self._asked = traffic
        waiting = not_ready(traffic, self._ready)
        self._record(traffic, reached=False, waits_for=waiting)
        self._make(traffic)
        self._reach()
        wait = f", as soon as {', '.join(waiting)} is ready" if waiting else ""
        self._say(f"rollout of {self._plan.name}: {in_words(traffic)}{wait}")
        self.turn()

    def turn(self) -> None:
        """Move the traffic if it has waited long enough, and the next step of it if that is due."""
        asked = self._asked
        if asked is not None and not not_ready(asked, self._ready):
            self._traffic, self._asked = asked, None
        elif all(one.done for one in self._rollout.values()):
            return
        before, shown = self._rollout, effective(self._traffic, self._rollout)
        self._rollout = advance(self._traffic, before, self._now_ns, self._plan.rollout_duration_s)
        traffic = effective(self._traffic, self._rollout)
        if self._asked is asked and traffic == shown:
            return
        self._record(traffic, reached=True, why=progress(before, self._rollout, self._time_scale))
        self._say(f"traffic of {self._plan.name}: {in_words(traffic)}")
        self._reach()

    def splits(self, tags: tuple[str, ...]) -> list[Split]:
        """For the service's own Host, and for those with tags."""
        return [self._split(tag) for tag in ("", *tags)]

    def _split(self, tag: str) -> Split:
        parts = tuple(
            Part(name, *self._revisions[name].entrance, weight)
            for name, weight in by_host(self._traffic, self._rollout, tag).items()
        )
        return Split(host_of(self._plan.name, tag), HTTP_PORT, parts)

    @property
    def _now_ns(self) -> int:
        """On the control plane's clock."""
        return int(now() * self._time_scale * SECOND)

    @property
    def _ready(self) -> list[str]:
        return [name for name, one in self._revisions.items() if one.was_ready]

    def _make(self, traffic: Traffic) -> None:
        for name in sorted(revisions_of(traffic), key=self._plan.names.index):
            if not self._revisions[name].begun:
                self._revisions[name].start()

    def _reach(self) -> None:
        """A revision is reachable while the route leads to it, or is to."""
        routed = revisions_of((*self._traffic, *(self._asked or ()))) | in_rollout(self._rollout)
        for name, one in self._revisions.items():
            if one.begun:
                one.reach(name in routed)

    def _record(self, traffic: Traffic, *, reached: bool, waits_for: Sequence[str] = (), why: str = "") -> None:
        moving = reached and not all(one.done for one in self._rollout.values())
        self._log.append(
            TrafficSplit(
                t=now(),
                service=self._plan.name,
                traffic=_plain(traffic),
                reached=reached,
                waits_for=[*waits_for],
                toward=_plain(self._traffic) if moving else [],
                why=why,
            )
        )


def _plain(traffic: Traffic) -> list[tuple[str, int, str]]:
    return [(one.revision, one.percent, one.tag) for one in traffic]
