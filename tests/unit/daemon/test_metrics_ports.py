"""The ports with queue-proxy's figures: the autoscaler's message each second, Prometheus where it is asked for."""

from __future__ import annotations

import struct
from typing import Any

from tests.unit.daemon.daemon_wire import FakeApp, StartProxy, Wire, port_of, wait_for

GET = b"GET %b HTTP/1.1\r\nHost: any\r\n\r\n"


def fields(message: bytes) -> dict[int, Any]:
    """A Stat's fields: text and doubles."""
    values: dict[int, Any] = {}
    at = 0
    while at < len(message):
        number, kind = message[at] >> 3, message[at] & 7
        if kind == 2:
            size = message[at + 1]
            values[number] = message[at + 2 : at + 2 + size]
            at += 2 + size
        else:
            values[number] = struct.unpack_from("<d", message, at + 1)[0]
            at += 9
    return values


def test_the_autoscaler_reads_protobuf_whatever_it_accepts(queue_proxy: StartProxy, fake_app: FakeApp) -> None:
    """One request inside for good: after two seconds the average is 1, the count is past, uptime runs."""
    daemon = queue_proxy(CONTAINER_CONCURRENCY=10)
    wire, stats = Wire.to(daemon.port), Wire.to(port_of(daemon, "stats"))
    wire.send(b"GET / HTTP/1.1\r\nHost: app\r\nK-Proxy-Request: activator\r\n\r\n")

    def steady() -> dict[int, Any] | None:
        head, body = stats.ask(b"GET /metrics HTTP/1.1\r\nHost: any\r\nAccept: text/html\r\n\r\n")
        assert (head.status, head.get("content-type")) == (200, "application/protobuf")
        found = fields(body)
        return found if found.get(2) == 1.0 and 4 not in found else None

    found = wait_for(steady, "a second with one request inside and none coming")
    assert found[1] == b"app-00001-deployment-0"
    assert found[3] == 1.0 and found[6] > 0
    assert stats.ask(GET % b"/other")[0].status == 404


def test_prometheus_only_where_it_is_asked_for(queue_proxy: StartProxy, fake_app: FakeApp) -> None:
    """The protocol is none by default; with prometheus, a request that waited is in the depth that was seen."""
    assert not [line for line in queue_proxy().lines if line.get("what") == "metrics"]
    daemon = queue_proxy(CONTAINER_CONCURRENCY=1, OBSERVABILITY_CONFIG='{"requestMetrics":{"protocol":"prometheus"}}')
    page = Wire.to(port_of(daemon, "metrics"))
    wire = Wire.to(daemon.port)
    wire.send(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n")
    to_app = fake_app.accept()
    to_app.read_head()
    to_app.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert wire.read_head().status == 204

    def reported() -> str | None:
        head, body = page.ask(GET % b"/metrics")
        assert head.get("content-type").startswith("text/plain; version=0.0.4")
        return body.decode() if b"kn_serving_invocation_duration_seconds_count" in body else None

    text = wait_for(reported, "the request in the histogram")
    assert 'kn_serving_invocation_duration_seconds_count{http_response_status_code="204",otel_scope_name=' in text
    assert 'kn_serving_queue_depth{otel_scope_name="knative.dev/serving/pkg/queue"' in text
    assert 'kn_revision_name="app-00001"' in text
