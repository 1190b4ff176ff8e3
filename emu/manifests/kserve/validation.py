"""What KServe's validating webhook refuses, in its words (pkg/apis/serving/v1beta1/inference_service_validation.go
and component.go). It stops at the first thing that is wrong; annotations are as its defaulting webhook left them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from emu.manifests.kserve.canary import check_canary
from emu.manifests.kserve.component import (
    EXACTLY_ONE,
    RefusedError,
    check_extension,
    check_protocol,
    implementations,
    storage_uri,
)
from emu.manifests.kserve.keys import (
    AUTOSCALER_CLASS,
    FRAMEWORKS,
    TRANSFORMER_CONTAINER,
    Finding,
    Yaml,
    items,
    mapping,
)
from emu.manifests.kserve.scaling_rules import check_autoscaler_class, check_scaling

COMPONENTS = ("predictor", "transformer", "explainer")
_NAME = "[a-z]([-a-z0-9]*[a-z0-9])?"
_BLOCKED = "PYTHONPATH"
_GPUS = ("nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu", "habana.ai/gaudi")
_MORE_GPUS = "serving.kserve.io/gpu-resource-types"
_KBS = re.compile(r"kbs:///[a-zA-Z0-9_.-]+/[a-zA-Z0-9_.-]+/[a-zA-Z0-9_.-]+")


def refusal(isvc: Yaml) -> Finding | None:
    """What the webhook answers to a defaulted InferenceService; None where it accepts it."""
    try:
        _check(isvc)
    except RefusedError as error:
        return error.finding
    return None


def component_refusal(component: Yaml, annotations: Mapping[str, str]) -> Finding | None:
    """What it answers to one component's own fields."""
    try:
        check_autoscaler_class(annotations)
        check_extension(component)
        check_scaling(component, annotations)
    except RefusedError as error:
        return error.finding
    return None


def _check(isvc: Yaml) -> None:
    metadata, spec = mapping(isvc.get("metadata")), mapping(isvc.get("spec"))
    name, annotations = str(metadata.get("name", "")), mapping(metadata.get("annotations"))
    predictor = mapping(spec.get("predictor"))
    if not re.fullmatch(_NAME, name):
        raise RefusedError(
            f'the InferenceService "{name}" is invalid: a InferenceService name must consist of lower case '
            "alphanumeric characters or '-', and must start with alphabetical character. (e.g. \"my-name\" or "
            f"\"abc-123\", regex used for validation is '{_NAME}')",
            "metadata.name",
        )
    check_autoscaler_class(annotations)
    _check_blocked_env(name, spec)
    _check_multi_node(name, predictor, annotations)
    _check_collocation(predictor)
    _check_framework_name(predictor)
    for part in ("transformer", "explainer", "predictor"):
        if part in spec or part == "predictor":
            _check_storage_uris(part, mapping(spec.get(part)))
    _check_confidential(predictor)
    for part in COMPONENTS:
        if part == "predictor" or spec.get(part) is not None:
            _check_component(part, mapping(spec.get(part)), annotations)
    check_canary(predictor, items(spec.get("canary")), annotations)


def _check_component(part: str, component: Yaml, annotations: Mapping[str, str]) -> None:
    if len(implementations(part, component)) != 1:
        raise RefusedError(EXACTLY_ONE[part], f"spec.{part}")
    try:
        if part == "predictor" and implementations(part, component) == ["containers"]:
            check_protocol(component)
        check_extension(component)
        check_scaling(component, annotations)
    except RefusedError as error:
        raise error.within(f"spec.{part}") from None


def _check_blocked_env(name: str, spec: Yaml) -> None:
    predictor = mapping(spec.get("predictor"))
    worker = mapping(predictor.get("workerSpec"))
    framework = next((key for key in ("model", *FRAMEWORKS) if predictor.get(key) is not None), None)
    lists: list[tuple[str, Iterable[Yaml]]] = [
        ("spec.predictor.containers[{}]", items(predictor.get("containers"))),
        ("spec.predictor.initContainers[{}]", items(predictor.get("initContainers"))),
    ]
    if framework:
        lists.append((f"spec.predictor.{framework}", [mapping(predictor[framework])]))
    for key in ("containers", "initContainers"):
        lists.append((f"spec.predictor.workerSpec.{key}[{{}}]", items(worker.get(key))))
    for part in ("transformer", "explainer"):
        component = mapping(spec.get(part))
        for key in ("containers", "initContainers"):
            lists.append((f"spec.{part}.{key}[{{}}]", items(component.get(key))))
    for path, containers in lists:
        for number, container in enumerate(containers):
            for at, entry in enumerate(items(container.get("env"))):
                if entry.get("name") == _BLOCKED:
                    who = container.get("name", "")
                    raise RefusedError(
                        f'the InferenceService "{name}" is invalid: setting {_BLOCKED} in container "{who}" is not '
                        "allowed for security reasons",
                        f"{path.format(number)}.env[{at}].name",
                    )


def _check_multi_node(name: str, predictor: Yaml, annotations: Mapping[str, str]) -> None:
    if predictor.get("workerSpec") is None:
        return
    worker, model = mapping(predictor["workerSpec"]), predictor.get("model")
    invalid = f'the InferenceService "{name}" is invalid:'
    containers = items(worker.get("containers"))
    if len(containers) > 1:
        words = f"{invalid} setting multiple containers in workerSpec is not allowed"
        raise RefusedError(words, "spec.predictor.workerSpec.containers")
    if model is not None:
        for variable in ("PIPELINE_PARALLEL_SIZE", "TENSOR_PARALLEL_SIZE"):
            if any(entry.get("name") == variable for entry in items(mapping(model).get("env"))):
                words = f"{invalid} setting {variable} in environment variables is not allowed"
                raise RefusedError(words, "spec.predictor.model.env")
        _check_gpus(invalid, mapping(model), "spec.predictor.model.resources", annotations)
        uri = mapping(model).get("storageUri")
        if uri is None:
            raise RefusedError(f"{invalid} StorageURI must be set for multinode enabled", "spec.predictor.model")
        protocol = str(uri).split("://")[0]
        if protocol not in ("pvc", "oci"):
            words = f"{invalid} Multinode only supports 'pvc' and 'oci' Storage Protocol({protocol})"
            raise RefusedError(words, "spec.predictor.model.storageUri")
        autoscaler = annotations.get(AUTOSCALER_CLASS, "")
        if autoscaler != "none":
            words = f"{invalid} Multinode only supports 'none' autoscaler({autoscaler})"
            raise RefusedError(words, f"metadata.annotations.{AUTOSCALER_CLASS}")
    for key, field in (
        ("pipelineParallelSize", "PipelineParallelSize"),
        ("tensorParallelSize", "TensorParallelSize"),
    ):
        size = worker.get(key)
        if size is not None and size < 1:
            words = f"{invalid} WorkerSpec.{field} cannot be less than 1({size})"
            raise RefusedError(words, f"spec.predictor.workerSpec.{key}")
    for number, container in enumerate(containers):
        _check_gpus(invalid, container, f"spec.predictor.workerSpec.containers[{number}].resources", annotations)


def _check_gpus(invalid: str, container: Yaml, path: str, annotations: Mapping[str, str]) -> None:
    """A resource that is neither a basic one nor a known GPU; the annotation gpu-resource-types adds some."""
    known = {"cpu", "memory", "storage", "ephemeral-storage", *_GPUS, *_more_gpus(annotations.get(_MORE_GPUS, ""))}
    resources = mapping(container.get("resources"))
    for kind in ("limits", "requests"):
        for key in mapping(resources.get(kind)):
            if key not in known:
                set_it = f"Set '{_MORE_GPUS}' annotation to use custom gpu resource type"
                raise RefusedError(f"{invalid} Unknown GPU resource type. {set_it}", f"{path}.{kind}.{key}")


def _more_gpus(text: str) -> list[str]:
    """The resource types of the annotation: a list of texts in JSON, with one at least and none empty."""
    if not text:
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and found and all(isinstance(one, str) and one for one in found):
        return found
    words = f"invalid GPU format({text}) for {_MORE_GPUS} annotation: must be a valid JSON array"
    raise RefusedError(words, f"metadata.annotations.{_MORE_GPUS}")


def _check_collocation(predictor: Yaml) -> None:
    for number, container in enumerate(items(predictor.get("containers"))):
        if container.get("name") == TRANSFORMER_CONTAINER:
            for at, entry in enumerate(items(container.get("env"))):
                if entry.get("name") == "STORAGE_URI":
                    words = "storage uri should not be specified in transformer container"
                    raise RefusedError(words, f"spec.predictor.containers[{number}].env[{at}]")
            return


def _check_framework_name(predictor: Yaml) -> None:
    for key in (*FRAMEWORKS, "model"):
        if mapping(predictor.get(key)).get("name"):
            raise RefusedError("the 'name' field is not allowed in standard predictor", f"spec.predictor.{key}.name")


def _check_storage_uris(part: str, component: Yaml) -> None:
    path = f"spec.{part}.storageUris"
    given = component.get("storageUris")
    if given is not None and storage_uri(part, component) is not None:
        raise RefusedError("Setting both StorageURI and StorageURIs is not supported.", path)
    paths: list[str] = []
    claims: list[str] = []
    for number, entry in enumerate(items(given)):
        uri, mount = str(entry.get("uri", "")), str(entry.get("mountPath", "/mnt/models"))
        if not uri:
            raise RefusedError("storage URI cannot be empty", f"{path}[{number}].uri")
        if mount == "/":
            raise RefusedError("storage path cannot be empty", f"{path}[{number}].mountPath")
        if not mount.startswith("/"):
            raise RefusedError(f"storage path must be absolute: {mount}", f"{path}[{number}].mountPath")
        if ".." in mount:
            words = f"storage path cannot contain '..' for security reasons: {mount}"
            raise RefusedError(words, f"{path}[{number}].mountPath")
        (claims if uri.startswith("pvc://") else paths).append(mount)
    if len(paths) <= 1:
        return
    if len(set(claims)) < len(claims):
        raise RefusedError("PVC storage paths must be unique", path)
    if len({one.split("/")[1] for one in paths}) > 1:
        shown = " ".join(paths)
        raise RefusedError(
            "storage paths must have a common parent directory. "
            f"Current paths: [{shown}] have no common parent beyond root",
            path,
        )


def _check_confidential(predictor: Yaml) -> None:
    key = next((key for key in (*FRAMEWORKS, "model") if predictor.get(key) is not None), None)
    if key is None:
        return
    confidential = mapping(mapping(predictor[key]).get("confidential"))
    if not confidential.get("enabled"):
        return
    if not storage_uri("predictor", predictor):
        words = "confidential model serving requires storageUri to be set"
        raise RefusedError(words, f"spec.predictor.{key}.confidential")
    resource = confidential.get("resourceId")
    if resource and not _KBS.fullmatch(resource):
        path = "spec.predictor.confidential.resourceId"
        words = f'{path}: Invalid value: "{resource}": must be in the format kbs:///<repo>/<type>/<tag>'
        raise RefusedError(words, f"spec.predictor.{key}.confidential.resourceId")
