"""The families of what Knative refuses: annotations, config-autoscaler, and a whole Service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.files.yamlfile import Node, parse_documents
from emu.manifests.annotations import validate_autoscaling
from emu.manifests.autoscalerconfig import read_autoscaler
from emu.manifests.clusterconfig import read_cluster
from emu.manifests.decode import Decoded, decode
from emu.manifests.fielderror import Problem, lines
from emu.manifests.knative import defaulted, revision_spec, validated

_UNMARSHALLING = "error unmarshaling JSON: while decoding JSON: "


def _refused(problems: list[Problem]) -> list[str] | None:
    return lines(problems) if any(not one.warning for one in problems) else None


def annotation_validation(given: Mapping[str, Any]) -> dict[str, Any]:
    """A revision's annotations → the lines of the refusal."""
    config = read_autoscaler(given.get("config_autoscaler") or {})
    return {"refused_with": _refused(validate_autoscaling(given.get("annotations") or {}, config))}


def config_validation(given: Mapping[str, Any]) -> dict[str, Any]:
    """A config-autoscaler → the refusal."""
    try:
        read_autoscaler(given.get("config_autoscaler") or {})
    except ValueError as error:
        return {"refused_with": str(error)}
    return {"refused_with": None}


def service_validation(given: Mapping[str, Any]) -> dict[str, Any]:
    """A Service's YAML → the lines of the refusal, or what was filled in."""
    document: Node = parse_documents(given["yaml"], "case")[0]
    _as_texts(document.child("metadata"))
    read: Decoded = decode(document, "Service")
    if read.misfits:
        return {"decode": _UNMARSHALLING + read.misfits[0].words}
    config = read_cluster({name.replace("_", "-"): data or {} for name, data in given.items() if "config" in name})
    made = defaulted("Service", read.value, config)
    result: dict[str, Any] = {"refused_with": _refused(validated("Service", made, config))}
    if read.unknown:
        result["strict_decode"] = f'{_UNMARSHALLING}json: unknown field "{read.unknown[0].name}"'
    if result["refused_with"] is None:
        spec = revision_spec("Service", made)
        for name in ("containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds"):
            result[name] = spec.get(name)
        result["readinessProbe"] = _probe(spec["containers"][0].get("readinessProbe"))
    return result


def _as_texts(metadata: Node | None) -> None:
    """Take numbers for texts in an object's own metadata, as the library does by which the cases were read; deeper
    down it does not, nor does the API server anywhere.
    """
    texts = [metadata.child(name) for name in ("name", "generateName", "namespace")] if metadata else []
    for name in ("labels", "annotations"):
        values = metadata.child(name) if metadata else None
        texts += values.value.values() if values is not None and isinstance(values.value, dict) else []
    for node in texts:
        if node is not None and isinstance(node.value, bool | int | float):
            node.value = str(node.value).lower()


def _probe(probe: dict[str, Any] | None) -> dict[str, Any] | None:
    """A probe as JSON has it: a port is never left out."""
    if probe is None:
        return None
    return {
        name: {"port": 0, **value} if name in ("httpGet", "tcpSocket", "grpc") else value
        for name, value in probe.items()
    }


FAMILIES = {
    "annotation_validation": annotation_validation,
    "config_validation": config_validation,
    "service_validation": service_validation,
}
