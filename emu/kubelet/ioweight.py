"""io.weight: pods share the disk by it while the kernel's io.cost is on for that disk, which is the whole machine's.

io.cost takes a disk to have a speed (io.cost.model) and lets through as much as that, each cgroup its part. On a
machine that is the run's own it is turned on for the run; on somebody's it has to be on (cgroup-v2.rst, "IO Interface
Files").
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cgroups import files
from cgroups.errors import CgroupError
from emu.errors import EmuError
from emu.spec import IoCostSpec, ScenarioSpec

QOS, MODEL, WEIGHT = "io.cost.qos", "io.cost.model", "io.weight"
DEFAULT = 100
"""io.weight of a cgroup by default."""
_PAGE = 4096
_VM = "run it in the virtual machine (--on vm), or remove `io.weight` and `io.cost`"
_PINNED = "rpct=0 rlat=50000 wpct=0 wlat=50000 min=100.00 max=100.00"
"""The disk is as fast as its model says, whatever it takes; a period is twice the latency, 100 ms."""


def asked(spec: ScenarioSpec) -> bool:
    """Whether a scenario shares the disk by weight."""
    return spec.node.io.cost is not None or any(pod.io.weight is not None for pod in spec.each_pod.values())


def weights(spec: ScenarioSpec) -> dict[str, int]:
    """io.weight of each pod, by its name in the scenario."""
    given = {name: pod.io.weight for name, pod in spec.each_pod.items()}
    return {name: DEFAULT if weight is None else weight for name, weight in given.items()}


def lines(disk: str, cost: IoCostSpec | None) -> tuple[str, str | None]:
    """What io.cost.qos and io.cost.model get; None: the kernel's own model. Bytes alone cost something."""
    if cost is None:
        return f"{disk} enable=1 ctrl=auto", None
    read, write = cost.rbps, cost.wbps or cost.rbps
    many = {name: max(1, bps // _PAGE) for name, bps in (("r", read), ("w", write))}
    model = " ".join(
        f"{name}bps={bps} {name}seqiops={many[name]} {name}randiops={many[name]}"
        for name, bps in (("r", read), ("w", write))
    )
    return f"{disk} enable=1 ctrl=user {_PINNED}", f"{disk} ctrl=user model=linear {model}"


def is_on(root: Path, disk: str) -> bool:
    """Whether the disk is shared by weight."""
    with suppress(CgroupError):
        return any(line.split()[:2] == [disk, "enable=1"] for line in files.read(root / QOS).splitlines())
    return False


@dataclass(frozen=True)
class Sharing:
    """How a disk is shared by weight: its lines of io.cost.qos and io.cost.model, as they are written."""

    qos: str
    model: str


def found(root: Path, disk: str) -> Sharing:
    """How it is shared now. A disk that has no line was never shared: it is off, and its model the kernel's own."""
    return Sharing(
        _line(root / QOS, disk) or f"{disk} enable=0 ctrl=auto", _line(root / MODEL, disk) or f"{disk} ctrl=auto"
    )


def _line(file: Path, disk: str) -> str | None:
    """Of a disk, as it can be written: where the kernel chose the values, they would make them the user's."""
    with suppress(CgroupError):
        for words in map(str.split, files.read(file).splitlines()):
            if words[:1] == [disk]:
                chosen = [one for one in words[1:] if one.startswith(("enable=", "ctrl="))]
                return " ".join((disk, *(chosen if "ctrl=auto" in chosen else words[1:])))
    return None


def switch_on(root: Path, disk: str, cost: IoCostSpec | None) -> None:
    """Have the disk shared by weight. EmuError."""
    qos, model = lines(disk, cost)
    try:
        files.write(root / QOS, qos)
        if model is not None:
            files.write(root / MODEL, model)
    except CgroupError as error:
        raise EmuError("the disk cannot be shared by weight", error.why, _VM) from error


def share_again(root: Path, before: Sharing) -> None:
    """Have the disk shared as it was found. What has not changed is not written: a kernel that refused to share the
    disk would refuse that, too. EmuError.
    """
    disk = before.model.split()[0]
    try:
        if found(root, disk).qos != before.qos:
            files.write(root / QOS, before.qos)
        if found(root, disk).model != before.model:
            files.write(root / MODEL, before.model)
    except CgroupError as error:
        raise EmuError("the disk cannot be shared as it was before the run", error.why, _VM) from error


def check(spec: ScenarioSpec, disk: str | None, root: Path, run: Path, *, own_machine: bool) -> None:
    """EmuError where the disk cannot be shared as the scenario asks for. `root`: of the cgroups; `run`: the run's."""
    if not (run / WEIGHT).exists() or not (root / QOS).exists():
        raise EmuError(
            "io.weight cannot be set",
            "this kernel has none (CONFIG_BLK_CGROUP_IOCOST); `emu doctor` lists which place has it",
            _VM,
        )
    if disk is None:
        raise EmuError(
            "io.weight: the disk with the files cannot be shared",
            "the kernel shares whole block devices, and they are on none (tmpfs, btrfs or overlay)",
            _VM,
        )
    if own_machine or (spec.node.io.cost is None and is_on(root, disk)):
        return
    raise EmuError(
        "io.weight has no effect here" if spec.node.io.cost is None else "node.io.cost cannot be set here",
        f"{root / QOS} does not have `{disk} enable=1`, and emu changes no setting of a whole host"
        if spec.node.io.cost is None
        else f"{root / MODEL} is the whole machine's, and emu changes no setting of a whole host",
        _VM,
    )
