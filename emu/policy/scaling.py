"""How many pods a revision is to have: Knative's autoscaler (emu.policy.autoscaling) by the keys of a scenario, and
each of its decisions in words.

Times are seconds on one clock that only the caller reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from emu.policy.autoscaling.autoscaler import Autoscaler
from emu.policy.autoscaling.decider import Decision
from emu.policy.autoscaling.scaler import TIMED_OUT, Active, Mode, Outcome
from emu.policy.autoscaling.settings import GROUP, ClusterConfig, Settings, reachability, settings_for
from emu.policy.autoscaling.timing import Timing, scaled

_TIMING = Timing()
SCRAPE_S = _TIMING.scrape_s
NEVER_ACHIEVED = "ProgressDeadlineExceeded: Initial scale was never achieved"
"""Of a revision that never was ready, once the autoscaler has given it up (revision_lifecycle.go)."""


@dataclass(frozen=True)
class ScalingRule:
    """Knative's settings, in seconds; the defaults are its own, but for the largest number of pods."""

    window_s: float = 60.0
    """stable-window: the metric is averaged over it."""
    scale_down_delay_s: float = 0.0
    """scale-down-delay: the largest number of pods that was wanted in this time counts."""
    retention_s: float = 0.0
    """scale-to-zero-pod-retention-period: the last pod stays at least so long after it became inactive."""
    grace_s: float = 30.0
    """scale-to-zero-grace-period: so long at least the activator must have been in the path."""
    to_zero: bool = True
    """enable-scale-to-zero."""
    concurrency: int = 0
    """containerConcurrency; 0 is no limit."""
    min_scale: int = 0
    max_scale: int = 1
    """0 is no limit."""
    initial_scale: int = 1
    progress_deadline_s: float = ClusterConfig.progress_deadline_s
    """progress-deadline: how long a pod may take to become ready, less a buffer."""
    activation_scale: int | None = None
    metric: Literal["concurrency", "rps"] = "concurrency"
    target: float | None = None
    """Of one pod. None: the metric's default."""
    utilization_percentage: float = 70.0
    """target-utilization-percentage."""
    burst_capacity: float | None = None
    """target-burst-capacity. None: the default, or for one pod at most an activator that never leaves the path."""
    panic_window_percentage: float = 10.0
    panic_threshold_percentage: float = 200.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    time_scale: float = 1.0
    """Every time above, and those that no setting changes, are divided by it."""

    @property
    def settings(self) -> Settings:
        """All that decider and scaler go by, while a route leads to the revision."""
        return self.settings_when(routed=None)

    def settings_when(self, *, routed: bool | None, failing: bool = False) -> Settings:
        """The same, `routed` or not; None: no route was looked for. `failing`: pods are wanted, and none can be."""
        config = ClusterConfig(
            scale_to_zero=self.to_zero,
            allow_zero_initial_scale=True,
            initial_scale=self.initial_scale,
            min_scale=self.min_scale,
            max_scale=self.max_scale,
            max_scale_up_rate=self.max_scale_up_rate,
            max_scale_down_rate=self.max_scale_down_rate,
            stable_window_s=self.window_s,
            scale_down_delay_s=self.scale_down_delay_s,
            retention_s=self.retention_s,
            grace_s=self.grace_s,
            progress_deadline_s=self.progress_deadline_s,
        )
        found = settings_for(
            self._annotations,
            config,
            self.concurrency,
            reachability(routed=routed, desired=int(failing), healthy=not failing),
        )
        stays = self.burst_capacity is None and self.max_scale == 1
        return scaled(replace(found, target_burst_capacity=math.inf) if stays else found, self.time_scale)

    @property
    def _annotations(self) -> dict[str, str]:
        """What has no key in the cluster's configuration, or one of another meaning."""
        asked = {
            "metric": self.metric,
            "target": self.target,
            "target-utilization-percentage": self.utilization_percentage,
            "target-burst-capacity": self.burst_capacity,
            "activation-scale": self.activation_scale,
            "panic-window-percentage": self.panic_window_percentage,
            "panic-threshold-percentage": self.panic_threshold_percentage,
        }
        return {f"{GROUP}/{name}": str(value) for name, value in asked.items() if value is not None}


class Verdict(NamedTuple):
    """What a decision, a look of the scaler or both came to."""

    t: float
    before: int
    pods: int
    """How many there were to be before, and are to be from now on."""
    ready: int
    mode: Mode
    active: Active
    activators: int
    why: str
    decision: Decision | None
    """The one that was made now; None where only time or readiness changed something."""
    given_up: bool = False
    """Its pods did not become ready in time, and it has none."""


class Scaling:
    """One revision, from its first pod's start on: `pods` is how many there are to be. The caller passes on what it
    learns, calls `step` when `next_at` has come, does what `pods` says, and records the `verdicts`.
    """

    def __init__(self, rule: ScalingRule, now: float, origin: float | None = None) -> None:
        """Times in sentences count from `origin`; from now, where that is not given."""
        self.settings = rule.settings
        self._rule = rule
        self._window_s = rule.window_s / rule.time_scale
        self._given_up_s = (rule.progress_deadline_s + _TIMING.activation_buffer_s) / rule.time_scale
        self._autoscaler = Autoscaler(self.settings, now, timing=scaled(_TIMING, rule.time_scale))
        self._autoscaler.scaler.origin = now if origin is None else origin
        self._decision: Decision | None = None
        self._outcome = self._autoscaler.look(now)
        self._failing = False
        self._verdicts: list[Verdict] = []
        self.pods = self._outcome.pods
        self.why = "initial scale" if self.pods == rule.initial_scale else self._outcome.why
        """Of the last change of `pods`."""
        self._report(now, rule.initial_scale, 0, self.why, None)

    @property
    def proxied(self) -> bool:
        """The activator is in the path; else clients reach the pods themselves."""
        return self._outcome.mode == "Proxy"

    @property
    def active(self) -> Active:
        """The condition Active of Knative's PodAutoscaler."""
        return self._autoscaler.scaler.condition.active

    def average(self, now: float) -> float | None:
        """The metric over the stable window; None where nothing was reported."""
        return self._autoscaler.average(now)

    def record(self, now: float, concurrency: float, rps: float = 0.0) -> None:
        """Requests under way and per second in all pods, less those that came through the activator."""
        self._autoscaler.record(now, concurrency, rps)

    def report(self, now: float, concurrency: float, rps: float = 0.0) -> None:
        """The same, as the activator reports. The first request to a revision without pods decides at once."""
        ready = self._autoscaler.ready
        self._follow(now, ready, self._autoscaler.report(now, concurrency, rps))

    def readiness(self, now: float, ready: int) -> None:
        """So many pods are ready now; those that are ending are not."""
        self._follow(now, ready, self._autoscaler.readiness(now, ready))

    def route(self, now: float, *, routed: bool | None, failing: bool = False) -> None:
        """A route leads to the revision, or none does any more: it is unreachable then, and where its pods fail."""
        ready = self._autoscaler.ready
        self.settings = self._rule.settings_when(routed=routed, failing=failing)
        self._failing = failing
        self._follow(now, ready, self._autoscaler.update(now, self.settings))

    def next_at(self) -> float:
        """When `step` is due."""
        return self._autoscaler.next_at()

    def step(self, now: float) -> None:
        """Decide what is due."""
        ready = self._autoscaler.ready
        self._follow(now, ready, self._autoscaler.step(now))

    def verdicts(self) -> list[Verdict]:
        """Those since the last call: each decision, and each look that changed something."""
        found, self._verdicts = self._verdicts, []
        return found

    def _follow(self, now: float, ready: int, outcome: Outcome | None) -> None:
        """Take in a decision with so many ready pods, and put what has changed into words."""
        decision = self._autoscaler.decision
        fresh = None if decision is self._decision else decision
        self._decision = decision
        before, changed = self.pods, False
        if outcome is not None:
            was, self._outcome, self.pods = self._outcome, outcome, outcome.pods
            changed = (was.pods, was.mode, was.condition) != (outcome.pods, outcome.mode, outcome.condition)
            if self.pods != before:
                self.why = self._reason(before, outcome)
        if changed or fresh is not None:
            unseen = fresh if outcome is None else None
            why = self._outcome.why if unseen is None else self._autoscaler.scaler.why(unseen)
            self._report(now, before, ready, why, fresh)

    def _report(self, now: float, before: int, ready: int, why: str, decision: Decision | None) -> None:
        is_now = self._outcome
        if self._failing and self._rule.min_scale:
            why += "; its pods fail and none is ready, so min-scale does not count"
        given_up = is_now.condition.reason == TIMED_OUT and not self.pods
        if given_up and before and not self._autoscaler.scaler.initialized:
            why += f"; Knative's status of the revision is {NEVER_ACHIEVED}"
        self._verdicts.append(
            Verdict(
                t=now,
                before=before,
                pods=self.pods,
                ready=ready,
                mode=is_now.mode,
                active=is_now.condition.active,
                activators=is_now.activators,
                why=why,
                decision=decision,
                given_up=given_up,
            )
        )

    def _reason(self, before: int, outcome: Outcome) -> str:
        """Of the way from and to zero in a few words."""
        if outcome.pods and before:
            return outcome.why
        if outcome.pods:
            asked = self._decision is not None and self._decision.desired > 0
            return "a request came and there was no pod" if asked else outcome.why
        if outcome.condition.reason == TIMED_OUT:
            return f"it did not become ready within {self._given_up_s:g} s"
        return f"no request was under way in the last {self._window_s:g} s"
