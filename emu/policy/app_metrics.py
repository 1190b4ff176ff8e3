"""What emu's app counts of its requests, by the names that are usual, as Prometheus reads them. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

REQUESTS = "http_requests_total"
IN_FLIGHT = "http_requests_in_flight"
DURATION = "http_request_duration_seconds"
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The default buckets of Prometheus' client libraries."""
LABELS: dict[str, tuple[str, ...]] = {
    REQUESTS: ("method", "code"),
    IN_FLIGHT: (),
    f"{DURATION}_bucket": ("le",),
    f"{DURATION}_sum": (),
    f"{DURATION}_count": (),
}
"""The labels that each has."""
_MOST_KINDS = 200
"""Of method and code; a request beyond them counts in the duration alone."""


class AppMetrics:
    """Of one app, since its start."""

    def __init__(self) -> None:
        self.under_way: set[object] = set()
        """The requests that are not answered yet."""
        self._answered: dict[tuple[str, int], int] = {}
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Count one."""
        kind = (method, status)
        if kind in self._answered or len(self._answered) < _MOST_KINDS:
            self._answered[kind] = self._answered.get(kind, 0) + 1
        self._counts[bisect_left(BOUNDS_S, seconds)] += 1
        self._sum_s += seconds

    def text(self) -> bytes:
        """The page."""
        return ("\n".join(self._lines()) + "\n").encode()

    def _lines(self) -> Iterator[str]:
        yield f"# TYPE {REQUESTS} counter"
        for (method, status), count in sorted(self._answered.items()):
            shown = "".join(one for one in method if one.isalnum())
            yield f'{REQUESTS}{{code="{status}",method="{shown}"}} {count}'
        yield f"# TYPE {IN_FLIGHT} gauge"
        yield f"{IN_FLIGHT} {len(self.under_way)}"
        yield f"# TYPE {DURATION} histogram"
        so_far = 0
        for bound, count in zip((*BOUNDS_S, None), self._counts, strict=True):
            so_far += count
            yield f'{DURATION}_bucket{{le="{"+Inf" if bound is None else f"{bound:g}"}"}} {so_far}'
        yield f"{DURATION}_sum {self._sum_s:.6f}"
        yield f"{DURATION}_count {so_far}"
