"""OBSERVABILITY_CONFIG: what is asked for is done or refused, never ignored."""

from __future__ import annotations

import pytest

from emu.daemon.queue_proxy.observability import Observability, ObservabilityError, read

PROMETHEUS = '"protocol":"prometheus"'


def of(config: str, **variables: str) -> Observability:
    """What these variables ask for."""
    return read({"OBSERVABILITY_CONFIG": config, **variables})


def test_nothing_is_asked_for_by_default() -> None:
    """Nor by a configuration that says none."""
    assert read({}) == of("{}") == of('{"requestMetrics":{"protocol":"none"},"tracing":{"protocol":"none"}}')


@pytest.mark.parametrize(
    ("metrics", "variables", "port"),
    [
        (PROMETHEUS, {}, 9091),
        (PROMETHEUS + ',"endpoint":":9999"', {}, 9999),
        (PROMETHEUS + ',"endpoint":":9999"', {"METRICS_PROMETHEUS_PORT": "9998"}, 9998),
        (PROMETHEUS, {"EMU_METRICS_PORT": "0"}, 0),
    ],
)
def test_prometheus_is_served_where_it_is_wanted(metrics: str, variables: dict[str, str], port: int) -> None:
    """On 9091, the endpoint's port, or the variable's."""
    assert of('{"requestMetrics":{' + metrics + "}}", **variables).prometheus_port == port


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"requestMetrics":{"protocol":"grpc","endpoint":"c:4317"}}', 'requestMetrics.protocol "grpc"'),
        ('{"request-metrics":{"protocol":"http/protobuf"}}', 'requestMetrics.protocol "http/protobuf"'),
        ('{"requestMetrics":{"protocol":"x"}}', 'unsupported metric exporter: "x"'),
        ('{"requestMetrics":{"protocol":"prometheus","endpoint":"x"}}', 'metrics-endpoint "x"'),
        ('{"tracing":{"protocol":"grpc","endpoint":"c:4317","samplingRate":1}}', 'tracing.protocol "grpc"'),
        ('{"tracing":{"protocol":"stdout"}}', 'tracing.protocol "stdout"'),
        ('{"tracing":{"protocol":"zipkin"}}', 'unsupported metric exporter: "zipkin"'),
        ('{"runtime":{"profiling":"enabled"}}', "runtime.profiling"),
        ('{"requestMetrics":5}', "cannot unmarshal requestMetrics"),
        ("[]", "cannot unmarshal"),
        ("{", "failed to parse OBSERVABILITY_CONFIG"),
    ],
)
def test_what_is_not_done_is_refused(config: str, words: str) -> None:
    """With what it is and what to do; what Knative refuses, in its words."""
    with pytest.raises(ObservabilityError) as refused:
        of(config)
    assert words in str(refused.value)


def test_variables_of_the_metrics_port_are_kept_to_or_refused() -> None:
    """TLS on it is not served."""
    for name, value in (("METRICS_PROMETHEUS_TLS_CERT", "/c"), ("METRICS_PROMETHEUS_PORT", "80")):
        with pytest.raises(ObservabilityError):
            of('{"requestMetrics":{' + PROMETHEUS + "}}", **{name: value})
