"""`node`, `sandbox` and `recorder` of a scenario: the machine of a run, and how often it is sampled."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emu.spec.io import NodeIo
from emu.spec.kubelet import KubeletSpec
from emu.spec.values import MIB, Bytes, Model, Seconds, SpecError


class NodeSpec(KubeletSpec):
    """The machine under the pod, and its kubelet."""

    image_cache: Literal["warm", "cold"] = "warm"
    """warm: the images' files are in the page cache, charged to no limit, as on a node where the same image ran
    before; cold: the containers read their executables from disk and are charged for the pages themselves.
    """

    swap_device: Literal["disk", "zram", "file"] = "disk"
    """What it swaps to. disk: what it has; in the sandbox and the virtual machine that is a disk of its own. zram:
    pages are compressed in memory, which no container is charged for. file: a file on the disk that has the pods'
    files, so that each waits for the other. The sandbox and the virtual machine get zram or a file in place of their
    swap disk, as large as `sandbox.swap`; a host has to have it.
    """

    io: NodeIo = NodeIo()
    """io.max of the cgroup that all pods are in: a slow disk, which they share."""

    @model_validator(mode="after")
    def _disk_has_one_speed(self) -> Self:
        if self.io.cost is not None and self.io.max.disk.given:
            raise SpecError(
                "the disk has a speed from both `io.cost` and `io.max.disk`",
                why="io.max keeps requests back in the order in which they come, before they are shared by weight",
                fix="keep one of them",
                at=("io", "cost"),
            )
        return self

    @model_validator(mode="after")
    def _kubelet_has_it(self) -> Self:
        self.check()
        return self


class SandboxSpec(Model):
    """The sandbox, or the virtual machine; it has no effect on a run on the host."""

    memory: Annotated[Bytes, Field(ge=512 * MIB)] = 3 * 1024 * MIB
    """The memory of the whole machine."""
    swap: Bytes = 2 * 1024 * MIB
    """The size of its swap device."""
    kernel: Literal["auto", "fetched", "distribution"] = "auto"
    """Which kernel the sandbox boots: the one that `emu sandbox kernel --fetch` got, or the distribution's. `auto` is
    the fetched one where there is one. The report names the kernel that a run was measured on.
    """


class RecorderSpec(Model):
    """How often to sample."""

    interval: Annotated[Seconds, Field(ge=0.001, le=10)] = 0.01
    """The time between two samples of every cgroup. It grows where that would cost more than a tenth of one CPU, to
    100 ms at most, and to 2 s with more than 40 cgroups.
    """
