"""How warm a start is, in which order starts are tried, and where the time of one went.

From Knative's four temperatures (KnativeCon EU 2022, "How Fast is FaaS?": cold, warm disk, warm memory, warm CPU) to
seven, for a container may be made and not started, the image's files may be in the page cache or not, and what is
frozen may have been reclaimed to swap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Temperature = Literal["cold", "warm-disk", "warm-page-cache", "created", "warm-swap", "warm-memory", "warm-cpu"]
COLD: Final = "cold"
"""The app's image is not on the node."""
WARM_DISK: Final = "warm-disk"
"""It is, on the disk alone."""
WARM_PAGE_CACHE: Final = "warm-page-cache"
"""Its files are in the page cache."""
CREATED: Final = "created"
"""The containers are made, not started."""
WARM_SWAP: Final = "warm-swap"
"""The app is frozen, and its memory reclaimed."""
WARM_MEMORY: Final = "warm-memory"
"""It is frozen."""
WARM_CPU: Final = "warm-cpu"
"""It runs."""
TEMPERATURES: tuple[Temperature, ...] = (
    COLD, WARM_DISK, WARM_PAGE_CACHE, CREATED, WARM_SWAP, WARM_MEMORY, WARM_CPU,
)  # fmt: skip
"""From the coldest to the warmest."""
FROZEN = (WARM_SWAP, WARM_MEMORY)
"""Those that a freezer makes."""
RUNNING = (*FROZEN, WARM_CPU)
"""Those whose containers run, or are frozen while they run."""
CACHED_SHARE = 0.5
"""From this share of the image's files on, the page cache counts as kept."""
SWAPPED_SHARE = 0.5
"""From this share of what the app holds on, a frozen app counts as swapped out."""

IMAGE, SANDBOX, CREATE, START, READINESS, FORWARD = "image", "sandbox", "create", "start", "readiness", "forward"
PROCESS, LISTEN = "process", "listen"
DECISION, RPC, ENGINE, KERNEL, REPLY, FIRST_BYTE = "decision", "rpc", "engine", "kernel", "reply", "first byte"
MEANINGS = {
    IMAGE: "loaded into the engine",
    SANDBOX: "pause container and the pod's network",
    CREATE: "app container made",
    START: "app container started, by the engine's word",
    PROCESS: "the app's program began",
    LISTEN: "it listens on its port",
    READINESS: "queue-proxy says that the app is ready",
    FORWARD: "request sent to queue-proxy",
    DECISION: "queue-proxy asks the freezer daemon to resume",
    RPC: "the daemon has read that",
    ENGINE: "the engine's unpause",
    KERNEL: "cgroup.events says thawed",
    REPLY: "queue-proxy has heard so",
    FIRST_BYTE: "of the answer, at the client",
}
"""What has happened when a stage ends. A stage with another name is a container that is made and started first."""


def order(temperatures: Sequence[str], trials: int, seed: int) -> list[str]:
    """Every temperature once in each of `trials` rounds, each round in an order of its own: what drifts while the
    trials run (a disk that fills, a machine that grows busy) falls on all alike. The same seed, the same order.
    """
    random = Random(seed)
    found: list[str] = []
    for _ in range(trials):
        round_ = list(dict.fromkeys(temperatures))
        random.shuffle(round_)
        found += round_
    return found


@dataclass(frozen=True)
class Found:
    """What a request finds when it comes. Bytes; `cached_share`, from 0 to 1, is of the image's files."""

    image: bool
    created: bool = False
    running: bool = False
    frozen: bool = False
    cached_share: float = 0.0
    app_bytes: int = 0
    app_swap_bytes: int = 0


def temperature_of(found: Found) -> Temperature:
    """How warm the start will be."""
    if found.running:
        if not found.frozen:
            return WARM_CPU
        whole = found.app_bytes + found.app_swap_bytes
        return WARM_SWAP if whole and found.app_swap_bytes >= SWAPPED_SHARE * whole else WARM_MEMORY
    if found.created:
        return CREATED
    if not found.image:
        return COLD
    return WARM_PAGE_CACHE if found.cached_share >= CACHED_SHARE else WARM_DISK


@dataclass(frozen=True)
class Stage:
    """A part of a start, from the end of the one before. Seconds on the stamps' clock."""

    name: str
    begin: float
    end: float

    @property
    def took_s(self) -> float:
        """How long the stage took."""
        return self.end - self.begin


def stages(arrived: float, stamps: Iterable[tuple[str, float | None]]) -> list[Stage]:
    """The stages of a start, one after the other without a gap, so that they add up to the whole. A stamp is when a
    stage was over; None was not seen, and its time counts to the next. What was over before the stage ahead of it (an
    app that listens before the engine says that it is started) took no time of its own.
    """
    found: list[Stage] = []
    begin = arrived
    for name, t in stamps:
        if t is None:
            continue
        end = max(begin, t)
        found.append(Stage(name, begin, end))
        begin = end
    return found
