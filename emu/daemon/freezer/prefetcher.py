"""Reads back what a container will touch, just before it is thawed; remembers for each what its last wake touched.

What it remembers is lost with the daemon, and costs no more than a first wake again. All of it blocks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from emu.daemon.freezer import prefetch
from emu.daemon.freezer.pods import Target
from emu.errors import EmuError
from emu.policy.prefetching import NEEDS_RECLAIM, NONE, Area, learn, plan, read_prefetch, total


@dataclass(frozen=True)
class Prefetched:
    """Memory that was read back of a container before a thaw. Bytes and seconds."""

    swapped_bytes: int
    known_bytes: int | None
    """Of what is swapped, what the wake before touched; None: none was seen yet."""
    prefetched_bytes: int
    took_s: float
    """Until the kernel had taken all of it on; it reads on while the container runs."""
    why: str


@dataclass
class _Memory:
    """Of one container: what is in swap since it was reclaimed, and what a wake is known to touch."""

    swapped: list[Area] | None = None
    touched: tuple[Area, ...] | None = None
    awake: bool = False


class Prefetcher:
    """For all containers; `wanted` as `policy.prefetching.read_prefetch` has it. OSError where the kernel refuses."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._of: dict[str, _Memory] = {}

    def paused(self, target: Target) -> int | None:
        """It is frozen: what of its swapped memory is mapped by now was touched since the last thaw. Bytes; None
        where it was not read back since the last look.
        """
        memory = self._of.setdefault(target.id, _Memory())
        if memory.awake and memory.swapped is not None:
            memory.touched = learn(memory.touched, memory.swapped, prefetch.mapped(memory.swapped))
            memory.swapped = None
            memory.awake = False
            return total(memory.touched)
        memory.awake = False
        return None

    def reclaimed(self, target: Target) -> int:
        """It was asked for memory: see how much is in swap now. Bytes."""
        areas = prefetch.swapped(target.cgroup)
        self._of.setdefault(target.id, _Memory()).swapped = areas
        return total(areas)

    def fetch(self, target: Target) -> Prefetched | None:
        """Have read back what is to be, before the thaw; None where nothing of it is known to be in swap."""
        memory = self._of.get(target.id)
        if memory is None or memory.awake or not memory.swapped:
            return None
        memory.awake = True
        began = time.monotonic()
        made = plan(self._wanted, memory.swapped, memory.touched, prefetch.room_bytes(target.cgroup))
        begun = prefetch.read_back(made.areas)
        return Prefetched(made.swapped_bytes, made.known_bytes, begun, time.monotonic() - began, made.why)

    def keep(self, ids: Iterable[str]) -> None:
        """Forget all containers but these."""
        for gone in self._of.keys() - set(ids):
            del self._of[gone]


def made_prefetcher(wanted: str, *, reclaims: bool) -> Prefetcher | None:
    """As `--prefetch` has it; None for `none`. EmuError where it makes no sense."""
    try:
        what = read_prefetch(wanted)
    except ValueError as wrong:
        raise EmuError(
            f"{wanted!r} is not a valid --prefetch value",
            str(wrong),
            "write --prefetch touched, or an amount such as 25%",
        ) from wrong
    if what == NONE:
        return None
    if not reclaims:
        raise EmuError(
            "there is no reclaimed memory to prefetch", NEEDS_RECLAIM, "add --reclaim, or remove --prefetch"
        )
    return Prefetcher(what)
