"""What a scenario asks for that no machine of this size has: reported before anything is started. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from emu.errors import EmuError
from emu.messages import APP
from emu.policy.effective import MEMORY, Init, Resources, effective
from emu.spec import ContainerSpec, NamedPodSpec, PodSpec, ScenarioSpec
from emu.spec.limits import memory_limit
from emu.spec.volumes import located
from emu.units import format_bytes

SANDBOX, VM = "sandbox", "vm"
SIZED = {SANDBOX: "sandbox", VM: "virtual machine"}
"""The places whose machine is as large as the scenario says."""
HOUR_BYTES = 18e6
WORTH_A_WORD_BYTES = 50e6
OWN_BYTES = 16 * 2**20
"""What emu's app needs beside what requests have it hold: 13 to 14 MiB, measured."""


def lacking(
    plays: dict[str, ScenarioSpec], place: str, memory_bytes: int, swap_bytes: int, disk_bytes: int | None = None
) -> Iterator[EmuError]:
    """What the machine has not for one of the scenarios that are to be played, by their names. `memory_bytes` and
    `swap_bytes` are this host's; elsewhere the scenario says how large the machine is. `disk_bytes`: what files
    may take there; None where that is not known beforehand.
    """
    for name, spec in plays.items():
        swap_file = swap_file_bytes(spec, place)
        files, what = file_bytes(spec) + swap_file, "files and its swap" if swap_file else "files"
        if disk_bytes is not None and files > disk_bytes:
            yield EmuError(
                f"{name}: its {what} take {format_bytes(files)} of disk, which is more than there is",
                f"there are {format_bytes(disk_bytes)} for them"
                + (f" in the {SIZED[place]}" if place in SIZED else ""),
                "make the files smaller (`files`, `writeBytes`), or free space on this host",
            )
        memory, swap = memory_bytes, swap_bytes
        if place in SIZED:
            memory, swap = spec.sandbox.memory, spec.sandbox.swap
            if "memory" in spec.sandbox.model_fields_set and memory > memory_bytes + swap_bytes:
                yield EmuError(
                    f"{name}: sandbox.memory of {format_bytes(memory)} is more than this host has",
                    f"it has {format_bytes(memory_bytes)}, and the {SIZED[place]}'s memory is a part of it",
                    "lower sandbox.memory",
                )
        node = memory if spec.node.memory is None else spec.node.memory
        if spec.node.evicts and (why := spec.node.refused(node)) is not None:
            fix = "lower node.evictionHard" + ("" if spec.node.eviction_hard else ", by default 100Mi,")
            fix += " or what is reserved" if spec.node.reserved_bytes else ""
            larger = "sandbox.memory" if place in SIZED else ""
            larger = larger if spec.node.memory is None else "node.memory"
            fix += f", or raise {larger}" if larger else ""
            yield EmuError(f"{name}: a kubelet would not start on a node of {format_bytes(node)}", why, fix)
        if spec.node.memory is not None and spec.node.memory > memory:
            yield EmuError(
                f"{name}: node.memory of {format_bytes(spec.node.memory)} is more than the machine has",
                f"it has {format_bytes(memory)}, and would run out first",
                f"lower node.memory, or {_larger(place)}",
            )
        for pod in spec.each_pod.values():
            for label, one in pod.containers.items():
                if one.memory.compresses and not spec.may_swap(one):
                    yield EmuError(
                        f"{name}: memory.zswapMax has no effect on {label}, which may not swap",
                        "zswap holds pages on their way to swap, and memory.swap.max counts them",
                        "add memory.swapMax, or remove memory.zswapMax and memory.zswapWriteback",
                    )
            yield from _of_pod(name, pod, memory, swap, place)
        yield from _of_work(name, spec, memory, swap, place)


def record_bytes(spec: ScenarioSpec) -> float:
    """About how large samples.raw.zst becomes, by the plan of the load: measured, 12 MB an hour where little
    happens and 24 to 39 MB in runs of less than a minute with OOM kills, for a pod of two containers that is
    looked at every 10 ms.
    """
    begin = end = 0.0
    for phase in spec.load.phases:
        begin = end if phase.start is None else phase.start
        end = max(end, begin + phase.duration)
    watched = sum(len(pod.containers) + 2 for pod in spec.each_pod.values())  # its own and the pause container's
    return HOUR_BYTES * (end + spec.load.settle) / 3600 * watched / 4 * 0.01 / spec.recorder.interval


def long_record(plays: Collection[ScenarioSpec]) -> str | None:
    """A word on the size of a record that is worth one before it is begun; None for others."""
    size = sum(map(record_bytes, plays))
    if size < WORTH_A_WORD_BYTES:
        return None
    return f"the record may grow to about {format_bytes(size)}; a longer recorder.interval makes it smaller"


def file_bytes(spec: ScenarioSpec) -> int:
    """What the files of a scenario take on the disk: those made for it, those that its app writes, and the filler of
    its image.
    """
    made = sum(file.size for pod in spec.each_pod.values() for file in pod.own_files)
    written: dict[tuple[str, str], int] = {}
    for phase in spec.load.phases:
        pod, do = spec.asked_pod(phase), phase.request.do
        if do is not None and do.write_file and not _in_memory(spec.each_pod.get(pod), do.write_file):
            file = (pod, do.write_file)
            written[file] = max(written.get(file, 0), do.write_bytes)
    filler = 0 if spec.starts is None else spec.starts.image.filler
    return made + sum(written.values()) + filler


def swap_file_bytes(spec: ScenarioSpec, place: str) -> int:
    """What a file takes on the disk that is made for it to swap to."""
    return spec.sandbox.swap if spec.node.swap_device == "file" and place in SIZED else 0


def _in_memory(pod: PodSpec | None, path: str) -> bool:
    """Whether a file is in a memory volume."""
    if pod is None:
        return False
    volumes = {one.name for one in pod.volumes if one.empty_dir is not None and one.empty_dir.in_memory}
    mounts = [mount for one in pod.containers.values() for mount in one.volume_mounts]
    found = located(path, mounts)
    return found is not None and found[0] in volumes


def _of_work(name: str, spec: ScenarioSpec, memory: int, swap: int, place: str) -> Iterator[EmuError]:
    """What requests ask the app to hold or read, where the machine runs out before a limit of the scenario does: then
    the machine answers the scenario's question, and not what the scenario set.
    """
    for phase in spec.load.phases:
        do, pod = phase.request.do, spec.each_pod.get(spec.asked_pod(phase))
        serving = pod.serving if isinstance(pod, NamedPodSpec) else APP
        app = None if pod is None else pod.containers.get(serving)
        if do is None or pod is None or app is None:
            continue
        limits = [one for one in (memory_limit(pod, serving), spec.node.kubepods_max) if one is not None]
        limit, swap_max = min(limits, default=None), app.memory.swap_max
        out = min(swap, swap_max) if isinstance(swap_max, int) else swap if spec.may_swap(app) else 0
        said = f"{name}: phase {phase.name} has the app hold {format_bytes(do.hold or 0)}"
        if limit is not None and isinstance(swap_max, int) and limit < (do.hold or 0) <= limit + swap_max:
            if do.hold + OWN_BYTES - limit > swap:
                yield EmuError(
                    f"{said}, which takes {format_bytes(do.hold - limit)} of swap beyond its limit",
                    f"{_has(place)} {format_bytes(swap)} of swap",
                    f"hold at most {(limit + swap - OWN_BYTES) >> 20}Mi"
                    + (", or raise sandbox.swap" if place in SIZED else ""),
                )
        elif limit is not None and memory <= limit and (do.hold or 0) > memory + out:
            yield EmuError(
                f"{said}, and the machine is full before its limit of {format_bytes(limit)}",
                f"{_has(place)} {format_bytes(memory)} of memory",
                f"hold less, or {_larger(place)}",
            )
        size = next((file.size for file in pod.own_files if file.name == do.read_file), 0)
        if limit is not None and memory < size <= limit and not do.read_bytes:
            yield EmuError(
                f"{name}: phase {phase.name} reads a file of {format_bytes(size)}, which fits its limit of "
                f"{format_bytes(limit)} and not the machine",
                f"{_has(place)} {format_bytes(memory)} of memory",
                f"make the file smaller, or {_larger(place)}",
            )


def _has(place: str) -> str:
    return f"the {SIZED[place]} has" if place in SIZED else "this machine has"


def _requests(container: ContainerSpec) -> Resources:
    return Resources({MEMORY: container.resources.requests.memory or 0})


def _larger(place: str) -> str:
    return "raise sandbox.memory" if place in SIZED else "run it on a larger machine"


def _of_pod(name: str, pod: PodSpec, memory: int, swap: int, place: str) -> Iterator[EmuError]:
    size = _larger(place)
    inits = {one.name: one for one in pod.init_containers}
    asked = effective(
        [_requests(one) for name, one in pod.containers.items() if name not in inits],
        [Init(_requests(one), one.is_sidecar) for one in inits.values()],
    ).requests.get(MEMORY, 0)
    if asked > memory:
        why = f"the machine has {format_bytes(memory)}; Kubernetes would leave the pod Pending"
        yield EmuError(
            f"{name}: the pod's memory requests, {format_bytes(asked)}, do not fit on the machine",
            why,
            f"lower them, or {size}",
        )
    for label in ("min", "low"):
        values = [getattr(one.memory, label) for one in pod.containers.values()]
        kept = sum(value for value in values if isinstance(value, int))
        if kept > memory:
            what = f"{name}: memory.{label} of the pod's containers is {format_bytes(kept)} in all"
            yield EmuError(what, f"the machine has {format_bytes(memory)}", f"lower it, or {size}")
    swapping = [label for label, one in pod.containers.items() if one.memory.swap_max not in (None, 0)]
    if swapping and not swap:
        yield EmuError(
            f"{name}: {', '.join(swapping)} may use swap, but there is none",
            "sandbox.swap is 0" if place in SIZED else "this machine has no swap",
            "raise sandbox.swap, or remove memory.swapMax"
            if place in SIZED
            else "run it in the sandbox (--on sandbox), or remove memory.swapMax",
        )
