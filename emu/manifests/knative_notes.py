"""What Knative accepts and silently ignores, said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from emu.files.nearest import hint, nearest
from emu.manifests import annotations as known
from emu.manifests.decode import Unknown
from emu.manifests.documents import Document
from emu.manifests.explanation import Explanation, node_at

_REVISION_FIELDS = (
    "containerConcurrency",
    "timeoutSeconds",
    "responseStartTimeoutSeconds",
    "idleTimeoutSeconds",
)
_KNOWN = {key for setting in known.AUTOSCALING for key in setting.keys}
_KEBAB = {setting.key for setting in known.AUTOSCALING}
_MEANT = {
    "containerconcurrency": "containerConcurrency is a field of the revision's spec",
    "concurrency": "containerConcurrency, a field of the revision's spec, is the hard limit; target is the soft one",
    "targetconcurrency": "autoscaling.knative.dev/target, with metric concurrency, is meant",
    "concurrencytarget": "autoscaling.knative.dev/target, with metric concurrency, is meant",
    "targetrps": "autoscaling.knative.dev/target, with metric rps, is meant",
    "targetcpu": "autoscaling.knative.dev/target, with class hpa and metric cpu, is meant",
    "targetcpuutilizationpercentage": "autoscaling.knative.dev/target, with class hpa and metric cpu, is meant",
    "targetutilization": "autoscaling.knative.dev/target-utilization-percentage is meant",
    "minreplicas": "autoscaling.knative.dev/min-scale is meant",
    "maxreplicas": "autoscaling.knative.dev/max-scale is meant",
    "stablewindow": "autoscaling.knative.dev/window is meant",
    "enablescaletozero": "enable-scale-to-zero is a key of the ConfigMap config-autoscaler; "
    "min-scale 1 keeps one pod",
    "scaletozerograceperiod": "scale-to-zero-grace-period is a key of the ConfigMap config-autoscaler; "
    "scale-to-zero-pod-retention-period is the annotation",
    "maxscaleuprate": "max-scale-up-rate is a key of the ConfigMap config-autoscaler",
    "maxscaledownrate": "max-scale-down-rate is a key of the ConfigMap config-autoscaler",
    "timeout": "timeoutSeconds is a field of the revision's spec",
}
"""What people write who mean something else, without case and hyphens."""
_SIDECAR = {setting.key for setting in known.SIDECAR_RESOURCES.values()} | {*known.SIDECAR_PERCENTAGE.keys}


def unknown_notes(made: Explanation, unknown: Iterable[Unknown]) -> None:
    """Fields that no object has: kubectl refuses them, other clients lose them."""
    for one in unknown:
        made.note(
            f'`{one.path}` is no field: kubectl refuses it (strict decoding error: unknown field "{one.path}"), and '
            f"without that check it is dropped without a word{hint(one.name, one.known)}",
            one.mark,
        )


def annotation_notes(made: Explanation, annotations: Mapping[str, str], document: Document) -> None:
    """Annotations that have no reader, and settings that are there twice."""
    way = () if document.kind == "Revision" else ("spec", "template")
    holder = node_at(document.node, (*way, "metadata", "annotations"))
    for key in sorted(annotations):
        text = _ignored(key)
        node = holder.child(key) if holder is not None else None
        if text:
            made.note(text, node.mark if node is not None else None)
    for setting in known.AUTOSCALING:
        there = [key for key in setting.keys if key in annotations]
        if len(there) > 1:
            node = holder.child(there[1]) if holder is not None else None
            made.note(
                f"two spellings of one setting: {there[0]} {annotations[there[0]]!r} counts, "
                f"{there[1]} {annotations[there[1]]!r} is ignored",
                node.mark if node is not None else None,
            )


def _ignored(key: str) -> str:
    """What to say of an annotation that has no effect; empty for those that have, and for strangers'."""
    group, _, name = key.partition("/")
    if group == known.GROUP and key not in _KNOWN:
        meant = _MEANT.get(name.replace("-", "").lower())
        if meant is not None:
            return f"`{key}` is no annotation of Knative: {meant}"
        field = nearest(name, _REVISION_FIELDS)
        if field is not None:
            return f"`{key}` is no annotation of Knative: {field} is a field of the revision's spec"
        return f"`{key}` is no annotation of Knative, and has no effect{_hint(key)}"
    if group == known.SIDECAR and key not in _SIDECAR:
        return f"`{key}` is no annotation of Knative, and has no effect{hint(key, sorted(_SIDECAR))}"
    return ""


def _hint(key: str) -> str:
    """Which annotation was meant, by its newer spelling where that is near enough."""
    return hint(key, sorted(_KEBAB)) or hint(key, sorted(_KNOWN))
