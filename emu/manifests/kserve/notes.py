"""What KServe accepts, and what is not what it looks like: one note for each, with its field."""

from __future__ import annotations

from collections.abc import Iterator

from emu.files.nearest import hint
from emu.manifests.kserve.autoscaling import autoscaler, filtered, knative_annotations
from emu.manifests.kserve.component import serving_container, storage_uri
from emu.manifests.kserve.defaulting import mode_of
from emu.manifests.kserve.keys import (
    AUTOSCALER_CLASS,
    CLASS,
    DEPLOYMENT_MODE,
    FRAMEWORKS,
    GROUP,
    HPA,
    INITIAL_SCALE,
    KNATIVE,
    KNATIVE_GROUP,
    MAX_SCALE,
    METRICS,
    MIN_SCALE,
    MODEL_MESH,
    OLD_MODES,
    STANDARD,
    STOP,
    TARGET_UTILIZATION,
    ClusterConfig,
    Finding,
    Yaml,
    mapping,
)
from emu.manifests.kserve.unknown import unknown_fields
from emu.policy.quantity import parse_amount

Notes = Iterator[Finding]
_PARTS = ("predictor", "transformer", "explainer")
_FIELDS = {
    "scaletarget": "scaleTarget",
    "scalemetric": "scaleMetric",
    "metric": "scaleMetric",
    "target": "scaleTarget",
    "minscale": "minReplicas",
    "minreplicas": "minReplicas",
    "maxscale": "maxReplicas",
    "maxreplicas": "maxReplicas",
    "containerconcurrency": "containerConcurrency",
    "timeout": "timeout",
    "canarytrafficpercent": "canaryTrafficPercent",
}
"""What people write as an annotation of KServe, without case and hyphens."""


def notes_for(given: Yaml, whole: Yaml, config: ClusterConfig) -> list[Finding]:
    """Notes about an InferenceService, as it was given and as it is after defaulting."""
    annotations = mapping(whole["metadata"].get("annotations"))
    standard = mode_of(annotations, config) == STANDARD
    found = [*unknown_fields(given), *_renamed(given, annotations), *_mode(given, annotations, config)]
    for part in _PARTS:
        component = whole["spec"].get(part)
        if component is None:
            continue
        component = mapping(component)
        notes = [*_of_component(part, component)]
        notes += _in_standard(component, annotations) if standard else _in_knative(component, annotations, config)
        found += [Finding(one.words, _path(part, one.path)) for one in notes]
    found += _of_annotations(annotations, standard)
    return list(dict.fromkeys(found))


def _path(part: str, path: str) -> str:
    if path.startswith("metadata."):
        return path
    return f"spec.{part}.{path}" if path else f"spec.{part}"


def _renamed(given: Yaml, annotations: Yaml) -> Notes:
    asked = mapping(mapping(given.get("metadata")).get("annotations")).get(DEPLOYMENT_MODE)
    if asked in OLD_MODES:
        yield Finding(f"deployment mode {asked} is called {OLD_MODES[asked]} now", _annotation(DEPLOYMENT_MODE))
    predictor = mapping(mapping(given.get("spec")).get("predictor"))
    for key in FRAMEWORKS:
        if predictor.get(key) is not None and annotations.get(DEPLOYMENT_MODE) != "ModelMesh":
            words = f"`{key}:` is the old form: KServe makes `model:` with modelFormat {FRAMEWORKS[key]} of it"
            yield Finding(words, f"spec.predictor.{key}")
    if str(annotations.get(STOP, "")).lower() == "true":
        yield Finding("the service is stopped: nothing runs until the annotation is taken away", _annotation(STOP))


def _mode(given: Yaml, annotations: Yaml, config: ClusterConfig) -> Notes:
    """Of a deployment mode that is none."""
    asked = mapping(mapping(given.get("metadata")).get("annotations")).get(DEPLOYMENT_MODE)
    if mode_of(annotations, config) == MODEL_MESH:
        words = (
            "in the mode ModelMesh KServe makes no pods for the predictor: ModelMesh loads the model into those of a "
            "ServingRuntime with multiModel: true, which emu does not emulate"
        )
        yield Finding(words, _annotation(DEPLOYMENT_MODE) if asked else "")
    known = (KNATIVE, STANDARD, MODEL_MESH, *OLD_MODES)
    if asked is None or asked in known:
        return
    words = f"{asked} is no deployment mode, and has no effect: the mode is {mode_of(annotations, config)}"
    yield Finding(words + hint(str(asked), known), _annotation(DEPLOYMENT_MODE))


def _annotation(key: str) -> str:
    return f"metadata.annotations.{key}"


def _of_annotations(annotations: Yaml, standard: bool) -> Notes:
    for key in (METRICS, TARGET_UTILIZATION):
        if key in annotations:
            yield Finding(f"{key} has no effect: KServe does not read it any more", _annotation(key))
    for key in annotations:
        group, _, name = key.partition("/")
        if group == GROUP and (field := _FIELDS.get(name.replace("-", "").lower())) is not None:
            words = f"{key} is no annotation of KServe, and has no effect: {field} is a field of the predictor"
            yield Finding(words, _annotation(key))
    if standard:
        for key in annotations:
            if key.startswith(f"{KNATIVE_GROUP}/"):
                yield Finding(f"{key} has no effect in Standard mode: there is no Knative", _annotation(key))
        return
    if AUTOSCALER_CLASS in annotations:
        words = f"{AUTOSCALER_CLASS} has no effect in Knative mode: {CLASS} says which autoscaler it is"
        yield Finding(words, _annotation(AUTOSCALER_CLASS))
    for key, field in ((MIN_SCALE, "minReplicas"), (MAX_SCALE, "maxReplicas")):
        if key in annotations:
            yield Finding(f"{key} is dropped: KServe writes it from {field}", _annotation(key))


def _of_component(part: str, component: Yaml) -> Notes:
    if component.get("scaleMetricType") is not None:
        yield Finding("scaleMetricType has no effect: nothing reads it", "scaleMetricType")
    if component.get("resources") is not None:
        yield from _misplaced_resources(part, component)
    path, container = serving_container(part, component)
    limits = mapping(mapping(container.get("resources")).get("limits"))
    for key in limits:
        if "/" in key:
            yield Finding(f"{key} cannot be emulated: the pod runs without it", f"{path}.resources")
    if component.get("workerSpec") is not None:
        words = "workerSpec: KServe makes a second Deployment of it, of workers; emu runs the head's pods alone"
        yield Finding(words, "workerSpec")
    for key, what in (("logger", "logs"), ("batcher", "batches")):
        if component.get(key) is not None:
            words = f"{key}: the agent is put into each pod; it listens on 9081, {what} and passes requests on"
            yield Finding(words, key)
    if part == "transformer" and (uri := storage_uri(part, component)) is not None:
        yield Finding(
            f"STORAGE_URI {uri}: each pod of the transformer gets a storage-initializer for it", "containers[0].env"
        )
    least, most = component.get("minReplicas"), component.get("maxReplicas")
    if least and least == most:
        yield Finding(f"minReplicas and maxReplicas are both {least}: it never scales", "maxReplicas")
    yield from _amounts(path, container)


def _misplaced_resources(part: str, component: Yaml) -> Notes:
    where = "the model's container" if component.get("model") is not None else "the container"
    own = mapping(serving_container(part, component)[1].get("resources"))
    if any(mapping(own.get(kind)) for kind in ("requests", "limits")):
        has = "has its own"
    else:
        has = "keeps requests = limits = 1 CPU, 2Gi"
    yield Finding(f"`resources` here is the pod's field, not the container's: {where} {has}", "resources")


def _amounts(path: str, container: Yaml) -> Notes:
    """A request above the limit that KServe or the runtime fills in: Kubernetes refuses the pod."""
    resources = mapping(container.get("resources"))
    requests, limits = mapping(resources.get("requests")), mapping(resources.get("limits"))
    for key, default in (("cpu", "1"), ("memory", "2Gi")):
        request, limit = str(requests.get(key, default)), str(limits.get(key, default))
        if key not in requests and key not in limits:
            continue
        try:
            above = parse_amount(request) > parse_amount(limit)
        except ValueError:
            continue
        if above:
            asked = "" if key in requests else " by default"
            allowed = "" if key in limits else " by default"
            words = f"{key}: the request is {request}{asked}, above the limit of {limit}{allowed}"
            yield Finding(f"{words}: Kubernetes refuses the pods", f"{path}.resources")


def _in_knative(component: Yaml, annotations: Yaml, config: ClusterConfig) -> Notes:
    made = knative_annotations(component, filtered(annotations), config.allow_zero_initial_scale)
    if INITIAL_SCALE in annotations and INITIAL_SCALE not in made:
        words = f"{INITIAL_SCALE} {annotations[INITIAL_SCALE]} is dropped"
        why = "it must be a whole number, and the cluster allows no 0"
        yield Finding(f"{words}: {why}", _annotation(INITIAL_SCALE))
    for key, field in (("minScale", "minReplicas"), ("maxScale", "maxReplicas")):
        camel = f"{KNATIVE_GROUP}/{key}"
        if camel in annotations:
            kebab = MIN_SCALE if key == "minScale" else MAX_SCALE
            counts = (
                f"counts, as there is no {field}" if kebab not in made else f"loses against {kebab}, made of {field}"
            )
            yield Finding(f"{camel} passes, and {counts}", _annotation(camel))
    for key, field in (("target", "scaleTarget"), ("metric", "scaleMetric")):
        annotation = f"{KNATIVE_GROUP}/{key}"
        if annotation in annotations and component.get(field) is not None:
            words = f"{annotation} {annotations[annotation]} has no effect: KServe writes it from {field}"
            yield Finding(words, _annotation(annotation))
    concurrency, target = component.get("containerConcurrency") or 0, component.get("scaleTarget")
    metric = component.get("scaleMetric") or annotations.get(f"{KNATIVE_GROUP}/metric")
    if annotations.get(CLASS) == HPA:
        yield from _class_hpa(component, metric, target)
    elif metric == "rps" and concurrency:
        yield Finding(
            f"containerConcurrency {concurrency} limits each pod; the target in rps is not cut by it",
            "containerConcurrency",
        )
    elif target is not None and 0 < concurrency < target:
        yield Finding(
            f"scaleTarget {target} is above containerConcurrency {concurrency}, which counts instead", "scaleTarget"
        )
    if component.get("autoScaling") is not None:
        yield Finding("autoScaling has no effect in Knative mode", "autoScaling")
    if component.get("canaryTrafficPercent") is not None:
        words = "canaryTrafficPercent has no effect on the first revision: all traffic goes to it"
        yield Finding(words, "canaryTrafficPercent")


def _class_hpa(component: Yaml, metric: str | None, target: int | None) -> Notes:
    if component.get("minReplicas") == 0:
        yield Finding("class hpa never scales to zero: minReplicas 0 ends as 1 pod", "minReplicas")
    if metric == "memory" and target is not None:
        words = f"scaleTarget {target} of memory is MiB a pod here, not percent; KServe allows 100 at most"
        hint = f"; for more, leave scaleMetric and scaleTarget out and set {KNATIVE_GROUP}/metric and /target"
        yield Finding(words + hint, "scaleTarget")
    if metric in (None, "cpu"):
        percent = 80 if target is None else target
        words = f"{percent} % is of the sum of the containers' CPU requests, queue-proxy's 25m with them"
        yield Finding(words, "scaleTarget" if target is not None else "")
    if metric is not None and target is None:
        yield Finding(
            f"no scaleTarget: Kubernetes scales by cpu at 80 %, whatever the metric {metric}", "scaleMetric"
        )


def _in_standard(component: Yaml, annotations: Yaml) -> Notes:
    if component.get("containerConcurrency") is not None:
        words = "containerConcurrency has no effect in Standard mode: there is no queue-proxy to hold requests"
        yield Finding(words, "containerConcurrency")
    if component.get("timeout") is not None:
        yield Finding("timeout goes into the HTTPRoute only; nothing in the pod ends a request", "timeout")
    if component.get("canaryTrafficPercent") is not None:
        yield Finding("canaryTrafficPercent has no effect in Standard mode", "canaryTrafficPercent")
    if component.get("deploymentStrategy") is not None:
        kind = mapping(component["deploymentStrategy"]).get("type", "RollingUpdate")
        yield Finding(f"deploymentStrategy {kind} goes into the Deployment", "deploymentStrategy")
    kind = annotations.get(AUTOSCALER_CLASS, "hpa")
    if kind == "hpa":
        yield from _standard_hpa(component)
    elif kind == "keda":
        yield from _standard_keda(component)
    else:
        least = component.get("minReplicas")
        size = f"{least} pods" if kind == "none" and least is not None else "as many pods as the Deployment says"
        yield Finding(f"autoscalerClass {kind}: nothing scales it; {size}", _annotation(AUTOSCALER_CLASS))


def _standard_hpa(component: Yaml) -> Notes:
    spec = autoscaler(component)
    if component.get("minReplicas") == 0:
        yield Finding("minReplicas 0 becomes 1: a HorizontalPodAutoscaler does not scale to zero", "minReplicas")
    if not component.get("maxReplicas"):
        there = "is absent" if component.get("maxReplicas") is None else "0 counts as absent,"
        words = f"maxReplicas {there} and becomes minReplicas, {spec.max_replicas}: it never scales"
        yield Finding(words, "maxReplicas")
    metric, target = component.get("scaleMetric"), component.get("scaleTarget")
    if component.get("autoScaling") is not None:
        scaling = mapping(component["autoScaling"])
        if metric is not None or target is not None:
            yield Finding("autoScaling replaces scaleMetric and scaleTarget, which have no effect", "autoScaling")
        if scaling.get("behavior") is not None:
            yield Finding(
                "behavior has no effect: KServe writes an empty one, so Kubernetes' defaults hold",
                "autoScaling.behavior",
            )
        if not spec.metrics:
            yield Finding("autoScaling has no metric of a resource: Kubernetes scales by cpu at 80 %", "autoScaling")
    elif not spec.metrics:
        why = "has no scaleTarget" if metric == "memory" else "is none of a HorizontalPodAutoscaler's"
        words = f"scaleMetric {metric} {why}: Kubernetes scales by cpu at 80 % instead"
        yield Finding(words, "scaleMetric")
    elif metric == "memory":
        yield Finding(f"scaleTarget {target} of memory is percent of the requests in Standard mode", "scaleTarget")


def _standard_keda(component: Yaml) -> Notes:
    scaling = mapping(component.get("autoScaling"))
    if component.get("scaleTarget") is not None:
        yield Finding("scaleTarget has no effect with KEDA: triggers come from autoScaling.metrics", "scaleTarget")
    metrics = scaling.get("metrics") or []
    if not metrics:
        yield Finding("no autoScaling.metrics: the ScaledObject has no trigger, which KEDA refuses", "autoScaling")
    if component.get("minReplicas") == 0:
        if all(mapping(one).get("type") == "Resource" for one in metrics):
            yield Finding("minReplicas 0 with cpu and memory alone: KEDA never goes to zero", "minReplicas")
        else:
            words = "to zero 300 s after the last active trigger, from zero within 30 s: KEDA's own defaults"
            yield Finding(words, "minReplicas")
    if not component.get("maxReplicas"):
        there = "is absent" if component.get("maxReplicas") is None else "0 counts as absent,"
        yield Finding(f"maxReplicas {there} and becomes minReplicas: it never scales", "maxReplicas")
