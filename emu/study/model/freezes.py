"""Freezes: which container was frozen, what it held meanwhile, and what it cost to wake it."""

from __future__ import annotations

from dataclasses import dataclass

from emu.record.events import Owner

DYING_S = 1.0
"""Reports of one death from different readers are so close together."""


@dataclass(frozen=True)
class FrozenMemory:
    """What a container held when it was frozen, when it was thawed again (or at the run's end), and when it was
    frozen the next time (or at the end). Bytes; None is not measured, or did not happen.
    """

    anon_before_bytes: int | None = None
    anon_frozen_bytes: int | None = None
    anon_after_bytes: int | None = None
    file_before_bytes: int | None = None
    file_frozen_bytes: int | None = None
    file_after_bytes: int | None = None
    swap_before_bytes: int | None = None
    swap_frozen_bytes: int | None = None
    swap_after_bytes: int | None = None
    reclaimed_bytes: int | None = None
    """What the kernel gave back of it while it was frozen; None: it was not asked for."""
    kept_why: str | None = None
    """Why not all that was asked for."""


@dataclass(frozen=True)
class Wake:
    """What it cost to wake, from the thaw to the next freeze or the end."""

    latency_ms: float | None = None
    """Of the request that waited for the thaw, to the end of its answer."""
    major_faults: int | None = None
    swap_in_bytes: int | None = None
    prefetched_bytes: int | None = None
    """Read back from swap ahead of the thaw; None: nothing was prefetched."""
    prefetch_ms: float | None = None
    """How long that held up the thaw; it is in `thaw_ms`."""
    prefetch_known_bytes: int | None = None
    """Of it, at most, what the wake before had touched; None: none was seen yet."""


@dataclass(frozen=True)
class Freeze:
    """A container was frozen. `thawed_at_s` is None if it still was at the end; the two costs are None unless
    someone measured them.
    """

    container: str
    attempt: int | None
    frozen_at_s: float
    thawed_at_s: float | None = None
    freeze_ms: float | None = None
    """From when the freezer daemon was asked to the kernel's word."""
    thaw_ms: float | None = None
    method: str | None = None
    """`docker` or `cgroup`; None where no freezer daemon reported it."""
    memory: FrozenMemory = FrozenMemory()
    wake: Wake = Wake()
    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""

    @property
    def owner(self) -> Owner:
        """Which container."""
        return Owner(self.pod, self.container, self.attempt)


def frozen_span(owner: Owner, frozen_at_s: float, thawed_at_s: float | None = None) -> Freeze:
    """A stretch in which an instance was frozen, of which no more is known."""
    return Freeze(owner.container, owner.attempt, frozen_at_s, thawed_at_s, pod=owner.pod)


@dataclass(frozen=True)
class FreezerUse:
    """What a freezer daemon did in a run. Milliseconds of those that succeeded, in order of time."""

    pause_ms: tuple[float, ...] = ()
    resume_ms: tuple[float, ...] = ()
    failed: tuple[str, ...] = ()
    """Why, each time."""
    served_frozen: int | None = None
    """Stretches in which queue-proxy forwarded requests while the daemon had the app frozen; None: not recorded."""
