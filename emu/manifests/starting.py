"""Manifests → a scenario for one workload: its pods' containers, what scales them, and a load that comes from its
target. What the manifest asks for and the scenario leaves out is named in `leftOut`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from emu.errors import EmuError, raise_all
from emu.manifests.clusterconfig import ClusterConfig
from emu.manifests.containers_explained import serving_container
from emu.manifests.decode import decode
from emu.manifests.documents import KSERVE, SCHEDULING, SERVING, Document, Manifests
from emu.manifests.explaining import cluster_of, explain
from emu.manifests.hpa import decode_hpa
from emu.manifests.keda_explained import scales
from emu.manifests.knative import defaulted, revision_annotations, revision_spec, rollout_seconds
from emu.manifests.kserve.component import storage_uri
from emu.manifests.kserve.keys import STOP, mapping
from emu.manifests.kserve.service import Workload, made_of
from emu.manifests.kserve_explained import read_config, runtimes_of
from emu.manifests.priority import priority_keys
from emu.manifests.queueproxy import queue_proxy_resources
from emu.manifests.starting_env import objects_for, objects_of
from emu.manifests.starting_hpa import (
    APP,
    RESOURCES,
    knative_keys,
    of_scaled_object,
    plain_load,
    spec_of,
    standard_keys,
    tolerant,
)
from emu.manifests.starting_hpa import load_for as hpa_load
from emu.manifests.starting_keda import keda_keys
from emu.manifests.starting_load import load_for
from emu.manifests.starting_pod import Pod, Resources, autoscaling_of, pod_of, standard_pod_of
from emu.manifests.starting_program import NO_METADATA, Metadata
from emu.manifests.yamltext import Lines, Said, written
from emu.messages import QUEUE_PROXY
from emu.policy.autoscaling.settings import GROUP, KPA, cluster_config, settings_for
from emu.policy.golang import SECOND
from emu.policy.hpa.knative import autoscaler as knative_autoscaler
from emu.policy.hpa.knative import settings_of
from emu.policy.hpa.spec import HpaSpec
from emu.policy.quantity import parse_amount

HPA = "hpa.autoscaling.knative.dev"


@dataclass(frozen=True)
class Chosen:
    """What the scenario is of: a revision, or a Deployment."""

    title: str
    name: str
    spec: dict[str, Any]
    annotations: dict[str, str] = field(default_factory=dict)
    init_containers: tuple[dict[str, Any], ...] = ()
    """What KServe's webhook puts into each pod."""
    sidecars: tuple[dict[str, Any], ...] = ()
    left_out: list[str] = field(default_factory=list)
    deployment: bool = False
    """Its pods have no queue-proxy."""
    hpa: HpaSpec | None = None
    """What scales a Deployment."""
    keda: Mapping[str, Any] | None = None
    """The ScaledObject that does, where that takes more than a HorizontalPodAutoscaler."""
    replicas: int = 1
    """How many pods a Deployment begins with."""
    of: Metadata = NO_METADATA
    """Of its pods, as the manifest has it."""
    rollout_s: int = 0
    """How long traffic takes to move to a new revision of a Service."""


@dataclass(frozen=True)
class _Scaling:
    """The autoscaler's keys, and a load for it."""

    keys: Lines | None
    phases: list[Lines]
    several: bool
    left_out: tuple[str, ...] = ()


class _Made(NamedTuple):
    """What becomes of the workload."""

    chosen: Chosen
    serving: Mapping[str, Any]
    """The container that has the port."""
    pod: Pod
    scaling: _Scaling


def scenario_of(manifests: Manifests, *, masked: bool = False) -> str:
    """The text of a scenario file; `masked`: without the values of Secrets. EmuError where there is not one workload,
    or it is refused.
    """
    chosen, serving, pod, scaling = _made(manifests, masked=masked)
    scenario: Lines = {"name": _slug(chosen.name), "question": _question(chosen, scaling)}
    if chosen.rollout_s:
        only = f"rollout-duration {chosen.rollout_s} s: this scenario has one revision, and nothing to roll out"
        pod.keys = {"leftOut": [*pod.keys.pop("leftOut", []), only], **pod.keys}
    scenario["pod"] = pod.keys
    scenario["load"] = {"phases": scaling.phases}
    scenario["expect"] = {"pod.oom_kills": "== 0", "requests.reached_no_pod": "< requests.sent"}
    return "\n".join([*_head(chosen, serving, pod), *written(scenario)]) + "\n"


def service_of(manifests: Manifests, place: str) -> Lines:
    """The keys of a scenario's service. EmuError as of `scenario_of`; `place` is where the scenario names it."""
    chosen, _, pod, scaling = _made(manifests)
    if scaling.keys is None:
        why = scaling.left_out[0] if scaling.left_out else "it has no autoscaler"
        raise EmuError(
            f"{place}: no autoscaler that emu has scales {chosen.title}",
            f"a service is scaled; left out is: {why}" if scaling.left_out else why,
            "give the manifest an autoscaler, or write its pod in the scenario, as `emu init` does",
        )
    rollout = {"rolloutDuration": f"{chosen.rollout_s}s"} if chosen.rollout_s else {}
    made: Lines = _plainly({"name": _slug(chosen.name), **pod.keys, **rollout})
    return made


def _plainly(keys: Any) -> Any:
    """Without comments."""
    if isinstance(keys, Said):
        return keys.value
    if isinstance(keys, Mapping):
        return {key: _plainly(value) for key, value in keys.items()}
    return [_plainly(one) for one in keys] if isinstance(keys, list) else keys


def _made(manifests: Manifests, *, masked: bool = False) -> _Made:
    config = cluster_of(manifests.maps)
    chosen = _chosen(manifests, config)
    serving = serving_container(chosen.spec)
    objects = objects_of((*manifests.other_maps, *manifests.secrets))
    if chosen.deployment:
        pod = standard_pod_of(chosen.spec, serving, chosen.of, objects)
        scaling = _of_deployment(chosen, serving)
    else:
        sidecar = queue_proxy_resources(chosen.annotations, serving, config)
        pod = pod_of(chosen.spec, serving, sidecar, chosen.of, objects)
        scaling = _of_revision(chosen, manifests, serving, sidecar)
    pod.add_containers(chosen.init_containers, chosen.sidecars)
    containers = [*chosen.spec.get("initContainers", []), *chosen.spec["containers"]]
    named, unreadable = objects_for(containers, objects, masked=masked, volumes=pod.keys.get("volumes", ()))
    pod.keys |= named
    pod.left_out += unreadable
    if scaling.keys is not None:
        pod.keys["autoscaling"] = scaling.keys
    priority, no_class = priority_keys(chosen.spec, manifests)
    pod.keys = {**priority, **pod.keys}
    left_out = dict.fromkeys([*chosen.left_out, *pod.left_out, *no_class, *scaling.left_out, *_unread(manifests)])
    pod.keys = {**({"leftOut": [_plain(one, 500) for one in left_out]} if left_out else {}), **pod.keys}
    return _Made(chosen, serving, pod, scaling)


def _unread(manifests: Manifests) -> list[str]:
    """The objects beside the workload that emu does not read, but for those that change no pod."""
    titles = [one.title for one in manifests.passed_over if one.kind not in _NO_MATTER]
    return [f"what emu does not read: {', '.join(titles)}"] if titles else []


_NO_MATTER = ("Service", "Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def _of_revision(chosen: Chosen, manifests: Manifests, serving: Mapping[str, Any], sidecar: Resources) -> _Scaling:
    data = manifests.maps["config-autoscaler"].child("data") if "config-autoscaler" in manifests.maps else None
    cluster = cluster_config(data.plain() if data is not None else None)
    deployment = cluster_of(manifests.maps).deployment
    cluster = replace(cluster, progress_deadline_s=deployment.progress_deadline / SECOND)
    rule = settings_for(chosen.annotations, cluster, chosen.spec["containerConcurrency"])
    kind = chosen.annotations.get(f"{GROUP}/class", cluster.autoscaler_class)
    if kind == HPA:
        settings = settings_of(chosen.annotations, cluster)
        if settings.target is None or settings.metric in RESOURCES:
            spec = knative_autoscaler(settings)
            proxy = {"name": QUEUE_PROXY, "resources": {"requests": _requests(sidecar)}}
            phases = hpa_load(spec, [proxy, *chosen.spec["containers"]], _limit(serving))
            return _Scaling(knative_keys(settings, rule.initial_scale), phases, spec.max_replicas != 1)
        why = f"the metric {settings.metric}, which only an adapter has, so there is one pod"
        return _Scaling(None, [load_for(rule, scales=False)], several=False, left_out=(why,))
    if kind == KPA:
        return _Scaling(autoscaling_of(rule), [load_for(rule, scales=True)], rule.max_scale != 1)
    why = "the autoscaler of its class, so there is one pod"
    return _Scaling(None, [load_for(rule, scales=False)], several=False, left_out=(why,))


def _of_deployment(chosen: Chosen, serving: Mapping[str, Any]) -> _Scaling:
    spec = chosen.hpa
    left_out: tuple[str, ...]
    if chosen.keda is not None:
        scaled = keda_keys(chosen.keda, str(serving.get("name", "")), APP)
        if scaled.keys is not None:
            initial = {} if chosen.replicas == 1 else {"initialScale": chosen.replicas}
            several = chosen.keda.get("maxReplicaCount") != 1
            return _Scaling({**scaled.keys, **initial}, list(scaled.phases), several, scaled.left_out)
        return _Scaling(None, plain_load(serving), several=False, left_out=scaled.left_out)
    if spec is None:
        left_out = (f"{chosen.replicas - 1} more of the same pods",) if chosen.replicas > 1 else ()
        return _Scaling(None, plain_load(serving), several=False, left_out=left_out)
    keys = standard_keys(spec, chosen.replicas, str(serving.get("name", "")))
    phases = hpa_load(spec, chosen.spec["containers"], _limit(serving))
    return _Scaling(keys, phases, spec.max_replicas != 1)


def _requests(sidecar: Resources) -> dict[str, str]:
    return {resource: text for (resource, kind), (text, _) in sidecar.items() if kind == "request"}


def _limit(serving: Mapping[str, Any]) -> int | None:
    text = ((serving.get("resources") or {}).get("limits") or {}).get("memory")
    return None if text is None else int(parse_amount(str(text)))


def _chosen(manifests: Manifests, config: ClusterConfig) -> Chosen:
    document = workload_of(manifests)
    scalers = _scalers_of(document, manifests)
    classes = [one for one in manifests.documents if one.group == SCHEDULING]
    read = (document, *scalers, *classes, *manifests.other_maps, *manifests.secrets)
    raise_all(
        EmuError(
            f"{refusal.mark}: {refusal.by} refuses {one.title}",
            refusal.words.split("\n")[0],
            refusal.fix or "correct it; `emu explain` shows what is made of it",
        )
        for made in explain(manifests)
        for one in read
        if made.document == one
        for refusal in made.refusals
    )
    if document.group == KSERVE:
        return _of_kserve(document, scalers, manifests, config)
    if document.kind in ("Deployment", "Pod"):
        return _of_kubernetes(document, scalers)
    return _of_knative(
        document.title, document.name, document.kind, decode(document.node, document.kind).value, config
    )


def workload_of(manifests: Manifests) -> Document:
    """The one Service, Configuration, Revision, InferenceService, Deployment or Pod among them. EmuError where there
    is not one.
    """
    documents = [one for one in manifests.documents if (one.group, one.kind) in _KINDS]
    documents = documents or [one for one in manifests.documents if one.kind == "Pod"]
    if len(documents) != 1:
        found = ", ".join(f"{one.title} ({one.node.mark})" for one in manifests.documents) or "none"
        raise EmuError(
            "there is no one workload to make a scenario of",
            "a scenario runs one: a Service, Configuration or Revision of Knative, an InferenceService of KServe, "
            f"a Deployment with its HorizontalPodAutoscaler, or a Pod; the files have: {found}",
            "keep one of them" if documents else "give the file with that one",
        )
    return documents[0]


_KINDS = {
    (KSERVE, "InferenceService"),
    ("apps", "Deployment"),
    *((SERVING, kind) for kind in ("Service", "Configuration", "Revision")),
}


def _scalers_of(document: Document, manifests: Manifests) -> list[Document]:
    """The HorizontalPodAutoscalers and ScaledObjects among the files that scale it."""
    found = []
    for one in manifests.documents:
        if one.kind == "ScaledObject" and scales(decode(one.node, one.kind).value.get("spec", {}), document):
            found.append(one)
        if one.kind == "HorizontalPodAutoscaler":
            target = decode_hpa(one).value.get("spec", {}).get("scaleTargetRef", {})
            if (target.get("kind"), target.get("name")) == (document.kind, document.name):
                found.append(one)
    return found


def _of_kubernetes(document: Document, scalers: Sequence[Document]) -> Chosen:
    """A Deployment with the autoscaler that is among the files, or a Pod."""
    whole = decode(document.node, document.kind).value
    spec = whole["spec"]
    template = whole if document.kind == "Pod" else spec["template"]
    replicas = 1 if spec.get("replicas") is None else int(spec["replicas"])
    pods = {"containers": [], **template["spec"]}
    pods["volumes"] = [one if len(one) > 1 else {**one, "emptyDir": {}} for one in pods.get("volumes") or ()]
    of = _metadata(template, pods)
    if not scalers:
        none = [] if replicas else ["replicas 0: in a cluster nothing runs"]
        return Chosen(
            document.title, document.name, pods, left_out=none, deployment=True, of=of, replicas=max(1, replicas)
        )
    if len(scalers) > 1:
        raise EmuError(
            f"{scalers[1].node.mark}: {scalers[1].title} scales {document.title} too",
            f"{scalers[0].title} does already, and the two would undo each other's numbers",
            "keep one of them",
        )
    if scalers[0].kind == "ScaledObject":
        of_keda, keda, tolerance = _of_scaled_object(decode(scalers[0].node, scalers[0].kind).value["spec"])
        made = Chosen(document.title, document.name, pods, deployment=True, of=of, replicas=max(1, replicas))
        return replace(made, hpa=of_keda, keda=keda, left_out=tolerance)
    hpa, others = spec_of(decode_hpa(scalers[0]).value["spec"])
    left_out = [f"metrics of type {kind}, which need an adapter" for kind in dict.fromkeys(others)]
    hpa, tolerance = tolerant(hpa)
    left_out += tolerance
    if others and not hpa.metrics:
        left_out.append("its HorizontalPodAutoscaler, so there is one pod")
        return Chosen(document.title, document.name, pods, left_out=left_out, deployment=True, of=of)
    if replicas == 0:
        left_out.append("replicas 0: in a cluster nothing runs, and the autoscaler is switched off (ScalingDisabled)")
    made = Chosen(document.title, document.name, pods, left_out=left_out, deployment=True, of=of)
    return replace(made, hpa=hpa, replicas=max(1, replicas))


def _of_knative(title: str, name: str, kind: str, given: dict[str, Any], config: ClusterConfig) -> Chosen:
    whole = defaulted(kind, given, config)
    left_out = []
    traffic: Sequence[Mapping[str, Any]] = whole.get("spec", {}).get("traffic", []) if kind == "Service" else []
    if any(not one.get("latestRevision") for one in traffic):
        left_out.append("other revisions that get a part of the traffic")
    rollout_s = rollout_seconds(whole, config) if kind == "Service" else 0
    annotations = revision_annotations(kind, whole)
    template = whole if kind == "Revision" else whole["spec"].get("template", {})
    return Chosen(
        title,
        name,
        revision_spec(kind, whole),
        annotations,
        left_out=left_out,
        of=_metadata(template, template.get("spec") or {}),
        rollout_s=rollout_s,
    )


def _metadata(template: Mapping[str, Any], spec: Mapping[str, Any]) -> Metadata:
    """Of the pods: Knative gives them no annotations of the autoscaler."""
    found: Mapping[str, Any] = template.get("metadata") or {}
    annotations = {key: value for key, value in (found.get("annotations") or {}).items() if not key.startswith(GROUP)}
    return Metadata(found.get("labels") or {}, annotations, spec.get("securityContext") or {})


def _of_kserve(
    document: Document, scalers: Sequence[Document], manifests: Manifests, config: ClusterConfig
) -> Chosen:
    """The predictor's; a transformer or explainer in front of it is left out."""
    kserve = read_config(manifests.maps, config)
    workloads = made_of(document.node.plain(), kserve, runtimes_of(manifests)).workloads
    predictor = next(one for one in workloads if one.part == "predictor")
    if predictor.mode == "Knative":
        chosen = _of_knative(document.title, document.name, "Service", predictor.object, config)
    else:
        chosen = _of_standard(document, predictor, scalers)
    others = [f"the {one.part}" for one in workloads if one is not predictor]
    annotations = mapping(mapping(document.node.plain().get("metadata")).get("annotations"))
    if str(annotations.get(STOP, "")).lower() == "true":
        others.append(f"the annotation {STOP}: in a cluster nothing runs")
    given = mapping(mapping(document.node.plain().get("spec")).get("predictor"))
    if given.get("workerSpec") is not None:
        others.append("the workers of workerSpec")
    uri = storage_uri("predictor", given)
    if uri is not None and not any(one["name"] == "storage-initializer" for one in predictor.init_containers):
        others.append(f"the model at {uri}, which a cluster mounts without a storage-initializer")
    return replace(
        chosen,
        init_containers=predictor.init_containers,
        sidecars=predictor.sidecars,
        left_out=[*chosen.left_out, *others],
    )


def _of_standard(document: Document, predictor: Workload, scalers: Sequence[Document]) -> Chosen:
    """The Deployment that KServe makes, and what scales that."""
    spec = predictor.object["spec"]
    hpa, keda, tolerance = predictor.hpa, None, list[str]()
    if hpa is None and predictor.scaled_by is not None:
        hpa, keda, tolerance = _of_scaled_object(predictor.scaled_by["spec"])
    elif hpa is None and scalers:
        hpa, keda, tolerance = _of_scaled_object(decode(scalers[0].node, scalers[0].kind).value["spec"])
    replicas = int(spec.get("replicas") or 1)
    pods = spec["template"]["spec"]
    of = _metadata(spec["template"], pods)
    made = Chosen(document.title, document.name, pods, deployment=True, of=of, replicas=replicas)
    return replace(made, hpa=hpa, keda=keda, left_out=tolerance)


def _of_scaled_object(spec: Mapping[str, Any]) -> tuple[HpaSpec | None, Mapping[str, Any] | None, list[str]]:
    """What a ScaledObject comes to: a HorizontalPodAutoscaler alone, or itself; and what that leaves out."""
    hpa = of_scaled_object(spec)
    if hpa is None:
        return None, spec if spec.get("triggers") else None, []
    hpa, tolerance = tolerant(hpa)
    return hpa, None, tolerance


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:40] or "revision"


def _question(chosen: Chosen, scaling: _Scaling) -> str:
    name = _slug(chosen.name)
    if scaling.keys is not None and scaling.several:
        return f"How many pods of {name} does its autoscaler want under this load, and what do they do?"
    load = "this load" if scaling.keys is None else "the load that it is scaled for"
    return f"What does one pod of {name} do under {load}?"


def _head(chosen: Chosen, serving: Mapping[str, Any], pod: Pod) -> list[str]:
    image = _plain(str(serving.get("image", "")), 90)
    runs = "program" in pod.keys.get("app", {})
    return [
        f"# {_plain(chosen.title, 80)}, as {'Kubernetes' if chosen.deployment else 'Knative'} runs it. "
        "Made of its manifest by emu.",
        f"# If the engine has its image {image}, that runs; else emu's own app stands in (pod.images)."
        if runs
        else f"# Its image {image} is not run: emu's own app stands in.",
    ]


def _plain(text: str, length: int) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", text)[:length]
