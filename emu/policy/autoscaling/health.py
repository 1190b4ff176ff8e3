"""A revision's conditions ResourcesAvailable and ContainerHealthy, as Knative's reconciler sets them while no
pod of it is ready: by the first of its pods (pkg/reconciler/revision/reconcile_resources.go). Pure.
"""

from __future__ import annotations


class Rollout:
    """The condition Progressing of a revision's Deployment: it is late once nothing has progressed for the deadline,
    and never again after all of its pods were ready (pkg/controller/deployment/progress.go).
    """

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._since: float | None = None
        self._seen = (0, 0)
        self._complete = False

    def is_late(self, now: float, pods: int, ready: int) -> bool:
        """With so many pods made, and ready."""
        self._complete = self._complete or ready >= pods > 0
        if self._since is None or pods > self._seen[0] or ready > self._seen[1]:
            self._since = now
        self._seen = (pods, ready)
        return not self._complete and now - self._since >= self._deadline_s


class Health:
    """Of one revision. With one of the conditions False, pods wanted and none ready, it is unreachable."""

    def __init__(self) -> None:
        self._available = True
        self._healthy = True

    def look(self, ready: int, *, scheduled: bool, ended: bool, late: bool = False) -> None:
        """With so many pods ready: whether the first pod has a node, whether its app has ended before, and whether
        the progress deadline is over. A revision whose app has ended is unhealthy until a pod is ready.
        """
        self._available = (scheduled and not late) or ready > 0
        self._healthy = ready > 0 or (self._healthy and not ended)

    def is_failing(self, ready: int) -> bool:
        """One of them is False, and no pod is ready."""
        return not ready and not (self._available and self._healthy)
