"""The times that Kubernetes' controller and metrics-server go by. `emu.policy.autoscaling.timing.scaled` divides all
of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from emu.policy.autoscaling.timing import scaled
from emu.policy.hpa.replicas import CPU_INITIALIZATION_S, INITIAL_READINESS_S, SYNC_S, TOLERANCE, Timing
from emu.policy.hpa.spec import DOWN_WINDOW_S, Behavior, HpaSpec, ScalingRules, defaulted
from emu.policy.hpa.usage import FRESH_LEAST_S, RESOLUTION_S


@dataclass(frozen=True)
class HpaTiming:
    """In seconds, but for the tolerance; the defaults are those of the flags, as they are deployed."""

    sync_s: float = SYNC_S
    """From one sync to the next; the first comes so long after the autoscaler was created, as its queue delays every
    entry (horizontal.go, enqueueHPA).
    """
    resolution_s: float = RESOLUTION_S
    """From one scrape of metrics-server to the next."""
    first_scrape_s: float = RESOLUTION_S / 2
    """When it scrapes first. In a cluster the two loops know nothing of each other."""
    fresh_least_s: float = FRESH_LEAST_S
    """A container must be this old for its start to count as its first point."""
    prometheus_s: float = 30.0
    """From one scrape of Prometheus to the next."""
    down_window_s: float = DOWN_WINDOW_S
    cpu_initialization_s: float = CPU_INITIALIZATION_S
    initial_readiness_s: float = INITIAL_READINESS_S
    tolerance: float = TOLERANCE

    @property
    def counting(self) -> Timing:
        """What says which pods count, and what is near the target."""
        return Timing(self.tolerance, self.tolerance, self.cpu_initialization_s, self.initial_readiness_s)


def shortened(spec: HpaSpec, time_scale: float) -> HpaSpec:
    """A spec as Kubernetes stores it, its windows and periods divided by `time_scale`."""
    spec = defaulted(spec)
    if time_scale == 1 or spec.behavior is None:
        return spec
    behavior = Behavior(_shortened(spec.behavior.up, time_scale), _shortened(spec.behavior.down, time_scale))
    return replace(spec, behavior=behavior)


def _shortened(rules: ScalingRules | None, time_scale: float) -> ScalingRules | None:
    if rules is None:
        return None
    window_s = None if rules.window_s is None else rules.window_s / time_scale
    policies = tuple(scaled(policy, time_scale) for policy in rules.policies)
    return replace(rules, policies=policies, window_s=window_s)
