"""The stand-in for a sidecar: as slow and as heavy as configured, and there for a probe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from emu.messages import HOLD_VARIABLE, START_VARIABLE
from tests.unit.daemon.daemon_wire import Daemon, Wire

HOLD_BYTES = 24 << 20


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what the test starts."""
    with ExitStack() as stack:
        yield stack


def test_it_holds_what_is_configured_and_listens_then(stack: ExitStack) -> None:
    """Not before it has taken as long as it should; every page of it is there."""
    env = {"PORT": "0", HOLD_VARIABLE: str(HOLD_BYTES), START_VARIABLE: "0.3"}
    sidecar = stack.enter_context(closing(Daemon("emu.daemon.app.sidecar", [], env)))
    wire = Wire.to(sidecar.port)
    assert sidecar.event("listening")["t"] - sidecar.event("start")["t"] >= 0.3
    assert sidecar.memory("RssAnon") >= HOLD_BYTES
    wire.send(b"GET /healthz/ready HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.read_head().status == 200
    sidecar.term()
    assert sidecar.wait() == 0


def test_without_a_port_it_only_holds(stack: ExitStack) -> None:
    """And ends on SIGTERM."""
    sidecar = stack.enter_context(closing(Daemon("emu.daemon.app.sidecar", [], {HOLD_VARIABLE: str(HOLD_BYTES)})))
    assert sidecar.event("holds")["bytes"] == HOLD_BYTES
    sidecar.term()
    assert sidecar.wait() == 0


def test_a_probe_that_says_nothing_keeps_nobody_out(stack: ExitStack) -> None:
    """A TCP probe connects and goes."""
    sidecar = stack.enter_context(closing(Daemon("emu.daemon.app.sidecar", [], {"PORT": "0"})))
    Wire.to(sidecar.port).sock.close()
    wire = Wire.to(sidecar.port)
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.read_head().status == 200
