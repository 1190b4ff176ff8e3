"""What decides how many pods a revision or a Deployment has, as `emu.serving.revision` uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from emu.kubelet.worker import PodWorker
from emu.messages.endpoints import ActivatorReport, Endpoint
from emu.policy.replicas import Replica
from emu.record.events import Event


@dataclass(eq=False)
class Live:
    """A pod that is not to end; without a node, it only waits for one."""

    worker: PodWorker
    made: float
    start: str
    """How warm its start from zero is; empty where it is none, or no request waits for it any more."""
    ready_since: float | None = None
    """As the cluster sees it; None: it is not ready."""
    changed: float = 0.0
    """When that changed last."""

    @property
    def endpoint(self) -> Endpoint:
        """As the activator is to know it."""
        address, port = self.worker.entrance
        ready = self.ready_since is not None
        return Endpoint(address, port, start=self.start, ready=ready, pod=self.worker.pod)

    @property
    def replica(self) -> Replica[Live]:
        """What its ReplicaSet goes by."""
        restarts = max((state.restarts for state in self.worker.states.values()), default=0)
        return Replica(self, self.made, self.ready_since, restarts, self.worker.has_node)


class Autoscaler(Protocol):
    """It lives as long as the run; from `start` on it decides."""

    @property
    def pods(self) -> int:
        """How many there are to be."""

    @property
    def why(self) -> str:
        """Of the last change of `pods`."""

    @property
    def proxied(self) -> bool:
        """The activator is in the path; else clients reach the pods themselves."""

    @property
    def to_zero(self) -> bool:
        """Whether an idle revision is scaled to zero at all."""

    def begin(self) -> None:
        """The service has begun: measure from now on."""

    def end(self) -> None:
        """Measure no more."""

    def start(self) -> None:
        """The first pod is to be made now."""

    def route(self, *, routed: bool) -> None:
        """A route leads to the revision, or none does any more."""

    def average(self, now: float) -> float | None:
        """The metric over the stable window; None where there is none, or nothing was reported."""

    def report(self, report: ActivatorReport) -> None:
        """The activator says what is under way in it."""

    def update(self, ready: Sequence[Live]) -> None:
        """Other pods than before are ready."""

    def turn(self, live: Sequence[Live]) -> None:
        """Measure and decide what is due."""

    def decisions(self, waiting: int) -> Sequence[Event]:
        """Those since the last call, with how many requests wait in the activator."""
