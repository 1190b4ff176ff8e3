"""A cgroup through time."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from emu.record.events import Owner

Column = list[int | None]
"""A value for each `t` of its timeline; None where it was not measured."""


@dataclass
class IoColumns:
    """Bytes that went through one block device, a counter for each `t`."""

    read_bytes: Column = field(default_factory=list)
    write_bytes: Column = field(default_factory=list)


@dataclass
class Timeline:
    """A cgroup through time: columns of the same length as `t`, ready to be drawn (None is a gap)."""

    owner: Owner
    t: list[float] = field(default_factory=list)
    """When each sample was begun: no file of it was read before."""
    until: list[float] = field(default_factory=list)
    """When each had been read, file by file; empty where that is not recorded."""
    memory_current: Column = field(default_factory=list)
    memory_max: Column = field(default_factory=list)
    """None also where there is no limit."""
    memory_high: Column = field(default_factory=list)
    """None also where there is none."""
    memory_low: Column = field(default_factory=list)
    """What reclaim spares as long as there is other memory. None also where it was not read."""
    memory_min: Column = field(default_factory=list)
    """What reclaim never takes; likewise."""
    swap_max: Column = field(default_factory=list)
    """memory.swap.max; None also where there is no limit."""
    swap_high: Column = field(default_factory=list)
    anon: Column = field(default_factory=list)
    page_cache: Column = field(default_factory=list)
    """`file` without `shmem`: what the kernel can drop or write back."""
    shmem: Column = field(default_factory=list)
    kernel: Column = field(default_factory=list)
    slab_reclaimable: Column = field(default_factory=list)
    """Of `kernel`: dentries, inodes and the like, which the kernel gives up when memory is short."""
    kernel_unreclaimable: Column = field(default_factory=list)
    """The rest of `kernel`: it goes only with what it is held for (threads, mappings, open files). Of it, the next
    five.
    """
    slab_unreclaimable: Column = field(default_factory=list)
    kernel_stack: Column = field(default_factory=list)
    pagetables: Column = field(default_factory=list)
    percpu: Column = field(default_factory=list)
    kernel_other: Column = field(default_factory=list)
    """What memory.stat has no name for: buffers of pipes, mostly."""
    sock: Column = field(default_factory=list)
    swap: Column = field(default_factory=list)
    """memory.swap.current."""
    swapped_in: Column = field(default_factory=list)
    """pswpin: pages read from a swap device or file. Counter, in pages, as is the next one. None on older kernels."""
    swapped_out: Column = field(default_factory=list)
    """pswpout: pages written to one."""
    zswap: Column = field(default_factory=list)
    """Compressed pages in memory on their way to swap: a part of memory.current and of `kernel`. None where the
    kernel has no zswap.
    """
    zswapped: Column = field(default_factory=list)
    """The size of these pages before that: a part of `swap`."""
    zswap_in: Column = field(default_factory=list)
    """zswpin: pages brought back from there. Counter, in pages, as are the next two."""
    zswap_out: Column = field(default_factory=list)
    zswap_written: Column = field(default_factory=list)
    """zswpwb: pages that went from there to a swap device. None before Linux 6.8."""
    working_set: Column = field(default_factory=list)
    """memory.current - inactive_file: what `kubectl top` and `docker stats` show."""
    inactive_file: Column = field(default_factory=list)
    """Page cache that was read once, or not for long: the first to be dropped, and no part of the working set."""
    active_file: Column = field(default_factory=list)
    """Page cache that was read again: dropped only after the former, and part of the working set."""
    dirty: Column = field(default_factory=list)
    """file_dirty + file_writeback, less `swap_writeback`: page cache that must be written before it can go."""
    swap_writeback: Column = field(default_factory=list)
    """Of file_writeback what may be pages on their way to swap, which the kernel counts there too: as much of it as
    the swap cache holds.
    """
    refaults: Column = field(default_factory=list)
    """workingset_refault_file: pages of files read again after they were dropped. Counter, in pages."""
    refaults_anon: Column = field(default_factory=list)
    """workingset_refault_anon: pages brought back from swap. Counter, in pages."""
    pgfault: Column = field(default_factory=list)
    """Page faults of all kinds: a page that is touched for the first time is one. Counter."""
    pgmajfault: Column = field(default_factory=list)
    scanned: Column = field(default_factory=list)
    """pgscan: pages that reclaim looked at. Counter, in pages."""
    reclaimed: Column = field(default_factory=list)
    """pgsteal: pages that reclaim took. Counter, in pages."""
    cpu_usec: Column = field(default_factory=list)
    cpu_system_usec: Column = field(default_factory=list)
    """Of it, in the kernel."""
    throttled_usec: Column = field(default_factory=list)
    """cpu.stat: how long its tasks together were kept from running by cpu.max. Counter."""
    psi_some_usec: Column = field(default_factory=list)
    """memory.pressure, total stall of at least one task. Counter; None on kernels without PSI."""
    psi_full_usec: Column = field(default_factory=list)
    io_some_usec: Column = field(default_factory=list)
    """io.pressure, likewise."""
    io_full_usec: Column = field(default_factory=list)
    frozen: Column = field(default_factory=list)
    """1 while cgroup.events says frozen."""
    processes: Column = field(default_factory=list)
    backlog: Column = field(default_factory=list)
    """Of the pod alone: connections at queue-proxy's port that wait to be accepted."""
    events: dict[str, Column] = field(default_factory=dict)
    """memory.events.local: low, high, max, oom, oom_kill, oom_group_kill of this level alone."""
    events_all: dict[str, Column] = field(default_factory=dict)
    """memory.events: this level and all below it."""
    swap_events: dict[str, Column] = field(default_factory=dict)
    """memory.swap.events: `high`, `max` (its memory.swap.max was reached), `fail` (no swap was to be had: its own
    limit, or the machine's swap was full). Counters.
    """
    io: dict[str, IoColumns] = field(default_factory=dict)
    """By device number (`98:0`); empty where io.stat was absent or named no device."""
    has_io: bool = False
    """io.stat could be read, so that no device means no bytes."""
    memory_peak: int | None = None
    """The last memory.peak (the kernel's own), or the largest memory.current where that is larger: memory.peak is
    read less often, so a recorder that was killed may have seen a later rise, and some kernels have none.
    """

    @property
    def label(self) -> str:
        """Whose it is: `pod`, `queue-proxy`, `app`, `sandbox`."""
        return self.owner.label

    @property
    def known(self) -> list[float]:
        """By when each sample had surely been read. In older runs that is when the next one was begun."""
        return self.until or [*self.t[1:], *self.t[-1:]]

    def plain_columns(self) -> dict[str, Column]:
        """Every column that is a plain list, by its name."""
        lists = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name not in ("t", "until")}
        return {name: value for name, value in lists.items() if isinstance(value, list)}


@dataclass(frozen=True)
class MemoryMark:
    """memory.events or memory.events.local rose."""

    t: float
    owner: Owner
    local: bool
    delta: dict[str, int]
    values: dict[str, int]

    @property
    def label(self) -> str:
        """Whose it is: `pod`, `queue-proxy`, `app`, `sandbox`."""
        return self.owner.label
