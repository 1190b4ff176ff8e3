"""What the API server refuses before KServe sees it: values of another type than the schema has, unknown words of an
enumeration, quantities that are none. All of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from emu.manifests.kserve.keys import FRAMEWORKS, Finding, Yaml, mapping
from emu.manifests.schema import OBJECTS
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
_POD, _CONTAINER = OBJECTS["PodSpec"], OBJECTS["Container"]
_SCALARS = {"s": "string", "bytes": "string", "b": "boolean", "i32": "integer", "i64": "integer"}
_AMOUNTS = ("requests", "limits")


def misfits(isvc: Yaml) -> list[Finding]:
    """What does not fit, each with its field."""
    found = dict.fromkeys([*_below("", isvc), *_of_components(isvc)])
    return [replace(one, by="the API server") for one in found]


def of_runtime(runtime: Yaml) -> list[Finding]:
    """The same of a ServingRuntime's pods."""
    spec = mapping(runtime.get("spec"))
    found = [one for key in spec if key in _POD for one in _typed(f"spec.{key}", spec[key], _POD[key])]
    return [replace(one, by="the API server") for one in found]


def _of_components(isvc: Yaml) -> Iterator[Finding]:
    """What a component has of a pod and its containers, each value by its type."""
    spec = mapping(isvc.get("spec"))
    for part in ("predictor", "transformer", "explainer"):
        component = mapping(spec.get(part))
        worker = mapping(component.get("workerSpec"))
        for path, pod in ((f"spec.{part}", component), (f"spec.{part}.workerSpec", worker)):
            for key in pod:
                if key in _POD:
                    yield from _typed(f"{path}.{key}", pod[key], _POD[key])
        for name in ("model", "art", *FRAMEWORKS):
            container = mapping(component.get(name))
            for key in container:
                if key in _CONTAINER:
                    yield from _typed(f"spec.{part}.{name}.{key}", container[key], _CONTAINER[key])


def _typed(at: str, value: Any, kind: str) -> Iterator[Finding]:
    """By the shapes of `emu.manifests.schema`."""
    kind = kind.lstrip("*")
    shape = kind.partition(":")[0]
    if value is None or kind == "any":
        return
    if kind.startswith("[]"):
        if not isinstance(value, list):
            yield _unfit(at, "array", value)
            return
        for number, one in enumerate(value):
            yield from _typed(f"{at}[{number}]", one, kind[2:])
    elif kind.startswith("{}") or shape in OBJECTS:
        if not isinstance(value, Mapping):
            yield _unfit(at, "object", value)
            return
        for name, one in value.items():
            below = kind[2:] if kind.startswith("{}") else OBJECTS[shape].get(str(name), "any")
            yield from _typed(f"{at}.{name}", one, below)
    elif shape == "q":
        if wrong := _no_quantity(value):
            yield Finding(f"{at}: {wrong}", at)
    elif (wanted := _SCALARS.get(shape)) is not None and not _is(value, wanted):
        yield _unfit(at, wanted, value)


def _is(value: Any, wanted: str) -> bool:
    if wanted == "integer":
        if isinstance(value, float):
            return value.is_integer()
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, bool if wanted == "boolean" else str)


def _unfit(at: str, wanted: str, value: Any) -> Finding:
    return Finding(f"{at}: {_not(wanted, value).replace('PATH', at)}", at)


def _below(path: str, value: Yaml) -> Iterator[Finding]:
    for key, item in value.items():
        if item is None:
            continue
        at = f"{path}.{key}" if path else str(key)
        if key in (*_LISTS, *_TEXT_LISTS) and isinstance(item, list):
            wanted = "string" if key in _TEXT_LISTS else "object"
            for number, entry in enumerate(item):
                if not isinstance(entry, str if key in _TEXT_LISTS else Mapping):
                    yield _unfit(f"{at}[{number}]", wanted, entry)
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
        return "" if isinstance(item, list) else _not("array", item)
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
