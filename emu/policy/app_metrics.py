"""What emu's app counts of its requests, by the names that are usual, as Prometheus reads them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from emu.policy.metrics import Series, buckets

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
        self._durations = Series(BOUNDS_S)

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Count an answered request; clients choose the method, so the number of kinds has a bound."""
        kind = (method, status)
        if kind in self._answered or len(self._answered) < _MOST_KINDS:
            self._answered[kind] = self._answered.get(kind, 0) + 1
        self._durations.count(seconds)

    def text(self) -> bytes:
        """The metrics as Prometheus' text format has them."""
        return ("\n".join(self._lines()) + "\n").encode()

    def _lines(self) -> Iterator[str]:
        yield f"# TYPE {REQUESTS} counter"
        for (method, status), count in sorted(self._answered.items()):
            shown = "".join(one for one in method if one.isalnum())
            yield f'{REQUESTS}{{code="{status}",method="{shown}"}} {count}'
        yield f"# TYPE {IN_FLIGHT} gauge"
        yield f"{IN_FLIGHT} {len(self.under_way)}"
        yield f"# TYPE {DURATION} histogram"
        yield from buckets(DURATION, (), self._durations)
