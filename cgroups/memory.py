"""What the memory controller's files say, typed (cgroup-v2.rst, "Memory Interface Files").

memory.stat is kept by key, for kernels add keys and drop them: a property of a key that this kernel lacks is `None`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import overload

from cgroups.values import Limit


class StatKey:
    """A key of memory.stat as a property: the number, or `None` where this kernel has no such key."""

    def __init__(self, key: str, doc: str) -> None:
        self.key = key
        self.__doc__ = doc

    @overload
    def __get__(self, instance: None, owner: type) -> StatKey: ...
    @overload
    def __get__(self, instance: MemoryStat, owner: type) -> int | None: ...
    def __get__(self, instance: MemoryStat | None, owner: type) -> StatKey | int | None:
        return self if instance is None else instance.values.get(self.key)


@dataclass(frozen=True, slots=True)
class MemoryStat:
    """memory.stat of a cgroup and its descendants: bytes, but for the counts of pages and events named below.

    `values` holds every key as the kernel gave it; use it (or `get`) for keys that have no property here.
    """

    values: Mapping[str, int]

    anon = StatKey("anon", "Bytes of private anonymous memory.")
    file = StatKey("file", "Bytes of page cache; tmpfs and shared anonymous memory are in it too.")
    shmem = StatKey("shmem", "Bytes of swap-backed cache: tmpfs, shared anonymous mappings. A part of `file`.")
    kernel = StatKey("kernel", "Bytes of kernel memory, all kinds (since 5.18).")
    kernel_stack = StatKey("kernel_stack", "Bytes of kernel stacks.")
    pagetables = StatKey("pagetables", "Bytes of page tables.")
    percpu = StatKey("percpu", "Bytes of per-CPU kernel structures.")
    sock = StatKey("sock", "Bytes of network buffers.")
    slab = StatKey("slab", "Bytes of kernel data structures.")
    zswap = StatKey("zswap", "Bytes that the compressed swap cache takes.")
    zswapped = StatKey("zswapped", "Bytes of application memory that went into zswap.")
    zswpin = StatKey("zswpin", "Pages read back from zswap: a count.")
    zswpout = StatKey("zswpout", "Pages compressed into zswap: a count.")
    zswpwb = StatKey("zswpwb", "Pages that zswap wrote to swap (since 6.8): a count.")
    swapcached = StatKey("swapcached", "Bytes in memory and in swap at once; counted in memory and in swap.")
    file_mapped = StatKey("file_mapped", "Bytes of cache that are mapped into processes.")
    file_dirty = StatKey("file_dirty", "Bytes of cache changed and not yet queued for writing.")
    file_writeback = StatKey("file_writeback", "Bytes of cache being written now.")
    inactive_anon = StatKey("inactive_anon", "Bytes on the inactive anonymous list; shmem is there too.")
    active_anon = StatKey("active_anon", "Bytes on the active anonymous list; shmem is there too.")
    inactive_file = StatKey("inactive_file", "Bytes on the inactive file list: what reclaim takes first.")
    active_file = StatKey("active_file", "Bytes on the active file list.")
    unevictable = StatKey("unevictable", "Bytes that cannot be reclaimed.")
    workingset_refault_anon = StatKey("workingset_refault_anon", "Pages swapped out and soon wanted again: a count.")
    workingset_refault_file = StatKey("workingset_refault_file", "Cache pages evicted and soon read again: a count.")
    workingset_activate_file = StatKey(
        "workingset_activate_file", "Refaulted cache pages made active at once: a count."
    )
    pgfault = StatKey("pgfault", "Page faults: a count.")
    pgmajfault = StatKey("pgmajfault", "Page faults that had to wait for a device: a count.")
    pgscan = StatKey("pgscan", "Pages that reclaim looked at: a count.")
    pgsteal = StatKey("pgsteal", "Pages that reclaim freed: a count.")
    pgscan_direct = StatKey("pgscan_direct", "Pages looked at by a task that needed memory itself: a count.")
    pgsteal_direct = StatKey("pgsteal_direct", "Pages freed by a task that needed memory itself: a count.")
    pgrefill = StatKey("pgrefill", "Active pages that reclaim looked at: a count.")
    pswpin = StatKey("pswpin", "Pages read from swap: a count (newer kernels).")
    pswpout = StatKey("pswpout", "Pages written to swap: a count (newer kernels).")

    def get(self, key: str) -> int | None:
        """The number of a key, or `None` where this kernel has no such key."""
        return self.values.get(key)

    @property
    def page_cache(self) -> int | None:
        """Bytes of cached file content proper: `file` without `shmem`. `None` where either is not reported."""
        file, shmem = self.values.get("file"), self.values.get("shmem")
        return None if file is None or shmem is None else file - shmem


@dataclass(frozen=True, slots=True)
class MemoryEvents:
    """memory.events (of the cgroup and its descendants) or memory.events.local (of this level alone): counts.

    `oom` rises where the limit was hit, `oom_kill` where the victim lived. A global OOM raises only `oom_kill`. With
    memory.oom.group the first victim is counted twice in `oom_kill`. `None`: this kernel has no such key.
    """

    low: int | None = None
    high: int | None = None
    max: int | None = None
    oom: int | None = None
    oom_kill: int | None = None
    oom_group_kill: int | None = None
    sock_throttled: int | None = None

    def since(self, before: MemoryEvents) -> MemoryEvents:
        """How much each count rose. A count that either side lacks stays `None`."""
        return MemoryEvents(**_risen(self, before))


@dataclass(frozen=True, slots=True)
class SwapEvents:
    """memory.swap.events: `max` allocations that hit swap.max, `fail` that found no room in swap at all: counts."""

    high: int | None = None
    max: int | None = None
    fail: int | None = None

    def since(self, before: SwapEvents) -> SwapEvents:
        """How much each count rose. A count that either side lacks stays `None`."""
        return SwapEvents(**_risen(self, before))


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Every limit and protection of a cgroup's memory, in bytes; `NO_LIMIT` for "max", `None` for no such file."""

    max: Limit | None
    high: Limit | None
    low: Limit | None
    min: Limit | None
    swap_max: Limit | None
    swap_high: Limit | None
    oom_group: bool | None


def _risen(after: MemoryEvents | SwapEvents, before: MemoryEvents | SwapEvents) -> dict[str, int | None]:
    risen = {}
    for field in fields(after):
        new, old = getattr(after, field.name), getattr(before, field.name)
        risen[field.name] = None if new is None or old is None else new - old
    return risen
