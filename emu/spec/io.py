"""io.max of a container or of the node: how much may go to and from disk and swap in a second; io.weight of a pod."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from emu.spec.values import Bytes, Model, Whole

LEAST_BPS = 64 * 1024
"""A request to the disk is often larger than this, and would wait for more than a second."""
_Bps = Annotated[Bytes, Field(ge=LEAST_BPS)]
_Iops = Annotated[Whole, Field(ge=1, le=10**9)]


class IoRates(Model):
    """A line of io.max: what is not given has no limit."""

    rbps: _Bps | None = None
    """Bytes read per second, at least 64Ki."""
    wbps: _Bps | None = None
    """Bytes written per second, at least 64Ki."""
    riops: _Iops | None = None
    """Read requests per second."""
    wiops: _Iops | None = None
    """Write requests per second."""

    @property
    def given(self) -> dict[str, int]:
        """Those that are given, by the kernel's names."""
        rates = {"rbps": self.rbps, "wbps": self.wbps, "riops": self.riops, "wiops": self.wiops}
        return {name: rate for name, rate in rates.items() if rate is not None}


class IoMaxSpec(Model):
    """io.max has a line for each device; these are the devices that a run has."""

    disk: IoRates = IoRates()
    """The disk that has the files (`files`, `writeFile`) and the volumes that are not in memory."""
    swap: IoRates = IoRates()
    """Each swap device. A container whose pages cannot be swapped fast enough is OOM-killed though swap is free."""


class IoControls(Model):
    """The cgroup v2 io files, which a kubelet never sets."""

    max: IoMaxSpec = IoMaxSpec()
    """io.max: requests beyond a rate wait. The run is refused where the kernel or the disk has no such limit."""


class IoCostSpec(Model):
    """How fast the kernel takes the disk to be: that much is shared by weight, and no more is let through."""

    rbps: _Bps
    """Bytes read per second, at least 64Ki."""
    wbps: _Bps | None = None
    """Bytes written per second. Default: as `rbps`."""


class NodeIo(IoControls):
    """The cgroup v2 io files of the cgroup that all pods are in, and how the disk is shared below it."""

    cost: IoCostSpec | None = None
    """io.cost.model of the disk, for `io.weight` of pods: a disk of this speed, which they share by their weights.
    Not with `max.disk`, which would keep requests back before they are shared. Default: the kernel's own model.
    """


class PodIo(Model):
    """The io files of a pod's cgroup, which a kubelet never sets."""

    weight: Annotated[Whole, Field(ge=1, le=10000)] | None = None
    """io.weight: its share of the disk while other pods of its QoS class want it too; they have 100 by default, and
    so has each class as a whole beside the Guaranteed pods. A container's own would count only against containers of
    the same pod. The run is refused where the kernel has no io.weight or the disk is not shared by it (io.cost.qos),
    which the virtual machine (`--on vm`) turns on.
    """
