"""Which keys Knative reads of its ConfigMaps; any other is ignored without a word (pkg/apis/config, pkg/deployment,
networking's pkg/config).
"""

from __future__ import annotations

from collections.abc import Iterable

from emu.manifests.clusterconfig import FEATURES
from emu.policy.autoscaling.configmap import KEYS

_SIZES = tuple(f"{size}-{kind}" for size in ("cpu", "memory", "ephemeral-storage") for kind in ("request", "limit"))
_CAMEL_SIZES = tuple(
    f"{size}{kind}" for size in ("CPU", "Memory", "EphemeralStorage") for kind in ("Request", "Limit")
)
_KNOWN = {
    "config-autoscaler": tuple(KEYS),
    "config-features": tuple(FEATURES),
    "config-defaults": (
        "init-container-name-template",
        "container-name-template",
        "allow-container-concurrency-zero",
        "enable-service-links",
        "revision-timeout-seconds",
        "max-revision-timeout-seconds",
        "revision-response-start-timeout-seconds",
        "revision-idle-timeout-seconds",
        "container-concurrency",
        "container-concurrency-max-limit",
        *(f"revision-{one}" for one in _SIZES),
    ),
    "config-deployment": (
        "queue-sidecar-image",
        "progress-deadline",
        "digest-resolution-timeout",
        "registries-skipping-tag-resolving",
        *(f"queue-sidecar-{one}" for one in (*_SIZES, "token-audiences", "rootca", "tls-min-version")),
        *(f"queue-sidecar-tls-{one}" for one in ("max-version", "cipher-suites", "curve-preferences")),
        "default-affinity-type",
        "runtime-class-name",
        "pod-is-always-schedulable",
    ),
}
"""In the spelling to be suggested; of the other ConfigMaps emu does not know all keys."""
_OLD = {
    "config-deployment": (
        "queueSidecarImage",
        "progressDeadline",
        "digestResolutionTimeout",
        "registriesSkippingTagResolving",
        *(f"queueSidecar{one}" for one in _CAMEL_SIZES),
    )
}
"""Older spellings, which count too."""


def known_keys(name: str) -> tuple[str, ...]:
    """The keys of a ConfigMap; none where emu does not know them all."""
    return _KNOWN.get(name, ())


def ignored_keys(name: str, data: Iterable[str]) -> list[str]:
    """The keys in its data that have no effect; `_example` and others of that kind are comments."""
    known = (*_KNOWN[name], *_OLD.get(name, ())) if name in _KNOWN else tuple(data)
    return [key for key in data if key not in known and not key.startswith("_")]
