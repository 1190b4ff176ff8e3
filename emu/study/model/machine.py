"""Where a run was: the machine, its memory through time, and its kernel's log."""

from __future__ import annotations

from dataclasses import dataclass, field

from emu.record.events.run import BOTH
from emu.study.model.timeline import Column

ZRAM = "zram"
"""How the kernel names block devices that are compressed memory."""


@dataclass(frozen=True)
class Machine:
    """Where it ran. `devices` maps `98:0` to its name and role (`docker`, `process`, `swap`, `files and swap` or
    `other`).
    """

    kernel: str | None = None
    accelerator: str | None = None
    """What runs a virtual machine: `kvm`, or `tcg` for one that is emulated; None elsewhere."""
    cgroup_driver: str | None = None
    docker: str | None = None
    """Docker's version; None where no engine ran the pod."""
    runtime: str | None = None
    """What ran the pod's containers: `docker` or `process`."""
    cpus: int | None = None
    memory_bytes: int | None = None
    swap_bytes: int | None = None
    psi: bool | None = None
    kubernetes: str | None = None
    """The version whose rules made control files of requests and limits."""
    io_max: tuple[str, ...] = ()
    """The node's lines of io.max, for all pods together."""
    io_weights: dict[str, int] = field(default_factory=dict)
    """io.weight of each pod of the scenario; empty where the disk is not shared by it."""
    page_bytes: int = 4096
    devices: dict[str, Device] = field(default_factory=dict)

    @property
    def swaps_to(self) -> str | None:
        """`zram` where all of it is compressed memory, else `disk`; None without swap, and where it is not known."""
        names = [device.name for device in self.devices.values() if device.is_swap or device.is_both]
        if not names:
            return None
        return ZRAM if all(name.startswith(ZRAM) for name in names) else "disk"


@dataclass(frozen=True)
class Device:
    """A block device of io.stat."""

    number: str
    name: str
    role: str

    @property
    def is_swap(self) -> bool:
        """Whether pages are swapped to it."""
        return self.role == "swap"

    @property
    def is_both(self) -> bool:
        """Whether pages are swapped to it, and files are on it too."""
        return self.role == BOTH


@dataclass
class HostTimeline:
    """The machine's memory through time (/proc/meminfo); for the sandbox, its kernel's."""

    t: list[float] = field(default_factory=list)
    total: Column = field(default_factory=list)
    available: Column = field(default_factory=list)
    free: Column = field(default_factory=list)
    page_cache: Column = field(default_factory=list)
    anon: Column = field(default_factory=list)
    swap_used: Column = field(default_factory=list)
    swap_total: Column = field(default_factory=list)
    reclaim_stalls: Column = field(default_factory=list)
    """/proc/vmstat, allocstall: how often an allocation found no free memory and had to reclaim first. Counter of the
    machine, since it booted; reclaim within a cgroup's own limit is not counted.
    """
    zram_stored: Column = field(default_factory=list)
    """The size of all pages on zram devices that the machine swaps to. None where it swaps to none."""
    zram: Column = field(default_factory=list)
    """What they take in memory: compressed, and with what the allocator adds."""


@dataclass(frozen=True)
class KernelLine:
    """A line of the kernel's log. Both stamps are kept: the kernel's own, and when it was read."""

    t: float
    """The kernel's stamp on the run's clock."""
    kernel_us: int
    """Microseconds since boot, by printk's clock."""
    read_s: float | None
    level: int
    """0 emergency … 3 error, 4 warning, 6 info, 7 debug."""
    text: str
    sequence: int | None = None
    oom: bool = False
    """Part of an OOM block."""
