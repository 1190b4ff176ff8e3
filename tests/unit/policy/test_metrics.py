"""Prometheus text with Knative's names, labels and buckets."""

from __future__ import annotations

from emu.policy.metrics import DURATION_S, QueueProxyMetrics, written


def lines_of(metrics: QueueProxyMetrics) -> list[str]:
    """The exposition, line by line."""
    return metrics.text().decode().splitlines()


def test_the_apps_time_has_fourteen_buckets_and_the_status() -> None:
    """5 ms to 10 s and +Inf, each counting all below it; the wait in the queue is not in it."""
    metrics = QueueProxyMetrics({})
    for app_s in (0.004, 0.005, 0.3, 20.0):
        metrics.ended("GET", 200, 30.0, app_s, 0)
    name = "kn_serving_invocation_duration_seconds"
    found = [line for line in lines_of(metrics) if line.startswith(f"{name}_bucket")]
    assert len(found) == len(DURATION_S) + 1 == 15
    assert found[0] == f'{name}_bucket{{http_response_status_code="200",le="0.005"}} 2'
    assert found[-1] == f'{name}_bucket{{http_response_status_code="200",le="+Inf"}} 4'
    assert f'{name}_count{{http_response_status_code="200"}} 4' in lines_of(metrics)
    assert f'{name}_sum{{http_response_status_code="200"}} 20.309' in lines_of(metrics)


def test_a_refused_request_is_no_invocation_but_was_served() -> None:
    """503 shows in http_server_* alone."""
    metrics = QueueProxyMetrics({})
    metrics.ended("GET", 503, 0.001, None, 0)
    text = metrics.text().decode()
    assert "kn_serving_invocation" not in text and "http_client" not in text
    assert (
        'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="503"' in text
    )


def test_the_queue_depth_is_looked_at_when_a_request_goes_to_the_app_and_stays() -> None:
    """Running and waiting; absent without a limit, and never set back by an end."""
    metrics = QueueProxyMetrics({})
    metrics.dispatched(0, 5, 0)
    assert "kn_serving_queue_depth" not in metrics.text().decode()
    metrics.dispatched(1, 1, 3)
    metrics.ended("GET", 200, 1.0, 1.0, 0)
    assert "kn_serving_queue_depth 4" in lines_of(metrics)


def test_labels_are_escaped() -> None:
    """Quotes, backslashes and line ends."""
    assert written((("a", 'x"y\\z\n'),)) == '{a="x\\"y\\\\z\\n"}'
    assert written(()) == ""


def test_a_method_of_ones_own_is_other() -> None:
    """OpenTelemetry's rule, so that clients cannot make series at will."""
    metrics = QueueProxyMetrics({"kn_revision_name": "app-00001"})
    metrics.ended("BREW", 200, 1.0, None, None)
    assert 'http_request_method="_OTHER"' in metrics.text().decode()
    assert 'target_info{kn_revision_name="app-00001"} 1' in lines_of(metrics)
