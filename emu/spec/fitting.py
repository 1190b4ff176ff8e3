"""Whether the pods of a scenario fit on its node."""

from __future__ import annotations

from collections.abc import Mapping

from emu.policy.effective import CPU, MEMORY, Amounts, Init, Resources, effective
from emu.policy.scheduling import first_pending, refusal
from emu.spec.container import ContainerSpec
from emu.spec.limits import own_resources
from emu.spec.pod import PodSpec
from emu.spec.pod_resources import asked
from emu.spec.values import SpecError
from emu.units import format_bytes


def check(pods: Mapping[str, PodSpec], memory: int | None, allocatable: Amounts) -> None:
    """SpecError where the node has less than the pods request, or than the kernel must leave them: pods that start
    together are scheduled by priority. Those under an autoscaler may wait for room, but one must fit alone.
    """
    requests = {name: requests_of(pod) for name, pod in pods.items()}
    together = sorted(
        (name for name, pod in pods.items() if pod.autoscaling is None),
        key=lambda name: -pods[name].effective_priority,
    )
    pending = first_pending(((name, requests[name]) for name in together), allocatable) or next(
        (
            (name, {}, said)
            for name, pod in pods.items()
            if pod.autoscaling is not None and (said := refusal(requests[name], {}, allocatable))
        ),
        None,
    )
    if pending is not None:
        name, taken, said = pending
        raise _does_not_fit(name, requests[name], taken, allocatable, said)
    minima = [one.memory.min for pod in pods.values() for one in pod.containers.values()]
    kept = sum(value for value in minima if isinstance(value, int))
    if memory is not None and kept > memory:
        raise SpecError(
            f"memory.min of all containers, {format_bytes(kept)}, is above the node's {format_bytes(memory)}",
            why="the kernel could reclaim nothing, and would kill at once",
            fix="lower memory.min, or raise node.memory",
            at=("node", "memory"),
        )


def _does_not_fit(name: str, asked: Amounts, taken: Amounts, allocatable: Amounts, said: str) -> SpecError:
    what = MEMORY if f"Insufficient {MEMORY}" in said else CPU
    beside = f", and those before it {_amount(what, taken[what])}" if taken.get(what) else ""
    of_cpu = "" if what == MEMORY else " of CPU"
    return SpecError(
        f"{f'the pod {name}' if name else 'the pod'} does not fit on a node with "
        f"{_amount(what, allocatable[what])}{of_cpu} for pods",
        why=f"it requests {_amount(what, asked[what])} of {'memory' if what == MEMORY else 'CPU'}{beside}; "
        f"Kubernetes' scheduler would leave it Pending: {said}",
        fix=f"raise node.{what}, or lower resources.requests.{what}; a limit without a request counts as one",
        at=("node", what),
    )


def _amount(what: str, value: int) -> str:
    return format_bytes(value) if what == MEMORY else f"{value}m"


def requests_of(pod: PodSpec) -> Amounts:
    """A pod's effective requests."""
    inits = {one.name: one for one in pod.init_containers}
    return effective(
        [_asked(one) for name, one in pod.containers.items() if name not in inits],
        [Init(_asked(one), one.is_sidecar) for one in inits.values()],
        pod_level=None if (own := own_resources(pod)) is None else asked(own),
    ).requests


def _asked(one: ContainerSpec) -> Resources:
    return asked(one.resources)
