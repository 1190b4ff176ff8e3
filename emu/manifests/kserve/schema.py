"""What the API server refuses before KServe sees it: values of another type than the schema has, unknown words of an
enumeration, quantities that are none. All of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from emu.manifests.kserve.keys import FRAMEWORKS, Finding, Yaml
from emu.policy.quantity import parse_amount

_INTEGERS = (
    "minReplicas",
    "maxReplicas",
    "scaleTarget",
    "containerConcurrency",
    "timeout",
    "canaryTrafficPercent",
    "trafficPercent",
    "averageUtilization",
    "maxBatchSize",
    "maxLatency",
    "pipelineParallelSize",
    "tensorParallelSize",
    "stabilizationWindowSeconds",
    "containerPort",
    "periodSeconds",
    "terminationGracePeriodSeconds",
)
_LISTS = (
    "containers",
    "initContainers",
    "env",
    "ports",
    "metrics",
    "storageUris",
    "canary",
    "volumeMounts",
    "volumes",
)
_TEXT_LISTS = ("args", "command", "metricNames")
_OBJECTS = (
    *FRAMEWORKS,
    *("spec", "metadata", "predictor", "transformer", "explainer", "model", "modelFormat", "resources", "requests"),
    *("limits", "autoScaling", "behavior", "scaleUp", "scaleDown", "resource", "external", "podmetric", "target"),
    *("metric", "logger", "batcher", "annotations", "labels", "deploymentStrategy", "storage", "confidential"),
    *("workerSpec", "authenticationRef", "art", "parameters"),
)
_TEXTS = (
    *("name", "storageUri", "runtime", "runtimeVersion", "protocolVersion", "image", "mountPath", "uri", "query"),
    *(
        "serverAddress",
        "backend",
        "mode",
        "url",
        "namespace",
        "version",
        "resourceId",
        "operationOverTime",
        "authModes",
    ),
)
_WORDS = {
    "scaleMetric": ("cpu", "memory", "concurrency", "rps"),
    "scaleMetricType": ("Utilization", "Value", "AverageValue"),
}
_QUANTITIES = ("averageValue", "value")
_TEXT_MAPS = ("annotations", "labels")
_AMOUNTS = ("requests", "limits")


def misfits(isvc: Yaml) -> list[Finding]:
    """What does not fit, each with its field."""
    return [replace(one, by="the API server") for one in _below("", isvc)]


def _below(path: str, value: Yaml) -> Iterator[Finding]:
    for key, item in value.items():
        if item is None:
            continue
        at = f"{path}.{key}" if path else str(key)
        wrong = _wrong(path, str(key), item)
        if wrong:
            yield Finding(f"{at}: {wrong.replace('PATH', at)}", at)
        elif isinstance(item, Mapping):
            yield from _values(at, str(key), item)
        elif isinstance(item, list):
            for number, entry in enumerate(item):
                if isinstance(entry, Mapping):
                    yield from _below(f"{at}[{number}]", entry)


def _values(at: str, key: str, item: Yaml) -> Iterator[Finding]:
    """Below an object; in some, each value is of one type."""
    if key not in (*_TEXT_MAPS, *_AMOUNTS):
        yield from _below(at, item)
        return
    for name, value in item.items():
        here = f"{at}.{name}"
        if key in _TEXT_MAPS and not isinstance(value, str):
            yield Finding(f"{here}: {_not('string', value).replace('PATH', here)}", here)
        elif key in _AMOUNTS and (wrong := _no_quantity(value)):
            yield Finding(f"{here}: {wrong}", here)


def _wrong(path: str, key: str, item: Any) -> str:
    """The fault of a value; empty where it has none."""
    if key in _INTEGERS and (isinstance(item, bool) or not isinstance(item, int)):
        return _not("integer", item)
    if key in _INTEGERS and not -(2**31) <= item < 2**31 and key not in ("timeout", "containerConcurrency"):
        return f"Invalid value: {item}: PATH in body should be less than or equal to {2**31 - 1}"
    if (key in _OBJECTS and not _scalar_there(path, key)) and not isinstance(item, Mapping):
        return _not("object", item)
    if key in (*_LISTS, *_TEXT_LISTS):
        return _wrong_list(key, item)
    if key in _TEXTS and not isinstance(item, str):
        return _not("string", item)
    if key in _WORDS and item not in _WORDS[key]:
        words = ", ".join(f'"{word}"' for word in _WORDS[key])
        return f'Unsupported value: "{item}": supported values: {words}'
    if key in _QUANTITIES and path.endswith(".target"):
        return _no_quantity(item)
    return ""


def _scalar_there(path: str, key: str) -> bool:
    """A key of that name is text elsewhere: not in a component."""
    return key == "resource" and path.endswith("resourceFieldRef")


def _wrong_list(key: str, item: Any) -> str:
    if not isinstance(item, list):
        return _not("array", item)
    texts = key in _TEXT_LISTS
    for entry in item:
        if not isinstance(entry, str if texts else Mapping):
            return _not("string" if texts else "object", entry)
    return ""


def _no_quantity(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return _not("string", value)
    try:
        parse_amount(str(value))
    except ValueError as error:
        return f'Invalid value: "{value}": {error}'
    return ""


def _not(wanted: str, value: Any) -> str:
    kind = next(
        name
        for name, types in (
            ("boolean", bool),
            ("integer", int),
            ("number", float),
            ("string", str),
            ("array", list),
            ("object", object),
        )
        if isinstance(value, types)
    )
    return f'Invalid value: "{kind}": PATH in body must be of type {wanted}: "{kind}"'
