"""What Knative accepts and silently ignores, said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from emu.files.nearest import hint, nearest
from emu.manifests import annotations as known
from emu.manifests.decode import Unknown
from emu.manifests.documents import Document
from emu.manifests.elsewhere import dotted, elsewhere
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
    "panicwindow": "autoscaling.knative.dev/panic-window-percentage is meant: a share of the window",
    "panicthreshold": "autoscaling.knative.dev/panic-threshold-percentage is meant",
    "scaleupdelay": "it has no delay upwards: it scales up at its next tick",
    "scaleupwindow": "autoscaling.knative.dev/window is for both ways",
    "scaledownwindow": "autoscaling.knative.dev/window is for both ways; scale-down-delay keeps pods longer",
    "scaletozeroretention": "autoscaling.knative.dev/scale-to-zero-pod-retention-period is meant",
}
"""What people write who mean something else, without case and hyphens."""
_SIDECAR_MEANT = {
    "requesttimeoutseconds": "timeoutSeconds, a field of the revision's spec, is meant",
    "timeout": "timeoutSeconds, a field of the revision's spec, is meant",
    "image": "queueSidecarImage is a key of the ConfigMap config-deployment",
    **{
        f"{resource}{kind}": f"{known.SIDECAR}/{resource}-resource-{kind} is meant"
        for resource in ("cpu", "memory")
        for kind in ("request", "limit")
    },
}
_SERVING_TEMPLATE = {*known.PROGRESS_DEADLINE.keys, f"{known.SERVING}/creator", f"{known.SERVING}/lastModifier"}
_CLOUD_RUN = "run.googleapis.com"
_SIDECAR = {setting.key for setting in known.SIDECAR_RESOURCES.values()} | {*known.SIDECAR_PERCENTAGE.keys}


def unknown_notes(made: Explanation, unknown: Iterable[Unknown]) -> None:
    """Fields that no object has: kubectl refuses them, other clients lose them."""
    for one in unknown:
        path = dotted(one.path)
        made.note(
            f'`{path}` is no field: kubectl refuses it (strict decoding error: unknown field "{path}"), and '
            f"without that check it is dropped without a word{elsewhere(one)}",
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
    if document.kind == "Service":
        above = node_at(document.node, ("metadata", "annotations"))
        for key in sorted(above.value) if above is not None and isinstance(above.value, dict) else ():
            if text := foreign(key):
                made.note(text, above.value[key].mark if above is not None else None)
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
        plain = name.replace("-", "").lower()
        if meant := _SIDECAR_MEANT.get(plain.replace("resource", "")) or _SIDECAR_MEANT.get(plain):
            return f"`{key}` is no annotation of Knative: {meant}"
        return f"`{key}` is no annotation of Knative, and has no effect{hint(key, sorted(_SIDECAR))}"
    if key in known.ROLLOUT_DURATION.keys:
        return f"`{key}` has no effect here: it is an annotation of the Service, under metadata at the top"
    if group == known.SERVING and key not in _SERVING_TEMPLATE and name in _SERVING_NONE:
        return f"`{key}` is no annotation of Knative, and has no effect"
    return foreign(key)


_SERVING_NONE = ("rolloutTarget", "rollout-target", "timeout", "timeoutSeconds", "containerConcurrency", "minScale")


def foreign(key: str) -> str:
    """What to say of an annotation that another platform reads; empty where there is nothing to say."""
    group, _, name = key.partition("/")
    if group != _CLOUD_RUN:
        return ""
    setting = next((one for one in known.AUTOSCALING if one.key.endswith(f"/{_kebab(name)}")), None)
    meant = f"; {setting.key} of the template is Knative's" if setting is not None else ""
    return f"`{key}` is Cloud Run's, and nothing in Knative reads it{meant}"


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)


def _hint(key: str) -> str:
    """Which annotation was meant, by its newer spelling where that is near enough."""
    return hint(key, sorted(_KEBAB)) or hint(key, sorted(_KNOWN))
