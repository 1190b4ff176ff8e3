"""Kubernetes' own manifests, as cases have them, in the terms of emu's policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from emu.policy.effective import CPU, Resources
from emu.policy.kubelet.pod import Container, Pod, stored
from emu.policy.kubelet.quantity import parse_quantity
from emu.policy.kubelet.version import NEWEST, Version, parse_version

CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_MIRROR = "kubernetes.io/config.mirror"


def version(given: Mapping[str, Any]) -> Version:
    """Whose rules a case is about."""
    return parse_version(given["kubernetes"]) if "kubernetes" in given else NEWEST


def amounts(written: Mapping[str, Any] | None) -> dict[str, int]:
    """CPU in millicores, all else in whole units."""
    found = {}
    for name, text in (written or {}).items():
        quantity = parse_quantity(text)
        found[name] = quantity.milli if name == CPU else quantity.value
    return found


def resources(written: Mapping[str, Any] | None) -> Resources:
    """Requests and limits."""
    written = written or {}
    return Resources(amounts(written.get("requests")), amounts(written.get("limits")))


def pod(manifest: Mapping[str, Any], kubernetes: Version = NEWEST) -> Pod:
    """A pod as that version keeps it."""
    spec, meta = manifest["spec"], manifest.get("metadata") or {}
    annotations = meta.get("annotations") or {}
    level = spec.get("resources")
    return stored(
        Pod(
            containers=_containers(spec.get("containers")),
            init_containers=_containers(spec.get("initContainers")),
            resources=None if level is None else resources(level),
            overhead=amounts(spec.get("overhead")),
            name=meta.get("name", ""),
            priority=spec.get("priority"),
            priority_class=spec.get("priorityClassName", ""),
            static=annotations.get(CONFIG_SOURCE, "api") != "api" or CONFIG_MIRROR in annotations,
            grace_s=spec.get("terminationGracePeriodSeconds"),
        ),
        kubernetes,
    )


def _containers(written: Sequence[Mapping[str, Any]] | None) -> list[Container]:
    return [
        Container(one["name"], resources(one.get("resources")), one.get("restartPolicy") == "Always")
        for one in written or ()
    ]


def seconds(time: str) -> float:
    """A time of a manifest, in seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()
