"""queue-proxy's own log in the format that SERVING_LOGGING_CONFIG asks for: Go's zap, as far as it shows.

Each line has what zap's configuration names (level, time, logger, message) and what Knative adds to all (the
revision's key, the pod), then the event and its facts under our names, so that whoever reads ours can read these too.
Source: go.uber.org/zap, Config and zapcore.EncoderConfig; knative.dev/pkg/logging.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emu.messages import STARTED

LEVELS = ("debug", "info", "warn", "error", "dpanic", "panic", "fatal")
NAME = "queueproxy"
"""Knative's name of queue-proxy's logger."""
PROXYING_FAILED = "error reverse proxying request"
SAID = {
    STARTED: ("info", "Starting queue-proxy"),
    "drain": ("info", "Received TERM signal, attempting to gracefully shutdown servers."),
    "stopping": ("info", "Shutting down servers"),
    "stopped": ("info", "Shutdown complete, exiting..."),
    "dial-failed": ("error", PROXYING_FAILED),
    "app-broke": ("error", PROXYING_FAILED),
    "answer-cut": ("error", PROXYING_FAILED),
    "request-log-off": ("error", "Error setting up request logger. Request logs will be unavailable."),
    "timeout": ("warn", "request timeout"),
    "stalled": ("warn", "stalled"),
}
"""Level and words of an event; any other is information, in the words of its name."""
_COLORS = {"debug": 35, "info": 34, "warn": 33}
_ERROR_COLOR = 31
_STDERR = 2


@dataclass(frozen=True)
class Zap:
    """How lines are written, and which."""

    level: str
    keys: Mapping[str, str]
    """zap's name of a key (`timeKey` …) → the key in the line; one that is empty is left out."""
    encoding: str = "json"
    time: str = ""
    levels: str = ""
    line_ending: str = "\n"
    separator: str = "\t"
    fd: int = 1
    always: Mapping[str, Any] = field(default_factory=dict)
    """In every line."""

    def line(self, event: str, facts: Mapping[str, Any], now: float) -> str | None:
        """The line for an event, `now` in seconds since 1970; None where its level is not wanted."""
        level, words = SAID.get(event, ("info", event.replace("-", " ")))
        if words == PROXYING_FAILED:
            words += "; sockstat: " + sockets()
            facts = {**facts, "error": facts.get("why", "")}
        if LEVELS.index(level) < LEVELS.index(self.level):
            return None
        parts = {
            "levelKey": _level(level, self.levels),
            "timeKey": _time(now, self.time),
            "nameKey": NAME,
            "messageKey": words,
        }
        named = {key: (self.keys[key], value) for key, value in parts.items() if self.keys.get(key)}
        rest = {**self.always, **facts}
        if self.encoding == "json":
            return _json({**dict(named.values()), **rest}) + self.line_ending
        order = ("timeKey", "levelKey", "nameKey", "messageKey")
        return self.separator.join([*(str(named[key][1]) for key in order if key in named), _json(rest)]) + (
            self.line_ending
        )


def sockets() -> str:
    """What the kernel counts of sockets, which Knative logs with each failure (knative.dev/pkg/network)."""
    try:
        return Path("/proc/net/sockstat").read_text()
    except OSError:
        return ""


def read(config: str, level: str, always: Mapping[str, Any]) -> Zap | None:
    """What a zap configuration (JSON) asks for, its level overridden by `level`; None where it is empty or none."""
    try:
        found = json.loads(config)
        encoder = found.get("encoderConfig") or {}
        wanted = level if level in LEVELS else str(found["level"]).lower()
        if wanted not in LEVELS or found["encoding"] not in ("json", "console"):
            return None
        return Zap(
            level=wanted,
            keys={key: str(encoder.get(key) or "") for key in ("timeKey", "levelKey", "nameKey", "messageKey")},
            encoding=found["encoding"],
            time=str(encoder.get("timeEncoder") or "").lower(),
            levels=str(encoder.get("levelEncoder") or ""),
            line_ending=str(encoder.get("lineEnding") or "\n"),
            separator=str(encoder.get("consoleSeparator") or "\t"),
            fd=_STDERR if (found.get("outputPaths") or [""])[0] == "stderr" else 1,
            always={**(found.get("initialFields") or {}), **always},
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def _level(level: str, encoder: str) -> str:
    text = level.upper() if encoder.startswith("capital") else level
    if encoder.lower().endswith("color"):
        return f"\x1b[{_COLORS.get(level, _ERROR_COLOR)}m{text}\x1b[0m"
    return text


def _time(now: float, encoder: str) -> str | float | int:
    moment = datetime.fromtimestamp(now, UTC)
    if encoder == "iso8601":
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
    if encoder == "rfc3339":
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    if encoder == "rfc3339nano":
        fraction = f".{moment.microsecond:06}".rstrip("0").rstrip(".")
        return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
    if encoder == "millis":
        return now * 1e3
    if encoder == "nanos":
        return round(now * 1e9)
    return now


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"))
