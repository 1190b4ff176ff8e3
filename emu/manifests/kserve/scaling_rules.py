"""Which metric and target KServe's webhook accepts, by deployment mode and autoscaler class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from emu.manifests.kserve.component import RefusedError
from emu.manifests.kserve.keys import (
    AUTOSCALER_CLASS,
    CLASS,
    DEPLOYMENT_MODE,
    HPA,
    STANDARD,
    Yaml,
    items,
    mapping,
)
from emu.policy.quantity import parse_amount

_CLASSES = ("hpa", "external", "keda", "none")
_KNATIVE_METRICS, _HPA_METRICS = ("concurrency", "rps"), ("cpu", "memory")
_PERCENT = "the target utilization percentage should be a [1-100] integer"
_MIB = 2**20


def check_autoscaler_class(annotations: Mapping[str, str]) -> None:
    """Refuse an annotation autoscalerClass that names no autoscaler."""
    value = annotations.get(AUTOSCALER_CLASS)
    if value is not None and value not in _CLASSES:
        raise RefusedError(
            f"[{value}] is not a supported autoscaler class type", f"metadata.annotations.{AUTOSCALER_CLASS}"
        )


def check_scaling(component: Yaml, annotations: Mapping[str, str]) -> None:
    """Which metric and target, by the mode and the class. Standard mode without the annotation autoscalerClass, and
    its classes external and none, are not looked at.
    """
    if annotations.get(DEPLOYMENT_MODE) == STANDARD:
        check = {"hpa": _check_hpa, "keda": _check_keda}.get(annotations.get(AUTOSCALER_CLASS, ""))
        if check is not None:
            check(component)
    elif annotations.get(CLASS) == HPA:
        _check_hpa(component)
    else:
        _check_kpa(component)


def _check_kpa(component: Yaml) -> None:
    if component.get("deploymentStrategy") is not None:
        words = "customizing deploymentStrategy is only supported for raw deployment mode"
        raise RefusedError(words, "deploymentStrategy")
    metric = component.get("scaleMetric")
    metric = "concurrency" if metric is None else metric
    if metric not in _KNATIVE_METRICS:
        raise RefusedError(f"[{metric}] is not a supported metric", "scaleMetric")
    target = component.get("scaleTarget")
    if target is not None and metric == "rps" and target < 1:
        raise RefusedError("the target for rps should be greater than 1", "scaleTarget")


def _check_hpa(component: Yaml) -> None:
    metric, target = component.get("scaleMetric"), component.get("scaleTarget")
    metric = "cpu" if metric is None else metric
    if metric not in _HPA_METRICS:
        raise RefusedError(f"[{metric}] is not a supported metric", "scaleMetric")
    if target is not None:
        if (metric == "cpu" and target < 1) or target > 100:
            raise RefusedError(_PERCENT, "scaleTarget")
        if target < 1:
            raise RefusedError("the target memory should be greater than 1 MiB", "scaleTarget")
    for path, metric_spec in _metrics(component):
        kind = metric_spec.get("type", "")
        if kind != "Resource":
            words = f"invalid HPA metric source type with value [{kind}],valid metric source types are Resource"
            raise RefusedError(words, f"{path}.type")
        if metric_spec.get("resource") is None:
            raise RefusedError("metricSpec.Resource is not set for resource metric source type", path)


def _check_keda(component: Yaml) -> None:
    if component.get("scaleMetric") is not None:
        raise RefusedError("ScaleMetric is not supported for KEDA", "scaleMetric")
    checks: dict[str, Callable[[Yaml], None]] = {
        "Resource": _check_keda_resource,
        "External": _check_keda_query("external", "External", "external"),
        "PodMetric": _check_keda_query("podmetric", "PodMetric", "pod"),
    }
    for path, metric in _metrics(component):
        kind = metric.get("type", "")
        if kind not in checks:
            valid = "Valid types are Resource,External,PodMetric"
            raise RefusedError(f"unknown KEDA metric type with value [{kind}].{valid}", f"{path}.type")
        try:
            checks[kind](metric)
        except RefusedError as error:
            raise error.within(path) from None


def _check_keda_resource(metric: Yaml) -> None:
    if metric.get("resource") is None:
        raise RefusedError("metricSpec.Resource is not set for resource metric source type")
    resource = mapping(metric["resource"])
    name, target = resource.get("name", ""), mapping(resource.get("target"))
    kind = target.get("type", "")
    if name == "cpu":
        if kind != "Utilization":
            raise RefusedError("the cpu target value type should be Utilization", "resource.target.type")
    elif name == "memory":
        if kind not in ("AverageValue", "Utilization"):
            words = "the memory target value type should be AverageValue or Utilization"
            raise RefusedError(words, "resource.target.type")
        value = target.get("averageValue")
        if kind == "AverageValue" and (value is None or parse_amount(str(value)) < _MIB):
            words = "the memory target value should be greater than 1 MiB"
            raise RefusedError(words, "resource.target.averageValue")
    else:
        raise RefusedError(f"resource type {name} is not supported", "resource.name")
    _check_target(target, "resource.target")


def _check_keda_query(key: str, field: str, word: str) -> Callable[[Yaml], None]:
    def check(metric: Yaml) -> None:
        if metric.get(key) is None:
            raise RefusedError(f"metricSpec.{field} is not set for {word} metric source type")
        source = mapping(metric[key])
        target = mapping(source.get("target"))
        if not mapping(source.get("metric")).get("query"):
            raise RefusedError("the query should not be empty", f"{key}.metric.query")
        if target.get("value") is None:
            raise RefusedError("the target threshold value should not be empty", f"{key}.target.value")
        _check_target(target, f"{key}.target")

    return check


def _check_target(target: Yaml, path: str) -> None:
    kind = target.get("type", "")
    key = {"Utilization": "averageUtilization", "AverageValue": "averageValue", "Value": "value"}.get(kind)
    if key is None:
        return
    if target.get(key) is None:
        raise RefusedError(f"the {key[0].upper()}{key[1:]} type should be set", f"{path}.{key}")
    if kind == "Utilization" and not 1 <= target[key] <= 100:
        raise RefusedError(_PERCENT, f"{path}.{key}")


def _metrics(component: Yaml) -> Iterator[tuple[str, Yaml]]:
    for number, metric in enumerate(items(mapping(component.get("autoScaling")).get("metrics"))):
        yield f"autoScaling.metrics[{number}]", metric
