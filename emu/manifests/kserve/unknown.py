"""Fields that no InferenceService has: kubectl refuses them, other clients lose them."""

from __future__ import annotations

from collections.abc import Iterator

from emu.files.nearest import hint
from emu.manifests.kserve.keys import FRAMEWORKS, Finding, Yaml, mapping
from emu.manifests.schema import OBJECTS

_PARTS = ("predictor", "transformer", "explainer")
_EXTENSION = (
    "minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling",
    "containerConcurrency", "timeout", "canaryTrafficPercent", "logger", "batcher", "labels", "annotations",
    "deploymentStrategy", "storageUris", "storageContainerName",
)  # fmt: skip
_COMPONENT = (*_EXTENSION, *FRAMEWORKS, "model", "art", "name", "workerSpec", *OBJECTS["PodSpec"])
_MODEL = (
    "modelFormat", "runtime", "storageUri", "storage", "runtimeVersion", "protocolVersion", "confidential",
    *OBJECTS["Container"],
)  # fmt: skip
_OLD = {
    "default": "; that is v1alpha2: v1beta1 has spec.predictor",
    "canary": "; that is v1alpha2: v1beta1 has canaryTrafficPercent under spec.predictor",
    "alibi": "; KServe has dropped that explainer: give its container under containers",
    "aix": "; KServe has dropped that explainer: give its container under containers",
    "custom": "; that is v1alpha2: v1beta1 has the container under containers",
    "canarySpec": "; canaryTrafficPercent, under spec.predictor, sends a part of the requests to a new revision",
}


def unknown_fields(isvc: Yaml) -> Iterator[Finding]:
    """Each field that no InferenceService has; where it belongs, if that is known."""
    spec = mapping(isvc.get("spec"))
    for key in spec:
        if key not in _PARTS:
            where = "; it belongs under spec.predictor" if key in _COMPONENT else _OLD.get(key) or hint(key, _PARTS)
            yield _unknown(f"spec.{key}", where)
    for part in _PARTS:
        component = mapping(spec.get(part))
        for key in component:
            if key not in _COMPONENT:
                where = f"; it belongs under spec.{part}.model" if key in _MODEL[:7] else _meant(key)
                yield _unknown(f"spec.{part}.{key}", where)
        for key in mapping(component.get("model")):
            if key not in _MODEL:
                where = f"; it belongs under spec.{part}" if key in _COMPONENT else hint(key, _MODEL)
                yield _unknown(f"spec.{part}.model.{key}", where)


def _meant(key: str) -> str:
    """What is meant by a key of a component."""
    if key in OBJECTS["Container"]:
        return "; it belongs to the container: under model, or under containers"
    return _OLD.get(key) or hint(key, _COMPONENT)


def _unknown(path: str, where: str) -> Finding:
    words = (
        f'`{path}` is no field: kubectl refuses it (strict decoding error: unknown field "{path}"), and without that '
        f"check it is dropped without a word{where}"
    )
    return Finding(words, path)
