"""KEDA's ScaledObject, explained: what it scales, by what, and what KEDA refuses of it (apis/keda/v1alpha1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from emu.files.yamlfile import Mark, Node
from emu.manifests.documents import KSERVE, Document, Manifests
from emu.manifests.explanation import DEFAULT, Explanation, Refusal, node_at, place, source_of
from emu.manifests.hpa import decode_hpa
from emu.manifests.kubernetes_containers import REQUIRED as REQUIRED_VALUE
from emu.manifests.starting_keda import TYPES
from emu.manifests.waysout import of_amount
from emu.policy.hpa.keda import COOLDOWN_S, MAX_REPLICAS, POLLING_S, REQUIRED, missing, refused_bounds
from emu.policy.promql.parsing import QueryError, parse
from emu.policy.quantity import parse_amount

Spec = dict[str, Any]
_KEDA = "KEDA's webhook"
_OPERATOR = "KEDA's operator"
_API = "the API server"
_OF_RESOURCES = ("Utilization", "AverageValue")


def scales(spec: Spec, document: Document) -> bool:
    """Whether a ScaledObject scales a Deployment, or the one that KServe makes of an InferenceService."""
    target = spec.get("scaleTargetRef") or {}
    if target.get("kind", "Deployment") != "Deployment":
        return False
    name = f"{document.name}-predictor" if document.group == KSERVE else document.name
    return document.kind in ("Deployment", "InferenceService") and target.get("name") == name


def explain_scaled_object(made: Explanation, spec: Spec, manifests: Manifests) -> None:
    """Its numbers, and notes on what happens at none."""
    root = made.document.node
    target = spec.get("scaleTargetRef") or {}
    name = f"{target.get('kind', 'Deployment')} {target.get('name', '?')}"
    made.add("scaleTargetRef", name, source_of(root, "spec", "scaleTargetRef"))
    if target.get("name") and not any(scales(spec, one) for one in manifests.documents):
        made.note(f"{name} is not among the files: it must exist, else KEDA scales nothing")
    for key, default in (
        ("minReplicaCount", 0),
        ("maxReplicaCount", MAX_REPLICAS),
        ("pollingInterval", int(POLLING_S)),
        ("cooldownPeriod", int(COOLDOWN_S)),
    ):
        made.add(key, spec.get(key, default), source_of(root, "spec", key))
    if "idleReplicaCount" in spec:
        made.add("idleReplicaCount", spec["idleReplicaCount"], source_of(root, "spec", "idleReplicaCount"))
    for number, trigger in enumerate(spec.get("triggers") or ()):
        text = ", ".join(f"{key} {value}" for key, value in sorted((trigger.get("metadata") or {}).items()))
        where = place(root, f"spec.triggers[{number}]")
        made.add(f"trigger {number + 1}", f"{trigger.get('type', '?')}: {text}", str(where))
        if trigger.get("type") not in TYPES:
            made.note(
                f"trigger {number + 1}: emu has none of type {trigger.get('type', '?')}, and runs one pod", where
            )
        _look_at_query(made, number, trigger, where)
    made.refusals += [Refusal(f"{path}: {REQUIRED_VALUE}", place(root, path), _API) for path in _absent(spec)]
    made.refusals += [Refusal(words, place(root, path), _KEDA) for words, path in _refused(spec)]
    made.refusals += _not_typed(spec, made)
    if (spec.get("advanced") or {}).get("scalingModifiers"):
        made.note(
            "emu evaluates no scalingModifiers: each trigger counts by itself",
            place(root, "spec.advanced.scalingModifiers"),
        )
    made.refusals += _two_scalers(spec, root, manifests)
    for number, trigger in enumerate(spec.get("triggers") or ()):
        _look_at_value(made, number, trigger)
    elsewhere = [one for one in spec.get("triggers") or () if one.get("type") not in TYPES]
    if made.accepted and spec.get("minReplicaCount", 0) == 0 and not elsewhere:
        made.note(
            "minReplicaCount 0: pods that are gone have no metrics, so only a metric from elsewhere brings one back"
        )
    if not (spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig"):
        made.add("behavior", "none", DEFAULT, "scale-down is stabilised over 300 s, scale-up at most doubles, or 4")


def _two_scalers(spec: Spec, root: Node, manifests: Manifests) -> Iterator[Refusal]:
    """A HorizontalPodAutoscaler among the files that has the Deployment already (KEDA's verifyHpas)."""
    taken_over = _annotation(root, _TRANSFER) == "true"
    its_name = ((spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig") or {}).get("name")
    target = spec.get("scaleTargetRef") or {}
    name, kind = target.get("name"), target.get("kind", "Deployment")
    for one in manifests.documents:
        if one.kind != "HorizontalPodAutoscaler" or _namespace(one.node) != _namespace(root):
            continue
        if _annotation(one.node, _UNWATCHED) == "false" or (taken_over and its_name == one.name):
            continue
        other = (decode_hpa(one).value.get("spec") or {}).get("scaleTargetRef") or {}
        if (other.get("kind"), other.get("name")) == (kind, name):
            workload = f"workload '{name}' of type 'apps/v1.{kind}'"
            words = f"the {workload} is already managed by the hpa '{one.name}'"
            fix = f"remove {one.title} ({one.node.mark}): KEDA makes one itself"
            if taken_over:
                words = (
                    f"the existing hpa '{one.name}' for {workload} must be specified by name in advanced settings "
                )
                words += "to enable ownership transfer"
                fix = f"write advanced: {{horizontalPodAutoscalerConfig: {{name: {one.name}}}}}"
            yield Refusal(words, place(root, "spec.scaleTargetRef"), _KEDA, fix)


def _annotation(root: Node, key: str) -> object:
    annotations = node_at(root, ("metadata", "annotations"))
    given = annotations.child(key) if annotations is not None else None
    return given.value if given is not None else None


def _namespace(root: Node) -> object:
    given = node_at(root, ("metadata", "namespace"))
    return (given.value if given is not None else None) or "default"


_TRANSFER = "scaledobject.keda.sh/transfer-hpa-ownership"
_UNWATCHED = "validations.keda.sh/hpa-ownership"


def _look_at_value(made: Explanation, number: int, trigger: Spec) -> None:
    """What KEDA takes, and can make no autoscaler of."""
    metadata, key = trigger.get("metadata") or {}, "threshold" if trigger.get("type") == "prometheus" else "value"
    text = str(metadata.get(key) or "")
    try:
        wrong = bool(text) and trigger.get("type") in TYPES and parse_amount(text) <= 0
        why = "the API server refuses its HorizontalPodAutoscaler: must be positive"
    except ValueError:
        wrong, why = True, "KEDA cannot read it, and makes no HorizontalPodAutoscaler"
    if wrong:
        percent = re.fullmatch(r"([0-9]+) *%", text.strip())
        fix = f': write "{percent[1]}"' if percent else ""
        if trigger.get("metricType") == "AverageValue" and key == "value":
            fix = f": {amount}" if not percent and (amount := of_amount(text)) else ""
        where = place(made.document.node, f"spec.triggers[{number}].metadata.{key}")
        made.note(f"trigger {number + 1}: {key} {text} keeps it from scaling: {why}{fix}", where)


def _look_at_query(made: Explanation, number: int, trigger: Spec, where: Mark) -> None:
    query = (trigger.get("metadata") or {}).get("query")
    if trigger.get("type") == "prometheus" and query:
        try:
            parse(query)
        except QueryError as error:
            made.note(f"trigger {number + 1}: emu cannot evaluate its query: {error}", where)


def _not_typed(spec: Spec, made: Explanation) -> Iterator[Refusal]:
    """The triggers of which KEDA makes no autoscaler (pkg/scalers, parseResourceMetadata)."""
    for number, trigger in enumerate(spec.get("triggers") or ()):
        kind, given = trigger.get("type"), trigger.get("metricType") or ""
        if kind in ("cpu", "memory") and given not in _OF_RESOURCES:
            words = (
                f"error parsing {kind} metadata: unknown metric type: {given}, allowed values are 'Utilization' or "
            )
            once = (trigger.get("metadata") or {}).get("type")
            fix = f"write metricType: {once if once in _OF_RESOURCES else 'Utilization'} beside `type: {kind}`"
            if once:
                fix += "; KEDA read `type` of the metadata until 2.17"
            yield Refusal(
                f"{words}'AverageValue'", place(made.document.node, f"spec.triggers[{number}]"), _OPERATOR, fix
            )


def _absent(spec: Spec) -> Iterator[str]:
    """The keys that KEDA's schema wants: the target's name, and those of each policy of a behavior."""
    if not (spec.get("scaleTargetRef") or {}).get("name"):
        yield "spec.scaleTargetRef.name"
    path = "spec.advanced.horizontalPodAutoscalerConfig.behavior"
    behavior = ((spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig") or {}).get("behavior") or {}
    for side in ("scaleUp", "scaleDown"):
        for number, policy in enumerate((behavior.get(side) or {}).get("policies") or ()):
            for key in ("periodSeconds", "type", "value"):
                if (policy or {}).get(key) is None:
                    yield f"{path}.{side}.policies[{number}].{key}"


def _refused(spec: Spec) -> Iterator[tuple[str, str]]:
    """In KEDA's words, and where."""
    if not spec.get("triggers"):
        yield "no triggers defined in the ScaledObject/ScaledJob", "spec"
    least, most = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", MAX_REPLICAS)
    for words, key in refused_bounds(least, most, spec.get("idleReplicaCount")):
        yield words, f"spec.{key}"
    for number, trigger in enumerate(spec.get("triggers") or ()):
        metadata = trigger.get("metadata") or {}
        for key in REQUIRED.get(str(trigger.get("type")), ()):
            if not metadata.get(key):
                yield missing(key), f"spec.triggers[{number}]"
