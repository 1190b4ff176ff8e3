"""io.weight: pods share the disk by it while the kernel's io.cost is on for that disk, which is the whole machine's.

io.cost takes a disk to have a speed (io.cost.model) and lets through as much as that, each cgroup its part. On a
machine that is the run's own it is turned on for the run; on somebody's it has to be on (cgroup-v2.rst, "IO Interface
Files").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cgroups import files
from cgroups.errors import CgroupError
from emu.errors import EmuError
from emu.spec import IoCostSpec, ScenarioSpec

QOS, MODEL, WEIGHT = "io.cost.qos", "io.cost.model", "io.weight"
_PAGE = 4096
_VM = "run it in the virtual machine (--on vm), or remove `io.weight` and `io.cost`"
_PINNED = "rpct=0 rlat=50000 wpct=0 wlat=50000 min=100.00 max=100.00"
"""The disk is as fast as its model says, whatever it takes; a period is twice the latency, 100 ms."""


def asked(spec: ScenarioSpec) -> bool:
    """Whether a scenario shares the disk by weight."""
    return spec.node.io.cost is not None or any(pod.io.weight is not None for pod in spec.each_pod.values())


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


def _switch_on(root: Path, qos: str, model: str | None) -> None:
    try:
        files.write(root / QOS, qos)
        if model is not None:
            files.write(root / MODEL, model)
    except CgroupError as error:
        raise EmuError("the disk cannot be shared by weight", error.why, _VM) from error


def switch_off(root: Path, disk: str) -> None:
    """As before a run. CgroupError."""
    files.write(root / QOS, f"{disk} enable=0 ctrl=auto")
    files.write(root / MODEL, f"{disk} ctrl=auto")


@contextmanager
def shared(spec: ScenarioSpec, disk: str | None, root: Path, run: Path, *, own_machine: bool) -> Iterator[None]:
    """While it lasts the disk is shared as the scenario asks for. EmuError where it cannot be: nothing has started.
    `root`: the root of the cgroups; `run`: the run's cgroup.
    """
    if not asked(spec):
        yield
        return
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
    if not own_machine:
        if spec.node.io.cost is None and is_on(root, disk):
            yield
            return
        raise EmuError(
            "io.weight has no effect here" if spec.node.io.cost is None else "node.io.cost cannot be set here",
            f"{root / QOS} does not have `{disk} enable=1`, and emu changes no setting of a whole host"
            if spec.node.io.cost is None
            else f"{root / MODEL} is the whole machine's, and emu changes no setting of a whole host",
            _VM,
        )
    try:
        _switch_on(root, *lines(disk, spec.node.io.cost))
        yield
    finally:
        with suppress(CgroupError):  # the machine goes with the run
            switch_off(root, disk)
