"""What a container of a pod is started with: its environment, and its command with that filled in."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import NamedTuple

from emu.errors import EmuError
from emu.kubelet.template import ContainerTemplate, PodTemplate
from emu.policy.kubelet.derived import NodeRules
from emu.policy.kubelet.environment import NAMESPACE, ConfigError, Known, expanded, variables

NODE = "node"
"""The only one's name."""
_ACCOUNT = "default"


class ContainerConfigError(EmuError):
    """A container that the kubelet does not make as it is asked for; `why` is the kubelet's."""

    def __init__(self, container: str, why: str) -> None:
        fix = "put ConfigMaps and Secrets into the manifest's files, or into the pod; correct its securityContext"
        super().__init__(f"the container {container} cannot be made", why, fix)


class Program(NamedTuple):
    """A container's command and variables."""

    env: dict[str, str]
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None


def program_of(
    container: ContainerTemplate, template: PodTemplate, pod: str, address: str, node: NodeRules
) -> Program:
    """Of a container in a pod of this name and address. ContainerConfigError."""
    known = Known(fields_of(pod, address, template.labels), _amounts(template, node), template.objects)
    try:
        env = variables(container.env_from, container.env, container.name, known)
    except ConfigError as error:
        raise ContainerConfigError(container.name, str(error)) from None
    return Program(env, _filled(container.command, env), _filled(container.args, env))


def _filled(words: tuple[str, ...] | None, env: Mapping[str, str]) -> tuple[str, ...] | None:
    return None if words is None else tuple(expanded(word, env) for word in words)


def fields_of(pod: str, address: str, labels: Mapping[str, str]) -> dict[str, str]:
    """The fields of a pod that a variable may have."""
    hosts = dict.fromkeys(("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"), address)
    return {
        "metadata.name": pod,
        "metadata.namespace": NAMESPACE,
        "metadata.uid": _uid(pod),
        "spec.nodeName": NODE,
        "spec.serviceAccountName": _ACCOUNT,
        **hosts,
        **{f"metadata.labels['{name}']": value for name, value in labels.items()},
    }


def _uid(pod: str) -> str:
    """The same for the same name, and no pod is made with the name of another."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, pod))


def full_name(pod: str) -> str:
    """As the kubelet names a pod in its messages."""
    return f"{pod}_{NAMESPACE}({_uid(pod)})"


def _amounts(template: PodTemplate, node: NodeRules) -> dict[tuple[str, str], int]:
    """The requests and limits of each container, as the API server keeps them; no limit is what the node has."""
    found: dict[tuple[str, str], int] = {}
    for one in template.containers:
        asked, limits = one.resources.requests, one.resources.limits
        cpus = node.allocatable_millicores or (os.cpu_count() or 1) * 1000
        memory = limits.memory if asked.memory is None else asked.memory
        cpu = limits.cpu if asked.cpu is None else asked.cpu
        found |= {
            (one.name, "limits.memory"): node.allocatable if limits.memory is None else limits.memory,
            (one.name, "limits.cpu"): cpus if limits.cpu is None else limits.cpu,
            (one.name, "requests.memory"): memory or 0,
            (one.name, "requests.cpu"): cpu or 0,
        }
    return found
