"""What KServe's mutating webhook fills in and renames (inference_service_defaults.go, predictor_custom.go,
transformer_custom.go).
"""

from __future__ import annotations

import copy
from typing import Any

from emu.manifests.kserve.component import implementations
from emu.manifests.kserve.keys import (
    CONTAINER,
    DEPLOYMENT_MODE,
    FRAMEWORKS,
    MODEL_FORMAT,
    MODEL_MESH,
    OLD_MODES,
    STANDARD,
    ClusterConfig,
    Yaml,
    items,
    mapping,
)

_V2_FRAMEWORKS = ("triton", "onnx", "huggingface")
_V2_FORMATS = ("triton", "vLLM")


def defaulted(isvc: Yaml, config: ClusterConfig) -> dict[str, Any]:
    """The object as it reaches the validating webhook."""
    made: dict[str, Any] = copy.deepcopy(dict(isvc))
    metadata = made["metadata"] = mapping(made.get("metadata"))
    annotations = metadata["annotations"] = mapping(metadata.get("annotations"))
    spec = made["spec"] = mapping(made.get("spec"))
    mode = annotations.get(DEPLOYMENT_MODE)
    if mode in OLD_MODES:
        annotations[DEPLOYMENT_MODE] = OLD_MODES[mode]
    elif mode is None and (default := _default_mode(config)) in (STANDARD, MODEL_MESH):
        annotations[DEPLOYMENT_MODE] = default
    predictor = spec["predictor"] = mapping(spec.get("predictor"))
    if mode != MODEL_MESH:
        _move_framework(predictor)
        model = predictor.get("model")
        name = mapping(mapping(model).get("modelFormat")).get("name")
        if name in _V2_FORMATS and isinstance(model, dict):
            model.setdefault("protocolVersion", "v2")
        if name:
            annotations.setdefault(MODEL_FORMAT, name)
    for part in ("predictor", "transformer", "explainer"):
        component = None if part == "predictor" and mode == MODEL_MESH else spec.get(part)
        if not isinstance(component, dict):
            continue
        found = implementations(part, component)
        if found == ["containers"]:
            component["containers"] = _custom(part, items(component["containers"]), config)
        elif found == ["art"]:
            component["art"] = _sized(mapping(component["art"]), config)
    return made


def mode_of(annotations: Yaml, config: ClusterConfig) -> str:
    """Knative, Standard or ModelMesh: the annotation, else the cluster's default."""
    asked = annotations.get(DEPLOYMENT_MODE)
    asked = OLD_MODES.get(str(asked), asked)
    if asked in (STANDARD, "Knative", MODEL_MESH):
        return str(asked)
    return _default_mode(config) or STANDARD


def _default_mode(config: ClusterConfig) -> str:
    return OLD_MODES.get(config.default_deployment_mode, config.default_deployment_mode)


def _move_framework(predictor: dict[str, Any]) -> None:
    """`sklearn:` and its kind become `model:` with that format."""
    order = (
        "sklearn",
        "tensorflow",
        "xgboost",
        "pytorch",
        "triton",
        "onnx",
        "huggingface",
        "pmml",
        "lightgbm",
        "paddle",
    )
    key = next((key for key in order if predictor.get(key) is not None), None)
    if key is None:
        return
    model = mapping(predictor.pop(key))
    if key in _V2_FRAMEWORKS:
        model.setdefault("protocolVersion", "v2")
    predictor["model"] = {"modelFormat": {"name": FRAMEWORKS[key]}, **model}


def _custom(part: str, containers: list[dict[str, Any]], config: ClusterConfig) -> list[dict[str, Any]]:
    """The first of custom containers gets KServe's name, and amounts for what it does not say."""
    first = containers[0]
    if part != "predictor" or len(containers) == 1 or not first.get("name"):
        first["name"] = CONTAINER
    _sized(first, config)
    return containers


def _sized(container: dict[str, Any], config: ClusterConfig) -> dict[str, Any]:
    """With amounts for what it does not say."""
    resources = container["resources"] = mapping(container.get("resources"))
    for kind, cpu, memory in (
        ("requests", config.cpu_request, config.memory_request),
        ("limits", config.cpu_limit, config.memory_limit),
    ):
        amounts = resources[kind] = mapping(resources.get(kind))
        for key, value in (("cpu", cpu), ("memory", memory)):
            if value:
                amounts.setdefault(key, value)
    return container
