"""Prometheus text with Knative's names, labels and buckets."""

from __future__ import annotations

from emu.policy.metrics import DURATION_S, MOST_KINDS, Kind, QueueProxyMetrics, written

TAG = "kn:disabled"
OK = Kind(b"GET", 200, TAG)
QUEUE = ',otel_scope_name="knative.dev/serving/pkg/queue",otel_scope_schema_url="",otel_scope_version=""'
OTELHTTP = (
    'otel_scope_name="go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",otel_scope_schema_url="",'
    'otel_scope_version="0.69.0"'
)


def lines_of(metrics: QueueProxyMetrics) -> list[str]:
    """The exposition, line by line, without the scope of Knative's own metrics."""
    return metrics.text().decode().replace(QUEUE, "").splitlines()


def test_the_apps_time_has_fourteen_buckets_and_the_status() -> None:
    """5 ms to 10 s and +Inf, each counting all below it; the wait in the queue is not in it."""
    metrics = QueueProxyMetrics({})
    for app_s in (0.004, 0.005, 0.3, 20.0):
        metrics.outcomes(OK).ended(30.0, app_s, 0, 2)
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
    metrics.outcomes(Kind(b"GET", 503, TAG)).ended(0.001, None, 0, 27)
    text = metrics.text().decode()
    assert "kn_serving_invocation" not in text and "http_client" not in text
    assert (
        'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="503"' in text
    )


def test_the_queue_depth_is_absent_until_set_and_stays() -> None:
    """Running and waiting, as the last request that went to the app saw it; never set back by an end."""
    metrics = QueueProxyMetrics({})
    assert "kn_serving_queue_depth" not in metrics.text().decode()
    metrics.queue_depth = 4
    metrics.outcomes(OK).ended(1.0, 1.0, 0, 2)
    assert f"kn_serving_queue_depth{{{QUEUE[1:]}}} 4" in metrics.text().decode().splitlines()


def test_labels_are_escaped() -> None:
    """Quotes, backslashes and line ends."""
    assert written((("a", 'x"y\\z\n'),)) == '{a="x\\"y\\\\z\\n"}'
    assert written(()) == ""


def test_a_method_of_ones_own_is_other() -> None:
    """OpenTelemetry's rule, so that clients cannot make series at will."""
    metrics = QueueProxyMetrics({"kn_revision_name": "app-00001"})
    metrics.outcomes(Kind(b"BREW", 200, TAG)).ended(1.0, None, None, 0)
    assert 'http_request_method="_OTHER"' in metrics.text().decode()
    assert 'target_info{kn_revision_name="app-00001"} 1' in lines_of(metrics)


def test_sizes_have_their_buckets_and_the_app_gets_what_was_not_refused() -> None:
    """Bodies in both directions; a refused request's was received and never sent on."""
    metrics = QueueProxyMetrics({}, 8080)
    metrics.outcomes(Kind(b"POST", 200, "blue")).ended(1.0, 1.0, 100, 2)
    metrics.outcomes(Kind(b"POST", 503, "blue")).ended(1.0, None, 700, 27)
    lines = lines_of(metrics)
    labels = 'http_request_method="POST",http_response_status_code="{}",kn_route_tag="blue",'
    labels += f'network_protocol_name="http",network_protocol_version="1.1",{OTELHTTP},'
    server = labels + 'server_address="",url_scheme="http"'
    ok, refused = server.format(200), server.format(503)
    at_app = (labels + 'server_address="127.0.0.1",server_port="8080",url_scheme="http"').format(200)
    assert f"http_server_request_body_size_bytes_sum{{{refused}}} 700" in lines
    assert f"http_server_response_body_size_bytes_sum{{{ok}}} 2" in lines
    assert f'http_server_response_body_size_bytes_bucket{{{refused},le="25"}} 0' in lines
    assert f'http_server_response_body_size_bytes_bucket{{{refused},le="50"}} 1' in lines
    assert f"http_client_request_body_size_bytes_sum{{{at_app}}} 100" in lines
    assert not any(line.startswith("http_client_request_body") and "503" in line for line in lines)


def test_invocations_are_one_series_for_each_status() -> None:
    """Of whatever method and tag."""
    metrics = QueueProxyMetrics({})
    metrics.outcomes(OK).ended(1.0, 0.5, 0, 2)
    metrics.outcomes(Kind(b"POST", 200, "blue")).ended(1.0, 0.25, 0, 2)
    assert 'kn_serving_invocation_duration_seconds_count{http_response_status_code="200"} 2' in lines_of(metrics)
    assert 'kn_serving_invocation_duration_seconds_sum{http_response_status_code="200"} 0.75' in lines_of(metrics)


def test_what_a_prober_asks_the_app_is_in_the_apps_series_alone() -> None:
    """Without a route's tag."""
    metrics = QueueProxyMetrics({}, 8080)
    metrics.outcomes(Kind(b"GET", 200, TAG, probe=True)).ended(1.0, 1.0, 0, 2)
    text = metrics.text().decode()
    assert "http_server" not in text and "kn_" not in text
    assert 'http_client_request_duration_seconds_count{http_request_method="GET",http_resp' in text


def test_an_app_without_an_answer_is_an_error_of_the_clients_side() -> None:
    """Where the status is queue-proxy's own; Host and port are separated."""
    metrics = QueueProxyMetrics({}, 8080)
    metrics.outcomes(Kind(b"GET", 502, TAG, "1.0", b"a.example:81", failed=True)).ended(1.0, 1.0, 0, 4)
    text = metrics.text().decode()
    assert (
        'http_client_request_duration_seconds_count{error_type="errors.errorString",http_request_method="GET",kn_'
        in (text)
    )
    assert f'network_protocol_version="1.0",{OTELHTTP},server_address="a.example",server_port="81",url_scheme' in text


def test_hosts_without_end_are_counted_together() -> None:
    """From OpenTelemetry's limit on."""
    metrics = QueueProxyMetrics({})
    for number in range(MOST_KINDS + 10):
        metrics.outcomes(Kind(b"GET", 200, TAG, host=b"h%d" % number)).ended(1.0, 1.0, 0, 2)
    assert 'http_server_request_duration_seconds_count{otel_metric_overflow="true"' in metrics.text().decode()
