"""A field that its object does not have: where it belongs, or what was meant by it."""

from __future__ import annotations

import re

from emu.files.nearest import hint
from emu.manifests.decode import Unknown
from emu.manifests.schema import OBJECTS

_MEANT = {
    ("ServiceSpec", "replicas"): "the annotations autoscaling.knative.dev/min-scale and max-scale of the template "
    "say how many pods there may be",
    ("ServiceSpec", "selector"): "Knative selects the pods by labels of its own",
    ("ServiceSpec", "runLatest"): "v1 has none: what is in its configuration.revisionTemplate belongs under "
    "spec.template",
    ("ServiceSpec", "release"): "v1 has none: spec.template has the revision, spec.traffic how requests are split",
    ("ScaledTarget", "deploymentName"): "KEDA 2 calls it name",
    ("ResourceMetric", "targetAverageUtilization"): "autoscaling/v2 has target: {type: Utilization, "
    "averageUtilization: …}",
    ("ResourceMetric", "targetAverageValue"): "autoscaling/v2 has target: {type: AverageValue, averageValue: …}",
    ("NamedMetric", "metricName"): "autoscaling/v2 has metric: {name: …}",
    ("NamedMetric", "metricSelector"): "autoscaling/v2 has metric: {selector: …}",
    ("NamedMetric", "targetValue"): "autoscaling/v2 has target: {type: Value, value: …}",
    ("NamedMetric", "targetAverageValue"): "autoscaling/v2 has target: {type: AverageValue, averageValue: …}",
}
"""What people write who know another version or kind, by the object's kind and the field."""
_DEEPEST = 2


def dotted(path: str) -> str:
    """A path as kubectl prints it: indices in brackets."""
    return re.sub(r"\.([0-9]+)(?=\.|$)", r"[\1]", path)


def elsewhere(unknown: Unknown) -> str:
    """What to put behind what is wrong; empty where nothing is near."""
    name = unknown.name
    if not unknown.around:
        return hint(name, unknown.known)
    path, kind = unknown.around[-1]
    if meant := _MEANT.get((kind, name)):
        return f"; {meant}"
    for above, outer in reversed(unknown.around[:-1]):
        if name in OBJECTS[outer]:
            return f"; it belongs under {dotted(above)}" if above else "; it belongs at the top"
    below = _below(kind, name, path)
    if below and len(below) < 4:
        *first, last = map(dotted, below)
        return f"; it belongs under {', '.join(first)} or {last}" if first else f"; it belongs under {last}"
    return hint(name, unknown.known)


def _below(kind: str, name: str, path: str) -> list[str]:
    """The objects in this one, and in those, that have such a field; none of lists but a pod's containers."""
    found: list[str] = []
    level = [(kind, path)]
    for _ in range(_DEEPEST):
        deeper = []
        for one, where in level:
            for field, shape in OBJECTS[one].items():
                inner = shape.lstrip("*").partition(":")[0]
                at = f"{where}.{field}" if where else field
                if inner == "[]Container" and field == "containers":
                    inner, at = "Container", f"{at}.0"
                if inner in OBJECTS and field not in ("metadata", "status"):
                    deeper.append((inner, at))
        found = [at for inner, at in deeper if name in OBJECTS[inner]]
        if found:
            return found
        level = deeper
    return found
