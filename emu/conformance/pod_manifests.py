"""Kubernetes' own manifests, as cases have them, in the terms of emu's policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from emu.policy.effective import CPU, Resources
from emu.policy.kubelet.pod import Container, Pod, stored
from emu.policy.kubelet.resizing import RESTART, ResizedContainer, ResizedPod, Sizes, defaulted, form_of
from emu.policy.kubelet.version import NEWEST, Version, parse_version
from emu.policy.qos import qos_class
from emu.policy.quantity import Quantity, json_quantity

CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_MIRROR = "kubernetes.io/config.mirror"


def version(given: Mapping[str, Any]) -> Version:
    """Whose rules a case is about."""
    return parse_version(given["kubernetes"]) if "kubernetes" in given else NEWEST


def amounts(written: Mapping[str, Any] | None) -> dict[str, int]:
    """CPU in millicores, all else in whole units."""
    found = {}
    for name, text in (written or {}).items():
        read = json_quantity(text)
        found[name] = read.milli if name == CPU else read.value
    return found


def quantities(written: Mapping[str, Any] | None) -> dict[str, Quantity]:
    """As they are written, CPU in whole millicores."""
    found = {}
    for name, text in (written or {}).items():
        read = json_quantity(text)
        if name == CPU and read.nano % 10**6:
            read = Quantity(read.milli * 10**6, read.form)
        found[name] = read
    return found


def sizes(written: Mapping[str, Any] | None) -> Sizes:
    """Requests and limits as they are written, defaulted."""
    written = written or {}
    requests, limits = quantities(written.get("requests")), quantities(written.get("limits"))
    return Sizes({**limits, **requests}, limits)


def resources(written: Mapping[str, Any] | None) -> Resources:
    """Requests and limits."""
    written = written or {}
    return Resources(amounts(written.get("requests")), amounts(written.get("limits")))


def pod(manifest: Mapping[str, Any], kubernetes: Version = NEWEST) -> Pod:
    """A pod as that version keeps it."""
    return stored(as_written(manifest), kubernetes)


def as_written(manifest: Mapping[str, Any]) -> Pod:
    """A pod without the API server's defaults."""
    spec, meta = manifest["spec"], manifest.get("metadata") or {}
    annotations = meta.get("annotations") or {}
    level = spec.get("resources")
    return Pod(
        containers=_containers(spec.get("containers")),
        init_containers=_containers(spec.get("initContainers")),
        resources=None if level is None else resources(level),
        overhead=amounts(spec.get("overhead")),
        name=meta.get("name", ""),
        priority=spec.get("priority"),
        priority_class=spec.get("priorityClassName", ""),
        static=annotations.get(CONFIG_SOURCE, "api") != "api" or CONFIG_MIRROR in annotations,
        grace_s=spec.get("terminationGracePeriodSeconds"),
    )


def _containers(written: Sequence[Mapping[str, Any]] | None) -> list[Container]:
    return [
        Container(one["name"], resources(one.get("resources")), one.get("restartPolicy") == "Always")
        for one in written or ()
    ]


def resized(manifest: Mapping[str, Any], *, before: bool = False) -> ResizedPod:
    """A pod on one side of a resize, defaulted."""
    spec, status, meta = manifest["spec"], manifest.get("status") or {}, manifest.get("metadata") or {}
    of_status, level = status.get("qosClass", ""), spec.get("resources")
    running = [one for one in status.get("containerStatuses") or () if (one.get("state") or {}).get("running")]
    rest = {key: value for key, value in spec.items() if key not in ("containers", "initContainers", "resources")}
    own = Sizes(*(quantities((level or {}).get(side)) for side in ("requests", "limits")))
    made = ResizedPod(
        qos=of_status if before and of_status else qos_class(pod(manifest)),
        containers=_resized(spec.get("containers")),
        init_containers=_resized(spec.get("initContainers")),
        sizes=None if level is None else own,
        mirror=CONFIG_MIRROR in (meta.get("annotations") or {}),
        windows=(spec.get("os") or {}).get("name") == "windows",
        supported=not running or running[0].get("resources") is not None,
        status_qos=of_status,
        rest=form_of(rest),
    )
    return defaulted(made)


def _resized(written: Sequence[Mapping[str, Any]] | None) -> list[ResizedContainer]:
    return [
        ResizedContainer(
            one["name"],
            sizes(one.get("resources")),
            one.get("restartPolicy") == "Always",
            restart_for(one),
            form_of({key: value for key, value in one.items() if key != "resources"}),
        )
        for one in written or ()
    ]


def restart_for(container: Mapping[str, Any]) -> frozenset[str]:
    """The resources that a resize of restarts it."""
    policies = container.get("resizePolicy") or ()
    return frozenset(one["resourceName"] for one in policies if one["restartPolicy"] == RESTART)


def seconds(time: str) -> float:
    """A time of a manifest, in seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()
