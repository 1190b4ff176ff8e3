"""Every request of a plan is sent and accounted for, whatever the server does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from emu.daemon.load.records import Records
from emu.messages.requests import RequestDone, RequestSent, to_line
from emu.policy.loadplan import LoadPlan, RequestSpec
from tests.unit.daemon.daemon_wire import DEADLINE_S, ROOT, Daemon, FakeApp, in_time, wait_for
from tests.unit.daemon.loads import Runs, phase

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_every_kind_of_phase_leaves_a_sent_and_a_done_line_for_each_request(app: Daemon, runs: Runs) -> None:
    """None lost, none twice, none out of order, all 200."""
    status = runs.run(
        app.port,
        phase("constant", name="constant", rate=100),
        phase("poisson", name="poisson", rate=100, start_s=0.2),
        phase("ramp", name="ramp", rate_to=200),
        phase("steps", name="steps", rates=(20.0, 40.0)),
        phase("burst", name="burst", size=20, rate=4, keep_alive=False),
        phase("closed", name="closed", clients=3, think_s=0.01),
    )
    sent, done = runs.records("sent"), runs.records("done")
    assert sorted(r["id"] for r in sent) == sorted(r["id"] for r in done) == list(range(len(sent)))
    assert len(sent) == status["due"] == status["sent"] == status["done"]
    assert status["finished"] and status["in_flight"] == 0
    assert {(r["status"], r["error"], r["bytes"]) for r in done} == {(200, None, 2)}
    counts = Counter(r["phase"] for r in sent)
    assert (counts["constant"], counts["ramp"], counts["steps"], counts["burst"]) == (50, 50, 15, 40)
    assert counts["closed"] >= 3
    assert all(r["sent"] >= r["begun"] >= r["due"] for r in sent)
    seen: set[int] = set()
    for line in runs.out.read_text().splitlines():
        record = json.loads(line)
        assert (record["id"] in seen) == (record["e"] == "done")
        seen.add(record["id"])


def test_no_listener_is_refused_for_each_request(runs: Runs, fake_app: FakeApp) -> None:
    """At once, and an open loop goes on."""
    fake_app.close()
    status = runs.run(fake_app.port, phase("constant", rate=40))
    assert (status["errors"], status["done"]) == ({"refused": 20}, 20)


@pytest.mark.parametrize(
    ("answer", "reset", "error", "code"),
    [
        (b"", False, "closed", None),
        (b"", True, "reset", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", False, "short-body", 200),
        (b"SSH-2.0-OpenSSH\r\n", False, "bad-response", None),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", False, None, 503),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", False, None, 200),
    ],
)
def test_each_way_to_fail_has_its_name(
    runs: Runs, fake_app: FakeApp, answer: bytes, reset: bool, error: str | None, code: int | None
) -> None:
    """From what the server did with the connection."""
    load = runs.start(fake_app.port, phase(size=1))
    wire = fake_app.accept()
    wire.read_until(b"\r\n\r\n")
    wire.send(answer)
    if reset:
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    wire.close()
    assert load.wait() == 0
    (done,) = runs.records("done")
    assert (done["error"], done["status"]) == (error, code)


def test_a_server_that_hangs_up_at_once_leaves_no_request_without_an_end(runs: Runs, fake_app: FakeApp) -> None:
    """So many at a time that a connection's end is read before anything was sent on it."""
    load = runs.start(fake_app.port, phase(size=200), drain_s=60.0)
    for _ in range(200):
        fake_app.accept().close()
    assert load.wait() == 0
    assert load.lines[-1]["done"] == 200
    assert {record["error"] for record in runs.records("done")} <= {"closed", "reset"}


def test_a_phase_after_answers_begins_when_all_before_have_ended(runs: Runs, app: Daemon) -> None:
    """However long the answers before take, no request of the later phase is sent until the last of them is done."""
    slow = RequestSpec(path="/?sleep=0.7")
    load = runs.start(
        app.port,
        phase("burst", name="slow", size=3, duration_s=0.1, request=slow),
        phase("burst", name="after", size=2, duration_s=0.1, after_answers=True),
        drain_s=60.0,
    )
    assert load.wait() == 0
    phases = {record["id"]: record["phase"] for record in runs.records("sent")}
    done = {record["id"]: record["done"] for record in runs.records("done")}
    last_slow = max(at for number, at in done.items() if phases[number] == "slow")
    sent = [record["sent"] for record in runs.records("sent") if record["phase"] == "after"]
    assert len(sent) == 2
    assert min(sent) >= last_slow
    reported = [line for line in load.lines if "began" in line or "ended" in line]
    assert [line.get("began") or line.get("ended") for line in reported] == ["slow", "slow", "after", "after"]


def test_a_phase_after_answers_begins_when_a_sample_has_been_taken(runs: Runs, app: Daemon) -> None:
    """So has the load, and it ends with one: its first phase asks for no other. One that begins at its time asks for
    none.
    """
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.settimeout(DEADLINE_S)
    phases = (
        phase("burst", name="first", size=2, duration_s=0.1, after_answers=True),
        phase("burst", name="timed", size=1, start_s=0.1, duration_s=0.1),
        phase("burst", name="after", size=2, duration_s=0.1, after_answers=True),
    )
    with theirs:
        load = runs.start(app.port, *phases, asks=theirs.fileno())

    def count(kind: str) -> int:
        return len(runs.records(kind)) if runs.out.exists() else 0

    answered = []
    for number, before in ((b"1", 0), (b"2", 3), (b"3", 5)):
        assert mine.recv(20) == number
        wait_for(
            lambda before=before: count("done") == before, "the answers before it"
        )  # they are written soon after
        assert count("sent") == before
        answered.append(time.monotonic())
        mine.send(number)
    assert load.wait() == 0
    began = {line["began"]: line["at"] for line in load.lines if "began" in line}
    ready = next(line["ready"] for line in load.lines if "ready" in line)
    assert answered[0] <= began["first"] == ready and answered[1] <= began["after"] <= answered[2]
    assert not [line for line in load.lines if "unsampled" in line]


def test_a_recorder_that_has_ended_delays_nothing(runs: Runs, app: Daemon) -> None:
    """The other end of the socket is closed."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        load = runs.start(
            app.port, phase(name="a", size=1), phase(name="b", size=1, after_answers=True), asks=theirs.fileno()
        )
    mine.close()
    assert load.wait() == 0, load.stderr()
    assert len(runs.records("done")) == 2
    assert not [line for line in load.lines if "unsampled" in line]


def test_one_that_is_stopped_waits_for_no_sample(runs: Runs, app: Daemon) -> None:
    """A recorder that hangs does not keep a run that its user ends."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.settimeout(DEADLINE_S)
    with mine, theirs:
        load = runs.start(app.port, phase(name="a", size=1), asks=theirs.fileno())
        assert mine.recv(20) == b"1"
        load.term()
        assert load.wait() == 0, load.stderr()
    assert not [line for line in load.lines if "unsampled" in line]


def test_what_is_open_at_the_end_is_unanswered(runs: Runs, fake_app: FakeApp) -> None:
    """After drain_s."""
    status = runs.run(fake_app.port, phase(size=3), drain_s=0.1)
    assert status["errors"] == {"unanswered": 3}


def test_the_end_does_not_wait_when_nothing_is_open(runs: Runs, app: Daemon) -> None:
    """A drain of an hour takes no time then."""
    assert runs.run(app.port, phase(size=3), drain_s=3600.0)["by_status"] == {"200": 3}


def test_a_client_without_patience_gives_up_and_closes(runs: Runs) -> None:
    """Counted from when it began with the request."""

    def play(fake_app: FakeApp, period_s: int) -> None:  # the request must be on its way before it is given up
        patience_s = 0.2 * period_s
        runs.out.unlink(missing_ok=True)
        load = runs.start(fake_app.port, phase(size=1, request=RequestSpec(timeout_s=patience_s)), drain_s=60.0)
        wire = fake_app.accept()
        wire.read_until(b"\r\n\r\n")
        assert wire.is_closed()
        assert load.wait() == 0
        (sent,), (done,) = runs.records("sent"), runs.records("done")
        assert done["error"] == "timeout"
        assert done["done"] - sent["begun"] >= patience_s

    in_time(play)


def test_sigterm_ends_it_in_order(runs: Runs, fake_app: FakeApp) -> None:
    """What is open is unanswered, and the exit status is 0."""
    load = runs.start(fake_app.port, phase("constant", rate=10, duration_s=600))
    fake_app.accept().read_until(b"\r\n\r\n")
    wait_for(lambda: load.lines, "a status line")
    load.term()
    assert load.wait() == 0
    sent, done = runs.records("sent"), runs.records("done")
    assert len(sent) == len(done) > 0
    assert {r["error"] for r in done} <= {"unanswered", "closed", "reset"}


def test_a_kill_leaves_lines_that_can_be_read(runs: Runs, app: Daemon) -> None:
    """All but the last are whole."""
    load = runs.start(app.port, phase("closed", clients=8, duration_s=600))
    wait_for(lambda: runs.out.exists() and runs.out.stat().st_size > 200_000, "records")
    load.process.send_signal(signal.SIGKILL)
    load.wait()
    lines = runs.out.read_text().split("\n")
    assert len([json.loads(line) for line in lines[:-1]]) > 100


def test_it_ends_when_the_run_that_it_is_for_is_gone(runs: Runs, app: Daemon) -> None:
    """Even one that was gone before it began: nobody waits for the rest of a plan of five minutes."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    load = runs.start(app.port, phase("constant", rate=1.0, duration_s=300.0), parent=gone.pid)
    assert load.wait() == 0, load.stderr()


def test_it_goes_on_when_nobody_reads_its_status(runs: Runs, app: Daemon, tmp_path: Path) -> None:
    """Standard output is closed at the other end."""
    load = runs.start(app.port, phase("constant", rate=50, duration_s=1.0))
    assert load.process.stdout is not None
    wait_for(lambda: load.lines, "a status line")
    # The reading thread holds the pipe; take its end away below it.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, load.process.stdout.fileno())
    os.close(null)
    assert load.wait() == 0
    assert len(runs.records("done")) == 50


def test_a_body_goes_out_whole(runs: Runs, fake_app: FakeApp) -> None:
    """With its length, and never built in memory as a whole."""
    post = RequestSpec("POST", "/", body_bytes=50_000_000)
    load = runs.start(fake_app.port, phase(size=1, request=post), drain_s=60.0)
    wire = fake_app.accept()
    head = wire.read_head()
    assert head.get("content-length") == "50000000"
    assert head.get("host") == "app.default.example.com"
    assert load.memory("VmHWM") < 60 * 1024 * 1024
    wire.skip(50_000_000)
    wire.send(OK)
    assert load.wait() == 0
    assert runs.records("done")[0]["status"] == 200


def test_a_slow_sender_takes_its_time(runs: Runs, app: Daemon) -> None:
    """Bytes at its rate."""
    slow = phase(size=2, request=RequestSpec("POST", "/", body_bytes=5000, send_rate=10_000.0))
    runs.run(app.port, slow, drain_s=60.0)
    sent = {r["id"]: r["sent"] for r in runs.records("sent")}
    done = runs.records("done")
    assert len(done) == 2
    assert all(r["status"] == 200 and r["done"] - sent[r["id"]] >= 0.45 for r in done)


def test_keep_alive_reuses_connections_and_its_absence_does_not(runs: Runs, fake_app: FakeApp) -> None:
    """Counted by the server's accepts."""
    accepted: list[int] = []

    def serve() -> None:
        while True:
            try:
                wire = fake_app.accept()
            except OSError:
                return
            accepted.append(1)
            try:
                while True:
                    wire.read_until(b"\r\n\r\n")
                    wire.send(OK)
            except (AssertionError, OSError):
                wire.close()

    threading.Thread(target=serve, daemon=True).start()
    runs.run(fake_app.port, phase("closed", clients=1, count=5, duration_s=10))
    assert len(accepted) == 1
    runs.run(fake_app.port, phase("closed", clients=1, count=5, duration_s=10, keep_alive=False))
    assert len(accepted) == 6


def test_a_count_is_shared_by_the_clients_of_a_closed_loop(runs: Runs, app: Daemon) -> None:
    """Seven requests, whoever sends them."""
    assert runs.run(app.port, phase("closed", clients=3, count=7, duration_s=20))["by_status"] == {"200": 7}


def test_running_out_of_descriptors_is_recorded_by_name(runs: Runs, fake_app: FakeApp, tmp_path: Path) -> None:
    """It is an error of some requests, not the end of the load."""
    plan = tmp_path / "plan.json"
    plan.write_text(LoadPlan("127.0.0.1", fake_app.port, (phase(size=100),), drain_s=0.2).to_json())
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); "
        "from emu.daemon.load.main import main; sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", script, "--plan", str(plan), "--out", str(runs.out)]
    subprocess.run(argv, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    errors = Counter(r["error"] for r in runs.records("done"))
    assert set(errors) == {"no-descriptors", "unanswered"}
    assert sum(errors.values()) == 100


def test_lines_are_those_of_the_contract(tmp_path: Path) -> None:
    """Formatted by hand, equal to what `messages.to_line` writes."""
    path = tmp_path / "requests.jsonl"
    records = Records(path)
    records.sent(1, 'a "phase"', 1.5, 1.25e-7, 1.0e-7)
    records.sent(2, "b", 1.5, 1.5, 1.5, "pod", "web")
    records.sent(3, "b", 1.5, 1.5, 1.5, ports=[40000, 8080])
    records.sent(4, "b", 1.5, 1.5, 1.5, ports=[])
    records.done(1, 2.5, None, None, "refused", 0)
    records.done(2, 2.5, 2.25, 200, None, 7)
    records.close()
    assert path.read_text() == "".join(
        (
            to_line(RequestSent(1, 'a "phase"', 1.5, 1.25e-7, 1.0e-7)),
            to_line(RequestSent(2, "b", 1.5, 1.5, 1.5, "pod", "web")),
            to_line(RequestSent(3, "b", 1.5, 1.5, 1.5, ports=[40000, 8080])),
            to_line(RequestSent(4, "b", 1.5, 1.5, 1.5, ports=[])),
            to_line(RequestDone(1, 2.5, None, None, "refused", 0)),
            to_line(RequestDone(2, 2.5, 2.25, 200, None, 7)),
        )
    )
