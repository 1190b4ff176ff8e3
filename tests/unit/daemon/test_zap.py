"""queue-proxy's own log as Knative's config-logging asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from emu.daemon.zap import Zap, read
from tests.unit.daemon.daemon_wire import Daemon, wait_for

NOW = 1_700_000_000.123456
KNATIVE = {
    "level": "info",
    "development": False,
    "outputPaths": ["stdout"],
    "errorOutputPaths": ["stderr"],
    "encoding": "json",
    "encoderConfig": {
        "timeKey": "timestamp",
        "levelKey": "severity",
        "nameKey": "logger",
        "callerKey": "caller",
        "messageKey": "message",
        "stacktraceKey": "stacktrace",
        "lineEnding": "",
        "levelEncoder": "",
        "timeEncoder": "iso8601",
        "durationEncoder": "",
        "callerEncoder": "",
    },
}
"""As it is installed."""


def zap(override: str = "", **changed: Any) -> Zap:
    """Knative's configuration with some of it changed; names of encoderConfig go there."""
    encoder = KNATIVE["encoderConfig"]
    assert isinstance(encoder, dict)
    inner = {key: value for key, value in changed.items() if key in encoder}
    outer = {key: value for key, value in changed.items() if key not in encoder}
    config = {**KNATIVE, **outer, "encoderConfig": {**encoder, **inner}}
    found = read(json.dumps(config), override, {"knative.dev/pod": "p"})
    assert found is not None
    return found


def said(style: Zap, event: str = "start", **facts: Any) -> str:
    """A line."""
    line = style.line(event, {"event": event, **facts}, NOW)
    assert line is not None
    return line


def test_a_line_has_knatives_keys_and_ours() -> None:
    """In zap's order, the facts last."""
    assert said(zap(), pid=7) == (
        '{"severity":"info","timestamp":"2023-11-14T22:13:20.123Z","logger":"queueproxy",'
        '"message":"Starting queue-proxy","knative.dev/pod":"p","event":"start","pid":7}\n'
    )


@pytest.mark.parametrize(
    ("encoder", "time"),
    [
        ("", NOW),
        ("epoch", NOW),
        ("millis", NOW * 1e3),
        ("nanos", 1_700_000_000_123_456_000),
        ("ISO8601", "2023-11-14T22:13:20.123Z"),
        ("rfc3339", "2023-11-14T22:13:20Z"),
        ("RFC3339Nano", "2023-11-14T22:13:20.123456Z"),
    ],
)
def test_times_are_encoded_as_asked(encoder: str, time: object) -> None:
    """Seconds since 1970 where nothing is said."""
    got = json.loads(said(zap(timeEncoder=encoder)))["timestamp"]
    assert got == pytest.approx(time, rel=1e-9) if not isinstance(time, str) else got == time


@pytest.mark.parametrize(
    ("encoder", "level"),
    [
        ("", "error"),
        ("capital", "ERROR"),
        ("color", "\x1b[31merror\x1b[0m"),
        ("capitalColor", "\x1b[31mERROR\x1b[0m"),
    ],
)
def test_levels_are_encoded_as_asked(encoder: str, level: str) -> None:
    """Lower case where nothing is said."""
    assert json.loads(said(zap(levelEncoder=encoder), "dial-failed"))["severity"] == level


def test_a_console_has_columns() -> None:
    """Time, level, name and words, then the rest as JSON; a key that is empty leaves its column out."""
    line = said(zap(encoding="console", nameKey=""), "timeout")
    assert line == '2023-11-14T22:13:20.123Z\twarn\trequest timeout\t{"knative.dev/pod":"p","event":"timeout"}\n'


@pytest.mark.parametrize(
    ("config", "override", "event", "is_said"),
    [
        ("info", "", "start", True),
        ("warn", "", "start", False),
        ("warn", "", "timeout", True),
        ("info", "error", "timeout", False),
        ("error", "debug", "start", True),
        ("error", "nonsense", "start", False),
    ],
)
def test_the_level_decides_and_the_variable_overrides_it(
    config: str, override: str, event: str, is_said: bool
) -> None:
    """SERVING_LOGGING_LEVEL, if it is a level."""
    assert (zap(override, level=config).line(event, {}, NOW) is not None) == is_said


@pytest.mark.parametrize(
    "config", ["", "{", "[]", '"x"', "{}", '{"level": "info"}', '{"level": "loud", "encoding": "json"}']
)
def test_what_is_no_configuration_is_none(config: str) -> None:
    """Knative falls back to a format of its own, and so do we."""
    assert read(config, "", {}) is None


def test_queue_proxy_writes_so(queue_proxy: Callable[..., Daemon]) -> None:
    """And whoever reads our events still can."""
    proxy = queue_proxy(SERVING_LOGGING_CONFIG=json.dumps(KNATIVE))
    assert proxy.event("listening")["containerConcurrency"] == 0
    first: dict[str, Any] = wait_for(lambda: proxy.lines and proxy.lines[0], "a line")
    assert (first["severity"], first["message"], first["logger"]) == ("info", "Starting queue-proxy", "queueproxy")
    assert first["knative.dev/key"] == "default/app-00001"


def test_a_failure_is_logged_in_the_words_that_people_search_for() -> None:
    """With what the kernel counts of sockets, and the error under Knative's key."""
    line = json.loads(said(zap(), "app-broke", why="EOF"))
    assert line["message"].startswith("error reverse proxying request; sockstat: sockets: used ")
    assert (line["error"], line["severity"]) == ("EOF", "error")
