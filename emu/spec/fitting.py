"""Whether the pods of a scenario fit on its node together."""

from __future__ import annotations

from collections.abc import Mapping

from emu.policy.effective import MEMORY, Init, Resources, effective
from emu.policy.scheduling import first_pending
from emu.spec.container import ContainerSpec
from emu.spec.pod import PodSpec
from emu.spec.values import SpecError
from emu.units import format_bytes

_AT = ("node", "memory")


def check(pods: Mapping[str, PodSpec], memory: int, allocatable: int) -> None:
    """SpecError where the node's memory is less than the pods request, or than the kernel must leave them."""
    pending = first_pending(((name, memory_request(pod)) for name, pod in pods.items()), allocatable)
    if pending is not None:
        name, taken, said = pending
        who = f"the pod {name}" if name else "the pod"
        beside = f", and those before it {format_bytes(taken)}" if taken else ""
        raise SpecError(
            f"{who} does not fit on a node with {format_bytes(allocatable)} for pods",
            why=f"it requests {format_bytes(memory_request(pods[name]))} of memory{beside}; "
            f"Kubernetes' scheduler would leave it Pending: {said}",
            fix="raise node.memory, or lower resources.requests.memory; a limit without a request counts as one",
            at=_AT,
        )
    minima = [one.memory.min for pod in pods.values() for one in pod.containers.values()]
    kept = sum(value for value in minima if isinstance(value, int))
    if kept > memory:
        raise SpecError(
            f"memory.min of all containers, {format_bytes(kept)}, is above the node's {format_bytes(memory)}",
            why="the kernel could reclaim nothing, and would kill at once",
            fix="lower memory.min, or raise node.memory",
            at=_AT,
        )


def memory_request(pod: PodSpec) -> int:
    """A pod's effective memory request, in bytes."""
    inits = {one.name: one for one in pod.init_containers}
    return effective(
        [_asked(one) for name, one in pod.containers.items() if name not in inits],
        [Init(_asked(one), one.is_sidecar) for one in inits.values()],
    ).requests.get(MEMORY, 0)


def _asked(one: ContainerSpec) -> Resources:
    request, limit = one.resources.requests.memory, one.resources.limits.memory
    return Resources(
        {} if request is None else {MEMORY: request},
        {} if limit is None else {MEMORY: limit},
    )
