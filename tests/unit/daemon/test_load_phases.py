"""Phases of the load that end by what happens, and the clock that they share."""

from __future__ import annotations

import base64
import json
import socket
from collections import Counter
from contextlib import closing
from typing import Any

from emu.messages.endpoints import Endpoint
from emu.policy.loadplan import RequestSpec, Route, Until
from tests.unit.daemon.daemon_wire import Daemon, FakeApp, wait_for
from tests.unit.daemon.loads import Runs, phase

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FAR_S = 600.0
"""A bound that no test reaches."""


def said(load: Daemon, what: str) -> list[dict[str, Any]]:
    """What it said of phases that began or ended."""
    return [line for line in load.lines if what in line]


def test_the_clock_starts_when_it_is_ready(runs: Runs, app: Daemon) -> None:
    """It says when second 0 of the plan is, and the first request is due then, however long it took to start."""
    load = runs.start(app.port, phase("constant", rate=20))
    assert load.wait() == 0
    ready, began = said(load, "ready")[0]["ready"], said(load, "began")[0]["at"]
    assert ready == began == min(record["due"] for record in runs.records("sent"))


def test_a_phase_ends_once_so_many_are_under_way(runs: Runs, fake_app: FakeApp) -> None:
    """Not by the clock: the next phase begins then. What was on its way to a connection by then goes on to it."""
    load = runs.start(
        fake_app.port,
        phase("constant", name="fill", rate=200, duration_s=FAR_S, until=Until(in_flight=25)),
        phase("burst", name="more", size=2, follows=True),
        drain_s=0.1,
    )
    assert load.wait() == 0
    sent = runs.records("sent")
    fill = [record for record in sent if record["phase"] == "fill"]
    assert (len(sent) - len(fill), len(fill) >= 25) == (2, True)
    ended, begun = said(load, "ended")[0], said(load, "began")[1]
    assert (ended["ended"], ended["met"]) == ("fill", True)
    assert ended["at"] >= max(record["begun"] for record in fill)
    assert begun["at"] >= fill[24]["sent"]


def test_a_phase_that_names_whom_it_asks_counts_what_is_under_way_there(runs: Runs, fake_app: FakeApp) -> None:
    """Requests under way elsewhere do not end it; one that names nobody counts all."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        load = runs.start(
            fake_app.port,
            phase("constant", name="elsewhere", rate=200, duration_s=FAR_S, until=Until(in_flight=10)),
            phase("constant", name="there", rate=200, duration_s=FAR_S, until=Until(in_flight=5),
                  follows=True, host="127.0.0.1", port=other.getsockname()[1]),
            phase("constant", name="any", rate=200, duration_s=FAR_S, until=Until(in_flight=5), follows=True),
            drain_s=0.1,
        )  # fmt: skip
        assert load.wait() == 0
    sent = Counter(record["phase"] for record in runs.records("sent"))
    assert sent["there"] >= 5
    assert [(one["ended"], one["met"]) for one in said(load, "ended")] == [
        ("elsewhere", True),
        ("there", True),
        ("any", True),
    ]


def test_a_phase_ends_once_so_many_were_answered(runs: Runs, app: Daemon) -> None:
    """The clients of a closed loop stop then."""
    load = runs.start(app.port, phase("closed", clients=2, duration_s=FAR_S, until=Until(answered=7)))
    assert load.wait() == 0
    assert len(runs.records("done")) in (7, 8)
    assert said(load, "ended")[0]["met"] is True


def test_a_phase_ends_when_its_condition_is_met(runs: Runs, app: Daemon) -> None:
    """What happens to the pod others see; a pause sends nothing while it waits for it."""
    load = runs.start(
        app.port,
        phase("pause", name="wait", duration_s=FAR_S, until=Until(restarts=1)),
        phase("burst", name="go", size=3, follows=True),
        follows=True,
    )
    wait_for(lambda: said(load, "began"), "the first phase")
    assert not runs.out.exists() or not runs.records("sent")
    load.send(json.dumps({"met": "wait"}))
    assert load.wait() == 0
    assert [record["phase"] for record in runs.records("sent")] == ["go"] * 3
    assert [line["met"] for line in said(load, "ended")] == [True, None]


def test_requests_go_to_the_pods_that_it_knows(runs: Runs, app: Daemon, fake_app: FakeApp) -> None:
    """The record names the pod; once there are none, they go to the place itself again, where nobody listens here."""
    fake_app.close()
    load = runs.start(
        fake_app.port,
        phase("pause", name="wait", duration_s=FAR_S, until=Until(restarts=1)),
        phase("burst", name="direct", size=3, follows=True, until=Until(restarts=1), duration_s=FAR_S),
        phase("burst", name="back", size=2, follows=True),
        follows=True,
    )
    wait_for(lambda: said(load, "began"), "the first phase")
    pods = (Endpoint("127.0.0.1", app.port, pod="app-1"),)
    load.send(Route("127.0.0.1", fake_app.port, pods).to_line().rstrip())
    load.send(json.dumps({"met": "wait"}))
    wait_for(lambda: runs.out.exists() and len(runs.records("done")) == 3, "they are answered")
    load.send(Route("127.0.0.1", fake_app.port).to_line().rstrip())
    load.send(json.dumps({"met": "direct"}))
    assert load.wait() == 0
    assert [record["pod"] for record in runs.records("sent")] == ["app-1"] * 3 + [""] * 2
    assert [record["status"] for record in runs.records("done")] == [200] * 3 + [None] * 2


def test_what_does_not_come_ends_a_phase_at_its_bound(runs: Runs, fake_app: FakeApp) -> None:
    """What was due by then and was not sent is counted, not sent late."""
    load = runs.start(
        fake_app.port,
        phase("constant", rate=100, count=20, duration_s=0.6, until=Until(in_flight=1000)),
        drain_s=0.1,
    )
    assert load.wait() == 0
    ended = said(load, "ended")[0]
    assert ended["met"] is False
    assert len(runs.records("sent")) + ended["unsent"] == 20


def test_a_body_of_ones_own_goes_out_as_it_is(runs: Runs, fake_app: FakeApp) -> None:
    """At once, and slowly, in pieces."""
    content = bytes(range(250)) * 4
    encoded = base64.b64encode(content).decode()
    whole = RequestSpec("POST", "/", {"Content-Type": "x/y"}, body_bytes=1000, content=encoded)
    slow = RequestSpec("POST", "/", body_bytes=1000, content=encoded, send_rate=4000.0)
    for spec in (whole, slow):
        load = runs.start(fake_app.port, phase(size=1, request=spec), drain_s=60.0)
        wire = fake_app.accept()
        head = wire.read_head()
        assert head.get("content-length") == "1000"
        assert wire.read_exactly(1000) == content
        wire.send(OK)
        assert load.wait() == 0
    assert [record["status"] for record in runs.records("done")] == [200, 200]


def test_a_slow_reader_takes_its_time(runs: Runs, app: Daemon) -> None:
    """The answer is there at once, and its end is read when the rate allows."""
    slow = RequestSpec(path="/?answer=20000", read_rate=40_000.0)
    runs.run(app.port, phase(size=2, request=slow), drain_s=60.0)
    sent = {record["id"]: record["sent"] for record in runs.records("sent")}
    done = runs.records("done")
    assert [(record["status"], record["bytes"]) for record in done] == [(200, 20_000)] * 2
    assert all(record["done"] - sent[record["id"]] >= 0.4 for record in done)


def test_a_slow_reader_holds_up_the_server(runs: Runs, fake_app: FakeApp) -> None:
    """It is the other side that keeps what the client does not read: not all of 64 MiB can be sent."""
    slow = RequestSpec(read_rate=10_000.0)
    load = runs.start(fake_app.port, phase(size=1, request=slow), drain_s=60.0)
    wire = fake_app.accept()
    wire.read_head()
    wire.sock.settimeout(1.0)
    length = 64 << 20
    wire.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
    stuck = 0
    try:
        while stuck < length:
            stuck += wire.sock.send(bytes(1 << 16))
    except TimeoutError:
        pass
    assert stuck < length
    load.term()
    assert load.wait() == 0
