"""Events of the freezer daemon: what it paused and resumed, and what became of the memory meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emu.record.events.base import OfContainer, OfPod


@dataclass(frozen=True, kw_only=True)
class ContainerPaused(OfContainer):
    """The freezer daemon has paused it; `t` is when the kernel had confirmed it."""

    kind: ClassVar[str] = "container-paused"
    id: str
    method: str
    """`docker` or `cgroup`."""
    took_s: float
    """Since the daemon was asked."""
    engine_s: float | None
    """The engine's call alone; None where it was not asked."""
    kernel_s: float
    """From there to the kernel's word."""


@dataclass(frozen=True, kw_only=True)
class ContainerResumed(OfContainer):
    """The freezer daemon has let it run again; `t` is when the kernel had confirmed it."""

    kind: ClassVar[str] = "container-resumed"
    id: str
    method: str
    """`docker` or `cgroup`; `other` where somebody else was faster, as the engine is when it stops one."""
    took_s: float
    engine_s: float | None
    kernel_s: float


@dataclass(frozen=True, kw_only=True)
class FreezerFailed(OfPod):
    """The freezer daemon could not do what it was asked."""

    kind: ClassVar[str] = "freezer-failed"
    action: str
    """`pause`, `resume`, `reclaim` or `prefetch`."""
    container: str
    """Empty where it was none in particular."""
    why: str


@dataclass(frozen=True, kw_only=True)
class MemoryReclaimed(OfContainer):
    """Memory of a paused container was asked back. Bytes."""

    kind: ClassVar[str] = "memory-reclaimed"
    id: str
    wanted_bytes: int
    before: dict[str, int | None]
    """`current`, `anon`, `file` (page cache) and `swap` before."""
    after: dict[str, int | None]
    took_s: float
    why: str = ""
    """Why not all of it came back; empty where it did."""


@dataclass(frozen=True, kw_only=True)
class MemoryPrefetched(OfContainer):
    """Swapped memory of a paused container was read back ahead, just before it was resumed. Bytes."""

    kind: ClassVar[str] = "memory-prefetched"
    id: str
    swapped_bytes: int
    """What was in swap after the last reclaim."""
    known_bytes: int | None
    """Of it, what the wake before touched; None: none was seen yet."""
    prefetched_bytes: int
    took_s: float
    """Until the kernel had taken it on; it is in the resume's `took_s`."""
    why: str = ""
    """Why it was less than was wanted."""
