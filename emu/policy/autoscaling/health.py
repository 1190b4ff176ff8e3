"""A revision's conditions ResourcesAvailable and ContainerHealthy, as Knative's reconciler sets them while no
pod of it is ready: by the first of its pods (pkg/reconciler/revision/reconcile_resources.go). Pure.
"""

from __future__ import annotations


class Health:
    """Of one revision. With one of the conditions False, pods wanted and none ready, it is unreachable."""

    def __init__(self) -> None:
        self._available = True
        self._healthy = True

    def look(self, ready: int, *, scheduled: bool, ended: bool) -> None:
        """With so many pods ready: whether the first pod has a node, and whether its app has ended before. A revision
        whose app has ended is unhealthy until a pod is ready.
        """
        self._available = scheduled or ready > 0
        self._healthy = ready > 0 or (self._healthy and not ended)

    def is_failing(self, ready: int) -> bool:
        """One of them is False, and no pod is ready."""
        return not ready and not (self._available and self._healthy)
