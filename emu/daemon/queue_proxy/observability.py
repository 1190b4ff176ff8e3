"""OBSERVABILITY_CONFIG as values: what is done of it, and what is refused rather than ignored. Pure: text → values.

Sources: knative/serving pkg/observability/config.go, knative.dev/pkg/observability. Keys are taken by their letters
alone: they are spelt with dashes in ConfigMaps and in camel case in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

METRICS_PORT = 9091
LEAST_PORT = 1024
_OTLP = ("grpc", "http/protobuf")
_LEFT_OUT = (
    "METRICS_PROMETHEUS_HOST",
    "METRICS_PROMETHEUS_TLS_CERT",
    "METRICS_PROMETHEUS_TLS_KEY",
    "METRICS_PROMETHEUS_TLS_CLIENT_AUTH",
    "METRICS_PROMETHEUS_TLS_CLIENT_CA_FILE",
)
DEFAULT_TEMPLATE = (
    '{"httpRequest": {"requestMethod": "{{.Request.Method}}", "requestUrl": "{{js .Request.RequestURI}}", '
    '"requestSize": "{{.Request.ContentLength}}", "status": {{.Response.Code}}, '
    '"responseSize": "{{.Response.Size}}", "userAgent": "{{js .Request.UserAgent}}", '
    '"remoteIp": "{{js .Request.RemoteAddr}}", "serverIp": "{{.Revision.PodIP}}", '
    '"referer": "{{js .Request.Referer}}", "latency": "{{.Response.Latency}}s", '
    '"protocol": "{{.Request.Proto}}"}, "traceId": "{{.TraceID}}"}'
)
"""Knative's documented one (config-observability, logging.request-log-template)."""


_METRICS = {"protocol": "string", "endpoint": "string", "exportInterval": "time.Duration"}
_TYPES = {
    "tracing": {"protocol": "string", "endpoint": "string", "samplingRate": "float64"},
    "metrics": _METRICS,
    "requestMetrics": _METRICS,
    "runtime": {"profiling": "string", "exportInterval": "time.Duration"},
    "enableRequestLog": "bool",
    "requestLogTemplate": "string",
    "enableProbeRequestLog": "bool",
}
_OF_GO = {"string": str, "bool": bool, "time.Duration": int}


class ObservabilityError(Exception):
    """The configuration is wrong, in Knative's words, or asks for what is not done here."""


class Observability(NamedTuple):
    """What queue-proxy is to show of itself."""

    prometheus_port: int | None = None
    """Where /metrics is served; None where it is not."""
    request_log_template: str | None = None
    """None is the default one."""
    request_log: bool = False
    probe_request_log: bool = False


def read(environ: Mapping[str, str]) -> Observability:
    """The configuration in these variables. ObservabilityError."""
    text = environ.get("OBSERVABILITY_CONFIG", "")
    if not text:
        return Observability()
    try:
        config = json.loads(text)
    except ValueError as wrong:
        raise ObservabilityError(f"failed to parse OBSERVABILITY_CONFIG: {wrong}") from None
    if not isinstance(config, dict):
        raise ObservabilityError("failed to parse OBSERVABILITY_CONFIG: json: cannot unmarshal it into a Config")
    _check_types(config, _TYPES)
    sections = {_letters(key): value for key, value in config.items()}
    metrics = _section(sections, "requestmetrics", "requestMetrics")
    tracing = _section(sections, "tracing", "tracing")
    runtime = _section(sections, "runtime", "runtime")
    _refuse_tracing(str(tracing.get("protocol", "none")))
    if runtime.get("profiling") == "enabled":
        raise ObservabilityError(
            "OBSERVABILITY_CONFIG asks for runtime.profiling: there is no Go runtime here to profile on port 8008; "
            'leave it out, or set it to "disabled"'
        )
    found: dict[str, Any] = {}
    _flatten(config, found)
    template = found.get("requestlogtemplate")
    return Observability(
        _prometheus_port(str(metrics.get("protocol", "none")), str(metrics.get("endpoint") or ""), environ),
        None if template is None else str(template),
        _truth(found.get("enablerequestlog")),
        _truth(found.get("enableproberequestlog")),
    )


def _check_types(found: Mapping[str, Any], types: Mapping[str, Any], within: str = "Config") -> None:
    """Names as JSON has them have values of Go's types; what has a ConfigMap's spelling is text."""
    for key, value in found.items():
        name = next((each for each in types if each.lower() == key.lower()), None)
        if name is None or value is None:
            continue
        wanted = types[name]
        if isinstance(wanted, dict):
            if isinstance(value, dict):
                _check_types(value, wanted, f"{within}.{name}")
            continue
        right = type(value) in ((int, float) if wanted == "float64" else (_OF_GO[wanted],))
        if not right:
            shown = {bool: "bool", str: "string", list: "array", dict: "object"}.get(type(value), "number")
            raise ObservabilityError(
                f"failed to parse OBSERVABILITY_CONFIG: json: cannot unmarshal {shown} into Go struct field "
                f"{within}.{name} of type {wanted}"
            )


def _section(sections: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    section = sections.get(key) or {}
    if not isinstance(section, dict):
        raise ObservabilityError(f"failed to parse OBSERVABILITY_CONFIG: json: cannot unmarshal {name} into a Config")
    return {_letters(each): value for each, value in section.items()}


def _refuse_tracing(protocol: str) -> None:
    if protocol in (*_OTLP, "stdout"):
        raise ObservabilityError(
            f'OBSERVABILITY_CONFIG asks for tracing.protocol "{protocol}": this queue-proxy makes no spans and '
            'passes trace headers on as they are; leave tracing out, or set its protocol to "none"'
        )
    if protocol != "none":
        raise ObservabilityError(f'error creating tracer exporter: unsupported metric exporter: "{protocol}"')


def _prometheus_port(protocol: str, endpoint: str, environ: Mapping[str, str]) -> int | None:
    if protocol == "none":
        return None
    if protocol in _OTLP:
        raise ObservabilityError(
            f'OBSERVABILITY_CONFIG asks for requestMetrics.protocol "{protocol}": this queue-proxy exports no '
            'metrics by OTLP; set it to "prometheus" and read them on port 9091, or to "none"'
        )
    if protocol != "prometheus":
        raise ObservabilityError(f'error creating reader: unsupported metric exporter: "{protocol}"')
    asked = [name for name in _LEFT_OUT if environ.get(name)]
    if asked:
        raise ObservabilityError(
            f"{asked[0]} is not kept to: metrics are served without TLS, on every address; unset it"
        )
    text = environ.get("METRICS_PROMETHEUS_PORT") or environ.get("EMU_METRICS_PORT") or ""
    if not text and endpoint:
        _, colon, text = endpoint.rpartition(":")
        if not colon or not text.isdigit():
            raise ObservabilityError(f'error creating reader: metrics-endpoint "{endpoint}" is no host:port')
    if environ.get("METRICS_PROMETHEUS_PORT") and not (text.isdigit() and LEAST_PORT <= int(text) < 65536):
        raise ObservabilityError(f'error creating reader: prometheus port "{text}" is not {LEAST_PORT} to 65535')
    return int(text) if text.isdigit() else METRICS_PORT


def _flatten(config: dict[str, Any], found: dict[str, Any]) -> None:
    for key, value in config.items():
        if isinstance(value, dict):
            _flatten(value, found)
        else:
            found[_letters(str(key).rsplit(".", 1)[-1])] = value


def _letters(key: str) -> str:
    return key.replace("-", "").lower()


def _truth(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
