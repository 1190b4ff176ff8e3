"""Which pods of several go when there are to be fewer: a ReplicaSet's order (pkg/controller/controller_utils.go,
ActivePodsWithRanks), for pods of one node. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key")


class Replica(NamedTuple, Generic[Key]):
    """A pod that has not been asked to end. Times are seconds on one clock."""

    pod: Key
    made: float
    ready_since: float | None = None
    """None: it is not ready."""
    restarts: int = 0
    """Of the container that was restarted most."""
    scheduled: bool = True
    """It has a node."""


def victims(replicas: Iterable[Replica[Key]], count: int) -> list[Key]:
    """The pods that go, first those without a node, then those that are not ready, then the one that became ready
    last, that was restarted most, that is the youngest. Kubernetes takes ages of one power of two as equal and draws
    lots among them; here the younger one goes.
    """
    order = sorted(replicas, key=_rank)
    return [one.pod for one in order[: max(count, 0)]]


def _rank(one: Replica[Key]) -> tuple[bool, bool, float, int, float]:
    since = -1.0 if one.ready_since is None else one.ready_since
    return one.scheduled, one.ready_since is not None, -since, -one.restarts, -one.made
