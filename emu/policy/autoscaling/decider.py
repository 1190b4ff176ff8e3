"""How many pods a revision wants: the decision of Knative's autoscaler (pkg/autoscaler/scaling/{autoscaler,
multiscaler}.go), made at each tick and when a request comes to none.

Times are seconds on one clock that only the caller reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from emu.policy.autoscaling.numbers import ceil, floor, int32, larger, quotient, smaller
from emu.policy.autoscaling.settings import Settings
from emu.policy.autoscaling.timing import Timing
from emu.policy.averages import Average, Maximum, WeightedAverage

UNKNOWN = -1
"""What is wanted before the first decision."""
_SLACK_S = 1e-7
"""Two sums of the same floats may differ by so much; a window that ends now has not ended."""


class Observed(NamedTuple):
    """The metric over the two windows."""

    stable: float
    panic: float


@dataclass
class Panic:
    """What one decision leaves for the next."""

    since: float | None = None
    """When the panic threshold was last passed; None while calm."""
    pods: int = 0
    """The most that was wanted in this panic; it is never fewer meanwhile."""


class Decision(NamedTuple):
    """How many pods the KPA wants, and every figure from which that follows."""

    t: float
    metric: str
    ready: int
    stable: float
    panic: float
    """The metric over the stable and the panic window."""
    target: float
    stable_pods: float
    panic_pods: float
    """The two averages over the target, rounded up."""
    least: float
    most: float
    """What max-scale-down-rate and max-scale-up-rate allow."""
    activation_scale: int
    panicking: bool
    panic_until: float | None
    """The panic ends after that, unless the threshold is passed once more before."""
    held: int
    """What the panic holds; 0 while calm."""
    undelayed: int
    """Before scale-down-delay."""
    desired: int
    excess_burst_capacity: int

    @property
    def why(self) -> str:
        """The decision in a sentence, without what min-scale and max-scale make of it."""
        return ", ".join(self.reasons())

    def reasons(self, origin: float = 0.0) -> list[str]:
        """What led from the metric to the number, one step each; times in it count from `origin`."""
        hurried = self.panicking and self.panic_pods > self.stable_pods
        average, raw = (self.panic, self.panic_pods) if hurried else (self.stable, self.stable_pods)
        over = " over the panic window" if hurried else ""
        steps = [f"wanted {raw:.0f} = ceil({average + 0.0:.6g}{over} / {self.target:.6g})"]
        number = int32(smaller(larger(raw, self.least), self.most))
        if raw > self.most:
            steps.append(f"limited to {number} by max-scale-up-rate")
        elif raw < self.least:
            steps.append(f"kept at {number} by max-scale-down-rate")
        if self.activation_scale > max(1, number) and raw > 0:
            number = self.activation_scale
            steps.append(f"raised to {number} by activation-scale")
        if self.panic_until is not None:
            held = f"held at {self.held} by the panic" if self.held > number else "in panic"
            steps.append(f"{held} until {round(self.panic_until - origin, 2):g} s")
        if self.desired != self.undelayed:
            steps.append(f"kept at {self.desired} by scale-down-delay")
        return steps


def decide(settings: Settings, panic: Panic, observed: Observed, ready: int, now: float) -> Decision:
    """One decision, up to scale-down-delay; `panic` is changed. `ready` are the pods that are ready now."""
    pods = max(1.0, float(ready))
    most = ceil(settings.max_scale_up_rate * pods)
    least = floor(quotient(pods, settings.max_scale_down_rate)) if settings.reachable else 0.0
    stable_pods = ceil(quotient(observed.stable, settings.target))
    panic_pods = ceil(quotient(observed.panic, settings.target))
    wanted = int32(smaller(larger(stable_pods, least), most))
    hurried = int32(smaller(larger(panic_pods, least), most))
    if settings.activation_scale > 1:
        if stable_pods > 0:
            wanted = max(wanted, settings.activation_scale)
        if panic_pods > 0:
            hurried = max(hurried, settings.activation_scale)
    if panic_pods / pods >= settings.panic_threshold:
        panic.since = now
    elif panic.since is not None and now - panic.since > settings.stable_window_s + _SLACK_S:
        panic.since, panic.pods = None, 0
    if panic.since is not None:
        panic.pods = wanted = max(wanted, hurried, panic.pods)
    return Decision(
        t=now,
        metric=settings.metric,
        ready=ready,
        stable=observed.stable,
        panic=observed.panic,
        target=settings.target,
        stable_pods=stable_pods,
        panic_pods=panic_pods,
        least=least,
        most=most,
        activation_scale=settings.activation_scale,
        panicking=panic.since is not None,
        panic_until=None if panic.since is None else panic.since + settings.stable_window_s,
        held=0 if panic.since is None else panic.pods,
        undelayed=wanted,
        desired=wanted,
        excess_burst_capacity=excess_burst_capacity(settings, observed.panic, ready),
    )


def excess_burst_capacity(settings: Settings, observed_panic: float, ready: int) -> int:
    """How many more requests the ready pods could take beside target-burst-capacity; from 0 on, the activator may
    leave the path. -1 where it always stays, 0 where it leaves at once.
    """
    burst = settings.target_burst_capacity
    if burst == 0:
        return 0
    if burst > 0:
        return int32(floor(float(ready) * settings.total - burst - observed_panic))
    return -1


def initial_burst_capacity(settings: Settings) -> int:
    """The excess burst capacity before the first decision."""
    burst = settings.target_burst_capacity
    if burst in (-1, 0):
        return int(burst)
    return int32(float(settings.initial_scale) * settings.total - burst)


@dataclass
class Status:
    """What the rest of the control plane knows of the decisions."""

    desired: int = UNKNOWN
    excess_burst_capacity: int = 0

    def update(self, desired: int, excess_burst_capacity: int) -> bool:
        """Take a valid decision in; whether that is a reason to reconcile: another number, or the activator is to
        enter or to leave the path.
        """
        changed = desired != self.desired or (excess_burst_capacity < 0) != (self.excess_burst_capacity < 0)
        self.desired, self.excess_burst_capacity = desired, excess_burst_capacity
        return changed


class Windows:
    """A revision's metric, averaged over its two windows."""

    def __init__(self, settings: Settings, timing: Timing) -> None:
        kind = WeightedAverage if settings.weighted else Average
        self._stable = kind(settings.stable_window_s, timing.bucket_s)
        self._panic = kind(settings.panic_window_s, timing.bucket_s)

    def record(self, now: float, value: float) -> None:
        """A report of pods (less what came through the activator) or of the activator."""
        self._stable.record(now, value)
        self._panic.record(now, value)

    def average(self, now: float) -> float | None:
        """Over the stable window; None where nothing was reported for longer than that."""
        return self._stable.value(now)

    def resize(self, now: float, settings: Settings) -> None:
        """Change the windows; what was reported and still counts stays."""
        self._stable.resize(now, settings.stable_window_s)
        self._panic.resize(now, settings.panic_window_s)

    def observed(self, now: float, scraped: bool) -> Observed | None:
        """Both averages; None (no data, no decision) where pods are scraped and nothing came for a window."""
        if scraped and self._stable.empty(now):
            return None
        return Observed(self._stable.mean(now), self._panic.mean(now))


@dataclass
class Decider:
    """The decisions of one revision. `ready` at creation is more than 1 after a restart of the autoscaler: it panics
    then, and so keeps the pods until it knows more.
    """

    settings: Settings
    created: float
    ready: int = 0
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        self.status = Status(excess_burst_capacity=initial_burst_capacity(self.settings))
        self.panic = Panic(self.created if self.ready > 1 else None, self.ready)
        self.concurrency = Windows(self.settings, self.timing)
        self.rps = Windows(self.settings, self.timing)
        delay_s = self.settings.scale_down_delay_s
        self._delay = Maximum(delay_s, self.timing.tick_s) if delay_s > 0 else None

    @property
    def windows(self) -> Windows:
        """Those of the metric that counts."""
        return self.rps if self.settings.metric == "rps" else self.concurrency

    def record(self, now: float, concurrency: float, rps: float = 0.0) -> None:
        """A report, less what it has of proxied requests."""
        self.concurrency.record(now, concurrency)
        self.rps.record(now, rps)

    def pokes(self, concurrency: float) -> bool:
        """Whether an activator's report is to be decided on at once: there is a request, and no pod is wanted."""
        return concurrency != 0 and self.status.desired == 0

    def update(self, now: float, settings: Settings) -> None:
        """Go by other settings from now on. The window of scale-down-delay stays as it was made."""
        self.settings = settings
        self.concurrency.resize(now, settings)
        self.rps.resize(now, settings)

    def scale(self, now: float, ready: int) -> Decision | None:
        """Decide; None where there is no data, and nothing changes."""
        observed = self.windows.observed(now, self.settings.scraped)
        if observed is None:
            return None
        decision = decide(self.settings, self.panic, observed, ready, now)
        if self._delay is not None and self.settings.reachable:
            desired = self._delay.over(now, decision.desired)
            if desired != decision.desired:
                decision = decision._replace(desired=desired)
        return decision
