"""A ScaledObject → the autoscaler's keys of a scenario, and a load for its first trigger with a query."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emu.manifests.starting_hpa import TOLERANCE, without_tolerance
from emu.manifests.yamltext import Lines, Said
from emu.policy.hpa.form import behavior_of, written_behavior
from emu.policy.hpa.spec import Behavior

_OWN = (
    "pollingInterval", "cooldownPeriod", "initialCooldownPeriod", "idleReplicaCount", "minReplicaCount",
    "maxReplicaCount", "fallback",
)  # fmt: skip
_PROMETHEUS = ("serverAddress", "query", "threshold", "activationThreshold", "ignoreNullValues")
_RESOURCE = ("value", "containerName")
TYPES = ("prometheus", "cpu", "memory")
_MOST_PODS = 10
_PODS = 3
_SHARE = 0.75
_WORK_S = 0.2
_MOST_RATE = 100.0


@dataclass(frozen=True)
class Scaled:
    """What becomes of a ScaledObject."""

    keys: Lines | None = None
    """Of `pod.autoscaling`; None where it has triggers that emu has not."""
    left_out: tuple[str, ...] = ()
    phases: tuple[Lines, ...] = ()


def keda_keys(spec: Mapping[str, Any], serving: str, app: str) -> Scaled:
    """The keys of a ScaledObject's spec; `serving` is the container that is called `app` in a scenario."""
    triggers = spec.get("triggers") or ()
    others = sorted({str(one.get("type", "?")) for one in triggers} - set(TYPES))
    if others:
        return Scaled(
            left_out=(f"KEDA's ScaledObject with triggers of type {', '.join(others)}, so there is one pod",)
        )
    left_out = []
    made: Lines = {key: spec[key] for key in _OWN if spec.get(key) is not None}
    if made.get("maxReplicaCount", 100) > 1000 or "maxReplicaCount" not in made:
        made["maxReplicaCount"] = Said(_MOST_PODS, "KEDA: 100; one machine has to run them all")
    advanced = spec.get("advanced") or {}
    config = advanced.get("horizontalPodAutoscalerConfig") or {}
    if config.get("behavior") is not None:
        asked = behavior_of(config["behavior"]) or Behavior()
        behavior = without_tolerance(asked)
        if behavior != asked:
            left_out.append(TOLERANCE)
        made["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": written_behavior(behavior)}}
    if advanced.get("scalingModifiers"):
        left_out.append("scalingModifiers of the ScaledObject: each trigger counts by itself")
    each = []
    for number, one in enumerate(triggers):
        known = _PROMETHEUS if one["type"] == "prometheus" else _RESOURCE
        metadata = {key: value for key, value in (one.get("metadata") or {}).items() if key in known}
        if metadata.get("containerName") == serving:
            metadata["containerName"] = app
        ignored = [key for key in (one.get("metadata") or {}) if key not in known]
        ignored += [key for key in ("authenticationRef", "useCachedMetrics") if one.get(key)]
        if ignored:
            left_out.append(f"{', '.join(ignored)} of trigger {number + 1} of the ScaledObject")
        trigger: Lines = {"type": one["type"]}
        for key in ("name", "metricType"):
            if one.get(key):
                trigger[key] = one[key]
        each.append({**trigger, "metadata": metadata})
    made["triggers"] = each
    return Scaled({"class": "keda", "scaledObject": made}, left_out=tuple(left_out), phases=(_phase(each),))


def _phase(triggers: list[Lines]) -> Lines:
    """Requests that the first query comes to up to three pods for, if it is about requests."""
    about: Mapping[str, Any] = next((one["metadata"] for one in triggers if one["type"] == "prometheus"), {})
    query = str(about.get("query", ""))
    try:
        target = max(0.001, float(about.get("threshold", 1)))
    except ValueError:
        target = 1.0
    aimed = target * (_PODS - 1 + _SHARE)
    rates = "rate(" in query or "increase(" in query
    rate = max(1.0, min(_MOST_RATE, aimed if rates else aimed / _WORK_S))
    rate = float(f"{rate:.2g}") if rate < 10 else float(round(rate))
    got = rate if rates else rate * _WORK_S
    unit = "requests/s" if rates else "requests at a time"
    wanted = math.ceil(got / target)
    comment = f"{got:.3g} {unit}; if that is what the query counts, {wanted} pod{'' if wanted == 1 else 's'}"
    work = {"sleep": f"{_WORK_S * 1000:.0f}ms"}
    return {
        "name": "steady",
        "type": "constant",
        "rate": Said(rate, comment),
        "duration": "120s",
        "request": {"do": work},
    }
