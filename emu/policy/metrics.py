"""Request metrics as Prometheus reads them: names, labels and buckets of Knative's queue-proxy since v1.19.

Sources: pkg/queue/request_metric.go (app metrics), OpenTelemetry's HTTP semantic conventions (http.server.*,
http.client.*) and its rules for Prometheus names. The text is written by hand: the client library would cost several
megabytes of the memory that is measured here (docs/decisions/0003).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

DURATION_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
SIZE_BYTES = (0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0)
"""OpenTelemetry's default bounds."""
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]
OTELHTTP = (
    ("otel_scope_name", "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"),
    ("otel_scope_schema_url", ""),
    ("otel_scope_version", "0.69.0"),
)
"""Who measures http_*, as the real one has it; and kn_serving_*."""
QUEUE = (
    ("otel_scope_name", "knative.dev/serving/pkg/queue"),
    ("otel_scope_schema_url", ""),
    ("otel_scope_version", ""),
)
MOST_KINDS = 2000
"""Further ones are counted together (OpenTelemetry's cardinality limit)."""


class Kind(NamedTuple):
    """Requests that are counted together."""

    method: bytes
    status: int
    tag: str
    """The route's."""
    version: str = "1.1"
    """Of HTTP."""
    host: bytes = b""
    over_tls: bool = False
    probe: bool = False
    """Asked by a prober: the app alone counts it."""
    failed: bool = False
    """The app gave no answer; the status is queue-proxy's."""


OVERFLOW = Kind(b"", 0, "")
"""Stands for all kinds beyond `MOST_KINDS`."""


class Series:
    """Counts in buckets."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def count(self, value: float) -> None:
        """Count a value in its bucket, and add it to the sum."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add(self, other: Series) -> None:
        """Count what the other counted too."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum


class Outcomes:
    """All requests that ended alike: method, status and route tag. Every histogram is made of these at a scrape."""

    __slots__ = ("at_once", "bodiless", "queued", "queued_app", "refused", "response_sizes", "sizes", "unsent_sizes")

    def __init__(self) -> None:
        self.at_once = Series(DURATION_S)
        """Durations of those that went to the app as soon as they came: for the app's and for all of it the same."""
        self.queued = Series(DURATION_S)
        self.queued_app = Series(DURATION_S)
        """Of those that went there later."""
        self.refused = Series(DURATION_S)
        """Of those that never did."""
        self.bodiless = 0
        """Requests without a body that went to the app."""
        self.sizes = Series(SIZE_BYTES)
        """Of the other requests that went there, where the size is known."""
        self.unsent_sizes = Series(SIZE_BYTES)
        self.response_sizes = Series(SIZE_BYTES)

    def ended(self, total_s: float, app_s: float | None, request_bytes: int | None, response_bytes: int) -> None:
        """A request is over; `app_s` is None when it never got to the app, `request_bytes` when that is not known."""
        series = self.response_sizes
        series.counts[bisect_left(SIZE_BYTES, response_bytes)] += 1
        series.sum += response_bytes
        if app_s is None:
            self.refused.count(total_s)
            if request_bytes is not None:
                self.unsent_sizes.count(request_bytes)
            return
        if app_s == total_s:
            series = self.at_once
            series.counts[bisect_left(DURATION_S, total_s)] += 1
            series.sum += total_s
        else:
            self.queued.count(total_s)
            self.queued_app.count(app_s)
        if request_bytes:
            self.sizes.count(request_bytes)
        elif request_bytes is not None:
            self.bodiless += 1

    @property
    def total(self) -> Series:
        """How long all of it took."""
        return _together(self.at_once, self.queued, self.refused)

    @property
    def app(self) -> Series:
        """How long the app took."""
        return _together(self.at_once, self.queued_app)

    @property
    def sent_sizes(self) -> Series:
        """Of requests, as the app got them."""
        found = _together(self.sizes)
        found.counts[0] += self.bodiless
        return found

    @property
    def request_sizes(self) -> Series:
        """Of requests, as they came."""
        return _together(self.sent_sizes, self.unsent_sizes)


def _together(*parts: Series) -> Series:
    found = Series(parts[0].bounds)
    for part in parts:
        found.add(part)
    return found


class QueueProxyMetrics:
    """What Knative's queue-proxy measures of requests, and the OpenTelemetry data that it is exported as."""

    kind = Kind
    """For whoever does not load this module until it is needed."""

    def __init__(self, resource: Mapping[str, str], app_port: int = 0) -> None:
        self._resource = tuple(sorted(resource.items()))
        self._app = (("server_address", "127.0.0.1"), ("server_port", str(app_port)), ("url_scheme", "http"))
        self._found: dict[Kind, Outcomes] = {}
        self.known: Mapping[tuple[object, ...], Outcomes] = cast(Any, self._found)
        """The same, for a look with the fields of a kind that is not made."""
        self.queue_depth: int | None = None
        """Set when a request goes to the app, the only time that the depth is looked at, and only with a limit."""

    def outcomes(self, kind: Kind) -> Outcomes:
        """Where a request that ended so is counted."""
        return self._found.get(kind) or self._find(kind)

    def _find(self, kind: Kind) -> Outcomes:
        if kind.method not in METHODS:
            kind = kind._replace(method=b"_OTHER")
        if kind not in self._found and len(self._found) >= MOST_KINDS:
            kind = OVERFLOW
        return self._found.setdefault(kind, Outcomes())

    def text(self) -> bytes:
        """What a scrape reads."""
        lines = ["# HELP target_info Target metadata", "# TYPE target_info gauge"]
        lines.append(f"target_info{written(self._resource)} 1")
        apps: dict[Labels, Series] = {}
        for kind, found in self._found.items():
            if not kind.probe:
                labels = (("http_response_status_code", str(kind.status)), *QUEUE)
                apps.setdefault(labels, Series(DURATION_S)).add(found.app)
        lines += histogram("kn_serving_invocation_duration_seconds", "The duration of task execution", apps)
        if self.queue_depth is not None:
            text = "Number of current items in the queue proxy queue"
            lines += single("kn_serving_queue_depth", text, "gauge", self.queue_depth, QUEUE)
        for name, text, part in _BY_KIND:
            by_labels: dict[Labels, Series] = {}
            for kind, found in self._found.items():
                series = getattr(found, part)
                if name.startswith("http_client_"):
                    by_labels.setdefault(self._client_labels(kind), Series(series.bounds)).add(series)
                elif not kind.probe:
                    by_labels.setdefault(_server_labels(kind), Series(series.bounds)).add(series)
            lines += histogram(name, text, by_labels)
        return ("\n".join(lines) + "\n").encode()

    def _client_labels(self, kind: Kind) -> Labels:
        if kind is OVERFLOW:
            return _OVERFLOW_LABELS
        status: Labels = (("http_response_status_code", str(kind.status)),)
        first: Labels = (("error_type", "errors.errorString"),) if kind.failed else ()
        tag: Labels = () if kind.probe else (("kn_route_tag", kind.tag),)
        method = ("http_request_method", kind.method.decode())
        return (*first, method, *(() if kind.failed else status), *tag, *_protocol(kind), *OTELHTTP, *self._app)


_BY_KIND = (
    ("http_server_request_duration_seconds", "Duration of HTTP server requests.", "total"),
    ("http_server_request_body_size_bytes", "Size of HTTP server request bodies.", "request_sizes"),
    ("http_server_response_body_size_bytes", "Size of HTTP server response bodies.", "response_sizes"),
    ("http_client_request_duration_seconds", "Duration of HTTP client requests.", "app"),
    ("http_client_request_body_size_bytes", "Size of HTTP client request bodies.", "sent_sizes"),
)


_OVERFLOW_LABELS: Labels = (("otel_metric_overflow", "true"), *OTELHTTP)


def _server_labels(kind: Kind) -> Labels:
    if kind is OVERFLOW:
        return _OVERFLOW_LABELS
    scheme, usual = ("https", "443") if kind.over_tls else ("http", "80")
    address, port = _address(kind.host.decode("latin-1"))
    return (
        ("http_request_method", kind.method.decode()),
        ("http_response_status_code", str(kind.status)),
        ("kn_route_tag", kind.tag),
        *_protocol(kind),
        *OTELHTTP,
        ("server_address", address),
        *((("server_port", port),) if port not in ("", usual) else ()),
        ("url_scheme", scheme),
    )


def _protocol(kind: Kind) -> Labels:
    return (("network_protocol_name", "http"), ("network_protocol_version", kind.version))


def _address(host: str) -> tuple[str, str]:
    """Name and port of a Host; no port where it is none."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit() or (":" in name and not name.startswith("[")):
        return host.strip("[]"), ""
    return name.strip("[]"), port


def histogram(name: str, text: str, by_labels: Mapping[Labels, Series]) -> Iterator[str]:
    """A histogram's exposition; nothing before the first value."""
    filled = {labels: series for labels, series in by_labels.items() if any(series.counts)}
    if not filled:
        return
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} histogram"
    for labels, series in filled.items():
        yield from buckets(name, labels, series)


def buckets(name: str, labels: Labels, series: Series) -> Iterator[str]:
    """The lines of one series of a histogram, without its HELP and TYPE."""
    below = 0
    for bound, count in zip((*(f"{bound:g}" for bound in series.bounds), "+Inf"), series.counts, strict=True):
        below += count
        yield f"{name}_bucket{written((*labels, ('le', bound)))} {below}"
    yield f"{name}_sum{written(labels)} {series.sum:.9g}"
    yield f"{name}_count{written(labels)} {below}"


def single(name: str, text: str, kind: str, value: float, labels: Labels = ()) -> Iterator[str]:
    """The exposition of one value; `kind` is gauge or counter."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    yield f"{name}{written(labels)} {value:.12g}"


METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"))
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
