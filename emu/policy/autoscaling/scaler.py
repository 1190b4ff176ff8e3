"""How many pods there are to be: what Knative's reconciler makes of a decision (pkg/reconciler/autoscaling/kpa).

Bounds come first, then the rights of the last pod. Times are seconds on one clock that only the caller reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from emu.policy.autoscaling.decider import UNKNOWN, Decision, Status
from emu.policy.autoscaling.numbers import ceil, int32, larger, quotient
from emu.policy.autoscaling.settings import NO_ACTIVATOR_LEAVES, Settings
from emu.policy.autoscaling.timing import Timing

LEAST_ACTIVATORS = 2
NO_TRAFFIC = "NoTraffic"
TIMED_OUT = "TimedOut"
QUEUED = "Queued"
MESSAGES = {
    NO_TRAFFIC: "The target is not receiving traffic.",
    TIMED_OUT: "The target could not be activated.",
    QUEUED: "Requests to the target are being buffered as resources are provisioned.",
    "": "",
}

IS_KEPT = "kept at 1: scale to zero is off"
IS_ACTIVATING, WAS_ACTIVATING = "not changed while it is activating", "not changed, for it was activating until now"

Active = Literal["activating", "active", "inactive"]
"""The condition Active of a PodAutoscaler: Unknown, True, False."""
Mode = Literal["Proxy", "Serve"]
"""Whether requests go through the activator, or to the pods."""


class Condition(NamedTuple):
    """The condition Active, with its reason."""

    active: Active
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Facts:
    """What the scaler sees when it looks."""

    ready: int
    """Pods that are ready."""
    proxied_for_s: float = 0.0
    """For how long the activator has been in the path; 0 where it is not."""
    activator_answers: bool = True
    """A probe of the revision's address ends at the activator."""


class Zero(NamedTuple):
    """What becomes of the wish for no pod."""

    want: int
    apply: bool
    """Whether the number of pods is to be changed to that."""
    why: str = ""
    look_again_s: float | None = None
    """The scaler is to look again after that."""
    probed: bool = False
    """The answer to a probe was asked for."""
    probe_on: bool = False
    """It is to be probed on, until it passes."""


class Outcome(NamedTuple):
    """What a look comes to."""

    want: int
    """UNKNOWN: no change."""
    apply: bool
    pods: int
    """How many there are to be from now on."""
    bounded: int
    """What the decision came to within the bounds."""
    condition: Condition
    mode: Mode
    activators: int
    why: str
    look_again_s: float | None
    probe_on: bool


def bounds(settings: Settings, initialized: bool) -> tuple[int, int]:
    """The least number of pods and the largest (0 is no limit). An initial scale that was not reached yet raises the
    least one, also above max-scale.
    """
    least = settings.min_scale
    if settings.initial_scale > 1 and not initialized and settings.reachable:
        least = max(least, settings.initial_scale)
    return least, settings.max_scale


def bounded(least: int, most: int, pods: int) -> int:
    """Within the bounds; the least number wins over the largest."""
    if pods < least:
        return least
    return most if most != 0 and pods > most else pods


def to_zero(
    settings: Settings, timing: Timing, want: int, active: Active, for_s: float, mode: Mode, facts: Facts
) -> Zero:
    """What becomes of the wish for no pod; `for_s` is how long the condition has been what it is."""
    if want != 0:
        return Zero(want, True)
    if not settings.scale_to_zero:
        return Zero(1, True, IS_KEPT)
    if active == "activating":
        limit_s = settings.progress_deadline_s + timing.activation_buffer_s
        if for_s > limit_s:
            return Zero(0, True, f"given up: not ready within {limit_s:g} s")
        return Zero(UNKNOWN, False, IS_ACTIVATING, limit_s)
    if active == "active":
        if for_s >= settings.stable_window_s:
            again_s = timing.look_again_s if mode == "Proxy" else None
            return Zero(0, False, f"marked inactive after {round(for_s, 2):g} s of being active", again_s)
        rest_s = settings.stable_window_s - for_s
        return Zero(1, True, f"kept at 1: active for {round(for_s, 2):g} s of {settings.stable_window_s:g} s", rest_s)
    return _last_pod(settings, for_s, facts)


def _last_pod(settings: Settings, inactive_s: float, facts: Facts) -> Zero:
    """An inactive revision: its last pod goes when the activator is surely in its place, and nothing retains it."""
    probed = settings.target_burst_capacity != NO_ACTIVATOR_LEAVES
    if probed and not facts.activator_answers:
        return Zero(0, False, "kept until the activator is in the path", None, probed, True)
    retention_s = settings.retention_s
    if inactive_s >= max(settings.grace_s, retention_s):
        return Zero(0, True, f"inactive for {round(inactive_s, 2):g} s", None, probed)
    if retention_s > 0 and inactive_s < retention_s:
        why = f"the last pod is retained for {retention_s:g} s"
        return Zero(0, False, why, retention_s - inactive_s, probed)
    rest_s = settings.grace_s - facts.proxied_for_s
    if rest_s <= 0:
        return Zero(
            0, True, f"the activator has been in the path for {round(facts.proxied_for_s, 2):g} s", None, probed
        )
    return Zero(0, False, f"kept until the activator has been in the path for {settings.grace_s:g} s", rest_s, probed)


def ready_threshold(settings: Settings, initialized: bool) -> int:
    """With how many ready pods the revision counts as active."""
    return max(settings.min_scale, 1 if initialized else settings.initial_scale)


def condition_after(was: Condition, want: int, ready: int, least: int) -> Condition:
    """The condition after a look; `least` is `ready_threshold`."""
    if want == 0 or least == 0:
        reason = TIMED_OUT if was.active == "activating" and least > 0 else NO_TRAFFIC
        return Condition("inactive", reason, MESSAGES[reason])
    goes_on = want > 0 or was.active != "inactive"
    if ready < least:
        reason = QUEUED if goes_on else NO_TRAFFIC
        return Condition("activating" if goes_on else "inactive", reason, MESSAGES[reason])
    return Condition("active") if goes_on else was


def mode_for(want: int, excess_burst_capacity: int) -> Mode:
    """The pods get their requests themselves if there are any and their capacity has room for a burst."""
    return "Serve" if want > 0 and excess_burst_capacity >= 0 else "Proxy"


def activators_for(settings: Settings, ready: int) -> int:
    """How many activators are put in the path."""
    if settings.target_burst_capacity == 0:
        return LEAST_ACTIVATORS
    capacity = float(ready) * settings.total
    if settings.target_burst_capacity > 0:
        capacity += settings.target_burst_capacity
    return int32(larger(LEAST_ACTIVATORS, ceil(quotient(capacity, settings.activator_capacity))))


@dataclass
class Scaler:
    """The looks at one revision, from its creation on."""

    settings: Settings
    created: float
    pods: int = 0
    """How many there are to be."""
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        self.condition = Condition("activating")
        self.since = self.created
        """From when on the condition is what it is, its reason included."""
        self.initialized = False
        """The initial scale was reached once."""
        self.mode: Mode = "Proxy"
        self.desired = UNKNOWN
        """As the PodAutoscaler's status has it: the last known."""
        self.origin = 0.0
        """From when on the times in sentences count."""

    def apply(self, now: float, status: Status, facts: Facts, decision: Decision | None = None) -> Outcome:
        """Look: decisions, pods or time have changed. `decision` is the one that `status` came from."""
        want, steps = status.desired, decision.reasons(self.origin) if decision else []
        zero = Zero(want, False)
        limited = want
        if want >= 0 or self.condition.active == "activating":
            limited = bounded(*bounds(self.settings, self.initialized), want)
            steps += self._bound_words(want, limited)
            zero = to_zero(
                self.settings, self.timing, limited, self.condition.active, now - self.since, self.mode, facts
            )
            if zero.why:
                steps.append(zero.why)
        if zero.apply and zero.want >= 0:
            self.pods = zero.want
        self.mode = mode_for(zero.want, status.excess_burst_capacity)
        self._mark(now, zero.want, facts.ready)
        if zero.why == IS_ACTIVATING and self.condition.active == "active":
            steps[-1] = WAS_ACTIVATING  # by this very look, which counts ready pods only after it has scaled
        if zero.want != UNKNOWN or self.desired < 0:
            self.desired = zero.want
        return Outcome(
            want=zero.want,
            apply=zero.apply,
            pods=self.pods,
            bounded=limited,
            condition=self.condition,
            mode=self.mode,
            activators=activators_for(self.settings, facts.ready),
            why=", ".join(steps) or "nothing was decided yet",
            look_again_s=zero.look_again_s,
            probe_on=zero.probe_on,
        )

    def why(self, decision: Decision) -> str:
        """A decision that changes nothing, in a sentence: what the bounds make of it, and why there is a pod yet."""
        limited = bounded(*bounds(self.settings, self.initialized), decision.desired)
        steps = [*decision.reasons(self.origin), *self._bound_words(decision.desired, limited)]
        return ", ".join([*steps, self._last_pod_words()] if limited == 0 and self.pods else steps)

    def _last_pod_words(self) -> str:
        if not self.settings.scale_to_zero:
            return IS_KEPT
        return {
            "activating": IS_ACTIVATING,
            "active": f"kept until it was active for {self.settings.stable_window_s:g} s",
            "inactive": "inactive: the last pod goes at a later look",
        }[self.condition.active]

    def _bound_words(self, want: int, limited: int) -> list[str]:
        if want == UNKNOWN and limited <= 0:
            return []  # nothing is wanted yet, and no bound wants more
        if limited < want:
            return [f"cut to {limited} by max-scale"]
        if limited > max(want, self.settings.min_scale):
            return [f"raised to {limited} by initial-scale"]
        return [f"raised to {limited} by min-scale"] if limited > want else []

    def _mark(self, now: float, want: int, ready: int) -> None:
        least = ready_threshold(self.settings, self.initialized)
        if ready >= least:
            self.initialized = True
        condition = condition_after(self.condition, want, ready, least)
        if condition != self.condition:
            self.since = now
        self.condition = condition
