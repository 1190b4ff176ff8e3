"""A revision's numbers: what its annotations, config-autoscaler and containerConcurrency come to.

Sources: Knative's pkg/autoscaler/config, pkg/apis/autoscaling, pkg/reconciler/autoscaling/{resources,kpa/resources}.
A value that does not parse counts as absent here; that it is refused before is another's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from emu.policy.autoscaling import configmap
from emu.policy.autoscaling.numbers import int64, larger, smaller
from emu.policy.golang import SECOND, parse_float, parse_int32, parse_seconds, round_duration

GROUP = "autoscaling.knative.dev"
PROGRESS_DEADLINE = "serving.knative.dev/progress-deadline"
KPA, HPA = f"kpa.{GROUP}", f"hpa.{GROUP}"
REACHABLE, UNREACHABLE = "Reachable", "Unreachable"
"""Of a PodAutoscaler; whatever else it says is unknown, and counts as reachable."""
LEAST_TARGET = 0.01
"""autoscaling.TargetMin."""
LEAST_PANIC_WINDOW_S = 1.0
NO_ACTIVATOR_LEAVES = -1.0
"""target-burst-capacity: the activator is always in the path."""

_WEIGHTED = ("weighted-exponential", "weightedExponential")
Read = TypeVar("Read")


@dataclass(frozen=True)
class ClusterConfig:
    """config-autoscaler, and config-deployment's progress-deadline; the defaults are Knative's."""

    scale_to_zero: bool = True
    allow_zero_initial_scale: bool = False
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    concurrency_utilization: float = 0.7
    """container-concurrency-target-percentage, as a fraction; it does not apply to rps."""
    concurrency_target: float = 100.0
    rps_utilization: float = 0.7
    """No key sets it."""
    rps_target: float = 200.0
    target_burst_capacity: float = 211.0
    panic_window_percentage: float = 10.0
    panic_threshold_percentage: float = 200.0
    activator_capacity: float = 100.0
    initial_scale: int = 1
    min_scale: int = 0
    max_scale: int = 0
    max_scale_limit: int = 0
    stable_window_s: float = 60.0
    scale_down_delay_s: float = 0.0
    grace_s: float = 30.0
    retention_s: float = 0.0
    progress_deadline_s: float = 600.0
    """config-deployment's progress-deadline."""
    autoscaler_class: str = KPA


_RENAMED = {
    "pod_autoscaler_class": "autoscaler_class",
    "enable_scale_to_zero": "scale_to_zero",
    "container_concurrency_target_percentage": "concurrency_utilization",
    "container_concurrency_target_default": "concurrency_target",
    "requests_per_second_target_default": "rps_target",
    "stable_window": "stable_window_s",
    "scale_down_delay": "scale_down_delay_s",
    "scale_to_zero_grace_period": "grace_s",
    "scale_to_zero_pod_retention_period": "retention_s",
}
"""Keys of config-autoscaler whose setting has another name here."""


def cluster_config(data: Mapping[str, str] | None) -> ClusterConfig:
    """config-autoscaler's data; the default stands for what is absent or does not parse."""
    values = vars(configmap.read(data or {}).config)
    return ClusterConfig(
        **{
            _RENAMED.get(name, name): value / SECOND if name in configmap.DURATIONS else value
            for name, value in values.items()
        }
    )


@dataclass(frozen=True)
class Settings:
    """What decider and scaler of one revision go by."""

    metric: str = "concurrency"
    target: float = 70.0
    """What one pod should have: requests under way or per second."""
    total: float = 100.0
    """What one pod can take at most, for burst capacity and activators."""
    target_burst_capacity: float = 211.0
    panic_threshold: float = 2.0
    """In multiples of what the ready pods are for."""
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    activation_scale: int = 0
    initial_scale: int = 1
    min_scale: int = 0
    """0 where the revision is unreachable."""
    max_scale: int = 0
    """0 is no limit."""
    reachable: bool = True
    weighted: bool = False
    """metric-aggregation-algorithm: weighted-exponential."""
    activator_capacity: float = 100.0
    scale_to_zero: bool = True
    stable_window_s: float = 60.0
    panic_window_s: float = 6.0
    scale_down_delay_s: float = 0.0
    grace_s: float = 30.0
    retention_s: float = 0.0
    """0 where the revision is unreachable."""
    progress_deadline_s: float = 600.0

    @property
    def scraped(self) -> bool:
        """Whether queue-proxies are asked at all: not where the activator sees every request."""
        return self.target_burst_capacity != NO_ACTIVATOR_LEAVES


def settings_for(
    annotations: Mapping[str, str] | None,
    config: ClusterConfig,
    container_concurrency: int = 0,
    reached: str = "",
) -> Settings:
    """A revision's settings; `reached` is its reachability."""
    notes = Annotations(annotations or {})
    reachable = reached != UNREACHABLE
    metric = notes.metric()
    target, total = _target(notes, metric, config, container_concurrency)
    window_s = _kept(notes.get(parse_seconds, "window"), config.stable_window_s)
    panic_share = _kept(
        notes.get(parse_float, "panic-window-percentage", "panicWindowPercentage"), config.panic_window_percentage
    )
    initial = notes.get(parse_int32, "initial-scale", "initialScale")
    if initial is None or (initial == 0 and not config.allow_zero_initial_scale):
        initial = config.initial_scale
    retention_s = notes.get(parse_seconds, "scale-to-zero-pod-retention-period", "scaleToZeroPodRetentionPeriod")
    threshold = notes.get(parse_float, "panic-threshold-percentage", "panicThresholdPercentage")
    return Settings(
        metric=metric,
        target=target,
        total=total,
        target_burst_capacity=_kept(
            notes.get(parse_float, "target-burst-capacity", "targetBurstCapacity"), config.target_burst_capacity
        ),
        panic_threshold=_kept(threshold, config.panic_threshold_percentage) / 100,
        max_scale_up_rate=config.max_scale_up_rate,
        max_scale_down_rate=config.max_scale_down_rate,
        activation_scale=notes.get(parse_int32, "activation-scale") or 0,
        initial_scale=initial,
        min_scale=_kept(notes.get(parse_int32, "min-scale", "minScale"), config.min_scale) if reachable else 0,
        max_scale=_kept(notes.get(parse_int32, "max-scale", "maxScale"), config.max_scale),
        reachable=reachable,
        weighted=notes.text("metric-aggregation-algorithm", "metricAggregationAlgorithm") in _WEIGHTED,
        activator_capacity=config.activator_capacity,
        scale_to_zero=config.scale_to_zero,
        stable_window_s=window_s,
        panic_window_s=panic_window_s(window_s, panic_share),
        scale_down_delay_s=_kept(
            notes.get(parse_seconds, "scale-down-delay", "scaleDownDelay"), config.scale_down_delay_s
        ),
        grace_s=config.grace_s,
        retention_s=_kept(retention_s, config.retention_s) if reachable else 0.0,
        progress_deadline_s=_kept(notes.whole(parse_seconds, PROGRESS_DEADLINE), config.progress_deadline_s),
    )


def reachability(
    *, routed: bool | None, desired: int = 0, ready: int = 0, resources_available: bool = True, healthy: bool = True
) -> str:
    """Whether a revision can be reached: not where no route leads to it, nor where its pods fail and none is ready.
    `routed` is None while no route was looked for. What is not known counts as reachable.
    """
    if not (resources_available and healthy) and desired > 0 and ready == 0:
        return UNREACHABLE
    if routed is None:
        return ""
    return REACHABLE if routed else UNREACHABLE


def panic_window_s(window_s: float, percentage: float) -> float:
    """The panic window: whole seconds, halves rounded up, and at least one."""
    share = int64(float(round(window_s * SECOND)) * percentage / 100)
    return max(LEAST_PANIC_WINDOW_S, round_duration(share) / SECOND)


def _target(
    notes: Annotations, metric: str, config: ClusterConfig, container_concurrency: int
) -> tuple[float, float]:
    """What one pod should have, and what it can take."""
    if metric == "rps":
        total, utilization = config.rps_target, config.rps_utilization
    else:
        total = float(container_concurrency) or config.concurrency_target
        utilization = config.concurrency_utilization
    asked = notes.get(parse_float, "target")
    if asked is not None:
        total = asked
        if metric == "concurrency" and container_concurrency:
            total = smaller(asked, float(container_concurrency))
    percentage = notes.get(parse_float, "target-utilization-percentage", "targetUtilizationPercentage")
    if percentage is not None:
        utilization = percentage / 100
    return larger(LEAST_TARGET, total * utilization), total


class Annotations:
    """Annotations of the group, by name; of two spellings the first one counts, also where it does not parse."""

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._all = annotations

    def text(self, *names: str) -> str | None:
        """As it stands there."""
        return next((self._all[key] for name in names if (key := f"{GROUP}/{name}") in self._all), None)

    def get(self, parse: Callable[[str], Read], *names: str) -> Read | None:
        """Its value; None where it is absent or does not parse."""
        text = self.text(*names)
        return None if text is None else _read(parse, text)

    def whole(self, parse: Callable[[str], Read], key: str) -> Read | None:
        """One with another group's name."""
        return _read(parse, self._all[key]) if key in self._all else None

    def metric(self) -> str:
        """The metric's name: that of the class where the annotation is absent."""
        asked = self.text("metric")
        if asked is not None:
            return asked
        return {KPA: "concurrency", HPA: "cpu"}.get(self._all.get(f"{GROUP}/class", KPA), "")


def _read(parse: Callable[[str], Read], text: str) -> Read | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _kept(value: Read | None, otherwise: Read) -> Read:
    return otherwise if value is None else value
