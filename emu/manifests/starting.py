"""Manifests → a scenario for one revision: its pods' containers, what scales them, and a load that comes from its
target. What the manifest asks for and the scenario leaves out is named in its first lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from emu.errors import EmuError
from emu.manifests.clusterconfig import ClusterConfig
from emu.manifests.containers_explained import serving_container
from emu.manifests.decode import decode
from emu.manifests.documents import KSERVE, SERVING, Document, Manifests
from emu.manifests.explaining import cluster_of, explain
from emu.manifests.knative import defaulted, revision_annotations, revision_spec
from emu.manifests.kserve.service import made_of
from emu.manifests.kserve_explained import read_config, runtimes_of
from emu.manifests.queueproxy import queue_proxy_resources
from emu.manifests.starting_load import load_for
from emu.manifests.starting_pod import autoscaling_of, pod_of
from emu.manifests.yamltext import Lines, written
from emu.policy.autoscaling.settings import GROUP, KPA, Settings, cluster_config, settings_for


@dataclass(frozen=True)
class Chosen:
    """The revision that the scenario is of."""

    title: str
    name: str
    spec: dict[str, Any]
    annotations: dict[str, str]
    init_containers: tuple[dict[str, Any], ...] = ()
    """What KServe's webhook puts into each pod."""
    sidecars: tuple[dict[str, Any], ...] = ()
    left_out: list[str] = field(default_factory=list)


def scenario_of(manifests: Manifests) -> str:
    """The text of a scenario file. EmuError where there is no one revision, or it is refused."""
    config = cluster_of(manifests.maps)
    chosen = _chosen(manifests, config)
    data = manifests.maps["config-autoscaler"].child("data") if "config-autoscaler" in manifests.maps else None
    cluster = cluster_config(data.plain() if data is not None else None)
    rule = settings_for(chosen.annotations, cluster, chosen.spec["containerConcurrency"])
    scales = chosen.annotations.get(f"{GROUP}/class", cluster.autoscaler_class) == KPA
    serving = serving_container(chosen.spec)
    pod = pod_of(chosen.spec, serving, queue_proxy_resources(chosen.annotations, serving, config))
    pod.add_containers(chosen.init_containers, chosen.sidecars)
    if scales:
        pod.keys["autoscaling"] = autoscaling_of(rule)
    scenario: Lines = {"name": _slug(chosen.name), "question": _question(chosen, rule, scales=scales)}
    scenario["pod"] = pod.keys
    scenario["load"] = {"phases": [load_for(rule, scales=scales)]}
    scenario["expect"] = {"pod.oom_kills": "== 0"}
    left_out = [*chosen.left_out, *pod.left_out]
    if not scales:
        left_out.append("the autoscaler of its class, so there is one pod")
    return "\n".join([*_head(chosen, serving, left_out), *written(scenario)]) + "\n"


def _chosen(manifests: Manifests, config: ClusterConfig) -> Chosen:
    """The one Service, Configuration, Revision or InferenceService among them."""
    documents = [one for one in manifests.documents if (one.group, one.kind) in _KINDS]
    if len(documents) != 1:
        found = ", ".join(one.title for one in manifests.documents) or "none"
        raise EmuError(
            "there is no one revision to make a scenario of",
            "a scenario runs one revision: of a Service, Configuration or Revision of Knative, or of an "
            f"InferenceService of KServe; the files have: {found}",
            "give the file with that one",
        )
    document = documents[0]
    made = next(one for one in explain(manifests) if one.document == document)
    if not made.accepted:
        refusal = made.refusals[0]
        line = refusal.words.split("\n")[0]
        raise EmuError(
            f"{refusal.mark}: {refusal.by} refuses {document.title}", line, "see `emu explain`, and mend it"
        )
    if document.group == KSERVE:
        return _of_kserve(document, manifests, config)
    return _of_knative(
        document.title, document.name, document.kind, decode(document.node, document.kind).value, config
    )


_KINDS = {(KSERVE, "InferenceService"), *((SERVING, kind) for kind in ("Service", "Configuration", "Revision"))}


def _of_knative(title: str, name: str, kind: str, given: dict[str, Any], config: ClusterConfig) -> Chosen:
    whole = defaulted(kind, given, config)
    left_out = []
    traffic: Sequence[Mapping[str, Any]] = whole.get("spec", {}).get("traffic", []) if kind == "Service" else []
    if any(not one.get("latestRevision") for one in traffic):
        left_out.append("other revisions that get a part of the traffic")
    return Chosen(title, name, revision_spec(kind, whole), revision_annotations(kind, whole), left_out=left_out)


def _of_kserve(document: Document, manifests: Manifests, config: ClusterConfig) -> Chosen:
    """The predictor's; a transformer or explainer in front of it is left out."""
    kserve = read_config(manifests.maps, config)
    workloads = made_of(document.node.plain(), kserve, runtimes_of(manifests)).workloads
    predictor = next(one for one in workloads if one.part == "predictor")
    if predictor.mode != "Knative":
        raise EmuError(
            f"{document.node.mark}: {document.title} is in {predictor.mode} mode, so there is no revision to run",
            "its pods have no queue-proxy, and a HorizontalPodAutoscaler or KEDA scales them; emu runs neither yet",
            "see `emu explain` for what becomes of it; a scenario with `pods:` runs plain pods",
        )
    chosen = _of_knative(document.title, document.name, "Service", predictor.object, config)
    others = [f"the {one.part}" for one in workloads if one is not predictor]
    return replace(
        chosen,
        init_containers=predictor.init_containers,
        sidecars=predictor.sidecars,
        left_out=[*chosen.left_out, *others],
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:40] or "revision"


def _question(chosen: Chosen, rule: Settings, *, scales: bool) -> str:
    name = _slug(chosen.name)
    if scales and rule.max_scale != 1:
        return f"How many pods of {name} does its autoscaler want under this load, and what do they do?"
    return f"What does one pod of {name} do under the load that it is scaled for?"


def _head(chosen: Chosen, serving: Mapping[str, Any], left_out: Sequence[str]) -> list[str]:
    image = _plain(str(serving.get("image", "")), 100)
    lines = [
        f"# {_plain(chosen.title, 80)}, as Knative runs it. Made of its manifest by emu.",
        f"# Its image {image} is not run: emu's own app stands in. `pod.app.image` runs one that the engine has.",
    ]
    if left_out:
        lines.append(f"# Left out: {_plain('; '.join(dict.fromkeys(left_out)), 500)}.")
    return lines


def _plain(text: str, length: int) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", text)[:length]
