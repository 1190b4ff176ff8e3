"""Events of the kernel: cgroups that came and went, their counters, and its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from emu.record.events.base import Event, OfCgroup


@dataclass(frozen=True, kw_only=True)
class CgroupSeen(OfCgroup):
    """The recorder found a cgroup and began to read its files."""

    kind: ClassVar[str] = "cgroup-seen"


@dataclass(frozen=True, kw_only=True)
class CgroupGone(OfCgroup):
    """A cgroup was removed (its last process ended)."""

    kind: ClassVar[str] = "cgroup-gone"


@dataclass(frozen=True, kw_only=True)
class MemoryEventsRose(OfCgroup):
    """memory.events or memory.events.local of a cgroup changed. `oom` rises where the limit was hit, `oom_kill`
    where the victim died; memory.events counts descendants too, memory.events.local only its own level.
    """

    kind: ClassVar[str] = "memory-events"
    local: bool
    delta: dict[str, int]
    values: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class OomKillLogged(Event):
    """The kernel logged a kill. `log` holds the fields by the kernel's own names (cgroups.oom.OomKill)."""

    kind: ClassVar[str] = "oom-kill-logged"
    kernel_us: int
    """The kernel's stamp: microseconds since boot, printk's clock."""
    log: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class KernelLogGap(Event):
    """Records of /dev/kmsg were overwritten before they could be read."""

    kind: ClassVar[str] = "kmsg-gap"
    lost: int | None
    """How many records; None where the kernel did not say."""
