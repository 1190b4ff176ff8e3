"""What a HorizontalPodAutoscaler (autoscaling/v2) asks for, and what Kubernetes fills in where it says nothing
(pkg/apis/autoscaling/v2/defaults.go).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

UP_WINDOW_S = 0.0
DOWN_WINDOW_S = 300.0
"""The controller's flag --horizontal-pod-autoscaler-downscale-stabilization."""
CPU_UTILIZATION = 80
"""The target where there are no metrics."""

TargetType = Literal["Utilization", "AverageValue", "Value", ""]
Source = Literal["Resource", "ContainerResource", "Pods", "External"]


@dataclass(frozen=True)
class Metric:
    """A metric, and the target that each pod should be at."""

    name: str
    """cpu and memory for resources; else the metric's own."""
    source: Source = "Resource"
    type: TargetType = "Utilization"
    target: int | None = None
    """Percent of the request for Utilization; else thousandths: of a CPU, of a byte, of the metric's unit. None: the
    target's type has no value, which Kubernetes refuses."""
    notation: Literal["decimal", "binary", "exponent"] = "decimal"
    """How a target that is a size is written: `2k`, `2Ki`, `2e3`."""
    container: str = ""
    """The only container that counts, for a ContainerResource."""

    @property
    def text(self) -> str:
        """As people say it: `cpu at 80 % of the requests`."""
        if self.type == "Utilization":
            return f"{self.name} at {self.target} % of the requests"
        per_pod = " per pod" if self.type == "AverageValue" else ""
        return f"{self.name} at {amount(self.name, self.target or 0)}{per_pod}"


@dataclass(frozen=True)
class ScalingPolicy:
    """No more change than so much in a period."""

    type: Literal["Pods", "Percent"]
    value: int
    period_s: float

    @property
    def text(self) -> str:
        """`4 pods in 15 s`."""
        unit = " %" if self.type == "Percent" else " pod" if self.value == 1 else " pods"
        return f"{self.value}{unit} in {self.period_s:g} s"


@dataclass(frozen=True)
class ScalingRules:
    """How fast it may go in one direction."""

    policies: tuple[ScalingPolicy, ...] = ()
    select: Literal["Max", "Min", "Disabled"] = "Max"
    window_s: float | None = None
    """The stabilization window; None is the default."""
    tolerance: float | None = None
    """HPAConfigurableTolerance (Kubernetes 1.33); None is the controller's."""


@dataclass(frozen=True)
class Behavior:
    """A HorizontalPodAutoscaler's spec.behavior: how fast it may scale up and down."""

    up: ScalingRules | None = None
    down: ScalingRules | None = None


@dataclass(frozen=True)
class HpaSpec:
    """A HorizontalPodAutoscaler's spec, without what it scales."""

    max_replicas: int
    min_replicas: int | None = None
    metrics: tuple[Metric, ...] = ()
    behavior: Behavior | None = None

    @property
    def least(self) -> int:
        """minReplicas, which is 1 where it is absent."""
        return 1 if self.min_replicas is None else self.min_replicas


_UP = ScalingRules((ScalingPolicy("Pods", 4, 15.0), ScalingPolicy("Percent", 100, 15.0)), window_s=UP_WINDOW_S)
_DOWN = ScalingRules((ScalingPolicy("Percent", 100, 15.0),))


def defaulted(spec: HpaSpec) -> HpaSpec:
    """As Kubernetes stores it: minReplicas, cpu at 80 % where there is no metric, and both halves of a `behavior`."""
    behavior = spec.behavior
    if spec.min_replicas is not None and spec.metrics and (behavior is None or _is_whole(behavior)):
        return spec
    if behavior is not None:
        behavior = Behavior(_filled(behavior.up, _UP), _filled(behavior.down, _DOWN))
    metrics = spec.metrics or (Metric("cpu", target=CPU_UTILIZATION),)
    return replace(spec, min_replicas=spec.least, metrics=metrics, behavior=behavior)


def _is_whole(behavior: Behavior) -> bool:
    up, down = behavior.up, behavior.down
    return bool(up and up.policies and up.window_s is not None and down and down.policies)


def _filled(rules: ScalingRules | None, default: ScalingRules) -> ScalingRules:
    if rules is None:
        return default
    window_s = default.window_s if rules.window_s is None else rules.window_s
    return replace(rules, policies=rules.policies or default.policies, window_s=window_s)


def refusals(spec: HpaSpec) -> list[str]:
    """What Kubernetes refuses of it, as it words that (pkg/apis/autoscaling/validation)."""
    found = []
    if spec.least < 1:
        found.append(f"spec.minReplicas: Invalid value: {spec.least}: must be greater than or equal to 1")
    if spec.max_replicas == 0:
        found.append("spec.maxReplicas: Required value: must be set and greater than 0")
    if spec.max_replicas < 0:
        found.append(f"spec.maxReplicas: Invalid value: {spec.max_replicas}: must be greater than or equal to 1")
    if spec.max_replicas < spec.least:
        value = spec.max_replicas
        found.append(f"spec.maxReplicas: Invalid value: {value}: must be greater than or equal to `minReplicas`")
    for number, metric in enumerate(spec.metrics):
        source = metric.source[0].lower() + metric.source[1:]
        path = f"spec.metrics[{number}].{source}.target"
        if metric.type == "":
            found.append(f"{path}.type: Required value: must specify a metric target type")
        elif metric.type == "Utilization":
            if metric.target is None:
                found.append(f"{path}.averageUtilization: Required value: must specify a target utilization")
            elif metric.target < 1:
                found.append(f"{path}.averageUtilization: Invalid value: {metric.target}: must be greater than 0")
        elif metric.target is not None and metric.target <= 0:
            field = metric.type[0].lower() + metric.type[1:]
            shown = amount("", metric.target)
            found.append(f'{path}.{field}: Invalid value: "{shown}": must be positive')
    return found


def amount(name: str, thousandths: int) -> str:
    """A metric's amount for people: `250m` of cpu, `80Mi` of memory."""
    if name == "memory":
        size, unit = thousandths / 1000, ""
        for unit in ("", "Ki", "Mi", "Gi"):
            if size < 1024 or unit == "Gi":
                break
            size /= 1024
        return f"{size:.1f}".removesuffix(".0") + unit
    if name == "cpu" or thousandths % 1000:
        return f"{thousandths}m"
    return str(thousandths // 1000)
