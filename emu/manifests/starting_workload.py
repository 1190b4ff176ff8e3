"""Manifests → the one workload in them that a scenario is made of: its pods' spec, what scales them, and what that
leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from emu.errors import EmuError, raise_all
from emu.manifests.clusterconfig import ClusterConfig
from emu.manifests.decode import decode
from emu.manifests.documents import KSERVE, SCHEDULING, SERVING, Document, Manifests
from emu.manifests.explaining import explain
from emu.manifests.hpa import decode_hpa
from emu.manifests.keda_explained import scales
from emu.manifests.knative import defaulted, revision_annotations, revision_spec, rollout_seconds
from emu.manifests.kserve.component import storage_uri
from emu.manifests.kserve.keys import STOP, mapping
from emu.manifests.kserve.service import Workload, made_of
from emu.manifests.kserve_explained import read_config, runtimes_of
from emu.manifests.starting_hpa import of_scaled_object, spec_of, tolerant
from emu.manifests.starting_program import NO_METADATA, Metadata
from emu.policy.autoscaling.settings import GROUP
from emu.policy.hpa.spec import HpaSpec


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
    other_metrics: bool = False
    """That has metrics of other types, which an adapter would have."""
    keda: Mapping[str, Any] | None = None
    """The ScaledObject that does, where that takes more than a HorizontalPodAutoscaler."""
    replicas: int = 1
    """How many pods a Deployment begins with."""
    of: Metadata = NO_METADATA
    """Of its pods, as the manifest has it."""
    rollout_s: int = 0
    """How long traffic takes to move to a new revision of a Service."""


def chosen_of(manifests: Manifests, config: ClusterConfig) -> Chosen:
    """The workload, with what scales it. EmuError where there is not one, or a webhook refuses what is read of it."""
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
    return replace(made, hpa=hpa, other_metrics=bool(others), replicas=max(1, replicas))


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
    predictor = next((one for one in workloads if one.part == "predictor"), None)
    if predictor is None:
        raise EmuError(
            f"{document.node.mark}: there are no pods of {document.title} to run",
            "in the mode ModelMesh its model is loaded into pods of ModelMesh, which emu does not emulate",
            "write serving.kserve.io/deploymentMode: Standard, or Knative, to see what it does in pods of its own",
        )
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
