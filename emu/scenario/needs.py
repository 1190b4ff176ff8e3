"""What a scenario that fills disk, memory or swap needs of them, and what there is: said before it starts. Pure."""

from __future__ import annotations

from collections.abc import Collection
from math import ceil

from emu.messages import APP
from emu.scenario.capacity import OWN_BYTES, SIZED, file_bytes, swap_file_bytes
from emu.spec import NamedPodSpec, PhaseModel, PodSpec, ScenarioSpec
from emu.spec.limits import memory_limit, own_memory_limit
from emu.spec.request import WorkSpec
from emu.spec.values import LARGEST_BYTES
from emu.units import format_bytes

WORTH_A_WORD_BYTES = 24 * 2**20
_PIPE_BYTES, _STACK_BYTES, _DENTRY_BYTES = 64 * 1024, 16 * 1024, 500
_SOCKET_BYTES = 512 * 1024
"""The kernel doubles what a socket's buffer is set to, and a connection has two that are full."""
_NO_END = LARGEST_BYTES
"""Requests of a closed loop, and what they have an app keep: as many as there is room for."""


def needs(
    plays: Collection[ScenarioSpec], place: str, memory_bytes: int, swap_bytes: int, disk_bytes: int | None = None
) -> str | None:
    """In words, the largest of the plays; None for those that fill nothing. `memory_bytes` and `swap_bytes` are this
    host's; elsewhere the scenario says how large the machine is. `disk_bytes` is None where it is not known.
    """
    if place in SIZED:
        memory_bytes = min(spec.sandbox.memory for spec in plays)
        swap_bytes = min(spec.sandbox.swap for spec in plays)
    filled = max(sum(_asked(spec, name, pod) for name, pod in spec.each_pod.items()) for spec in plays)
    wanted = {
        "disk": max(file_bytes(spec) + swap_file_bytes(spec, place) for spec in plays),
        "memory": max(map(_memory_bytes, plays)) if filled else 0,
        "swap": max(map(_swap_bytes, plays)),
    }
    if max(min(filled, wanted["memory"]), wanted["disk"], wanted["swap"]) < WORTH_A_WORD_BYTES:
        return None
    there = {"disk": disk_bytes, "memory": memory_bytes, "swap": swap_bytes}
    wanted = {what: (there[what] or 0) if size > _NO_END // 2 else size for what, size in wanted.items()}
    parts = [f"{format_bytes(size)} of {what}" for what, size in wanted.items() if size]
    has = [f"{format_bytes(size)} of {what}" for what in wanted if wanted[what] and (size := there[what]) is not None]
    who = f"the {SIZED[place]}" if place in SIZED else "this machine"
    return f"needs up to {', '.join(parts)}" + (f"; {who} has {', '.join(has)}" if has else "")


def _swap_bytes(spec: ScenarioSpec) -> int:
    """Up to its memory.swap.max, or of a container that may swap without one: what its limit leaves no room for, and
    all that it holds where it has none and the node becomes full.
    """
    total, node = 0, spec.node.kubepods_max
    full = node is not None and _all_held(spec) > node
    for name, pod in spec.each_pod.items():
        for label, one in pod.containers.items():
            most, limit = one.memory.swap_max, memory_limit(pod, label)
            if isinstance(most, int):
                total += most
            elif spec.may_swap(one) and (full or limit is not None):
                total += max(0, _held(spec, name, pod, label, cache=False) - (limit or 0))
    return total


def _memory_bytes(spec: ScenarioSpec) -> int:
    """What its pods hold when all hold most, each container up to its limit and all up to the node's. Of pods that an
    autoscaler may multiply the node's alone is known.
    """
    node = spec.node.kubepods_max
    if any(pod.autoscaling is not None for pod in spec.each_pod.values()):
        return node or 0
    return _all_held(spec) if node is None else min(_all_held(spec), node)


def _all_held(spec: ScenarioSpec) -> int:
    return sum(
        min(
            sum(
                min(_held(spec, name, pod, label), memory_limit(pod, label) or LARGEST_BYTES)
                for label in pod.containers
            ),
            own_memory_limit(pod) or LARGEST_BYTES,
        )
        for name, pod in spec.each_pod.items()
    )


def _held(spec: ScenarioSpec, name: str, pod: PodSpec, container: str, *, cache: bool = True) -> int:
    return OWN_BYTES + (_asked(spec, name, pod, cache=cache) if container == _serving(pod) else 0)


def _serving(pod: PodSpec) -> str:
    return pod.serving if isinstance(pod, NamedPodSpec) else APP


def _asked(spec: ScenarioSpec, name: str, pod: PodSpec, *, cache: bool = True) -> int:
    """What requests have a pod's app take: files, each once and in one pod; memory that it keeps, added up; of the
    rest the most at a time, as long as none has to wait. `cache`: with files, whose pages never go to swap.
    """
    holder, kept, most = spec.holder_of_files(name), 0, 0
    sizes = {one.name: one.size for one in spec.each_pod[holder].own_files}
    files: dict[str, int] = {}
    for phase in spec.load.phases:
        do = phase.request.do
        if do is None or spec.asked_pod(phase) != name:
            continue
        if do.read_file and _payer(spec, holder, do.read_file) == name:
            files[do.read_file] = max(files.get(do.read_file, 0), sizes.get(do.read_file, 0))
        if do.write_file:
            files[do.write_file] = max(files.get(do.write_file, 0), do.write_bytes)
        kernel = do.page_tables + do.sockets * _SOCKET_BYTES
        kernel += do.pipes * _PIPE_BYTES + do.threads * _STACK_BYTES + do.dentries * _DENTRY_BYTES
        if do.hold_for is None:
            kept += (do.hold + kernel) * _requests(phase)
        else:
            most = max(most, (do.hold + kernel) * _at_a_time(phase, do))
    return (sum(files.values()) if cache else 0) + kept + most


def _payer(spec: ScenarioSpec, holder: str, file: str) -> str:
    """Which of the pods that read a file of `holder` is charged for all of it: the one with the most room, since a
    page is charged once.
    """
    asked = [(spec.asked_pod(one), one.request.do) for one in spec.load.phases]
    readers = [
        name for name, do in asked if do is not None and do.read_file == file and spec.holder_of_files(name) == holder
    ]
    return max(readers, key=lambda name: _limit(spec.each_pod[name]))


def _limit(pod: PodSpec) -> int:
    return memory_limit(pod, _serving(pod)) or LARGEST_BYTES


def _requests(phase: PhaseModel) -> int:
    """How many a phase sends by its plan."""
    if phase.type == "closed":
        planned = _NO_END
    elif phase.type == "burst":
        planned = phase.size * max(1, ceil(phase.rate * phase.duration))
    else:
        planned = ceil(_rate(phase) * phase.duration)
    return planned if phase.count is None else min(phase.count, planned)


def _at_a_time(phase: PhaseModel, do: WorkSpec) -> int:
    """For how many of them memory is held at once, where none waits for another."""
    lasts = do.cpu + do.sleep + (do.hold_for or 0.0)
    if phase.type == "closed":
        held = phase.clients
    elif phase.type == "burst":
        held = phase.size * (1 + int(phase.rate * lasts))
    else:
        held = phase.count or 1 + ceil(_rate(phase) * lasts)
    return min(held, _requests(phase))


def _rate(phase: PhaseModel) -> float:
    return max(phase.rate, phase.rate_to, *phase.rates, 0.0)
