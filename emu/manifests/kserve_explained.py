"""An InferenceService, explained: what KServe makes of each component, and what becomes of that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from emu.files.nearest import hint
from emu.files.yamlfile import Mark, Node
from emu.manifests.annotations import MAX_SCALE, METRIC, MIN_SCALE, TARGET
from emu.manifests.clusterconfig import ClusterConfig
from emu.manifests.containers_explained import explain_resources, probe_text
from emu.manifests.decode import decode
from emu.manifests.documents import KSERVE, KSERVE_CONFIG, SERVING, Document, Manifests
from emu.manifests.explanation import Explanation, Refusal, Value, found, node_at, place
from emu.manifests.knative_explained import explain_knative
from emu.manifests.kserve.keys import ClusterConfig as KServeConfig
from emu.manifests.kserve.keys import Finding
from emu.manifests.kserve.runtimes import BUILT_IN, FORMATS
from emu.manifests.kserve.schema import of_runtime
from emu.manifests.kserve.service import Made, Workload, made_of
from emu.manifests.kubernetes_refusals import all_refused
from emu.manifests.starting_env import objects_of
from emu.manifests.waysout import of_type

_RUNTIMES = ("ServingRuntime", "ClusterServingRuntime")
_THERE = "spec.template.spec.containers"
"""Where a component's containers are in the Knative Service that is made of it."""
_BY = Mark("KServe")
_OF_DEPLOYMENT = "the API server, of the Deployment that KServe makes,"
_FROM = {
    TARGET.key: "scaleTarget",
    METRIC.key: "scaleMetric",
    MIN_SCALE.key: "minReplicas",
    MAX_SCALE.key: "maxReplicas",
}
"""Annotations of the revision that KServe writes, and the fields that they come from."""
_FIELDS = {
    "containerConcurrency": "containerConcurrency",
    "timeoutSeconds": "timeout",
    "responseStartTimeoutSeconds": "timeout",
}


def explain_kserve(document: Document, config: ClusterConfig, manifests: Manifests) -> Explanation:
    """What becomes of an InferenceService; a ServingRuntime is only taken along."""
    made = Explanation(document)
    if document.kind in _RUNTIMES:
        made.refusals = [_refusal(one, document.node) for one in of_runtime(document.node.plain())]
        used = any(one.kind == "InferenceService" for one in manifests.documents)
        who = "the InferenceServices among the files" if used else "InferenceServices, of which the files have none"
        made.note(f"{document.kind} {document.name} is there for {who}")
        return made
    result: Made = made_of(document.node.plain(), read_config(manifests.maps, config), runtimes_of(manifests))
    for finding in result.notes:
        made.note(finding.words, place(document.node, finding.path) if finding.path else None)
    made.refusals = [_refusal(one, document.node) for one in result.refusals]
    for workload in result.workloads:
        _workload(made, workload, config, manifests)
    return made


def runtimes_of(manifests: Manifests) -> dict[str, Any]:
    """The specs of the serving runtimes among the files, by their names."""
    return {
        one.name: spec.plain()
        for one in manifests.documents
        if one.group == KSERVE and one.kind in _RUNTIMES and (spec := one.node.child("spec")) is not None
    }


def _refusal(finding: Finding, root: Node) -> Refusal:
    fix = ""
    if finding.words.startswith("No ServingRuntimes"):
        fix = f"give the file of the ServingRuntime too; without one there are {', '.join(BUILT_IN)}"
    elif finding.words.startswith("no runtime found"):
        fix = "give the file of a ServingRuntime that serves it, or correct modelFormat and protocolVersion"
        name = found(root, f"{finding.path}.modelFormat.name")
        fix += "" if name is None else hint(str(name.value), FORMATS)
    elif finding.words.endswith("is not a supported autoscaler class type"):
        fix = "write hpa, keda, external or none; in Knative mode remove it"
    elif finding.path.endswith("scaleMetric") and "Unsupported value" in finding.words:
        fix = "write one of these; by any other metric KEDA scales it: autoscalerClass keda, autoScaling.metrics"
    elif finding.path == "spec.canary":
        fix = "write a list of canaries; canaryTrafficPercent under spec.predictor sends a part to a new revision"
    elif finding.words == "the target threshold value should not be empty":
        fix = "write it as target: {type: Value, value: …}"
    elif finding.words == "invalid logger type":
        fix = "write all, request or response"
    elif finding.by == "the API server":
        fix = of_type(finding.words, found(root, finding.path))
    return Refusal(finding.words, place(root, finding.path), finding.by, fix)


def read_config(maps: Mapping[str, Node], cluster: ClusterConfig) -> KServeConfig:
    """What inferenceservice-config says; what is no JSON there counts as absent."""
    plain = KServeConfig(allow_zero_initial_scale=cluster.autoscaler.allow_zero_initial_scale)
    resource = _section(maps, "inferenceService").get("resource")
    values = resource if isinstance(resource, dict) else {}
    scaling = _section(maps, "autoscaler")
    return KServeConfig(
        str(_section(maps, "deploy").get("defaultDeploymentMode", plain.default_deployment_mode)),
        str(values.get("cpuRequest", plain.cpu_request) or ""),
        str(values.get("cpuLimit", plain.cpu_limit) or ""),
        str(values.get("memoryRequest", plain.memory_request) or ""),
        str(values.get("memoryLimit", plain.memory_limit) or ""),
        str(scaling.get("scaleUpStabilizationWindowSeconds", plain.up_window_s)),
        str(scaling.get("scaleDownStabilizationWindowSeconds", plain.down_window_s)),
        allow_zero_initial_scale=plain.allow_zero_initial_scale,
    )


def _section(maps: Mapping[str, Node], key: str) -> dict[str, Any]:
    node = node_at(maps[KSERVE_CONFIG], ("data", key)) if KSERVE_CONFIG in maps else None
    try:
        found = json.loads(node.value) if node is not None and isinstance(node.value, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _workload(made: Explanation, workload: Workload, config: ClusterConfig, manifests: Manifests) -> None:
    part = workload.part
    component = node_at(made.document.node, ("spec", part))
    made.add(f"{part}: mode", workload.mode, "derived", f"{workload.object['kind']} {workload.name}")
    if workload.runtime:
        made.add(f"{part}: runtime", workload.runtime, "derived", "the serving runtime that was chosen")
    if workload.mode == "Knative":
        node = _service_node(workload.object, component, made.document.node)
        objects = objects_of((*manifests.other_maps, *manifests.secrets))
        made_of_it = explain_knative(Document("Service", SERVING, node), config, manifests.maps, objects)
        made.values += [Value(f"{part}: {one.name}", one.text, one.source, one.how) for one in made_of_it.values]
        for note in made_of_it.notes:
            made.note(note.text.replace(_THERE, f"spec.{part}.containers"), note.mark)
        made.refusals += made_of_it.refusals
    else:
        _standard(made, workload, component)
        _refuse_deployment(made, workload)
    for kind, containers in (("init container", workload.init_containers), ("sidecar", workload.sidecars)):
        for container in containers:
            name = f"{part}: {container['name']}"
            made.add(name, kind, "KServe", "KServe's pod webhook adds it")
            for port in container.get("ports", []):
                made.add(f"{name}: port", port["containerPort"], "KServe")
            explain_resources(made, name, container, None)


def _standard(made: Explanation, workload: Workload, component: Node | None) -> None:
    part, hpa = workload.part, workload.hpa
    if hpa is not None:
        made.add(f"{part}: HPA minReplicas", hpa.min_replicas, _at(component, "minReplicas"))
        made.add(f"{part}: HPA maxReplicas", hpa.max_replicas, _at(component, "maxReplicas"))
        for metric in hpa.metrics:
            made.add(f"{part}: HPA metric", metric.text, _at(component, "scaleTarget"))
        if not hpa.metrics:
            made.add(f"{part}: HPA metric", "cpu Utilization 80 %", "default", "no metric: Kubernetes fills this in")
    elif workload.scaled_by is not None:
        spec = workload.scaled_by["spec"]
        made.add(f"{part}: ScaledObject minReplicaCount", spec["minReplicaCount"], _at(component, "minReplicas"))
        made.add(f"{part}: ScaledObject maxReplicaCount", spec["maxReplicaCount"], _at(component, "maxReplicas"))
        for number, trigger in enumerate(spec["triggers"]):
            text = ", ".join(f"{key} {value}" for key, value in sorted(trigger["metadata"].items()))
            made.add(f"{part}: trigger {number + 1}", f"{trigger['type']}: {text}", _at(component, "autoScaling"))
    else:
        made.add(f"{part}: autoscaler", "none", "derived")
    template = workload.object["spec"]["template"]["spec"]
    made.add(
        f"{part}: strategy", workload.object["spec"]["strategy"].get("type", ""), _at(component, "deploymentStrategy")
    )
    for container in template["containers"]:
        name = f"{part}: {container.get('name', '')}"
        made.add(f"{name}: image", container.get("image", ""), "derived")
        explain_resources(made, name, container, None, knative=False)
        for kind in ("readiness", "liveness", "startup"):
            if f"{kind}Probe" in container:
                made.add(f"{name}: {kind}", probe_text(container[f"{kind}Probe"]), "derived", "the kubelet runs it")


def _refuse_deployment(made: Explanation, workload: Workload) -> None:
    """What the API server refuses of the Deployment: then KServe has taken the InferenceService, and no pod comes."""
    read = decode(_node(workload.object, _BY), "Deployment")
    if read.misfits:  # of a serving runtime that is refused itself
        return
    spec = read.value["spec"]
    way = ("spec", "template", "spec")
    root = made.document.node
    has_model = node_at(root, ("spec", workload.part, "model")) is not None
    for path, words in all_refused("Deployment", read.value["metadata"], spec, spec["template"]["spec"], way):
        key = path.replace(".".join(way), f"spec.{workload.part}")
        key = key.replace(f"spec.{workload.part}.containers[0]", f"spec.{workload.part}.model") if has_model else key
        made.refusals.append(Refusal(f"{path}: {words}", place(root, key), _OF_DEPLOYMENT))


def _at(component: Node | None, key: str) -> str:
    node = component.child(key) if component is not None else None
    return str(node.mark) if node is not None else "KServe's default"


def _service_node(made: Mapping[str, Any], component: Node | None, root: Node) -> Node:
    """The Knative Service as a document whose values are where the InferenceService has them."""
    whole = _node(made, _BY)
    annotations = node_at(root, ("metadata", "annotations"))
    template = node_at(whole, ("spec", "template"))
    for key, node in _children(template, "metadata", "annotations"):
        written = key in (MIN_SCALE.key, MAX_SCALE.key)  # KServe drops those annotations
        node.mark = _mark(component, _FROM.get(key, ""), _BY if written else _mark(annotations, key, _BY))
    for key, node in _children(template, "spec"):
        node.mark = _mark(component, _FIELDS.get(key, key), node.mark)
    serving = next((one for key, one in _children(component) if key == "model" or _is_framework(one)), None)
    container = node_at(component, ("containers", 0)) if component is not None else None
    _overlay(node_at(whole, ("spec", "template", "spec", "containers", 0)), serving or container)
    own = {_name_of(one): one for one in _items(component)}
    for one in _items(node_at(whole, ("spec", "template", "spec")))[1:]:
        _overlay(one, own.get(_name_of(one)))
    return whole


def _items(pod: Node | None) -> list[Node]:
    """Its containers."""
    found = pod.child("containers") if pod is not None else None
    return [one for one in found.value if isinstance(one, Node)] if found and isinstance(found.value, list) else []


def _name_of(container: Node) -> object:
    name = container.child("name")
    return name.value if name is not None and isinstance(name.value, str) else None


def _is_framework(node: Node) -> bool:
    return isinstance(node.value, dict) and ("storageUri" in node.value or "runtimeVersion" in node.value)


def _children(node: Node | None, *way: str) -> list[tuple[str, Node]]:
    found = node_at(node, way) if node is not None else None
    return list(found.value.items()) if found is not None and isinstance(found.value, dict) else []


def _mark(node: Node | None, key: str, otherwise: Mark) -> Mark:
    below = node.child(key) if node is not None and key else None
    return below.mark if below is not None else otherwise


def _overlay(made: Node | None, given: Node | None) -> None:
    """Places of what was given, onto what was made of it."""
    if made is None or given is None:
        return
    made.mark = given.mark
    for key, node in _children(made):
        _overlay(node, given.child(key))
    if isinstance(made.value, list):
        for number, node in enumerate(made.value):
            _overlay(node, given.child(number))


def _node(value: Any, mark: Mark) -> Node:
    if isinstance(value, Mapping):
        return Node(mark, {str(key): _node(one, mark) for key, one in value.items()})
    if isinstance(value, list | tuple):
        return Node(mark, [_node(one, mark) for one in value])
    return Node(mark, value, "" if value is None else str(value))
