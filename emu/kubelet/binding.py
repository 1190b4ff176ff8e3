"""How a pod comes to the node, and is removed from it for another pod."""

from __future__ import annotations

from collections.abc import Callable

from emu.kubelet.status import Status
from emu.policy.scheduling import Verdict


class Binding:
    """Of one pod. What is decided is the scheduler's."""

    def __init__(self, status: Status, bind: Callable[[], Verdict | None] | None) -> None:
        """`bind` looks for room, and gives the verdict; None where that is not due. None: it has the node."""
        self._status = status
        self._bind = bind
        self.preempted = False
        """The scheduler has removed it for a pod of higher priority: whoever made it is to have it end."""

    @property
    def bound(self) -> bool:
        """Whether the scheduler has bound the pod to the node."""
        return self._bind is None

    def look(self) -> bool:
        """Look for room, where that is due; whether there is a verdict."""
        verdict = None if self._bind is None else self._bind()
        if verdict is None:
            return False
        if not verdict.fits or self._status.pending:
            self._status.scheduled(verdict.message)
        self._status.pending = not verdict.fits
        if verdict.fits:
            self._bind = None
        return True

    def preempt(self, by: str, by_priority: int) -> None:
        """Have it removed for another pod."""
        self.preempted = True
        self._status.preempted(by, by_priority)
