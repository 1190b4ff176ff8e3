"""Request metrics as Prometheus reads them: names, labels and buckets of Knative's queue-proxy since v1.19.

Sources: pkg/queue/request_metric.go (app metrics), OpenTelemetry's HTTP semantic conventions (http.server.*,
http.client.*) and its rules for Prometheus names. The text is written by hand: the client library would cost several
megabytes of the memory that is measured here (docs/decisions/0003).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping

DURATION_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
SIZE_BYTES = (0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0)
"""OpenTelemetry's default bounds."""
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


class Series:
    """Counts in buckets."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Histogram:
    """A series for each set of labels."""

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...]) -> None:
        self.name = name
        self.help_text = help_text
        self.bounds = bounds
        self._series: dict[Labels, Series] = {}

    def series(self, labels: Labels) -> Series:
        """The buckets of a set of labels."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = Series(self.bounds)
        return found

    def lines(self) -> Iterator[str]:
        """The exposition; nothing before the first value."""
        told = {labels: series for labels, series in self._series.items() if any(series.counts)}
        if not told:
            return
        yield f"# HELP {self.name} {self.help_text}"
        yield f"# TYPE {self.name} histogram"
        for labels, series in told.items():
            counts = series.counts
            below = 0
            for bound, count in zip((*(f"{bound:g}" for bound in self.bounds), "+Inf"), counts, strict=True):
                below += count
                yield f"{self.name}_bucket{written((*labels, ('le', bound)))} {below}"
            yield f"{self.name}_sum{written(labels)} {series.sum:.9g}"
            yield f"{self.name}_count{written(labels)} {below}"


class Gauge:
    """A value; absent until it was set."""

    def __init__(self, name: str, help_text: str) -> None:
        self.name = name
        self.help_text = help_text
        self.value: float | None = None

    def lines(self) -> Iterator[str]:
        """The exposition."""
        if self.value is not None:
            yield f"# HELP {self.name} {self.help_text}"
            yield f"# TYPE {self.name} gauge"
            yield f"{self.name} {self.value:g}"


class QueueProxyMetrics:
    """The metrics of one queue-proxy."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        self._resource = tuple(resource.items())
        self._found: dict[tuple[str, int], tuple[Series, Series, Series, Series]] = {}
        """Looked up once for a method and a status: making labels takes longer than counting."""
        self.invocation = Histogram(
            "kn_serving_invocation_duration_seconds", "The duration of requests to the app", DURATION_S
        )
        self.queue_depth = Gauge("kn_serving_queue_depth", "Requests that run or wait in queue-proxy")
        self.server = Histogram(
            "http_server_request_duration_seconds", "Duration of HTTP server requests.", DURATION_S
        )
        self.server_body = Histogram(
            "http_server_request_body_size_bytes", "Size of HTTP server request bodies.", SIZE_BYTES
        )
        self.client = Histogram(
            "http_client_request_duration_seconds", "Duration of HTTP client requests.", DURATION_S
        )

    def dispatched(self, limit: int, running: int, waiting: int) -> None:
        """A request goes to the app: the only time that the depth is looked at, and only with a limit."""
        if limit > 0:
            self.queue_depth.value = running + waiting

    def ended(self, method: str, status: int, total_s: float, app_s: float | None, body_bytes: int | None) -> None:
        """A request is over; `app_s` is None when it never got to the app, `body_bytes` when that is not known."""
        server, body, app, client = self._found.get((method, status)) or self._find(method, status)
        server.observe(total_s)
        if body_bytes is not None:
            body.observe(body_bytes)
        if app_s is not None:
            app.observe(app_s)
            client.observe(app_s)

    def _find(self, method: str, status: int) -> tuple[Series, Series, Series, Series]:
        if method not in METHODS:
            method = "_OTHER"
        labels = (
            ("http_request_method", method),
            ("http_response_status_code", str(status)),
            ("kn_route_tag", "kn:disabled"),
        )
        found = (
            self.server.series(labels),
            self.server_body.series(labels),
            self.invocation.series((("http_response_status_code", str(status)),)),
            self.client.series(labels),
        )
        self._found[method, status] = found
        return found

    def text(self) -> bytes:
        """What a scrape reads."""
        lines = ["# HELP target_info Target metadata", "# TYPE target_info gauge"]
        lines.append(f"target_info{written(self._resource)} 1")
        for metric in (self.invocation, self.queue_depth, self.server, self.server_body, self.client):
            lines.extend(metric.lines())
        return ("\n".join(lines) + "\n").encode()


METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
"""What OpenTelemetry knows; any other is `_OTHER`."""


def written(labels: Labels) -> str:
    """Labels in braces, escaped."""
    if not labels:
        return ""
    parts = (
        '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for name, value in labels
    )
    return "{" + ",".join(parts) + "}"
