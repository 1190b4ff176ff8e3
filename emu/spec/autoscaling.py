"""How many pods there are: Knative's autoscaler, a HorizontalPodAutoscaler, or KEDA with one."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from emu.policy.hpa import keda, knative
from emu.policy.hpa import spec as policy
from emu.spec.hpa import HpaControllerSpec, HpaSpec
from emu.spec.keda import ScaledObjectSpec
from emu.spec.values import Model, Seconds, SpecError, Whole, number

_OF_KPA = (
    "enable_scale_to_zero",
    "scale_down_delay",
    "scale_to_zero_pod_retention_period",
    "scale_to_zero_grace_period",
    "progress_deadline",
    "activation_scale",
    "target_utilization_percentage",
    "target_burst_capacity",
    "panic_window_percentage",
    "panic_threshold_percentage",
    "max_scale_up_rate",
    "max_scale_down_rate",
)
"""What only Knative's own autoscaler looks at."""
_OF_KNATIVE = ("metric", "target", "min_scale", "max_scale", "window")
"""What a spec in `horizontalPodAutoscaler` or `scaledObject` replaces."""
_METRICS = {"kpa": ("concurrency", "rps"), "hpa": ("cpu", "memory"), "keda": ()}


def _whole(value: float) -> float:
    if value != round(value):
        raise SpecError(
            f"{value:g} s is not a whole number of seconds", why="Knative takes whole seconds here", fix="round it"
        )
    return value


WholeSeconds = Annotated[Seconds, AfterValidator(_whole)]


class AutoscalingSpec(Model):
    """As many pods as Knative's autoscaler wants: by default one or none (min-scale 0, max-scale 1). An activator in
    front of the pods holds requests that arrive while there is no pod, and spreads them over the pods there are. The
    key enables it, even as `{}`; without it the pod stays for the whole run.

    With `class: hpa` a HorizontalPodAutoscaler scales it, by what its pods use; with `class: keda` KEDA does.
    """

    class_: Annotated[Literal["kpa", "hpa", "keda"], Field(alias="class")] = "kpa"
    """Knative's class: kpa, its own autoscaler; hpa: the HorizontalPodAutoscaler that it writes from `metric`,
    `target`, `minScale`, `maxScale` and `window`. Of the other keys only `initialScale` has an effect then. With
    `deploymentMode: Standard` only hpa, and keda: a ScaledObject in `scaledObject`.
    """
    horizontal_pod_autoscaler: HpaSpec | None = None
    """With `deploymentMode: Standard`, and only there: the autoscaler's spec, in place of Knative's keys."""
    scaled_object: ScaledObjectSpec | None = None
    """With `class: keda` and `deploymentMode: Standard`, and only there: the ScaledObject's spec."""
    controller: HpaControllerSpec = HpaControllerSpec()
    """With `class: hpa` or keda: the flags of the cluster's controller, metrics-server and Prometheus."""
    enable_scale_to_zero: bool = True
    """Knative's enable-scale-to-zero. With false the activator is in front of the pod, and the pod stays."""
    window: Annotated[WholeSeconds, Field(ge=6, le=3600)] | None = None
    """Knative's stable window, from 6s to 1h: a pod without a request in flight for this long is idle. Default: 60s.
    With `class: hpa` the stabilization window, up and down; default: Kubernetes' own, 300s down.
    """
    scale_down_delay: Annotated[WholeSeconds, Field(le=3600)] = 0.0
    """Knative: additional idle time before that counts, up to 1h."""
    scale_to_zero_pod_retention_period: Annotated[Seconds, Field(le=3600)] = 0.0
    """Knative: additional time for which an idle pod is kept, up to 1h."""
    scale_to_zero_grace_period: Annotated[Seconds, Field(gt=0)] = 30.0
    """Knative: how long the activator must have been in the path. It is from the pod's first start, so this matters
    only at the beginning of a run.
    """
    min_scale: Annotated[Whole, Field(ge=0, le=1000)] = 0
    """Knative's min-scale: never fewer pods."""
    max_scale: Annotated[Whole, Field(ge=0, le=1000)] = 1
    """Knative's max-scale: never more pods; 0 means no limit. Knative's own default is 0; one machine has to run them
    all, so here more than one pod is asked for.
    """
    initial_scale: Annotated[Whole, Field(ge=0, le=1000)] = 1
    """Knative's initial-scale: pods at the start. The revision counts as ready once that many are."""
    progress_deadline: Annotated[WholeSeconds, Field(ge=1, le=86400)] = 600.0
    """Knative's progress-deadline: a revision none of whose pods was ever ready fails after it, and the autoscaler
    gives a pod that does not become ready up 30s later. `timeScale` divides both.
    """
    activation_scale: Annotated[Whole, Field(ge=2, le=1000)] | None = None
    """Knative's activation-scale: at least so many pods as soon as there is traffic. Default: none."""
    metric: Literal["concurrency", "rps", "cpu", "memory"] | None = None
    """What is compared with the target: concurrency (requests in flight) or rps (requests per second); with
    `class: hpa` cpu or memory. Default: concurrency, or cpu.
    """
    target: Annotated[float, BeforeValidator(number), Field(ge=0.01, allow_inf_nan=False)] | None = None
    """Knative's target: what one pod should have of the metric, before `targetUtilizationPercentage`. Default:
    `containerConcurrency`, or 100 where that is 0; 200 with `metric: rps`. With `class: hpa` it is percent of the
    requests for cpu, and MiB in a pod for memory; without it cpu at 80 % counts, whatever `metric` says.
    """
    target_utilization_percentage: Annotated[float, BeforeValidator(number), Field(ge=1, le=100)] = 70.0
    """Knative's target-utilization-percentage: how much of the target is aimed at."""
    target_burst_capacity: Annotated[float, BeforeValidator(number), Field(allow_inf_nan=False)] | None = None
    """Knative's target-burst-capacity: the activator may leave the path while the pods have room for so many more
    requests; -1: never, 0: as soon as there is a pod. Clients then send each request to a ready pod, at random.
    Default: 211, but with `maxScale: 1` the activator stays.
    """
    panic_window_percentage: Annotated[float, BeforeValidator(number), Field(ge=1, le=100)] = 10.0
    """Knative's panic-window-percentage: the panic window as a share of `window`, at least one second."""
    panic_threshold_percentage: Annotated[float, BeforeValidator(number), Field(ge=110, le=1000)] = 200.0
    """Knative's panic-threshold-percentage: it panics where the panic window wants so much of the ready pods."""
    max_scale_up_rate: Annotated[float, BeforeValidator(number), Field(gt=1, allow_inf_nan=False)] = 1000.0
    """Knative's max-scale-up-rate: at most so many times the ready pods, in one decision."""
    max_scale_down_rate: Annotated[float, BeforeValidator(number), Field(gt=1, allow_inf_nan=False)] = 2.0
    """Knative's max-scale-down-rate: at least the ready pods divided by that, in one decision."""

    @property
    def is_hpa(self) -> bool:
        """Whether a HorizontalPodAutoscaler scales it, Knative's, one of its own, or KEDA's."""
        return self.class_ != "kpa"

    @property
    def most(self) -> int:
        """Never more pods; 0: no limit."""
        if self.scaled_object is not None:
            return self.scaled_object.max_replica_count
        own = self.horizontal_pod_autoscaler
        return self.max_scale if own is None else own.max_replicas

    @property
    def asked(self) -> policy.HpaSpec:
        """What the HorizontalPodAutoscaler asks for, its own spec, or what Knative or KEDA writes."""
        if self.scaled_object is not None:
            return keda.autoscaler(self.scaled_object.asked)
        if self.horizontal_pod_autoscaler is not None:
            return self.horizontal_pod_autoscaler.asked
        settings = knative.HpaSettings(self.metric or "cpu", self.target, self.min_scale, self.max_scale, self.window)
        return knative.autoscaler(settings)

    @model_validator(mode="after")
    def _class_fits(self) -> Self:
        known = _METRICS[self.class_]
        if self.metric is not None and self.metric not in known:
            why = f"[{self.metric}] is not a supported metric of this class; it has: {', '.join(known) or 'triggers'}"
            fix = "use one of those" + ("" if self.is_hpa else ", or add `class: hpa`")
            raise SpecError(f"class {self.class_} does not scale by {self.metric}", why=why, fix=fix, at=("metric",))
        if self.is_hpa:
            self._goes_by_hpa()
        elsewhere = {
            "kpa": {"horizontal_pod_autoscaler": "hpa", "scaled_object": "keda", "controller": "hpa"},
            "hpa": {"scaled_object": "keda"},
            "keda": {"horizontal_pod_autoscaler": "hpa"},
        }
        for name, needed in elsewhere[self.class_].items():
            if getattr(self, name) != type(self).model_fields[name].default:
                whose = "Knative's own autoscaler" if self.class_ == "kpa" else f"class {self.class_}"
                raise SpecError(
                    f"`{to_camel(name)}` needs `class: {needed}`",
                    why=f"{whose} has no use for it",
                    fix=f"add `class: {needed}`, or remove it",
                    at=(to_camel(name),),
                )
        if self.class_ == "keda" and self.scaled_object is None:
            raise SpecError(
                "`class: keda` needs a `scaledObject`",
                why="KEDA scales by its triggers",
                fix="write `scaledObject: {triggers: […]}`",
                at=("class",),
            )
        return self

    def _goes_by_hpa(self) -> None:
        own = self.horizontal_pod_autoscaler or self.scaled_object
        unused = _OF_KPA if own is None else (*_OF_KPA, *_OF_KNATIVE)
        for name in unused:
            if getattr(self, name) != type(self).model_fields[name].default:
                why = "a HorizontalPodAutoscaler ignores it" if name in _OF_KPA else "its spec has that already"
                inside = "scaledObject" if self.class_ == "keda" else "horizontalPodAutoscaler"
                fix = "remove it" if name in _OF_KPA else f"remove it, and set it in `{inside}`"
                raise SpecError(
                    f"`{to_camel(name)}` has no effect with this autoscaler", why=why, fix=fix, at=(to_camel(name),)
                )
        if self.initial_scale == 0 and self.class_ == "hpa":
            raise SpecError(
                "a HorizontalPodAutoscaler does nothing while there are 0 replicas",
                why="Kubernetes: scaling is disabled since the replica count of the target is zero",
                fix="set initialScale to 1 or more",
                at=("initialScale",),
            )
        for refusal in () if own is not None else policy.refusals(self.asked):
            raise SpecError(
                f"Knative would write a HorizontalPodAutoscaler with this {self.metric or 'cpu'} target that "
                "Kubernetes refuses",
                why=refusal,
                fix="raise `target`: percent of the requests for cpu, whole MiB for memory",
                at=("target",),
            )

    @model_validator(mode="after")
    def _scales_fit(self) -> Self:
        least, most = self.min_scale, self.max_scale
        if most and least > most:
            raise SpecError(
                f"minScale {least} is above maxScale {most}",
                why=f"Knative's webhook refuses it: max-scale={most} is less than min-scale={least}",
                fix=f"set maxScale to {least} or more; it is 1 unless it is given",
                at=("minScale",),
            )
        activation = self.activation_scale
        if activation is not None and (least > activation or (most and most < activation)):
            words = (
                f"min-scale={least} is greater than activation-scale={activation}"
                if least > activation
                else f"max-scale={most} is less than activation-scale={activation}"
            )
            raise SpecError(
                f"activationScale {activation} is outside of minScale {least} to maxScale {most}",
                why=f"Knative's webhook refuses it: {words}",
                fix="put it between the two; maxScale is 1 unless it is given",
                at=("activationScale",),
            )
        return self

    @field_validator("target_burst_capacity")
    @classmethod
    def _burst_counts(cls, value: float | None) -> float | None:
        if value is not None and value < 0 and value != -1:
            raise SpecError(
                f"{value:g} is negative",
                why="Knative takes -1, 0 and more here",
                fix="use -1 for an activator that stays",
            )
        return value
