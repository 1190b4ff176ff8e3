"""Serving runtimes: which one serves a model, and what it makes of the model's container (pkg/apis/serving/v1beta1/
predictor_model.go, pkg/controller/v1beta1/inferenceservice/utils). The built-in ones stand in where a manifest gives
none; they are those that KServe ships (config/runtimes), as far as a pod's size and ports go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from emu.manifests.kserve.keys import CONTAINER, Yaml, items, mapping

_SIZE = {"cpu": "1", "memory": "2Gi"}
_TAG = re.compile(r":[\w.\-]*$")
_MERGED_BY = {"env": "name", "ports": "containerPort", "volumeMounts": "mountPath"}


def _built_in(
    image: str,
    protocols: Sequence[str],
    formats: Sequence[tuple[str, str, int]],
    *args: str,
    named: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """`formats` that it is chosen for, and those that it serves only where it is `named`."""
    return {
        "supportedModelFormats": [
            *(
                {"name": name, "version": version, "autoSelect": True, "priority": priority}
                for name, version, priority in formats
            ),
            *({"name": name, "version": version} for name, version in named),
        ],
        "protocolVersions": list(protocols),
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "args": list(args),
                "resources": {"requests": dict(_SIZE), "limits": dict(_SIZE)},
            }
        ],
    }


_MODEL = ("--model_name={{.Name}}", "--model_dir=/mnt/models", "--http_port=8080")
_V1_V2 = ("v1", "v2")
BUILT_IN: dict[str, dict[str, Any]] = {
    "kserve-autogluonserver": _built_in("kserve/autogluonserver", _V1_V2, [("autogluon", "1", 1)], *_MODEL),
    "kserve-huggingfaceserver": _built_in(
        "kserve/huggingfaceserver", ("v2", "v1"), [("huggingface", "1", 1)], "--model_name={{.Name}}"
    ),
    "kserve-huggingfaceserver-multinode": {
        **_built_in("kserve/huggingfaceserver", ("v2", "v1"), [("huggingface", "1", 2)], "--model_name={{.Name}}"),
        "workerSpec": {},
    },
    "kserve-lgbserver": _built_in("kserve/lgbserver", _V1_V2, [("lightgbm", "4", 1)], *_MODEL, "--nthread=1"),
    "kserve-mlserver": _built_in(
        "seldonio/mlserver",
        ("v2",),
        [
            ("sklearn", "0", 2),
            ("sklearn", "1", 2),
            ("xgboost", "1", 2),
            ("xgboost", "2", 2),
            ("lightgbm", "3", 2),
            ("lightgbm", "4", 2),
            ("mlflow", "1", 1),
            ("mlflow", "2", 1),
        ],
    ),
    "kserve-paddleserver": _built_in("kserve/paddleserver", _V1_V2, [("paddle", "2", 1)], *_MODEL),
    "kserve-pmmlserver": _built_in("kserve/pmmlserver", _V1_V2, [("pmml", "3", 1), ("pmml", "4", 1)], *_MODEL),
    "kserve-predictiveserver": _built_in(
        "kserve/predictiveserver",
        _V1_V2,
        [],
        *_MODEL,
        "--framework={{.Annotations.modelFormat}}",
        "--nthread=1",
        named=[("sklearn", "1"), ("xgboost", "2"), ("lightgbm", "4")],
    ),
    "kserve-sklearnserver": _built_in("kserve/sklearnserver", _V1_V2, [("sklearn", "1", 1)], *_MODEL),
    "kserve-tensorflow-serving": _built_in(
        "tensorflow/serving",
        ("v1", "grpc-v1"),
        [("tensorflow", "1", 2), ("tensorflow", "2", 2)],
        "--model_name={{.Name}}",
        "--port=9000",
        "--rest_api_port=8080",
        "--model_base_path=/mnt/models",
        "--rest_api_timeout_in_ms=60000",
    ),
    "kserve-torchserve": _built_in(
        "pytorch/torchserve-kfs",
        ("v1", "v2", "grpc-v2"),
        [("pytorch", "1", 2)],
        "torchserve",
        "--start",
        "--model-store=/mnt/models/model-store",
        "--ts-config=/mnt/models/config/config.properties",
    ),
    "kserve-tritonserver": _built_in(
        "nvcr.io/nvidia/tritonserver",
        ("v2", "grpc-v2"),
        [("tensorrt", "8", 1), ("tensorflow", "1", 1), ("tensorflow", "2", 1), ("onnx", "1", 1), ("triton", "2", 1)],
        "tritonserver",
        "--model-store=/mnt/models",
        "--grpc-port=9000",
        "--http-port=8080",
        "--allow-grpc=true",
        "--allow-http=true",
        named=[("pytorch", "1")],
    ),
    "kserve-vllmserver": _built_in(
        "vllm/vllm-openai",
        (),
        [("vLLM", "1", 1)],
        "--port=8080",
        "--served-model-name={{.Name}}",
        "--model=/mnt/models",
    ),
    "kserve-xgbserver": _built_in("kserve/xgbserver", _V1_V2, [("xgboost", "2", 1)], *_MODEL, "--nthread=1"),
}


FORMATS = tuple(
    dict.fromkeys(str(one["name"]) for spec in BUILT_IN.values() for one in spec["supportedModelFormats"])
)
"""Of models that a built-in one serves."""

CONTROLLER = "KServe's controller"
"""It chooses the runtime, after the webhooks: what it refuses was created, and no pod comes of it."""


def selected(model: Yaml, given: Mapping[str, Yaml], *, multinode: bool = False) -> tuple[str, dict[str, Any]] | str:
    """The runtime's name and its spec; or the controller's words where there is none. Those that the manifests give
    come before the built-in ones. `multinode`: the predictor has a workerSpec, which asks for a runtime with one.
    """
    name = model.get("runtime")
    protocol = model.get("protocolVersion") or "v1"
    if name is not None:
        return _named(str(name), model, given)
    for runtimes in (given, BUILT_IN):
        fitting = [
            (one, mapping(spec))
            for one, spec in runtimes.items()
            if not spec.get("disabled")
            and _supports(spec, model, False)
            and _speaks(spec, protocol)
            and (spec.get("workerSpec") is not None) == multinode
        ]
        if fitting:
            return max(fitting, key=lambda one: _priority(one[1], model))
    model_format = mapping(model.get("modelFormat"))
    shown = f"{{{model_format.get('name', '')} {model_format.get('version', '<nil>')}}}"
    return f"no runtime found to support predictor with model type: {shown}"


def _named(name: str, model: Yaml, given: Mapping[str, Yaml]) -> tuple[str, dict[str, Any]] | str:
    spec = given.get(name) or BUILT_IN.get(name)
    if spec is None:
        return f"No ServingRuntimes or ClusterServingRuntimes with the name: {name}"
    if spec.get("disabled"):
        return f"specified runtime {name} is disabled"
    if model.get("protocolVersion") and not _speaks(spec, model["protocolVersion"]):
        return f"specified runtime {name} does not support specified protocol version"
    if not _supports(spec, model, True):
        return f"specified runtime {name} does not support specified framework/version"
    return name, mapping(spec)


def _supports(spec: Yaml, model: Yaml, named: bool) -> bool:
    wanted = mapping(model.get("modelFormat"))
    return any(
        (named or one.get("autoSelect"))
        and one.get("name") == wanted.get("name")
        and (wanted.get("version") is None or one.get("version") == wanted["version"])
        for one in items(spec.get("supportedModelFormats"))
    )


def _speaks(spec: Yaml, protocol: str) -> bool:
    return not spec.get("protocolVersions") or protocol in spec["protocolVersions"]


def _priority(spec: Yaml, model: Yaml) -> int:
    wanted = mapping(model.get("modelFormat")).get("name")
    return max(
        one.get("priority") or 0 for one in items(spec.get("supportedModelFormats")) if one.get("name") == wanted
    )


def merged(runtime: Yaml, own: Yaml, isvc_name: str, version: str | None) -> dict[str, Any]:
    """The runtime's container with what the InferenceService says over it: amounts key by key, variables by their
    name, arguments after the runtime's.
    """
    made = {**runtime, **{key: value for key, value in own.items() if value is not None}}
    made["args"] = [*(runtime.get("args") or []), *(own.get("args") or [])]
    made["resources"] = {
        kind: {
            **mapping(mapping(runtime.get("resources")).get(kind)),
            **mapping(mapping(own.get("resources")).get(kind)),
        }
        for kind in ("requests", "limits")
    }
    for key, by in _MERGED_BY.items():
        if runtime.get(key) or own.get(key):
            entries = {one.get(by): one for one in items(runtime.get(key))}
            for one in items(own.get(key)):
                entries[one.get(by)] = {**entries.get(one.get(by), {}), **one}
            made[key] = list(entries.values())
    made["args"] = [str(one).replace("{{.Name}}", isvc_name) for one in made["args"]]
    image = str(made.get("image", ""))
    if version is not None and "@sha256:" not in image:
        made["image"] = f"{_TAG.sub('', image)}:{version}"
    return {key: value for key, value in made.items() if value not in ([], {})}
