"""Whether a scheduler finds a node for each pod (pkg/scheduler/framework/plugins/noderesources/fit.go). Pure."""

from __future__ import annotations

from collections.abc import Iterable


def first_pending(requests: Iterable[tuple[str, int]], allocatable: int) -> tuple[str, int, str] | None:
    """The first pod that the only node has no room for, what those before it request, and the scheduler's message;
    None where all fit. `requests`: each pod's name and effective memory request, in bytes, in order. A pod that
    requests nothing always fits.
    """
    taken = 0
    for name, wanted in requests:
        if wanted > 0 and wanted > allocatable - taken:
            return name, taken, "0/1 nodes are available: 1 Insufficient memory."
        taken += wanted
    return None
