"""One revision's autoscaling, from reports to the number of pods: when it is decided, and when the scaler looks.

Mechanism passes on what it learns, calls `step` when `next_at` has come, and makes as many pods as `pods` says. Times
are seconds on one clock that only the caller reads.
"""

from __future__ import annotations

import math

from emu.policy.autoscaling.decider import Decider, Decision
from emu.policy.autoscaling.scaler import Facts, Outcome, Scaler, activators_for
from emu.policy.autoscaling.settings import Settings
from emu.policy.autoscaling.timing import Timing


class Autoscaler:
    """The decider and the scaler of one revision, from its creation on."""

    def __init__(
        self,
        settings: Settings,
        now: float,
        *,
        ready: int = 0,
        first_tick_s: float | None = None,
        timing: Timing | None = None,
    ) -> None:
        """`ready` are pods that are there already, after a restart of the autoscaler. The ticker's phase is its own:
        the first decision comes `first_tick_s` from now, a whole tick where that is not given.
        """
        self.settings = settings
        self.timing = timing or Timing()
        self.ready = ready
        self.decider = Decider(settings, now, ready, self.timing)
        self.scaler = Scaler(settings, now, max(ready, settings.initial_scale), self.timing)
        self.decision: Decision | None = None
        """The last valid one."""
        self.activator_answers = True
        """Whether a probe of the revision's address ends at the activator."""
        self._next_tick = now + (self.timing.tick_s if first_tick_s is None else first_tick_s)
        self._look_at: float | None = None
        self._proxied_since: float | None = now

    @property
    def pods(self) -> int:
        """How many there are to be."""
        return self.scaler.pods

    def average(self, now: float) -> float | None:
        """The metric over the stable window; None where nothing was reported."""
        return self.decider.windows.average(now)

    def record(self, now: float, concurrency: float, rps: float = 0.0) -> None:
        """What the pods served themselves, all together, less what came through the activator."""
        self.decider.record(now, concurrency, rps)

    def report(self, now: float, concurrency: float, rps: float = 0.0) -> Outcome | None:
        """What the activator reports. With the first request to a revision without pods it is decided at once."""
        self.decider.record(now, concurrency, rps)
        return self._look(now) if self.decider.pokes(concurrency) and self._decide(now) else None

    def readiness(self, now: float, ready: int) -> Outcome | None:
        """So many pods are ready now; those that are ending are not."""
        if ready == self.ready:
            return None
        self.ready = ready
        return self._look(now)

    def update(self, now: float, settings: Settings) -> Outcome | None:
        """Other settings, or the revision can no longer be reached, as in a rollout."""
        if settings == self.settings:
            return None
        self.settings = self.scaler.settings = settings
        self.decider.update(now, settings)
        return self._look(now)

    def look(self, now: float) -> Outcome:
        """Look although nothing has changed, as the reconciler does at a revision that was just created."""
        return self._look(now)

    def next_at(self) -> float:
        """When `step` is due."""
        return self._next_tick if self._look_at is None else min(self._next_tick, self._look_at)

    def step(self, now: float) -> Outcome | None:
        """Decide and look as far as that is due; None where there was nothing to look at."""
        due = self._look_at is not None and now >= self._look_at
        if now >= self._next_tick:
            tick_s = self.timing.tick_s
            self._next_tick += tick_s * (math.floor((now - self._next_tick) / tick_s) + 1)
            due |= self._decide(now)
        return self._look(now) if due else None

    def _decide(self, now: float) -> bool:
        """Whether there is a decision, and it is a reason to look."""
        decision = self.decider.scale(now, self.ready)
        if decision is None:
            return False
        self.decision = decision
        return self.decider.status.update(decision.desired, decision.excess_burst_capacity)

    def _look(self, now: float) -> Outcome:
        proxied_for_s = 0.0 if self._proxied_since is None else now - self._proxied_since
        facts = Facts(self.ready, proxied_for_s, self.activator_answers)
        mode = self.scaler.mode
        outcome = self.scaler.apply(now, self.decider.status, facts, self.decision)
        self._look_at = None if outcome.look_again_s is None else now + outcome.look_again_s
        if outcome.mode != mode:
            self._proxied_since = now if outcome.mode == "Proxy" else None
            self._look_at = now
        if outcome.probe_on:
            self._look_at = now + self.timing.probe_every_s
        if self.ready > self.pods:
            self.ready = self.pods  # those that go are ready no more, and the reconciler looks at that at once
            outcome = outcome._replace(activators=activators_for(self.settings, self.ready))
        return outcome
