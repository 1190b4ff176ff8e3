"""What a pod and its containers may use: of the pod itself, where it has resources of its own."""

from __future__ import annotations

from emu.spec.container import Resources
from emu.spec.pod import PodSpec
from emu.spec.pods import NamedPodSpec


def own_resources(pod: PodSpec) -> Resources | None:
    """Of the pod itself; a revision's pods have none."""
    return pod.resources if isinstance(pod, NamedPodSpec) else None


def own_memory_limit(pod: PodSpec) -> int | None:
    """Of the pod itself."""
    own = own_resources(pod)
    return None if own is None else own.limits.memory


def memory_limit(pod: PodSpec, container: str) -> int | None:
    """Of a container: its own, else the whole of the pod's."""
    limit = pod.containers[container].resources.limits.memory
    return own_memory_limit(pod) if limit is None else limit
