"""What of a revision's pods is asked, and what that says of all of them (pkg/autoscaler/metrics/{sample_size,
stats_scraper,collector}.go).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from emu.policy.autoscaling.numbers import ceil

SAMPLE = 1.96 * 1.96 * 100.0 / (5.0 * 5.0)
"""Pods to ask of infinitely many: 95 % confidence, a margin of error of 5, a variance of 100."""
ALL = 3
"""Up to so many are all asked."""

Pod = TypeVar("Pod")


class PodStat(NamedTuple):
    """What one queue-proxy says, or all of a revision's together."""

    concurrency: float = 0.0
    proxied_concurrency: float = 0.0
    rps: float = 0.0
    proxied_rps: float = 0.0

    @property
    def own_concurrency(self) -> float:
        """Less what came through the activator, which counts it itself."""
        return self.concurrency - self.proxied_concurrency

    @property
    def own_rps(self) -> float:
        """Less what came through the activator."""
        return self.rps - self.proxied_rps


def sample_size(pods: float) -> int:
    """How many of so many pods are asked."""
    if pods <= ALL:
        return int(max(pods, 0))
    return int(ceil(pods * SAMPLE / (pods + SAMPLE - 1)))


def sample(
    started: Sequence[tuple[Pod, float]], now: float, window_s: float, shuffle: Callable[[list[Pod]], None]
) -> tuple[list[Pod], int]:
    """The ready pods (each with its start) in the order in which they are asked, and how many answers are enough.
    Pods younger than the window come last, and are shuffled only where the older ones are too few.
    """
    old = [pod for pod, start in started if now - start >= window_s]
    young = [pod for pod, start in started if now - start < window_s]
    enough = sample_size(len(started))
    shuffle(young if len(old) < enough else old)
    return old + young, enough


def for_all(answers: Sequence[PodStat], pods: int) -> PodStat | None:
    """What the answers of a sample say of all pods; None where there are none. Each field is summed first and divided
    and multiplied then, in that order.
    """
    asked = float(len(answers))
    if not answers:
        return None
    sums = [0.0, 0.0, 0.0, 0.0]
    for answer in answers:
        for at, value in enumerate(answer):
            sums[at] += value
    return PodStat(*(total / asked * float(pods) for total in sums))
