"""queue-proxy's resources in a revision: from config-deployment, a feature, the percentage annotation, and the
annotations for each, of which the last one wins (pkg/reconciler/revision/resources/queue.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from emu.manifests import annotations as known
from emu.manifests.clusterconfig import RESOURCES, ClusterConfig
from emu.policy.golang import parse_float
from emu.policy.quantity import number_text, parse_amount

_FEATURE = {
    ("cpu", "request"): "25m",
    ("cpu", "limit"): "1000m",
    ("memory", "request"): "400Mi",
    ("memory", "limit"): "800Mi",
}
_BOUNDS = {
    ("cpu", "request"): ("25m", "100m"),
    ("cpu", "limit"): ("40m", "500m"),
    ("memory", "request"): ("50Mi", "200Mi"),
    ("memory", "limit"): ("200Mi", "500Mi"),
}
Found = dict[tuple[str, str], tuple[str, str]]
"""(resource, request or limit) → its text, and what set it: `config-deployment KEY`, `feature`, or an annotation."""


def queue_proxy_resources(annotations: Mapping[str, str], user: Mapping[str, Any], config: ClusterConfig) -> Found:
    """All that are set, with who set them; `user` is the container that serves."""
    found: Found = {}
    for kind, given in (("request", config.deployment.queue_requests), ("limit", config.deployment.queue_limits)):
        for resource in RESOURCES:
            if resource in given:
                found[resource, kind] = (given[resource], f"config-deployment queue-sidecar-{resource}-{kind}")
            elif config.features.enabled("queueproxy.resource-defaults") and (resource, kind) in _FEATURE:
                found[resource, kind] = (_FEATURE[resource, kind], "config-features queueproxy.resource-defaults")
    found |= _shares(annotations, user)
    for (resource, kind), setting in known.SIDECAR_RESOURCES.items():
        if (entry := setting.get(annotations)) is not None:
            found[resource, kind] = (entry[1], entry[0])
    return found


def _shares(annotations: Mapping[str, str], user: Mapping[str, Any]) -> Found:
    """What the percentage makes of the serving container's resources, within bounds."""
    entry = known.SIDECAR_PERCENTAGE.get(annotations)
    if entry is None:
        return {}
    try:
        share = Fraction(parse_float(entry[1])) / 100
    except (ValueError, OverflowError):
        return {}
    found: Found = {}
    resources = user.get("resources", {})
    for (resource, kind), bounds in _BOUNDS.items():
        given = resources.get(f"{kind}s", {}).get(resource)
        if given is None or not (amount := parse_amount(given)):
            continue
        least, most = map(parse_amount, bounds)
        found[resource, kind] = (number_text(min(max(amount * share, least), most)), entry[0])
    return found
