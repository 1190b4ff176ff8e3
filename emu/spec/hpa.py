"""A HorizontalPodAutoscaler (autoscaling/v2), and the flags of those who act on it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from emu.policy.hpa import spec as policy
from emu.policy.hpa.form import behavior_of
from emu.policy.hpa.timing import HpaTiming
from emu.policy.quantity import Quantity, parse_quantity
from emu.spec.values import Model, Name, Seconds, SpecError, Whole, number

Resource = Literal["cpu", "memory"]


def _quantity(value: object) -> Quantity:
    if isinstance(value, Quantity):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SpecError(f"{value!r} is not a quantity", fix="write 500m, 1.5 or 80Mi")
    try:
        return parse_quantity(value)
    except ValueError as error:
        raise SpecError(f"{value!r} is not a quantity", why=str(error), fix="write 500m, 1.5 or 80Mi") from None


class MetricTargetSpec(Model):
    """What each pod should have of a metric."""

    type: Literal["Utilization", "AverageValue"]
    """Percent of what the containers request, or an amount for a pod."""
    average_utilization: Annotated[Whole, Field(ge=1)] | None = None
    """With Utilization: percent of the requests."""
    average_value: (
        Annotated[
            str,
            BeforeValidator(lambda value: None if value is None else str(_quantity(value))),
            WithJsonSchema({"type": "string", "examples": ["500m", "80Mi"]}),
        ]
        | None
    ) = None
    """With AverageValue: cores (`500m`) or bytes (`80Mi`)."""

    @model_validator(mode="after")
    def _has_its_value(self) -> Self:
        has = {"averageUtilization": self.average_utilization, "averageValue": self.average_value}
        key = "averageUtilization" if self.type == "Utilization" else "averageValue"
        other = next(name for name in has if name != key)
        if has[key] is None:
            raise SpecError(
                f"a target of type {self.type} needs `{key}`",
                why="Kubernetes refuses it: Required value",
                fix=f"add `{key}`",
                at=("type",),
            )
        if has[other] is not None:
            raise SpecError(
                f"a target of type {self.type} has no `{other}`",
                why="Kubernetes refuses it: may not set both target value types",
                fix="remove it",
                at=(other,),
            )
        return self


class ResourceMetricSpec(Model):
    """cpu or memory, as metrics-server measures it, summed over the containers of a pod."""

    name: Resource
    """Which of the two."""
    target: MetricTargetSpec
    """What each pod should have of it."""


class ContainerResourceMetricSpec(ResourceMetricSpec):
    """The same of one container alone."""

    container: Name
    """The container that counts."""


class HpaMetricSpec(Model):
    """One metric. Pods, Object and External metrics need an adapter, which emu has not."""

    type: Literal["Resource", "ContainerResource"]
    """Which of the two keys below it has."""
    resource: ResourceMetricSpec | None = None
    """With type Resource."""
    container_resource: ContainerResourceMetricSpec | None = None
    """With type ContainerResource."""

    @model_validator(mode="after")
    def _has_its_source(self) -> Self:
        has = {"resource": self.resource, "containerResource": self.container_resource}
        key = self.type[0].lower() + self.type[1:]
        for name, value in has.items():
            if (value is None) == (name == key):
                raise SpecError(
                    f"a metric of type {self.type} has `{key}` and no other source",
                    why="Kubernetes refuses it",
                    fix=f"give it `{key}` alone",
                    at=("type",) if name == key else (name,),
                )
        return self

    @property
    def metric(self) -> policy.Metric:
        """The metric as `emu.policy.hpa` takes it, its target as a number."""
        source = self.resource or self.container_resource
        assert source is not None
        container = source.container if isinstance(source, ContainerResourceMetricSpec) else ""
        target = source.target
        if target.average_value is None:
            return policy.Metric(source.name, self.type, target=target.average_utilization, container=container)
        value = parse_quantity(target.average_value)
        return policy.Metric(source.name, self.type, "AverageValue", value.milli, value.form, container)


class ScalingPolicySpec(Model):
    """No more change than this in a period."""

    type: Literal["Pods", "Percent"]
    """What `value` counts."""
    value: Annotated[Whole, Field(ge=1)]
    """So many pods, or percent of those at the start of the period."""
    period_seconds: Annotated[Whole, Field(ge=1, le=1800)]
    """The period: what changed in it counts against `value`."""


class ScalingRulesSpec(Model):
    """How fast it may scale in one direction."""

    stabilization_window_seconds: Annotated[Whole, Field(ge=0, le=3600)] | None = None
    """The most cautious proposal of this time counts. Default: 0 up, 300 down."""
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Which policy counts: the one that allows most, or least; Disabled: it does not scale in this direction."""
    policies: tuple[ScalingPolicySpec, ...] = ()
    """Default: 4 pods or 100 % in 15 s up, 100 % in 15 s down."""


class BehaviorSpec(Model):
    """The field `behavior`. Even `{}` is not the same as none."""

    scale_up: ScalingRulesSpec | None = None
    """On the way up."""
    scale_down: ScalingRulesSpec | None = None
    """On the way down."""

    @property
    def asked(self) -> policy.Behavior | None:
        return behavior_of(self.model_dump(by_alias=True, exclude_none=True))


class HpaSpec(Model):
    """A HorizontalPodAutoscaler's spec, without scaleTargetRef: it scales this pod's Deployment."""

    min_replicas: Annotated[Whole, Field(ge=1, le=1000)] = 1
    """Never fewer pods."""
    max_replicas: Annotated[Whole, Field(ge=1, le=1000)]
    """Never more pods."""
    metrics: tuple[HpaMetricSpec, ...] = ()
    """The largest proposal of several counts. Default: cpu at 80 % of the requests."""
    behavior: BehaviorSpec | None = None
    """How fast it may scale. Default: none: 300 s of stabilization down, at most double or 4 in a sync up."""

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise SpecError(
                f"maxReplicas {self.max_replicas} is below minReplicas {self.min_replicas}",
                why=f"Kubernetes refuses it: spec.maxReplicas: Invalid value: {self.max_replicas}: "
                "must be greater than or equal to `minReplicas`",
                fix="raise maxReplicas",
                at=("maxReplicas",),
            )
        return self

    @property
    def asked(self) -> policy.HpaSpec:
        behavior = None if self.behavior is None else self.behavior.asked
        metrics = tuple(one.metric for one in self.metrics)
        return policy.HpaSpec(self.max_replicas, self.min_replicas, metrics, behavior)


class HpaControllerSpec(Model):
    """What the cluster's HorizontalPodAutoscaler controller and metrics-server were started with."""

    sync_period: Annotated[Seconds, Field(gt=0)] = HpaTiming.sync_s
    """--horizontal-pod-autoscaler-sync-period: from one decision to the next. The first comes one period after the
    first pod is created.
    """
    metric_resolution: Annotated[Seconds, Field(ge=10)] = HpaTiming.resolution_s
    """--metric-resolution of metrics-server, 10s or more: from one scrape of the pods to the next."""
    first_scrape: Seconds | None = None
    """When metrics-server scrapes for the first time after the first pod is created; in a cluster that is chance.
    Default: half of `metricResolution`.
    """
    scrape_interval: Annotated[Seconds, Field(ge=1)] = HpaTiming.prometheus_s
    """Prometheus' scrape_interval, for the triggers of a ScaledObject: 30s is kube-prometheus-stack's. `rate(…[1m])`
    needs two samples in its range.
    """
    downscale_stabilization: Seconds = HpaTiming.down_window_s
    """--horizontal-pod-autoscaler-downscale-stabilization: the window down, where `behavior` names none."""
    cpu_initialization_period: Seconds = HpaTiming.cpu_initialization_s
    """--horizontal-pod-autoscaler-cpu-initialization-period: in this time after its start, a pod's cpu counts only
    while it is ready, and only if measured after that.
    """
    initial_readiness_delay: Seconds = HpaTiming.initial_readiness_s
    """--horizontal-pod-autoscaler-initial-readiness-delay: a pod that is not ready and has changed that only within
    this time after its start was never ready, so its cpu does not count.
    """
    tolerance: Annotated[float, BeforeValidator(number), Field(ge=0, lt=1, allow_inf_nan=False)] = HpaTiming.tolerance
    """--horizontal-pod-autoscaler-tolerance: a ratio to the target this near to 1 changes nothing."""

    @property
    def timing(self) -> HpaTiming:
        """The controller's and metrics-server's periods, with their defaults filled in."""
        first_s = self.metric_resolution / 2 if self.first_scrape is None else self.first_scrape
        return HpaTiming(
            sync_s=self.sync_period,
            resolution_s=self.metric_resolution,
            first_scrape_s=first_s,
            prometheus_s=self.scrape_interval,
            down_window_s=self.downscale_stabilization,
            cpu_initialization_s=self.cpu_initialization_period,
            initial_readiness_s=self.initial_readiness_delay,
            tolerance=self.tolerance,
        )
