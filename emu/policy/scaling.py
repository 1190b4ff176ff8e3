"""Whether there is to be a pod: the rules of Knative's autoscaler for one pod that may be scaled to zero.

Two steps, as in Knative. The autoscaler (pkg/autoscaler/scaling/autoscaler.go) makes of the requests that were under
way how many pods there should be, each 2 s, and at once when a request comes to none. The scaler
(pkg/reconciler/autoscaling/kpa/scaler.go) applies that, and takes its time with the last pod: it must have been
active for a window, is marked inactive first, and is kept for as long as the retention period or the activator ask
for. Here min-scale is 0, max-scale 1, and the activator in the path at all times, as target-burst-capacity 211 has it
with one pod. Times are seconds on one clock that only the caller reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from emu.policy.averages import Average, Maximum

TICK_S = 2.0
"""From one decision to the next (multiscaler.go, tickInterval)."""
SCRAPE_S = 1.0
"""How often queue-proxy is asked (collector.go, scrapeTickInterval)."""
LOOK_AGAIN_S = 3.0
"""A pod that was just marked inactive is looked at again then (kpa/scaler.go)."""
ACTIVATION_TIMEOUT_S = 630.0
"""A pod that does not become ready for so long is given up: progress-deadline and 30 s (kpa/scaler.go)."""
TARGET = 100.0
"""container-concurrency-target-default: what one pod should have under way, where containerConcurrency is 0."""
UTILIZATION = 0.7
"""container-concurrency-target-percentage."""
PANIC_WINDOW_SHARE = 0.1
"""panic-window-percentage."""
PANIC_THRESHOLD = 2.0
"""panic-threshold-percentage."""
MAX_SCALE_UP_RATE = 1000

Active = Literal["activating", "active", "inactive"]
"""The condition Active of Knative's PodAutoscaler: Unknown, True, False."""


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
    def target(self) -> float:
        """How many requests under way one pod is for."""
        return (self.concurrency or TARGET) * UTILIZATION


class Autoscaler:
    """Requests under way → how many pods there should be, without a limit on that."""

    def __init__(self, rule: ScalingRule) -> None:
        self._target = rule.target
        self._window_s = rule.window_s
        self._stable = Average(rule.window_s)
        self._panic = Average(max(1.0, round(rule.window_s * PANIC_WINDOW_SHARE)))
        self._delay = Maximum(rule.scale_down_delay_s, TICK_S) if rule.scale_down_delay_s else None
        self._panic_at: float | None = None
        self._panic_pods = 0

    def record(self, now: float, concurrency: float) -> None:
        """The activator or queue-proxy has reported how many requests were under way in the second before."""
        self._stable.record(now, concurrency)
        self._panic.record(now, concurrency)

    def average(self, now: float) -> float | None:
        """Over the stable window; None where nothing was reported."""
        return self._stable.value(now)

    def decide(self, now: float) -> int | None:
        """How many pods; None where nothing was reported, and nothing is to change."""
        stable, panic = self._stable.value(now), self._panic.value(now)
        if stable is None or panic is None:
            return None
        wanted = min(math.ceil(stable / self._target), MAX_SCALE_UP_RATE)
        hurried = math.ceil(panic / self._target)
        if hurried >= PANIC_THRESHOLD:
            self._panic_at = now
        elif self._panic_at is not None and self._panic_at + self._window_s < now:
            self._panic_at, self._panic_pods = None, 0
        if self._panic_at is not None:
            self._panic_pods = wanted = max(self._panic_pods, wanted, min(hurried, MAX_SCALE_UP_RATE))
        return wanted if self._delay is None else self._delay.over(now, wanted)


class Scaling:
    """One pod, from its start on: `pods` is how many there are to be, 0 or 1. The caller reports what it learns,
    calls `step` when `next_at` has come, and does what `pods` says.
    """

    def __init__(self, rule: ScalingRule, now: float) -> None:
        self._rule = rule
        self._autoscaler = Autoscaler(rule)
        self._desired: int | None = None
        """What the autoscaler said last; None is nothing yet."""
        self._next_tick = now + TICK_S
        self._look_at: float | None = None
        self._proxied_since = now
        self._ready = False
        self._since = now
        self.active: Active = "activating"
        self.pods = 1
        self.why = "initial scale"
        """Of the last change of `pods`."""

    def average(self, now: float) -> float | None:
        """Requests under way over the stable window; None where nothing was reported."""
        return self._autoscaler.average(now)

    def record(self, now: float, concurrency: float) -> None:
        """Requests under way, as queue-proxy reported: those of them that did not come through the activator."""
        self._autoscaler.record(now, concurrency)

    def report(self, now: float, concurrency: float) -> None:
        """Requests under way, as the activator reported. The first to a pod that is not wanted decides at once."""
        self._autoscaler.record(now, concurrency)
        if concurrency and self._desired == 0:
            self._decide(now)
            self._apply(now)

    def readiness(self, now: float, ready: bool) -> None:
        """The pod became ready, or no longer is."""
        self._ready = ready
        self._apply(now)

    def next_at(self) -> float:
        """When `step` is due."""
        return self._next_tick if self._look_at is None else min(self._next_tick, self._look_at)

    def step(self, now: float) -> None:
        """Decide what is due."""
        due = self._look_at is not None and now >= self._look_at
        if now >= self._next_tick:
            late = math.floor((now - self._next_tick) / TICK_S)
            self._next_tick += TICK_S * (late + 1)
            before = self._desired
            self._decide(now)
            due |= self._desired != before
        if due:
            self._apply(now)

    def _decide(self, now: float) -> None:
        desired = self._autoscaler.decide(now)
        if desired is not None:
            self._desired = desired

    # --- the scaler

    def _apply(self, now: float) -> None:
        """What the autoscaler wants, less what the last pod is owed."""
        self._look_at = None
        if self._desired != 0 or not self._rule.to_zero:
            self._up(now)
        elif self.active == "activating":
            self._give_up(now)
        elif self.active == "active":
            self._let_go(now)
        elif self.pods:
            self._remove(now)

    def _up(self, now: float) -> None:
        if self._desired is None and self.pods == 0:
            return
        if self.pods == 0:
            self._scale(1, "a request came and there was no pod")
        self._turn("active" if self._ready else "activating", now)

    def _give_up(self, now: float) -> None:
        if self._ready:
            self._turn("active", now)
            self._let_go(now)
        elif now - self._since >= ACTIVATION_TIMEOUT_S:
            self._turn("inactive", now)
            self._scale(0, f"it did not become ready within {ACTIVATION_TIMEOUT_S:g} s")
        else:
            self._look_at = self._since + ACTIVATION_TIMEOUT_S

    def _let_go(self, now: float) -> None:
        """Nobody asks: mark the pod inactive, once it was active for a window."""
        if now - self._since < self._rule.window_s:
            if not self._ready:
                self._turn("activating", now)
            self._look_at = self._since + self._rule.window_s
            return
        self._turn("inactive", now)
        self._look_at = now + LOOK_AGAIN_S

    def _remove(self, now: float) -> None:
        """The pod is inactive, and the activator in its place: remove it unless it is to be kept for a while."""
        rule = self._rule
        inactive_s, proxied_s = now - self._since, now - self._proxied_since
        if inactive_s < max(rule.grace_s, rule.retention_s):
            if rule.retention_s > 0 and inactive_s < rule.retention_s:
                self._look_at = self._since + rule.retention_s
                return
            if proxied_s < rule.grace_s:
                self._look_at = self._proxied_since + rule.grace_s
                return
        self._scale(0, f"no request was under way in the last {rule.window_s:g} s")

    def _turn(self, active: Active, now: float) -> None:
        if active != self.active:
            self.active, self._since = active, now

    def _scale(self, pods: int, why: str) -> None:
        self.pods, self.why = pods, why
        if pods == 0:
            self._ready = False
