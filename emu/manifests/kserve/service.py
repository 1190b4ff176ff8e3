"""An InferenceService → what KServe makes of it: for each component a Knative Service, or a Deployment with its
autoscaler; what its pods get besides; what has no effect; what is refused.

The entry is `made_of`. It is pure: a mapping as YAML gives it goes in, ServingRuntimes by their names beside it. The
Knative Service that comes out is still Knative's to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emu.manifests.kserve.autoscaling import autoscaler, filtered, knative_annotations, scaled_object
from emu.manifests.kserve.component import storage_uri
from emu.manifests.kserve.defaulting import defaulted, mode_of
from emu.manifests.kserve.keys import (
    AUTOSCALER_CLASS,
    CONTAINER,
    FRAMEWORKS,
    INTERNAL,
    MODEL_DIR,
    MODEL_MESH,
    PASSTHROUGH,
    ROLLOUT_DURATION,
    STANDARD,
    STORAGE_SOURCE,
    TAG_ROUTING,
    TRANSFORMER_CONTAINER,
    ClusterConfig,
    Finding,
    Yaml,
    items,
    mapping,
)
from emu.manifests.kserve.notes import notes_for
from emu.manifests.kserve.runtimes import CONTROLLER, merged, selected
from emu.manifests.kserve.schema import misfits
from emu.manifests.kserve.validation import COMPONENTS, refusal
from emu.policy.hpa.form import written
from emu.policy.hpa.spec import HpaSpec, refusals

AGENT_PORT = 9081
_OWN = {
    *FRAMEWORKS, "model", "art", "name", "storageUris", "storageContainerName", "workerSpec",
    "minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling",
    "containerConcurrency", "timeout", "canaryTrafficPercent", "logger", "batcher",
    "labels", "annotations", "deploymentStrategy",
}  # fmt: skip
"""A component's keys that are no field of a pod's spec."""
_BESIDE_MODEL_MESH = ("transformer", "explainer")
"""In the mode ModelMesh, and without a transformer not even they."""
_MODEL_OWN = {"modelFormat", "runtime", "storageUri", "storage", "runtimeVersion", "protocolVersion", "confidential"}
_ART_OWN = {"type", "config", "storageUri", "runtimeVersion"}


@dataclass(frozen=True)
class Workload:
    """One component, as it runs."""

    part: str
    mode: str
    name: str
    object: dict[str, Any]
    """The Knative Service, or the Deployment."""
    scaled_by: dict[str, Any] | None = None
    """In Standard mode the HorizontalPodAutoscaler or the ScaledObject; None where nothing scales it."""
    hpa: HpaSpec | None = None
    """The same as the autoscaler's policy takes it."""
    init_containers: tuple[dict[str, Any], ...] = ()
    sidecars: tuple[dict[str, Any], ...] = ()
    """What KServe's own webhook puts into each pod."""
    runtime: str = ""
    """The serving runtime that was chosen."""


@dataclass(frozen=True)
class Made:
    """The result. With refusals there are no workloads."""

    workloads: tuple[Workload, ...] = ()
    notes: tuple[Finding, ...] = ()
    refusals: tuple[Finding, ...] = ()
    defaulted: dict[str, Any] = field(default_factory=dict)
    """The InferenceService as KServe stores it."""


def made_of(isvc: Yaml, config: ClusterConfig | None = None, runtimes: Mapping[str, Yaml] | None = None) -> Made:
    """What becomes of an InferenceService. `runtimes` are the specs of ServingRuntimes, by their names."""
    config = config or ClusterConfig()
    if wrong := misfits(isvc):
        return Made(refusals=tuple(wrong))
    whole = defaulted(isvc, config)
    refused = refusal(whole)
    if refused is not None:
        return Made(refusals=(refused,), notes=tuple(notes_for(isvc, whole, config)), defaulted=whole)
    workloads, found = [], []
    mode = mode_of(mapping(whole["metadata"].get("annotations")), config)
    for part in _parts(mode, whole["spec"]):
        if whole["spec"].get(part) is not None:
            made = _workload(part, whole, config, runtimes or {})
            if isinstance(made, Finding):
                found.append(made)
                continue
            workloads.append(made)
            if made.hpa is not None:
                found += [Finding(words, f"spec.{part}") for words in refusals(made.hpa)]
    notes = tuple(notes_for(isvc, whole, config))
    return Made(() if found else tuple(workloads), notes, tuple(found), whole)


def _parts(mode: str, spec: Yaml) -> tuple[str, ...]:
    """The components that KServe's controller makes something of."""
    if mode != MODEL_MESH:
        return COMPONENTS
    return _BESIDE_MODEL_MESH if spec.get("transformer") is not None else ()


def _workload(part: str, whole: Yaml, config: ClusterConfig, runtimes: Mapping[str, Yaml]) -> Workload | Finding:
    metadata, component = whole["metadata"], mapping(whole["spec"][part])
    isvc_name, namespace = str(metadata["name"]), str(metadata.get("namespace") or "default")
    name = "-".join(filter(None, (isvc_name, component.get("name") if part == "predictor" else None, part)))
    runtime, runtime_spec = "", dict[str, Any]()
    if component.get("model") is not None:
        multinode = component.get("workerSpec") is not None
        chosen = selected(mapping(component["model"]), runtimes, multinode=multinode)
        if isinstance(chosen, str):
            return Finding(chosen, f"spec.{part}.model", CONTROLLER)
        runtime, runtime_spec = chosen
    pod = _pod_spec(part, isvc_name, component, runtime_spec)
    if pod is None:
        words = f"failed to find {CONTAINER} in ServingRuntime containers"
        return Finding(words, f"spec.{part}.model", CONTROLLER)
    annotations = {
        **filtered(mapping(runtime_spec.get("annotations"))),
        **filtered(mapping(metadata.get("annotations"))),
        **_internal(part, component),
        **filtered(mapping(component.get("annotations"))),
    }
    labels = {
        **mapping(runtime_spec.get("labels")),
        **mapping(metadata.get("labels")),
        **mapping(component.get("labels")),
        "serving.kserve.io/inferenceservice": isvc_name,
        "component": part,
    }
    added = _added(part, component, config)
    if mode_of(mapping(metadata.get("annotations")), config) == STANDARD:
        return _standard(part, name, namespace, component, pod, annotations, labels, config, added, runtime)
    service = _knative(name, namespace, component, pod, annotations, labels, config)
    return Workload(part, "Knative", name, service, None, None, *added, runtime)


def _pod_spec(part: str, isvc_name: str, component: Yaml, runtime: Yaml) -> dict[str, Any] | None:
    """The containers first, then what the component and the runtime say of the pod. None: the runtime has no
    container of KServe's name.
    """
    containers = items(component.get("containers"))
    own = {key: value for key, value in component.items() if key not in _OWN and key != "containers"}
    shared = ("nodeSelector", "affinity", "tolerations", "volumes", "imagePullSecrets", "schedulerName")
    pod = {key: runtime[key] for key in shared if runtime.get(key) is not None} | own
    if component.get("model") is not None:
        model = mapping(component["model"])
        theirs = items(runtime.get("containers"))
        base = next((one for one in theirs if one.get("name") == CONTAINER), None)
        if base is None:
            return None
        mine = {key: value for key, value in model.items() if key not in _MODEL_OWN}
        version = model.get("runtimeVersion")
        first = merged(base, mine, isvc_name, None if version is None else str(version))
        first["name"] = CONTAINER
        others = [one for one in theirs if one.get("name") != CONTAINER]
        beside = [one for one in containers if one.get("name") == TRANSFORMER_CONTAINER]
        rest = [one for one in containers if one.get("name") != TRANSFORMER_CONTAINER]
        containers = [first, *beside, *others, *rest]
    elif part == "predictor" and containers:
        serving = next((one for one in containers if one.get("name") == CONTAINER), containers[0])
        containers = [serving, *containers[1:]]
    elif component.get("art") is not None:
        containers = [_art_container(mapping(component["art"]), isvc_name, component), *containers[1:]]
    elif part == "transformer" and containers:
        containers = [_with_arguments(containers[0], isvc_name, component), *containers[1:]]
    named = {"name": "INFERENCE_SERVICE_NAME", "value": isvc_name}
    first_only = part != "predictor"
    pod["containers"] = [
        {**one, "env": [*items(one.get("env")), named]} if not (first_only and number) else one
        for number, one in enumerate(containers)
    ]
    return pod


def _with_arguments(container: Yaml, isvc_name: str, component: Yaml) -> dict[str, Any]:
    args = [str(one) for one in container.get("args") or []]
    asked = [
        ("--model_name", isvc_name),
        ("--predictor_host", f"{isvc_name}-predictor.default"),
        ("--http_port", "8080"),
        ("--workers", component.get("containerConcurrency")),
    ]
    for key, value in asked:
        if value is not None and not any(one == key or one.startswith(f"{key}=") for one in args):
            args += [key, str(value)]
    return {**container, "args": args}


def _art_container(art: Yaml, isvc_name: str, component: Yaml) -> dict[str, Any]:
    """What serves an explainer of the kind art (explainer_art.go)."""
    own = {key: value for key, value in art.items() if key not in _ART_OWN}
    made = _with_arguments({"args": own.get("args")}, isvc_name, component)
    made["args"] += ["--adversary_type", str(art.get("type", ""))]
    for key, value in sorted(mapping(art.get("config")).items()):
        made["args"] += [f"--{key}", str(value)]
    image = f"kserve/art-explainer:{art.get('runtimeVersion') or 'latest'}"
    return {"image": image, **own, "name": CONTAINER, "args": made["args"]}


def _internal(part: str, component: Yaml) -> dict[str, str]:
    """Annotations by which KServe's pod webhook knows what to add."""
    found: dict[str, str] = {}
    if (uri := storage_uri(part, component)) is not None:
        found[STORAGE_SOURCE] = uri
    if component.get("logger") is not None:
        logger = mapping(component["logger"])
        found[f"{INTERNAL}/logger"] = "true"
        found[f"{INTERNAL}/logger-mode"] = str(logger.get("mode", ""))
        if logger.get("url"):
            found[f"{INTERNAL}/logger-sink-url"] = str(logger["url"])
    if component.get("batcher") is not None:
        batcher = mapping(component["batcher"])
        found[f"{INTERNAL}/batcher"] = "true"
        for key, name in (("maxBatchSize", "batcher-max-batchsize"), ("maxLatency", "batcher-max-latency")):
            if batcher.get(key) is not None:
                found[f"{INTERNAL}/{name}"] = str(batcher[key])
    return found


def _added(
    part: str, component: Yaml, config: ClusterConfig
) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """The storage initializer, and the agent."""
    uri = storage_uri(part, component)
    uris = [uri] if uri is not None else [str(one.get("uri", "")) for one in items(component.get("storageUris"))]
    fetched = [one for one in uris if not one.startswith(("pvc://", "oci://", "oci+native://"))]
    first: tuple[dict[str, Any], ...] = ()
    if fetched:
        mount = {"name": "kserve-provision-location", "mountPath": MODEL_DIR}
        first = (
            {
                "name": "storage-initializer",
                "image": "kserve/storage-initializer:latest",
                "args": [argument for one in fetched for argument in (one, MODEL_DIR)],
                "resources": dict(config.storage_resources),
                "volumeMounts": [mount],
            },
        )
    if component.get("logger") is None and component.get("batcher") is None:
        return first, ()
    agent = {
        "name": "agent",
        "image": "kserve/agent:latest",
        "ports": [{"containerPort": AGENT_PORT}],
        "resources": dict(config.agent_resources),
    }
    return first, (agent,)


def _knative(
    name: str,
    namespace: str,
    component: Yaml,
    pod: dict[str, Any],
    annotations: dict[str, str],
    labels: dict[str, str],
    config: ClusterConfig,
) -> dict[str, Any]:
    template = knative_annotations(component, annotations, config.allow_zero_initial_scale)
    of_service = {key: template.pop(key) for key in (ROLLOUT_DURATION, PASSTHROUGH) if key in template}
    revision = {key: value for key, value in pod.items() if key != "resources"}
    for key, value in (
        ("timeoutSeconds", component.get("timeout")),
        ("responseStartTimeoutSeconds", component.get("timeout")),
        ("containerConcurrency", component.get("containerConcurrency")),
    ):
        if value is not None:
            revision[key] = value
    latest: dict[str, Any] = {"latestRevision": True, "percent": 100}
    if annotations.get(TAG_ROUTING) == "true":
        latest["tag"] = "latest"
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": of_service},
        "spec": {
            "template": {
                "metadata": {
                    "labels": {
                        key: value for key, value in labels.items() if key != "networking.knative.dev/visibility"
                    },
                    "annotations": template,
                },
                "spec": revision,
            },
            "traffic": [latest],
        },
    }


def _standard(
    part: str,
    name: str,
    namespace: str,
    component: Yaml,
    pod: dict[str, Any],
    annotations: dict[str, str],
    labels: dict[str, str],
    config: ClusterConfig,
    added: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]],
    runtime: str,
) -> Workload:
    for container in pod["containers"]:
        if container.get("name") in (CONTAINER, TRANSFORMER_CONTAINER) and "readinessProbe" not in container:
            ports = items(container.get("ports"))
            container["readinessProbe"] = {
                "tcpSocket": {"port": ports[0].get("containerPort", 8080) if ports else 8080},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            }
    pod.setdefault("terminationGracePeriodSeconds", 30)
    selector = {"app": f"isvc.{name}"}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    deployment: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations},
        "spec": {
            "selector": {"matchLabels": selector},
            "strategy": component.get("deploymentStrategy") or rolling,
            "template": {"metadata": {"labels": {**labels, **selector}, "annotations": annotations}, "spec": pod},
        },
    }
    kind = annotations.get(AUTOSCALER_CLASS, "hpa")
    if kind == "none" and component.get("minReplicas") is not None:
        deployment["spec"]["replicas"] = component["minReplicas"]
    hpa = autoscaler(component) if kind == "hpa" else None
    scaled_by: dict[str, Any] | None = None
    metadata = {"name": name, "namespace": namespace}
    if hpa is not None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        spec = {"scaleTargetRef": target, **written(hpa)}
        scaled_by = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": metadata,
            "spec": spec,
        }
    elif kind == "keda":
        spec = scaled_object(name, namespace, component, config)
        scaled_by = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata, "spec": spec}
    return Workload(part, STANDARD, name, deployment, scaled_by, hpa, *added, runtime)
