"""A run in the tables of kperf, Knative's measuring tool, so that what reads those reads ours beside a cluster's.

kperf's columns, names and order, its misspellings included; but fractions of a second where it has whole ones, from
one monotonic clock, and percentiles by summary.json's estimator, so that a figure is the same in both. What has no
counterpart here (scheduler, autoscaler, ingress) is empty, or null in JSON, never 0. Sources:
knative-extensions/kperf pkg/types.go, pkg/command/service/measure.go and scale.go.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any

from emu import __version__
from emu.messages import APP, QUEUE_PROXY, SANDBOX
from emu.policy.kubelet.environment import NAMESPACE
from emu.report.kperf_rows import Row, Whose, rows
from emu.study.measures import percentile
from emu.study.model.study import Study

EACH = Whose()
MEASURED = (
    ("configuration_ready", "AverageConfigurationDuration"),
    ("revision_ready", "AverageRevisionDuration"),
    ("deployment_created", "AverageDeploymentDuration"),
    ("pod_scheduled", "AveragePodScheduleDuration"),
    ("containers_ready", "AveragePodContainersReadyDuration"),
    ("queue-proxy_started", "AveragePodQueueProxyStartedDuration"),
    ("user-container_started", "AveragePodUserContainerStartedDuration"),
    ("route_ready", "AverageServiceRouteReadyDuration"),
    ("kpa_active", "AverageAutoscalerActiveDuration"),
    ("sks_ready", "AverageServiceReadyDuration"),
    ("sks_activator_endpoints_populated", "AverageServiceActivatorEndpointsPopulatedDuration"),
    ("sks_endpoints_populated", "AverageServiceEndpointsPopulatedDuration"),
    ("ingress_ready", "AverageIngressReadyDuration"),
    ("ingress_config_ready", "AverageIngressNetworkConfiguredDuration"),
    ("ingress_lb_ready", "AverageIngressLoadBalancerReadyDuration"),
)
"""kperf's stages: the column of its CSV, in order, and the name of its average in JSON."""
PERCENTS = (50, 90, 95, 98, 99)
_SCALED = ("avg", "min", "max", "p50", "p90", "p95", "p99")


def stages(study: Study) -> dict[str, float | None] | None:
    """Seconds from the pod's creation to each of kperf's stages; None for a pod that was not ready, as kperf passes
    over such services. `overall_ready` is when the last container was first ready.
    """
    firsts = [entry for entry in study.instances if entry.attempt == 0]
    created = min((entry.created_s for entry in firsts if entry.created_s is not None), default=None)
    ready = [_ready_s(study, name) for name in study.containers]
    if created is None or not ready or any(one is None for one in ready):
        return None
    last = max(one for one in ready if one is not None) - created
    started = {entry.container: entry.started_s for entry in firsts if entry.container != SANDBOX}
    known = {
        "containers_ready": last,
        "queue-proxy_started": _since(created, started.get(QUEUE_PROXY)),
        "user-container_started": _since(created, started.get(APP)),
    }
    return {**{column: known.get(column) for column, _ in MEASURED}, "overall_ready": last}


def _ready_s(study: Study, container: str) -> float | None:
    return next((one.ready_s for one in study.instances_of(container) if one.ready_s is not None), None)


def _since(begin: float, moment: float | None) -> float | None:
    return None if moment is None else moment - begin


def creation_csv(study: Study, whose: Whose = EACH) -> str:
    """`kperf service measure`: one row a service, seconds."""
    columns = [*(column for column, _ in MEASURED), "overall_ready"]
    found = [(row.name, known) for row in rows(study, whose) if (known := stages(row.first)) is not None]
    lines = [[name, NAMESPACE, *(_text(known[column], 3) for column in columns)] for name, known in found]
    return _csv([["svc_name", "svc_namespace", *columns], *lines])


def creation_json(study: Study, whose: Whose = EACH) -> str:
    """`kperf service measure`: averages over the services, and what their overall time is like."""
    every = rows(study, whose)
    found = [known for row in every if (known := stages(row.first)) is not None]
    overall = [known["overall_ready"] for known in found if known["overall_ready"] is not None]
    result: dict[str, float | None] = {name: _mean(known[column] for known in found) for column, name in MEASURED}
    result |= {"Total": _rounded(sum(overall) if overall else None)}
    for name, value in (("Average", fmean), ("Median", median), ("Min", min), ("Max", max)):
        result[name] = _rounded(value(overall) if overall else None)
    result |= {f"Percentile{percent}": _rounded(percentile(sorted(overall), percent / 100)) for percent in PERCENTS}
    counts = {"Ready": len(overall), "NotReady": len(every) - len(overall), "NotFound": 0, "Fail": 0}
    return _json({"Result": result, "Service": counts, "KnativeInfo": _knative_info()})


def scaling_csv(study: Study, whose: Whose = EACH) -> str:
    """`kperf service scale`: what its requests waited for their answer's first byte, whatever its status; seconds."""
    heads = [f"{kind}_latency_{name}" for kind in ("svc", "deployment") for name in _SCALED]
    lines = []
    for row in rows(study, whose):
        latency = _latency(row.study)
        lines.append([row.name, NAMESPACE, *(_text(latency[name], 6) for name in _SCALED), *[""] * len(_SCALED)])
    return _csv([["svc_name", "svc_namespace", *heads], *lines])


def scaling_json(study: Study, whose: Whose = EACH) -> str:
    """`kperf service scale`, with the names as they are spelt there."""
    return _json({"KnativeInfo": _knative_info(), "Measurment": [_measured(row) for row in rows(study, whose)]})


def _measured(row: Row) -> dict[str, Any]:
    latency = {("averge" if name == "avg" else name): _rounded(value) for name, value in _latency(row.study).items()}
    return {
        "ServiceName": row.name,
        "ServiceNamespace": NAMESPACE,
        "serviceLatency": latency,
        "deploymentLatency": dict.fromkeys(latency),
    }


def _latency(study: Study) -> dict[str, float | None]:
    waits = sorted(one.first_byte_s - one.begin_s for one in study.requests or [] if one.first_byte_s is not None)
    if not waits:
        return dict.fromkeys(_SCALED)
    found: dict[str, float | None] = {"avg": fmean(waits), "min": min(waits), "max": max(waits)}
    return {**found, **{f"p{percent}": percentile(waits, percent / 100) for percent in (50, 90, 95, 99)}}


def _knative_info() -> dict[str, str]:
    return {
        "ServingVersion": f"emu {__version__}", "EventingVersion": "", "IngressController": "", "IngressVersion": "",
    }  # fmt: skip


def _text(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _rounded(fmean(known)) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _csv(rows: Sequence[Sequence[str]]) -> str:
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows(rows)
    return made.getvalue()


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
