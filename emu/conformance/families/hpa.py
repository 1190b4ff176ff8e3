"""The HorizontalPodAutoscaler's families: one metric to replicas, proposals to sizes, and what Knative asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.policy.autoscaling.settings import cluster_config
from emu.policy.hpa import knative
from emu.policy.hpa.form import behavior_of, written
from emu.policy.hpa.replicas import HpaPod, Sample, Timing, propose
from emu.policy.hpa.sizing import History, sync
from emu.policy.hpa.spec import HpaSpec, Metric

_NOW_S = 1e6
_MIB = 2**20 * 1000
_READY = {"true": "True", "false": "False", "unknown": "Unknown", "none": None}


def hpa_replicas(given: Mapping[str, Any]) -> dict[str, Any]:
    """Pods and a target → replicas; `request` and `usage` are in thousandths, or in MiB."""
    unit = _MIB if given["unit_of_request_and_usage"] == "MiB" else 1
    utilization = given["target_type"] == "Utilization"
    of_pods = given["resource"] == "pods"
    metric = Metric(
        given["resource"],
        "Pods" if of_pods else "Resource",
        given["target_type"],
        given["target"] * (1 if utilization else unit),
    )
    pods, samples = [], {}
    for number, pod in enumerate(given["pods"]):
        pods.append(_pod(f"pod-{number}", pod, unit))
        if pod.get("usage") is not None:
            at_s = _NOW_S - pod.get("sample_age_s", 0)
            samples[f"pod-{number}"] = Sample(pod["usage"] * unit, at_s, given["metric_window_s"])
    timing = Timing(
        given["tolerance"],
        given["tolerance"],
        given["cpu_initialization_period_s"],
        given["initial_readiness_delay_s"],
    )
    made = propose(metric, pods, samples, given["current_replicas"], _NOW_S, timing)
    if made.replicas is None:
        return {"error": made.error}
    if utilization:
        return {"replicas": made.replicas, "utilization_percent": made.utilization}
    average = made.average or 0
    if unit == _MIB:
        return {"replicas": made.replicas, "average_usage_MiB": average // unit}
    return {"replicas": made.replicas, "average_usage": average}


def _pod(name: str, pod: Mapping[str, Any], unit: int) -> HpaPod:
    request = pod.get("request")
    return HpaPod(
        name,
        {"c": None if request is None else request * unit},
        pod["phase"],
        bool(pod.get("deleted")),
        _READY[str(pod["ready"]).lower()],  # type: ignore[arg-type]
        _NOW_S - pod["ready_changed_s_ago"],
        None if pod.get("age_s") is None else _NOW_S - pod["age_s"],
    )


def hpa_series(given: Mapping[str, Any]) -> dict[str, Any]:
    """Proposals, one a sync → sizes."""
    spec = HpaSpec(given["max"], given["min"], (), behavior_of(given["behavior_after_defaulting"]))
    replicas, history, each = given["start_replicas"], History(), []
    for number, proposal in enumerate(given["metric_proposals"]):
        now = number * given["seconds_between_syncs"]
        size = sync(spec, proposal, replicas, history, now, given["downscale_stabilization_s"])
        replicas, history = size.replicas, size.history
        limited = "True" if size.limited else "False"
        each.append([replicas, f"True/{size.able} {limited}/{size.limit}" if size.how == "metrics" else size.how])
    return {"each": each}


def knative_hpa(given: Mapping[str, Any]) -> dict[str, Any]:
    """Annotations and config-autoscaler → the spec that Knative writes."""
    config = cluster_config(given.get("config_autoscaler") or {})
    settings = knative.settings_of(given.get("annotations") or {}, config, given.get("reachability", ""))
    return {"hpa_spec_before_kubernetes_defaults": written(knative.autoscaler(settings))}


FAMILIES = {"hpa_replicas": hpa_replicas, "hpa_series": hpa_series, "knative_hpa": knative_hpa}
