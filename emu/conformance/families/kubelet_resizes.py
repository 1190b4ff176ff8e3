"""The kubelet's families about resizes of running pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emu.conformance import pod_manifests
from emu.policy.effective import CPU
from emu.policy.kubelet.actuation import Actuation, PodNow, actuate
from emu.policy.kubelet.quantity import Quantity, parse_quantity
from emu.policy.kubelet.resizing import RESTART, ResizedContainer, ResizedPod, Sizes, form_of, refusals
from emu.policy.qos import qos_class

Given = Mapping[str, Any]
_NODE_MEMORY = 64 * 2**30
"""Of the machine on which the cases were made; it decides their oom_score_adj alone."""
_UNLIMITED = 9_223_372_036_854_771_712
"""memory.max where there is none, as the cgroup library reads it."""


def _validation(given: Given) -> dict[str, Any]:
    version = pod_manifests.version(given)
    new, old = _pod(given["new"]), _pod(given["old"], before=True)
    return {"errors": refusals(new, old, version)}


def _pod(manifest: Given, *, before: bool = False) -> ResizedPod:
    spec, status, meta = manifest["spec"], manifest.get("status") or {}, manifest.get("metadata") or {}
    of_status, level = status.get("qosClass", ""), spec.get("resources")
    own = pod_manifests.pod(manifest)
    running = [one for one in status.get("containerStatuses") or () if (one.get("state") or {}).get("running")]
    rest = {key: value for key, value in spec.items() if key not in ("containers", "initContainers", "resources")}
    return ResizedPod(
        qos=of_status if before and of_status else qos_class(own),
        containers=_containers(spec.get("containers")),
        init_containers=_containers(spec.get("initContainers")),
        sizes=None if not level else _sizes(level),
        mirror=pod_manifests.CONFIG_MIRROR in (meta.get("annotations") or {}),
        windows=(spec.get("os") or {}).get("name") == "windows",
        supported=not running or running[0].get("resources") is not None,
        status_qos=of_status,
        rest=form_of(rest),
    )


def _containers(written: Sequence[Given] | None) -> list[ResizedContainer]:
    return [
        ResizedContainer(
            one["name"],
            _sizes(one.get("resources") or {}),
            one.get("restartPolicy") == "Always",
            _restart_for(one),
            form_of({key: value for key, value in one.items() if key != "resources"}),
        )
        for one in written or ()
    ]


def _restart_for(container: Given) -> frozenset[str]:
    return frozenset(
        one["resourceName"] for one in container.get("resizePolicy") or () if one["restartPolicy"] == RESTART
    )


def _sizes(written: Given) -> Sizes:
    requests, limits = _quantities(written.get("requests")), _quantities(written.get("limits"))
    return Sizes({**limits, **requests}, limits)


def _quantities(written: Given | None) -> dict[str, Quantity]:
    found = {}
    for name, text in (written or {}).items():
        quantity = parse_quantity(text)
        if name == CPU and quantity.nano % 10**6:
            quantity = Quantity(quantity.milli * 10**6, quantity.form)
        found[name] = quantity
    return found


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
        restart_for={one["name"]: _restart_for(one) for one in every},
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
