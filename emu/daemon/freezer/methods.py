"""How a container is frozen and thawed, and its memory reclaimed. All of it blocks.

Two ways. `docker`: the engine's pause and unpause, so that `docker ps` says Paused. `cgroup`: cgroup.freeze, written
here, which costs a fraction and which the engine does not know of. Either is done when cgroup.events says so.
"""

from __future__ import annotations

import errno
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cgroups import NO_LIMIT, freeze
from cgroups.errors import CgroupError, CgroupGone, DeadlineMissed, FileAbsent
from cgroups.group import Cgroup
from cgroups.waiting import wait_for_events
from emu.daemon.freezer.pods import Target
from emu.errors import EmuError
from emu.policy.reclaiming import STEP_BYTES, Held, SwapRoom, wanted_bytes, why_not_all
from emu.runtime.docker import Engine

FRUITLESS = 3
"""So many steps in a row that gave nothing back are the end: one may only have aged the pages that the next takes."""
DEADLINE_S = 5.0
"""How long the kernel may take to stop or start the last task."""


@dataclass(frozen=True)
class Took:
    """Seconds: of the engine's call (None: it was not asked), and until the kernel's word after that."""

    engine_s: float | None
    kernel_s: float


def is_live(target: Target) -> bool:
    """Whether the container has a process; False where its cgroup is gone. CgroupError where it cannot be read."""
    try:
        return Cgroup(target.cgroup).events().populated
    except (CgroupGone, FileAbsent):
        return False


def is_frozen(target: Target) -> bool:
    """Whether the kernel says that it is frozen; False where its cgroup is gone, or the kernel has no freezer.
    CgroupError where it cannot be read.
    """
    try:
        return Cgroup(target.cgroup).events().frozen is True
    except (CgroupGone, FileAbsent):
        return False


class Method(ABC):
    """A way to freeze and thaw. Both raise EmuError or CgroupError, and return once the kernel has confirmed it."""

    name: str

    @abstractmethod
    def freeze(self, target: Target) -> Took:
        """Stop every task of the container."""

    @abstractmethod
    def thaw(self, target: Target) -> Took:
        """Let the container run again, whichever way it was frozen."""

    def thaw_at_once(self, target: Target) -> Took | None:
        """The same if it takes no waiting, so that it needs no thread; None where `thaw` is to be called."""
        return None


class CgroupMethod(Method):
    """cgroup.freeze, written directly."""

    name = "cgroup"

    def freeze(self, target: Target) -> Took:
        """One write, and the kernel's word; a task that does not stop in time is let go again."""
        group = Cgroup(target.cgroup)
        try:
            return Took(None, freeze.freeze(group, DEADLINE_S))
        except DeadlineMissed:
            # The kernel keeps the request: without this it would freeze later, when nobody expects it.
            group.core.freeze = False
            raise

    def thaw(self, target: Target) -> Took:
        """One write, and the kernel's word."""
        return Took(None, freeze.thaw(Cgroup(target.cgroup), DEADLINE_S))

    def thaw_at_once(self, target: Target) -> Took | None:
        """One write, and a look."""
        took_s = freeze.thaw_at_once(Cgroup(target.cgroup))
        return None if took_s is None else Took(None, took_s)


class DockerMethod(Method):
    """The engine's own pause; what it says is checked with the kernel."""

    name = "docker"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def freeze(self, target: Target) -> Took:
        """One call, and the kernel's word."""
        began = time.monotonic()
        self._engine.pause(target.id)
        return self._confirmed(target, time.monotonic() - began, frozen=True)

    def thaw(self, target: Target) -> Took:
        """One call, and the kernel's word; what the engine did not pause itself is thawed without it."""
        began = time.monotonic()
        if not self._engine.unpause(target.id):
            return CgroupMethod().thaw(target)
        return self._confirmed(target, time.monotonic() - began, frozen=False)

    def _confirmed(self, target: Target, engine_s: float, *, frozen: bool) -> Took:
        began = time.monotonic()
        if not wait_for_events(target.cgroup, lambda events: events.frozen is frozen, DEADLINE_S):
            verb = "paused" if frozen else "resumed"
            raise DeadlineMissed(
                f"the engine says that {target.name} is {verb}, and the kernel does not",
                f"cgroup.events of {target.cgroup} says otherwise {DEADLINE_S:g} s later",
                "see what the engine's log says",
            )
        return Took(engine_s, time.monotonic() - began)


@dataclass(frozen=True)
class Reclaimed:
    """What came back of a container. Bytes and seconds; `why`: not all of it; empty where it did."""

    wanted_bytes: int
    before: Held
    after: Held
    took_s: float
    why: str
    cut_short: bool


def reclaim(target: Target, amount: str, stop: Callable[[], bool]) -> Reclaimed:
    """Ask the kernel for memory back, step by step, until it is there, no more comes, or `stop` says so.

    EmuError or CgroupError where the kernel has no memory.reclaim (before 5.19), or the container is gone.
    """
    group = Cgroup(target.cgroup)
    before = held(group)
    wanted = wanted_bytes(amount, before.current)
    began = time.monotonic()
    left = wanted
    fruitless = 0
    cut_short = False
    while left > 0 and fruitless < FRUITLESS:
        if stop():
            cut_short = True
            break
        step = min(left, STEP_BYTES)
        try:
            group.memory.reclaim = step
        except FileAbsent:
            raise
        except CgroupError as error:
            # EAGAIN: less was reclaimed than asked for, which `held` shows.
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise
        now_left = wanted - (before.current - held(group).current)
        fruitless = fruitless + 1 if now_left >= left else 0
        left = now_left
    after = held(group)
    why = why_not_all(wanted, before, after, swap_room(group), cut_short=cut_short)
    return Reclaimed(wanted, before, after, time.monotonic() - began, why, cut_short)


def held(group: Cgroup) -> Held:
    """What a container holds now. EmuError where its cgroup has no memory controller."""
    stat, current = group.memory.stat, group.memory.current
    if current is None:
        raise EmuError(
            f"cannot reclaim memory of {group.path}",
            "it has no memory.current: the memory controller is not enabled for it",
            "enable it in the parent's cgroup.subtree_control",
        )
    return Held(
        current,
        None if stat is None else stat.anon,
        None if stat is None else stat.page_cache,
        group.memory.swap_current,
    )


def swap_room(group: Cgroup) -> SwapRoom:
    """Where its anonymous memory could go; a kernel without memory.swap.max swaps no cgroup's."""
    sizes = {}
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024
    limit = group.memory.swap_max
    most = None if limit is NO_LIMIT else limit or 0
    return SwapRoom(sizes.get("SwapTotal", 0), sizes.get("SwapFree", 0), most)
