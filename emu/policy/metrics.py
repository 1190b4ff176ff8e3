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


class Histogram:
    """Counts in buckets, for each set of labels."""

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...]) -> None:
        self.name = name
        self.help_text = help_text
        self.bounds = bounds
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, labels: Labels) -> None:
        """One value."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(self.bounds) + 1)
        counts[bisect_left(self.bounds, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def lines(self) -> Iterator[str]:
        """The exposition; nothing before the first value."""
        if not self._counts:
            return
        yield f"# HELP {self.name} {self.help_text}"
        yield f"# TYPE {self.name} histogram"
        for labels, counts in self._counts.items():
            below = 0
            for bound, count in zip((*(f"{bound:g}" for bound in self.bounds), "+Inf"), counts, strict=True):
                below += count
                yield f"{self.name}_bucket{written((*labels, ('le', bound)))} {below}"
            yield f"{self.name}_sum{written(labels)} {self._sums[labels]:.9g}"
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
        labels = (
            ("http_request_method", method if method in METHODS else "_OTHER"),
            ("http_response_status_code", str(status)),
            ("kn_route_tag", "kn:disabled"),
        )
        self.server.observe(total_s, labels)
        if body_bytes is not None:
            self.server_body.observe(body_bytes, labels)
        if app_s is not None:
            self.invocation.observe(app_s, (("http_response_status_code", str(status)),))
            self.client.observe(app_s, labels)

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
