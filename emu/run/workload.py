"""What a run drives: one pod as it is, or whatever keeps a revision's pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from emu.kubelet.pod import Instance
from emu.kubelet.template import PodTemplate
from emu.messages.endpoints import Endpoint
from emu.policy.lifecycle import ContainerState, PodView


class Workload(Protocol):
    """A pod's worker is one."""

    @property
    def template(self) -> PodTemplate:
        """What its pods are made from."""

    @property
    def pod(self) -> str:
        """The name of the pod that its entrance leads to; empty where an activator chooses one."""

    @property
    def each_pod(self) -> Sequence[Workload]:
        """Its pods that there are, each as a workload of its own."""

    @property
    def entrance(self) -> tuple[str, int]:
        """Where requests to it are sent."""

    @property
    def open_pods(self) -> tuple[Endpoint, ...]:
        """Pods that clients ask themselves; none: they go to the entrance."""

    @property
    def states(self) -> Mapping[str, ContainerState]:
        """Each container's state."""

    @property
    def ready_pods(self) -> int:
        """How many of its pods are ready, those that are to end left out."""

    @property
    def coming(self) -> bool:
        """A container is not ready yet, and may become so by itself."""

    @property
    def view(self) -> PodView:
        """As kubectl would show it."""

    def instance(self, container: str) -> Instance | None:
        """The instance of a container that runs or ran last."""

    def start(self) -> None:
        """Start it for the first time. EngineGone."""

    def begin_stop(self, *, hooks: bool = False) -> None:
        """It is to end for good, in order."""

    def hurry(self) -> None:
        """It is to end at once."""
