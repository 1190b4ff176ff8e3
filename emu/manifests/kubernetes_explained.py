"""Pod and Deployment, explained as far as emu reads them; what scales them is explained beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from emu.files.yamlfile import Node
from emu.manifests.containers_explained import explain_resources, explain_volumes, probe_text
from emu.manifests.decode import decode
from emu.manifests.documents import Document, Manifests
from emu.manifests.explanation import DEFAULT, Explanation, Refusal, node_at, place, source_of
from emu.manifests.hpa import decode_hpa
from emu.manifests.hpa_explained import explain_hpa
from emu.manifests.keda_explained import explain_scaled_object
from emu.manifests.knative_notes import unknown_notes
from emu.manifests.kubernetes_containers import Refused
from emu.manifests.kubernetes_refusals import all_refused, refused_name
from emu.manifests.starting_env import Objects, objects_of
from emu.manifests.variables_explained import explain_rights, explain_variables
from emu.manifests.waysout import of_type

Spec = dict[str, Any]


def explain_kubernetes(document: Document, manifests: Manifests) -> Explanation:
    """What Kubernetes makes of one of its own objects."""
    made = Explanation(document)
    is_hpa = document.kind == "HorizontalPodAutoscaler"
    read = decode_hpa(document) if is_hpa else decode(document.node, document.kind)
    unknown_notes(made, read.unknown)
    made.refusals = [
        Refusal(one.words, one.mark, "the API server", of_type(one.words, one.node)) for one in read.misfits
    ]
    if not made.accepted:
        return made
    metadata: Spec = read.value.get("metadata") or {}
    spec: Spec = read.value.get("spec", {})
    if is_hpa:
        _refuse(made, refused_name(metadata))
        explain_hpa(made, spec, manifests)
    elif document.kind == "ScaledObject":
        explain_scaled_object(made, spec, manifests)
    else:
        _pods(made, metadata, spec, objects_of((*manifests.other_maps, *manifests.secrets)))
    return made


def _pods(made: Explanation, metadata: Spec, spec: Spec, objects: Objects) -> None:
    document = made.document
    way: tuple[str, ...] = ("spec",)
    pods = spec
    if document.kind == "Deployment":
        made.add("replicas", spec.get("replicas", 1), source_of(document.node, "spec", "replicas"))
        way, pods = ("spec", "template", "spec"), spec.get("template", {}).get("spec", {})
    _refuse(made, all_refused(document.kind, metadata, spec, pods, way))
    holder = node_at(document.node, way)
    grace = pods.get("terminationGracePeriodSeconds", 30)
    made.add("terminationGracePeriodSeconds", grace, source_of(document.node, *way, "terminationGracePeriodSeconds"))
    for group in ("initContainers", "containers"):
        for number, container in enumerate(pods.get(group, [])):
            where = node_at(holder, (group, number)) if holder is not None else None
            _container(made, container, where, objects, pods.get("securityContext"))
    explain_volumes(made, pods, holder, objects)


def _refuse(made: Explanation, found: Iterable[Refused]) -> None:
    made.refusals += [
        Refusal(f"{path}: {words}", place(made.document.node, _key_of(path)), "the API server")
        for path, words in found
    ]


def _key_of(path: str) -> str:
    """The key of the manifest that a path means: the API server leaves a step out of a template's."""
    for key in ("labels", "annotations"):
        path = path.replace(f"spec.template.{key}", f"spec.template.metadata.{key}")
    return path


def _container(made: Explanation, container: Spec, where: Node | None, objects: Objects, pod: Spec | None) -> None:
    name = container.get("name") or "?"
    image = node_at(where, ("image",)) if where is not None else None
    made.add(f"{name}: image", container.get("image", ""), str(image.mark) if image is not None else DEFAULT)
    explain_resources(made, name, container, where, knative=False)
    explain_variables(made, name, container, where, objects)
    explain_rights(made, name, container, where, pod)
    for kind in ("readiness", "liveness", "startup"):
        probe = container.get(f"{kind}Probe")
        if probe is not None:
            filled = {"periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3, **probe}
            made.add(f"{name}: {kind}", probe_text(filled), source_of(where, f"{kind}Probe"), "the kubelet runs it")
            _port_of_probe(made, container, kind, where)


_WITHOUT_A_PORT = {
    "readiness": "the container is never ready",
    "liveness": "it kills nothing",
    "startup": "the container never counts as started",
}
"""What becomes of a probe that the kubelet cannot try (pkg/kubelet/prober: an error is no failure)."""


def _port_of_probe(made: Explanation, container: Spec, kind: str, where: Node | None) -> None:
    """A note where a probe names a port that its container does not have, which the API server accepts."""
    probe = container[f"{kind}Probe"]
    handler = next((one for one in ("httpGet", "tcpSocket") if one in probe), "")
    port = (probe.get(handler) or {}).get("port")
    if isinstance(port, str) and port and not port.isdigit() and port not in _port_names(container):
        found = node_at(where, (f"{kind}Probe", handler, "port")) if where is not None else None
        name = container.get("name") or "?"
        made.note(
            f"{name}: the {kind} probe asks at a port named {port}, which the container does not have: the kubelet "
            f"cannot try it, and {_WITHOUT_A_PORT[kind]}",
            found.mark if found is not None else None,
        )


def _port_names(container: Spec) -> set[str]:
    return {one.get("name", "") for one in container.get("ports") or ()}
