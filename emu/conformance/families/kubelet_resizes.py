"""The kubelet's families about resizes of running pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.conformance import pod_manifests
from emu.policy.kubelet.actuation import Actuation, PodNow, actuate
from emu.policy.kubelet.resizing import refusals

Given = Mapping[str, Any]
_NODE_MEMORY = 64 * 2**30
"""Of the machine on which the cases were made; it decides their oom_score_adj alone."""
_UNLIMITED = 9_223_372_036_854_771_712
"""memory.max where there is none, as the cgroup library reads it."""


def _validation(given: Given) -> dict[str, Any]:
    new, old = pod_manifests.resized(given["new"]), pod_manifests.resized(given["old"], before=True)
    return {"errors": refusals(new, old, pod_manifests.version(given))}


def _actuation(given: Given) -> dict[str, Any]:
    version = pod_manifests.version(given)
    new, old = pod_manifests.pod(given["new"], version), pod_manifests.pod(given["old"], version)
    limit = given["pod_memory_max_now"]
    spec = given["new"]["spec"]
    every = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    found = actuate(
        new,
        old,
        PodNow(None if limit >= _UNLIMITED else limit, given["pod_cpu_quota_now"], given["pod_cpu_shares_now"]),
        pod_usage=given["pod_usage"],
        usage=given.get("usage") or {},
        restart_for={one["name"]: pod_manifests.restart_for(one) for one in every},
        node_memory_bytes=given.get("node_memory", _NODE_MEMORY),
        version=version,
    )
    return _actuated(found)


def _actuated(found: Actuation | None) -> dict[str, Any]:
    if found is None:
        return {"writes": []}
    return {
        "error": "ResizePodInPlaceError" if found.message else None,
        **({"message": found.message} if found.message else {}),
        **({"restart": list(found.restarts)} if found.restarts else {}),
        "writes": [dict(one) for one in found.writes],
    }


FAMILIES = {"resize_validation": _validation, "resize_actuation": _actuation}
