"""A component of an InferenceService: what serves in it, and what is checked of each (pkg/apis/serving/v1beta1/
component.go, predictor.go, transformer.go, explainer.go).
"""

from __future__ import annotations

from emu.manifests.kserve.keys import (
    CONTAINER,
    FRAMEWORKS,
    Finding,
    Yaml,
    items,
    mapping,
)

EXACTLY_ONE = {
    "predictor": (
        "exactly one of [Name, SKLearn, XGBoost, Tensorflow, PyTorch, Triton, ONNX, HuggingFace, PMML, LightGBM, "
        "Paddle, Model, StorageUris, StorageContainerName, WorkerSpec, PodSpec] must be specified in PredictorSpec"
    ),
    "transformer": "exactly one of [PodSpec, ComponentExtensionSpec] must be specified in TransformerSpec",
    "explainer": "exactly one of [ART, PodSpec, ComponentExtensionSpec] must be specified in ExplainerSpec",
}


class RefusedError(Exception):
    """KServe refuses it."""

    def __init__(self, words: str, path: str = "") -> None:
        super().__init__(words)
        self.finding = Finding(words, path)

    def within(self, path: str) -> RefusedError:
        """The same, of a part that is at this path."""
        inner = self.finding.path
        return RefusedError(self.finding.words, f"{path}.{inner}" if inner else path)


def implementations(part: str, component: Yaml) -> list[str]:
    """What serves in a component, by its key: a framework, model, or `containers`."""
    containers = items(component.get("containers"))
    if part != "predictor":
        found = ["art"] if part == "explainer" and component.get("art") is not None else []
        return found + (["containers"] if containers else [])
    found = [key for key in (*FRAMEWORKS, "model") if component.get(key) is not None]
    named = [one for one in containers if one.get("name") == CONTAINER]
    if named:
        return found + ["containers"] * len(named)
    return found or (["containers"] if containers else [])


def storage_uri(part: str, component: Yaml) -> str | None:
    """Where the model is to come from: storageUri, or the variable STORAGE_URI of a custom container."""
    found = implementations(part, component)
    if not found:
        return None
    if found[0] != "containers":
        value = mapping(component.get(found[0])).get("storageUri")
        return None if value is None else str(value)
    containers = items(component.get("containers"))
    if part == "predictor":
        containers = [one for one in containers if one.get("name") == CONTAINER]
    for entry in items(containers[0].get("env")) if containers else []:
        if entry.get("name") == "STORAGE_URI":
            return str(entry.get("value", ""))
    return None


def check_extension(component: Yaml) -> None:
    """containerConcurrency, the bounds, the logger."""
    concurrency, logger = component.get("containerConcurrency"), component.get("logger")
    if concurrency is not None and concurrency < 0:
        raise RefusedError("parallelism cannot be less than 0", "containerConcurrency")
    least, most = component.get("minReplicas"), component.get("maxReplicas") or 0
    least = 1 if least is None else least
    if least < 0:
        raise RefusedError("'MinReplicas' cannot be less than 0", "minReplicas")
    if most < 0:
        raise RefusedError("'MaxReplicas' cannot be less than 0", "maxReplicas")
    if least > most != 0:
        raise RefusedError("'MinReplicas' cannot be greater than MaxReplicas", "minReplicas")
    if logger is not None:
        if mapping(logger).get("mode") not in ("all", "request", "response"):
            raise RefusedError("invalid logger type", "logger.mode")
        storage = mapping(logger).get("storage")
        if storage is not None and any(mapping(storage).get(key) is None for key in ("path", "parameters", "key")):
            raise RefusedError("invalid logger storage configuration", "logger.storage")


def check_protocol(component: Yaml) -> None:
    """The variable PROTOCOL of a custom predictor."""
    for number, entry in enumerate(items(items(component.get("containers"))[0].get("env"))):
        if entry.get("name") == "PROTOCOL":
            if entry.get("value") not in ("v1", "v2"):
                words = f"invalid protocol v1, v2. Must be one of [{entry.get('value', '')}]"
                raise RefusedError(words, f"containers[0].env[{number}].value")
            return


def serving_container(part: str, component: Yaml) -> tuple[str, Yaml]:
    """The mapping that describes the serving container, and its path: the model's, or one of the custom ones."""
    found = implementations(part, component)
    if not found:
        return "", {}
    if found[0] != "containers":
        return found[0], mapping(component.get(found[0]))
    containers = items(component.get("containers"))
    number = next((number for number, one in enumerate(containers) if one.get("name") == CONTAINER), 0)
    return f"containers[{number}]", containers[number]
