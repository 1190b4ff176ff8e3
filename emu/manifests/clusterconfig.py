"""The ConfigMaps config-defaults, config-features and config-deployment: their keys, defaults, and what Knative
refuses (pkg/apis/config, pkg/deployment).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emu.manifests.autoscalerconfig import read_autoscaler
from emu.manifests.nametemplate import check_fields, check_form
from emu.messages import USER_CONTAINER
from emu.policy.autoscaling.configmap import AutoscalerConfig
from emu.policy.golang import INT32_MAX, SECOND, format_duration, parse_bool, parse_duration, parse_int, quote
from emu.policy.quantity import parse_amount

FEATURES = {
    "autodetect-http2": "Disabled",
    "kubernetes.podspec-persistent-volume-write": "Disabled",
    "multi-container": "Enabled",
    "multi-container-probing": "Disabled",
    "queueproxy.mount-podinfo": "Disabled",
    "queueproxy.resource-defaults": "Disabled",
    "secure-pod-defaults": "Disabled",
    "tag-header-based-routing": "Disabled",
    "kubernetes.containerspec-addcapabilities": "Disabled",
    "kubernetes.podspec-affinity": "Disabled",
    "kubernetes.podspec-dnsconfig": "Disabled",
    "kubernetes.podspec-dnspolicy": "Disabled",
    "kubernetes.podspec-fieldref": "Disabled",
    "kubernetes.podspec-hostaliases": "Disabled",
    "kubernetes.podspec-hostipc": "Disabled",
    "kubernetes.podspec-hostnetwork": "Disabled",
    "kubernetes.podspec-hostpid": "Disabled",
    "kubernetes.podspec-init-containers": "Disabled",
    "kubernetes.podspec-nodeselector": "Disabled",
    "kubernetes.podspec-persistent-volume-claim": "Disabled",
    "kubernetes.podspec-priorityclassname": "Disabled",
    "kubernetes.podspec-runtimeclassname": "Disabled",
    "kubernetes.podspec-schedulername": "Disabled",
    "kubernetes.podspec-securitycontext": "Disabled",
    "kubernetes.podspec-shareprocessnamespace": "Disabled",
    "kubernetes.podspec-tolerations": "Disabled",
    "kubernetes.podspec-topologyspreadconstraints": "Disabled",
    "kubernetes.podspec-volumes-csi": "Disabled",
    "kubernetes.podspec-volumes-emptydir": "Enabled",
    "kubernetes.podspec-volumes-ephemeral": "Disabled",
    "kubernetes.podspec-volumes-hostpath": "Disabled",
    "kubernetes.podspec-volumes-image": "Disabled",
    "kubernetes.podspec-volumes-mount-propagation": "Disabled",
}
"""Every flag of config-features, with its default."""
_FLAGS = ("Enabled", "Allowed", "Disabled")
_SECURE_FLAGS = ("Disabled", "AllowRootBounded", "Enabled")
RESOURCES = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True)
class Features:
    """Which fields of a pod Knative takes."""

    flags: Mapping[str, str] = field(default_factory=lambda: dict(FEATURES))

    def enabled(self, name: str) -> bool:
        """Whether the flag is Enabled, by config-features or by default."""
        return self.flags[name] == "Enabled"

    def disabled(self, name: str) -> bool:
        """Whether the flag is Disabled; it may also be Allowed."""
        return self.flags[name] == "Disabled"

    @property
    def secure(self) -> bool:
        """Whether Knative fills in a secure security context."""
        return self.flags["secure-pod-defaults"] in ("Enabled", "AllowRootBounded")


@dataclass(frozen=True)
class Defaults:
    """What a revision gets that says nothing itself."""

    timeout_s: int = 300
    max_timeout_s: int = 600
    response_start_timeout_s: int = 300
    idle_timeout_s: int = 0
    container_concurrency: int = 0
    max_container_concurrency: int = 1000
    allow_zero_concurrency: bool = True
    enable_service_links: bool | None = False
    container_name: str = USER_CONTAINER
    init_container_name: str = "init-container"
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeploymentConfig:
    """What all of Knative's deployments have."""

    queue_requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "25m"})
    queue_limits: Mapping[str, str] = field(default_factory=dict)
    progress_deadline: int = 600 * SECOND


@dataclass(frozen=True)
class ClusterConfig:
    """A cluster's ConfigMaps, as Knative reads them."""

    autoscaler: AutoscalerConfig = field(default_factory=AutoscalerConfig)
    defaults: Defaults = field(default_factory=Defaults)
    features: Features = field(default_factory=Features)
    deployment: DeploymentConfig = field(default_factory=DeploymentConfig)
    rollout_duration_s: int = 0
    """config-network's."""


def read_features(data: Mapping[str, str]) -> Features:
    """The flags; what is none of their values leaves the default."""
    flags = dict(FEATURES)
    for name, text in data.items():
        values = _SECURE_FLAGS if name == "secure-pod-defaults" else _FLAGS
        if name in flags:
            flags[name] = next((value for value in values if value.lower() == text.lower()), flags[name])
    return Features(flags)


def _parsed(data: Mapping[str, str], key: str, parse: Callable[[str], Any], otherwise: Any) -> Any:
    if key not in data:
        return otherwise
    try:
        return parse(data[key])
    except ValueError as error:
        raise ValueError(f"failed to parse {quote(key)}: {error}") from None


def _quantities(data: Mapping[str, str], pattern: str, given: Mapping[str, str] | None = None) -> dict[str, str]:
    found = dict(given or {})
    for resource in RESOURCES:
        key = pattern.format(resource)
        if key in data:
            _parsed(data, key, parse_amount, None)
            found[resource] = data[key]
    return found


def read_defaults(data: Mapping[str, str]) -> Defaults:
    """The settings of a config-defaults; ValueError, in Knative's words, for what it refuses."""
    plain = Defaults()
    names = {
        "init_container_name": data.get("init-container-name-template", plain.init_container_name),
        "container_name": data.get("container-name-template", plain.container_name),
    }
    for template in names.values():
        check_form(template)
    allow = _parsed(data, "allow-container-concurrency-zero", parse_bool, plain.allow_zero_concurrency)
    timeout = _parsed(data, "revision-timeout-seconds", parse_int, plain.timeout_s)
    most = _parsed(data, "max-revision-timeout-seconds", parse_int, plain.max_timeout_s)
    idle = _parsed(data, "revision-idle-timeout-seconds", parse_int, plain.idle_timeout_s)
    concurrency = _parsed(data, "container-concurrency", parse_int, plain.container_concurrency)
    limit = _parsed(data, "container-concurrency-max-limit", parse_int, plain.max_container_concurrency)
    requests = _quantities(data, "revision-{}-request")
    limits = _quantities(data, "revision-{}-limit")
    start = _parsed(data, "revision-response-start-timeout-seconds", parse_int, timeout)
    if timeout > most:
        raise ValueError(
            f"revision-timeout-seconds ({timeout}) cannot be greater than max-revision-timeout-seconds ({most})"
        )
    for name, value in (("response-start", start), ("idle", idle)):
        if value > 0 and value > timeout:
            raise ValueError(
                f"revision-{name}-timeout-seconds ({value}) cannot be greater than "
                f"revision-timeout-seconds ({timeout})"
            )
    if limit < 1:
        raise ValueError(f"expected 1 <= {limit} <= {INT32_MAX}: container-concurrency-max-limit")
    if not 0 <= concurrency <= limit:
        raise ValueError(f"expected 0 <= {concurrency} <= {limit}: container-concurrency")
    for name in ("container_name", "init_container_name"):
        check_fields(names[name])
    links = {"true": True, "false": False}.get(data.get("enable-service-links", "false").lower())
    return replace(
        plain,
        timeout_s=timeout,
        max_timeout_s=most,
        response_start_timeout_s=start,
        idle_timeout_s=idle,
        container_concurrency=concurrency,
        max_container_concurrency=limit,
        allow_zero_concurrency=allow,
        enable_service_links=links,
        requests=requests,
        limits=limits,
        **names,
    )


_DEADLINE, _DIGEST = "progress-deadline", "digest-resolution-timeout"
_DIGEST_TIMEOUT = 10 * SECOND
_CAMEL = {"cpu": "CPU", "memory": "Memory", "ephemeral-storage": "EphemeralStorage"}


def read_deployment(data: Mapping[str, str]) -> DeploymentConfig:
    """The settings of a config-deployment; ValueError for what Knative refuses. The image of queue-proxy, without
    which Knative refuses it too, is not asked for: here queue-proxy is emu's.
    """
    plain = DeploymentConfig()
    sizes = {"Request": dict(plain.queue_requests), "Limit": dict(plain.queue_limits)}
    deadline, digest = plain.progress_deadline, _DIGEST_TIMEOUT
    for older in (True, False):
        names = ("progressDeadline", "digestResolutionTimeout") if older else (_DEADLINE, _DIGEST)
        deadline = _parsed(data, names[0], parse_duration, deadline)
        digest = _parsed(data, names[1], parse_duration, digest)
        for kind, found in sizes.items():
            for resource in RESOURCES:
                newer = f"queue-sidecar-{resource}-{kind.lower()}"
                key = f"queueSidecar{_CAMEL[resource]}{kind}" if older else newer
                if key in data:
                    _parsed(data, key, parse_amount, None)
                    found[resource] = data[key]
    _parsed(data, "pod-is-always-schedulable", parse_bool, False)
    if deadline <= 0:
        raise ValueError(f"{_DEADLINE} cannot be a non-positive duration, was {format_duration(deadline)}")
    if deadline % SECOND:
        raise ValueError(f"{_DEADLINE} must be rounded to a whole second, was: {format_duration(deadline)}")
    if digest <= 0:
        raise ValueError(f"{_DIGEST} cannot be a non-positive duration, was {format_duration(digest)}")
    affinity = data.get("default-affinity-type", "none")
    if affinity not in ("none", "prefer-spread-revision-over-nodes"):
        raise ValueError(f"unsupported default-affinity-type value: {quote(affinity)}")
    return DeploymentConfig(sizes["Request"], sizes["Limit"], deadline)


def read_rollout_duration(data: Mapping[str, str]) -> int:
    """The seconds in a config-network, of which emu reads no more; ValueError for what Knative refuses of them."""
    older = _parsed(data, "rolloutDuration", parse_int, 0)
    seconds: int = _parsed(data, "rollout-duration", parse_int, older)
    if seconds < 0:
        raise ValueError(f"rollout-duration must be a positive integer, but was {seconds}")
    return seconds


CONFIG_MAPS = ("config-autoscaler", "config-defaults", "config-deployment", "config-features", "config-network")
"""Knative's ConfigMaps that emu reads."""


def read_cluster(maps: Mapping[str, Mapping[str, str]]) -> ClusterConfig:
    """All of them; ValueError for what Knative refuses."""
    return ClusterConfig(
        read_autoscaler(maps.get("config-autoscaler", {})),
        read_defaults(maps.get("config-defaults", {})),
        read_features(maps.get("config-features", {})),
        read_deployment(maps.get("config-deployment", {})),
        read_rollout_duration(maps.get("config-network", {})),
    )
