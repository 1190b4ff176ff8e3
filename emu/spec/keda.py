"""KEDA's ScaledObject (keda.sh/v1alpha1): triggers by cpu, memory and a Prometheus of the run's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic.alias_generators import to_camel

from emu.policy.hpa import keda as policy
from emu.policy.hpa.own_metrics import unknown
from emu.policy.hpa.spec import Metric
from emu.policy.promql.parsing import QueryError, is_number, parse
from emu.policy.quantity import parse_quantity
from emu.spec.hpa import BehaviorSpec
from emu.spec.values import Model, SpecError, Whole

_OF_PROMETHEUS = ("server_address", "query", "threshold", "activation_threshold", "ignore_null_values")
_OF_RESOURCES = ("value", "container_name")


def _text(value: Any) -> Any:
    """KEDA's metadata are texts; a number without quotes is taken for one, which Kubernetes refuses."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else value


def _bool(value: Any) -> Any:
    return (
        {"true": True, "false": False, "t": True, "f": False}.get(value, value) if isinstance(value, str) else value
    )


def _number(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise SpecError(f"{value!r} is not a number", why="KEDA parses it as one", fix="write a number") from None
    if isinstance(value, bool):
        raise SpecError(f"{str(value).lower()} is not a number", fix="write a number")
    return value


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]


class TriggerMetadataSpec(Model):
    """What a trigger measures."""

    server_address: str | None = None
    """With type prometheus, and required by KEDA: nothing is asked there, since a run scrapes its own pods."""
    query: str | None = None
    """With type prometheus: PromQL, of which the part is evaluated that triggers are written in."""
    threshold: Number | None = None
    """With type prometheus: how much of it each pod should have, or all with metricType Value."""
    activation_threshold: Number = 0.0
    """With type prometheus: above it the trigger is active, which takes a Deployment from 0 pods to the first."""
    ignore_null_values: Annotated[bool, BeforeValidator(_bool)] = True
    """With type prometheus: a query without a result counts as 0; with false it is a failure."""
    value: Annotated[str, BeforeValidator(_text)] | None = None
    """With type cpu or memory: percent of the requests, or an amount in a pod."""
    container_name: str | None = None
    """With type cpu or memory: the only container that counts."""


class TriggerSpec(Model):
    """One of the triggers. The one that asks for most pods decides."""

    type: Literal["prometheus", "cpu", "memory"]
    """What measures: a query, or metrics-server."""
    name: str | None = None
    """Any name that no other trigger has."""
    metric_type: Literal["AverageValue", "Value", "Utilization"] | None = None
    """AverageValue: for each pod; Value: of all of them; Utilization: percent of the requests. Default: AverageValue
    for prometheus; cpu and memory need one of AverageValue and Utilization.
    """
    metadata: TriggerMetadataSpec
    """What it measures, by type."""

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        prometheus = self.type == "prometheus"
        for name in _OF_RESOURCES if prometheus else _OF_PROMETHEUS:
            if getattr(self.metadata, name) != TriggerMetadataSpec.model_fields[name].default:
                raise SpecError(
                    f"a trigger of type {self.type} has no `{to_camel(name)}`",
                    why="KEDA reads nothing of it",
                    fix="remove it",
                    at=("metadata", to_camel(name)),
                )
        given = self.metadata.model_dump(by_alias=True)
        for key in policy.REQUIRED[self.type]:
            if given[key] in (None, ""):
                raise SpecError(
                    f"a trigger of type {self.type} needs `{key}`",
                    why=f"KEDA refuses it: {policy.missing(key)}",
                    fix="add it to `metadata`",
                    at=("metadata",),
                )
        if prometheus:
            self._has_a_query()
        elif self.metric_type not in ("Utilization", "AverageValue"):
            raise SpecError(
                f"a trigger of type {self.type} needs `metricType`",
                why="KEDA refuses it: allowed values are 'Utilization' or 'AverageValue'",
                fix="add one of them",
                at=("metricType",),
            )
        else:
            self._has_an_amount()
        return self

    def _has_a_query(self) -> None:
        if self.metric_type == "Utilization":
            raise SpecError(
                "a trigger of type prometheus has no Utilization",
                why="KEDA refuses it: 'Utilization' metric type is unsupported for external metrics",
                fix="use AverageValue or Value",
                at=("metricType",),
            )
        if (self.metadata.threshold or 0) <= 0:
            raise SpecError(
                f"the threshold {self.metadata.threshold:g} is not positive",
                why="Kubernetes refuses the HorizontalPodAutoscaler of it: must be positive",
                fix="write how much each pod should have",
                at=("metadata", "threshold"),
            )
        query = self.metadata.query or ""
        try:
            scalar = is_number(parse(query))
        except QueryError as error:
            raise SpecError(
                f"the query {query!r} cannot be evaluated",
                why=str(error),
                fix="rewrite it; docs/services.md has what is evaluated",
                at=("metadata", "query"),
            ) from None
        if scalar:
            raise SpecError(
                f"the query {query!r} comes to a number, and KEDA reads a series",
                why="Prometheus answers in another form then, which KEDA cannot parse",
                fix="wrap it in vector(…)",
                at=("metadata", "query"),
            )

    def _has_an_amount(self) -> None:
        value = self.metadata.value or ""
        try:
            good = int(value) if self.metric_type == "Utilization" else parse_quantity(value).milli
        except ValueError:
            good = 0
        if good < 1:
            raise SpecError(
                f"{value!r} is no {'percentage' if self.metric_type == 'Utilization' else 'positive quantity'}",
                why="KEDA parses it as one",
                fix=f'write "{value.rstrip("% ") if value.rstrip("% ").isdigit() else 60}"'
                if self.metric_type == "Utilization"
                else "write 500m or 80Mi",
                at=("metadata", "value"),
            )

    def trigger(self, index: int) -> policy.Trigger:
        """For the decisions; `index` is its place among the triggers."""
        about = self.metadata
        if self.type == "prometheus":
            metric = policy.external_metric(index, about.threshold or 0.0, self.metric_type == "Value")
            return policy.Trigger(
                self.type, metric, about.activation_threshold, about.query or "", about.ignore_null_values
            )
        source: Literal["Resource", "ContainerResource"] = "ContainerResource" if about.container_name else "Resource"
        container, value = about.container_name or "", about.value or ""
        if self.metric_type == "Utilization":
            return policy.Trigger(self.type, Metric(self.type, source, target=int(value), container=container))
        amount = parse_quantity(value)
        metric = Metric(self.type, source, "AverageValue", amount.milli, amount.form, container)
        return policy.Trigger(self.type, metric)


class FallbackSpec(Model):
    """How many pods there are to be where a query fails again and again."""

    failure_threshold: Annotated[Whole, Field(ge=0)]
    """It takes one failure more in a row, of polls and of the autoscaler's syncs together."""
    replicas: Annotated[Whole, Field(ge=0, le=1000)]
    """The number of pods."""
    behavior: policy.FallbackBehavior = "static"
    """Whether that number counts, or how many there are at the moment."""


class AutoscalerConfigSpec(Model):
    """What the HorizontalPodAutoscaler gets besides."""

    name: str | None = None
    """Its name, which says nothing here."""
    behavior: BehaviorSpec | None = None
    """How fast it may scale. Default: none: 300 s of stabilization down, at most double or 4 in a sync up."""


class AdvancedSpec(Model):
    """Further settings; scalingModifiers are not evaluated."""

    horizontal_pod_autoscaler_config: AutoscalerConfigSpec | None = None
    """Of the HorizontalPodAutoscaler that KEDA makes."""


class ScaledObjectSpec(Model):
    """A ScaledObject's spec, without scaleTargetRef: it scales this pod's Deployment. KEDA takes that from 0 pods to
    the first and back, and makes a HorizontalPodAutoscaler for the rest.
    """

    triggers: Annotated[tuple[TriggerSpec, ...], Field(min_length=1)]
    """What it scales by."""
    polling_interval: Annotated[Whole, Field(ge=1)] = int(policy.POLLING_S)
    """Seconds from one look at the triggers to the next, for the way from 0 pods and back."""
    cooldown_period: Annotated[Whole, Field(ge=0)] = int(policy.COOLDOWN_S)
    """Seconds without an active trigger until the last pods go."""
    initial_cooldown_period: Annotated[Whole, Field(ge=0)] = 0
    """Seconds from its creation until they may go where no trigger has been active yet."""
    idle_replica_count: Annotated[Whole, Field(ge=0)] | None = None
    """So many pods while no trigger is active; below minReplicaCount. Default: minReplicaCount."""
    min_replica_count: Annotated[Whole, Field(ge=0, le=1000)] = 0
    """Never fewer pods while a trigger is active."""
    max_replica_count: Annotated[Whole, Field(ge=1, le=1000)] = policy.MAX_REPLICAS
    """Never more pods."""
    fallback: FallbackSpec | None = None
    """Where a query fails. Default: the number of pods stays."""
    advanced: AdvancedSpec | None = None
    """What the HorizontalPodAutoscaler gets besides."""

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        least, most, idle = self.min_replica_count, self.max_replica_count, self.idle_replica_count
        wrong = {
            "minReplicaCount": (f"minReplicaCount {least} is above maxReplicaCount {most}", "raise maxReplicaCount"),
            "idleReplicaCount": (
                f"idleReplicaCount {idle} is not below minReplicaCount {least}",
                "lower it, or raise minReplicaCount",
            ),
        }
        for words, key in policy.refused_bounds(least, most, idle):
            raise SpecError(wrong[key][0], why=f"KEDA refuses it: {words}", fix=wrong[key][1], at=(key,))
        return self

    @model_validator(mode="after")
    def _triggers_fit(self) -> Self:
        names = [one.name for one in self.triggers if one.name]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise SpecError(
                f"two triggers have the name {twice}",
                why=f'KEDA refuses it: triggerName "{twice}" is defined multiple times',
                fix="give one of them another name",
                at=("triggers",),
            )
        if self.fallback is not None and all(one.type != "prometheus" for one in self.triggers):
            raise SpecError(
                "`fallback` needs a trigger that is not cpu or memory",
                why="KEDA refuses it: it reads nothing for those two",
                fix="remove it",
                at=("fallback",),
            )
        return self

    @property
    def asked(self) -> policy.ScaledObject:
        """What `emu.policy.hpa` decides by."""
        config = None if self.advanced is None else self.advanced.horizontal_pod_autoscaler_config
        given = None if self.fallback is None else self.fallback
        return policy.ScaledObject(
            tuple(one.trigger(index) for index, one in enumerate(self.triggers)),
            self.min_replica_count,
            self.max_replica_count,
            float(self.cooldown_period),
            float(self.polling_interval),
            None if config is None or config.behavior is None else config.behavior.asked,
            self.idle_replica_count,
            float(self.initial_cooldown_period),
            None if given is None else policy.Fallback(given.failure_threshold, given.replicas, given.behavior),
        )

    def check_metrics(self) -> None:
        """SpecError for a query that asks emu's app for what it never has."""
        for index, one in enumerate(self.triggers):
            if one.metadata.query and (found := unknown(parse(one.metadata.query))):
                raise SpecError(
                    f"the query {one.metadata.query!r} never has a result: {found[0]}",
                    why=found[1],
                    fix="ask for one of these; a metric of your own needs your own image in `app.image`",
                    at=("triggers", index, "metadata", "query"),
                )
