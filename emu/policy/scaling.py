"""Whether there is to be a pod: Knative's autoscaler (emu.policy.autoscaling) for one pod that may be scaled to zero.

Here min-scale is 0, max-scale 1, and the activator in the path at all times. Times are seconds on one clock that only
the caller reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from emu.policy.autoscaling.autoscaler import Autoscaler
from emu.policy.autoscaling.scaler import TIMED_OUT, Active, Outcome
from emu.policy.autoscaling.settings import ClusterConfig, Settings, settings_for
from emu.policy.autoscaling.timing import Timing

_TIMING = Timing()
TICK_S = _TIMING.tick_s
SCRAPE_S = _TIMING.scrape_s
LOOK_AGAIN_S = _TIMING.look_again_s
ACTIVATION_TIMEOUT_S = ClusterConfig().progress_deadline_s + _TIMING.activation_buffer_s
"""A pod that does not become ready for so long is given up."""


@dataclass(frozen=True)
class ScalingRule:
    """Knative's settings, in seconds; the defaults are its own."""

    window_s: float = 60.0
    """stable-window: requests under way are averaged over it."""
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

    @property
    def settings(self) -> Settings:
        """All of Knative's settings, for one pod at most and an activator that never leaves the path."""
        config = ClusterConfig(
            scale_to_zero=self.to_zero,
            max_scale=1,
            stable_window_s=self.window_s,
            scale_down_delay_s=self.scale_down_delay_s,
            retention_s=self.retention_s,
            grace_s=self.grace_s,
        )
        return replace(settings_for({}, config, self.concurrency), target_burst_capacity=math.inf)


class Scaling:
    """One pod, from its start on: `pods` is how many there are to be, 0 or 1. The caller passes on what it learns,
    calls `step` when `next_at` has come, and does what `pods` says.
    """

    def __init__(self, rule: ScalingRule, now: float) -> None:
        self._window_s = rule.window_s
        self._autoscaler = Autoscaler(rule.settings, now)
        self.pods = 1
        self.why = "initial scale"
        """Of the last change of `pods`."""

    @property
    def active(self) -> Active:
        """The condition Active of Knative's PodAutoscaler."""
        return self._autoscaler.scaler.condition.active

    def average(self, now: float) -> float | None:
        """Requests under way over the stable window; None where nothing was reported."""
        return self._autoscaler.average(now)

    def record(self, now: float, concurrency: float) -> None:
        """Requests under way, as queue-proxy reports: those of them that did not come through the activator."""
        self._autoscaler.record(now, concurrency)

    def report(self, now: float, concurrency: float) -> None:
        """Requests under way, as the activator reports. The first one to a pod that is not wanted decides at once."""
        self._follow(self._autoscaler.report(now, concurrency))

    def readiness(self, now: float, ready: bool) -> None:
        """The pod became ready, or no longer is."""
        self._follow(self._autoscaler.readiness(now, int(ready)))

    def next_at(self) -> float:
        """When `step` is due."""
        return self._autoscaler.next_at()

    def step(self, now: float) -> None:
        """Decide what is due."""
        self._follow(self._autoscaler.step(now))

    def _follow(self, outcome: Outcome | None) -> None:
        """What has changed, in words."""
        if outcome is None or outcome.pods == self.pods:
            return
        self.pods = outcome.pods
        if self.pods:
            self.why = "a request came and there was no pod"
        elif outcome.condition.reason == TIMED_OUT:
            self.why = f"it did not become ready within {ACTIVATION_TIMEOUT_S:g} s"
        else:
            self.why = f"no request was under way in the last {self._window_s:g} s"
