"""queue-proxy's environment as values, refused in the words of Knative's libraries where it is wrong.

Sources: knative/serving pkg/queue/sharedmain/main.go (struct config) and pkg/observability/config.go;
kelseyhightower/envconfig for the words. Variables that begin with EMU_ are ours: a run need not wait as long as a
cluster does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from emu.daemon.queue_proxy.observability import DEFAULT_TEMPLATE, Observability, ObservabilityError, read
from emu.daemon.queue_proxy.proxy import DEFECTS
from emu.messages import QUEUE_ADMIN_PORT

REQUIRED = (
    "CONTAINER_CONCURRENCY",
    "QUEUE_SERVING_PORT",
    "QUEUE_SERVING_TLS_PORT",
    "USER_PORT",
    "REVISION_TIMEOUT_SECONDS",
    "SERVING_LOGGING_CONFIG",
    "SERVING_LOGGING_LEVEL",
    "SERVING_NAMESPACE",
    "SERVING_CONFIGURATION",
    "SERVING_REVISION",
    "SERVING_POD",
    "SERVING_POD_IP",
)
"""Absent, one of these ends the start (pkg/queue/sharedmain/main.go, struct config); empty text is accepted."""
PORTS = ("QUEUE_SERVING_PORT", "QUEUE_SERVING_TLS_PORT", "USER_PORT")
NANOSECONDS = 1_000_000_000
CERT_DIR = "/var/lib/knative/certs"
DRAIN_QUIET_S = 30.0
"""After SIGTERM, this long without a user request before the ports close (drainSleepDuration)."""
HIJACKED_S = 60.0
"""How long connections that are not HTTP/1 any more may take after that."""
BIND = "0.0.0.0"  # noqa: S104  Knative's listens on every address of the pod
HEAD_LIMIT_S = 60.0
"""How long a request's head may take (knative.dev/pkg/network/h2c.go, ReadHeaderTimeout)."""

CERT_RELOAD_S = 60.0
"""How often the mounted certificate is looked at again (pkg/queue/sharedmain/main.go)."""

MOST_INT = 2**63 - 1
_INT = re.compile(
    r"[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)"
)
"""As Go writes whole numbers in its source, and envconfig reads them (strconv.ParseInt, base 0)."""
_OCTAL = re.compile(r"^([+-]?)0([0-7]+)$")
_PORT = re.compile(r"[+-]?[0-9]*")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


CURVES = {
    "P-256": "prime256v1",
    "CurveP256": "prime256v1",
    "P-384": "secp384r1",
    "CurveP384": "secp384r1",
    "P-521": "secp521r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
    "X25519MLKEM768": "X25519MLKEM768",
}
"""Knative's names of curves, the standard ones and Go's (knative.dev/pkg/network/tls), and OpenSSL's."""
OLDER_SUITES = {
    f"TLS_ECDHE_{key}_WITH_{cipher}": f"ECDHE-{key}-{openssl}"
    for cipher, openssl in {
        "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
        "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
        "AES_128_CBC_SHA": "AES128-SHA",
        "AES_256_CBC_SHA": "AES256-SHA",
    }.items()
    for key in ("ECDSA", "RSA")
}
"""The suites of TLS 1.2 that Go has (crypto/tls, CipherSuites), as it prefers them, and OpenSSL's names of them."""
HTTP2_SUITES = {f"TLS_ECDHE_{key}_WITH_AES_128_GCM_SHA256" for key in ("ECDSA", "RSA")}
"""Where TLS 1.2 is allowed and suites are named, one of these has to be (golang.org/x/net/http2, ConfigureServer)."""
CIPHER_SUITES = (*OLDER_SUITES, "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""All of Go's: those of TLS 1.3 can be named, but not chosen."""


class SettingsError(Exception):
    """A variable is missing or cannot be read; the text is Knative's."""


class TlsSettings(NamedTuple):
    """What QUEUE_PROXY_TLS_* asks for; empty is the default (1.3 and up)."""

    min_version: str = ""
    max_version: str = ""
    cipher_suites: tuple[str, ...] = ()
    """By Go's names."""
    curve_preferences: tuple[str, ...] = ()
    """By their standard names or Go's."""


class Settings(NamedTuple):
    """queue-proxy's environment. Seconds; `container_concurrency` 0 is no limit.

    A named tuple: each pod pays for the making of this class at its start, for a dataclass eight times as much.
    """

    container_concurrency: int
    port: int
    tls_port: int
    user_port: int
    revision_timeout_s: float
    response_start_timeout_s: float = 0.0
    idle_timeout_s: float = 0.0
    readiness_probe: str = ""
    http2_auto_detection: bool = False
    multi_container_probes: bool = False
    full_duplex: bool = False
    request_log_template: str = ""
    """Empty is no log."""
    probe_request_log: bool = False
    metrics_port: int | None = None
    """Where Prometheus reads; None where it does not."""
    revision: Mapping[str, str] = MappingProxyType({})
    """.Revision of the request log's template."""
    tls: TlsSettings = TlsSettings()
    cert_dir: str = CERT_DIR
    admin_port: int = QUEUE_ADMIN_PORT
    drain_quiet_s: float = DRAIN_QUIET_S
    hijacked_s: float = HIJACKED_S
    head_limit_s: float = HEAD_LIMIT_S
    cert_reload_s: float = CERT_RELOAD_S
    bind: str = BIND
    defects: frozenset[str] = frozenset()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """The settings; SettingsError in the words of Knative's envconfig."""
        read = _Reader(environ)
        concurrency = read.integer("CONTAINER_CONCURRENCY")
        for name in PORTS:
            read.text(name)
        revision_timeout = read.integer("REVISION_TIMEOUT_SECONDS")
        response_start = read.integer("REVISION_RESPONSE_START_TIMEOUT_SECONDS")
        idle = read.integer("REVISION_IDLE_TIMEOUT_SECONDS")
        full_duplex = read.boolean("ENABLE_HTTP_FULL_DUPLEX")
        detection = read.boolean("ENABLE_HTTP2_AUTO_DETECTION")
        several = read.boolean("ENABLE_MULTI_CONTAINER_PROBES")
        for name in REQUIRED:
            read.text(name)
        port, tls_port, user_port = (read.port(name) for name in PORTS)
        shown = _observability(environ)
        template = DEFAULT_TEMPLATE if shown.request_log_template is None else shown.request_log_template
        return cls(
            container_concurrency=max(0, concurrency),
            port=port,
            tls_port=tls_port,
            user_port=user_port,
            revision_timeout_s=_seconds(revision_timeout),
            response_start_timeout_s=_seconds(response_start),
            idle_timeout_s=_seconds(idle),
            readiness_probe=environ.get("SERVING_READINESS_PROBE", ""),
            http2_auto_detection=detection,
            multi_container_probes=several,
            full_duplex=full_duplex,
            request_log_template=template if shown.request_log else "",
            probe_request_log=shown.probe_request_log,
            metrics_port=shown.prometheus_port,
            revision={
                "Name": environ.get("SERVING_REVISION", ""),
                "Namespace": environ.get("SERVING_NAMESPACE", ""),
                "Service": environ.get("SERVING_SERVICE", ""),
                "Configuration": environ.get("SERVING_CONFIGURATION", ""),
                "PodName": environ.get("SERVING_POD", ""),
                "PodIP": environ.get("SERVING_POD_IP", ""),
            },
            tls=_tls(environ),
            cert_dir=environ.get("EMU_CERT_DIR") or CERT_DIR,
            admin_port=int(environ.get("EMU_ADMIN_PORT") or QUEUE_ADMIN_PORT),
            drain_quiet_s=float(environ.get("EMU_DRAIN_QUIET_SECONDS") or DRAIN_QUIET_S),
            hijacked_s=float(environ.get("EMU_HIJACKED_SECONDS") or HIJACKED_S),
            head_limit_s=float(environ.get("EMU_HEAD_LIMIT_SECONDS") or HEAD_LIMIT_S),
            cert_reload_s=float(environ.get("EMU_CERT_RELOAD_SECONDS") or CERT_RELOAD_S),
            bind=environ.get("EMU_BIND") or BIND,
            defects=_defects(environ.get("EMU_KNATIVE_DEFECTS", "")),
        )


class _Reader:
    """Reads variables in the order of Knative's struct, so that of several faults the same one is reported."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str:
        if name in REQUIRED and name not in self._environ:
            raise SettingsError(f"required key {name} missing value")
        return self._environ.get(name, "")

    def integer(self, name: str) -> int:
        text = self.text(name)
        if not text and name not in self._environ:
            return 0
        field_name = "".join(part.capitalize() for part in name.split("_"))
        if not _INT.fullmatch(text):
            raise SettingsError(_unreadable(name, field_name, text, "int", "ParseInt", "invalid syntax"))
        value = int(_OCTAL.sub(r"\g<1>0o\2", text.replace("_", "")), 0)
        if not -MOST_INT - 1 <= value <= MOST_INT:
            raise SettingsError(_unreadable(name, field_name, text, "int", "ParseInt", "value out of range"))
        return value

    def boolean(self, name: str) -> bool:
        text = self.text(name)
        if not text and name not in self._environ:
            return False
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        field_name = "".join(part.capitalize() for part in name.split("_")).replace("Http", "HTTP")
        raise SettingsError(_unreadable(name, field_name, text, "bool", "ParseBool", "invalid syntax"))

    def port(self, name: str) -> int:
        """Ports are text to Knative; a bad one fails when it is listened on or dialled."""
        text = self.text(name)
        if not _PORT.fullmatch(text):
            raise SettingsError(f"listen tcp: lookup tcp/{text}: unknown port")
        value = int(text) if text.strip("+-") else 0
        if not 0 <= value <= 65535:
            raise SettingsError(f"listen tcp: address {text}: invalid port")
        return value


def _seconds(number: int) -> float:
    """As a time.Duration of Go, which has nanoseconds in 64 bits and wraps around."""
    return ((number * NANOSECONDS + 2**63) % 2**64 - 2**63) / NANOSECONDS


def _unreadable(name: str, field_name: str, text: str, kind: str, function: str, why: str) -> str:
    return (
        f"envconfig.Process: assigning {name} to {field_name}: converting '{text}' to type {kind}. "
        f'details: strconv.{function}: parsing "{text}": {why}'
    )


def _observability(environ: Mapping[str, str]) -> Observability:
    try:
        return read(environ)
    except ObservabilityError as wrong:
        raise SettingsError(str(wrong)) from None


def _tls(environ: Mapping[str, str]) -> TlsSettings:
    settings = TlsSettings(
        environ.get("QUEUE_PROXY_TLS_MIN_VERSION", ""),
        environ.get("QUEUE_PROXY_TLS_MAX_VERSION", ""),
        _parts(environ.get("QUEUE_PROXY_TLS_CIPHER_SUITES", "")),
        _parts(environ.get("QUEUE_PROXY_TLS_CURVE_PREFERENCES", "")),
    )
    for name, value in (("MIN", settings.min_version), ("MAX", settings.max_version)):
        if value not in ("", "1.2", "1.3"):
            raise SettingsError(
                f'invalid QUEUE_PROXY_TLS_{name}_VERSION "{value}": unsupported TLS version: must be "1.2" or "1.3"'
            )
    for name, parts, known in (
        ("CIPHER_SUITES", settings.cipher_suites, CIPHER_SUITES),
        ("CURVE_PREFERENCES", settings.curve_preferences, tuple(CURVES)),
    ):
        if unknown := next((part for part in parts if part not in known), None):
            raise SettingsError(f'invalid QUEUE_PROXY_TLS_{name}: "{unknown}" is unknown; known: {", ".join(known)}')
    if settings.cipher_suites and settings.min_version == "1.2" and not HTTP2_SUITES & {*settings.cipher_suites}:
        raise SettingsError(
            "main tls server failed to serve: http2: TLSConfig.CipherSuites is missing an HTTP/2-required "
            f"AES_128_GCM_SHA256 cipher (need at least one of {' or '.join(sorted(HTTP2_SUITES, reverse=True))})"
        )
    if len({CURVES[curve] for curve in settings.curve_preferences}) > 1:
        raise SettingsError(
            "QUEUE_PROXY_TLS_CURVE_PREFERENCES names several curves, which Python's ssl cannot prefer one by one; "
            "name one, or none for OpenSSL's own"
        )
    return settings


def _parts(text: str) -> tuple[str, ...]:
    """What stands between commas, without spaces around it; empty parts are none."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _defects(text: str) -> frozenset[str]:
    asked = frozenset(_parts(text))
    if unknown := asked - {*DEFECTS, "all"}:
        raise SettingsError(
            f"EMU_KNATIVE_DEFECTS names {', '.join(sorted(unknown))}; known: all, {', '.join(DEFECTS)}"
        )
    return frozenset(DEFECTS) if "all" in asked else asked
