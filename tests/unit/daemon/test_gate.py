"""queue-proxy in front of an app that is frozen when idle: the real process, with an app and a freezer by hand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.daemon.daemon_wire import DEADLINE_S, Daemon, FakeApp, Wire, in_time, wait_for

GET = b"GET / HTTP/1.1\r\nHost: app\r\n\r\n"
PROBE = b"GET /healthz HTTP/1.1\r\nHost: app\r\nUser-Agent: kube-probe/1.31\r\nK-Network-Probe: queue\r\n\r\n"
KUBELET = b"GET /live HTTP/1.1\r\nHost: app\r\nK-Kubelet-Probe: queue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
TOKEN = "s3cret"
NEVER_READY = json.dumps({"tcpSocket": {"port": 1, "host": "127.0.0.1"}, "periodSeconds": 1})
"""Nobody listens there: the app is known to be ready once it has answered a request, not before."""


class FakeFreezer:
    """The daemon's end, served by hand: what it is asked is kept, and answered when the test says so."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.asked: list[str] = []
        self.tokens: list[str] = []
        self.answers: dict[str, bytes] = {}
        self.held: set[str] = set()
        self._wires: list[Wire] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                wire = Wire(self.listener.accept()[0])
            except OSError:
                return
            wire.sock.settimeout(None)
            self._wires.append(wire)
            threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        try:
            while True:
                head = wire.read_head()
                action = json.loads(wire.read_body(head))["action"]
                self.tokens.append(head.get("token"))
                self.asked.append(action)
                until = time.monotonic() + DEADLINE_S
                while action in self.held and time.monotonic() < until:
                    time.sleep(0.002)
                answer = self.answers.get(action, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                if not answer:
                    wire.close()
                    return
                wire.send(answer)
        except (AssertionError, OSError):
            return

    def until(self, *asked: str) -> None:
        """Wait until it was asked just this, in this order."""
        try:
            wait_for(lambda: self.asked == list(asked), f"{asked}")
        except AssertionError as never:
            raise AssertionError(f"{never}; it was asked {self.asked}") from never

    def close(self) -> None:
        """Be gone, and wake who waits in accept: restarted by a signal, it would take another listener's."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for wire in self._wires:
            wire.sock.close()


@pytest.fixture
def freezer() -> Iterator[FakeFreezer]:
    """A freezer daemon by hand."""
    made = FakeFreezer()
    with closing(made):
        yield made


@pytest.fixture
def start(queue_proxy: Callable[..., Daemon], freezer: FakeFreezer, tmp_path: Path) -> Callable[..., Daemon]:
    """Starts a queue-proxy that knows of the freezer; it has resumed the app when this returns."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")

    def start(**env: object) -> Daemon:
        freezing = {
            "CONCURRENCY_STATE_ENDPOINT": freezer.endpoint,
            "CONCURRENCY_STATE_TOKEN_PATH": token,
            "EMU_FREEZER_GRACE_SECONDS": "0",
            "SERVING_READINESS_PROBE": NEVER_READY,
            **env,
        }
        return queue_proxy(**freezing)

    return start


def ask(proxy: Daemon, data: bytes = GET) -> Wire:
    """Send a request, and do not wait for its answer."""
    wire = proxy.connect()
    wire.send(data)
    return wire


def answer(app: FakeApp) -> None:
    """Take the app's next connection on which something is asked, answer that, and close it. On a busy machine it may
    not be the first: an attempt to connect is given up after 50 ms.
    """
    wire = app.accept()
    while not wire.sock.recv(1, socket.MSG_PEEK):
        wire = app.accept()
    wire.read_head()
    wire.send(CLOSING)
    wire.close()


def test_the_app_is_paused_after_the_last_response_and_resumed_before_the_next_request(
    start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp
) -> None:
    """With the pod's token; nothing reaches the app before the daemon has confirmed the resume."""
    proxy = start()
    freezer.until("resume")  # at first nobody knows how an earlier queue-proxy left the app
    client = ask(proxy)
    wire = fake_app.accept()
    wire.read_head()
    wire.send(OK)
    assert client.read_head().status == 200
    freezer.until("resume", "pause")
    proxy.event("paused")
    freezer.held.add("resume")
    second = ask(proxy)
    freezer.until("resume", "pause", "resume")
    assert second.quiet()
    freezer.held.clear()
    wire.read_head()  # the connection was kept
    wire.send(OK)
    assert second.read_head().status == 200
    assert set(freezer.tokens) == {TOKEN}


def frozen(proxy: Daemon, freezer: FakeFreezer, app: FakeApp) -> None:
    """Have a queue-proxy answer one request, and its app frozen after it."""
    client = ask(proxy)
    answer(app)
    assert client.read_head().status == 200
    proxy.event("paused")
    client.close()
    freezer.asked.clear()


def test_all_that_come_while_the_app_is_resumed_are_forwarded(
    start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp
) -> None:
    """It is resumed once for all of them, and none waits for another's answer."""
    proxy = start()
    frozen(proxy, freezer, fake_app)
    freezer.held.add("resume")
    clients = [ask(proxy) for _ in range(5)]
    freezer.until("resume")
    freezer.held.clear()
    inside = [fake_app.accept() for _ in clients]  # all are in the app before the first is answered
    for wire in inside:
        wire.read_head()
    for wire in inside:
        wire.send(OK)
    assert [client.read_head().status for client in clients] == [200] * 5
    freezer.until("resume", "pause")


def test_a_failed_pause_leaves_the_app_running(
    start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp
) -> None:
    """The daemon said 500: the next request is forwarded without a resume."""
    freezer.answers["pause"] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno"
    proxy = start(EMU_FREEZER_GRACE_SECONDS="0.2")
    client = ask(proxy)
    answer(fake_app)
    client.read_head()
    assert "500: no" in proxy.event("pause-failed")["why"]
    freezer.held.add("resume")
    second = ask(proxy)
    answer(fake_app)
    assert second.read_head().status == 200
    assert freezer.asked.count("resume") == 1


def test_a_pause_of_unknown_outcome_ends_the_stretch_of_requests(
    start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp
) -> None:
    """The daemon was killed before it answered, and may have paused the app: the log does not make one stretch of the
    requests before and after it, and the next request waits for a resume.
    """
    freezer.answers["pause"] = b""  # it closes without a word
    proxy = start()
    client = ask(proxy)
    answer(fake_app)
    client.read_head()
    said = proxy.event("maybe-paused")
    assert (said["forwarded"], said["firstAt"]) == (1, said["lastAt"])
    del freezer.answers["pause"]
    again = ask(proxy)
    answer(fake_app)
    assert again.read_head().status == 200
    said = proxy.event("paused")
    assert (said["forwarded"], said["firstAt"]) == (1, said["lastAt"])
    assert freezer.asked == ["resume", "pause", "pause", "resume", "pause"]


def test_a_resume_that_keeps_failing_is_said(start: Callable[..., Daemon], freezer: FakeFreezer) -> None:
    """503 after the patience, with the daemon's own words; it was tried more than once, and the app saw nothing."""

    def play(fake_app: FakeApp, period_s: int) -> None:
        freezer.answers.clear()
        proxy = start(USER_PORT=fake_app.port, EMU_FREEZER_PATIENCE_SECONDS=period_s)
        frozen(proxy, freezer, fake_app)
        freezer.answers["resume"] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nno engine"
        client = ask(proxy)
        head = client.read_head()
        assert head.status == 503
        assert b"not resumed within %d s: the freezer says 500: no engine" % period_s in client.read_body(head)
        assert freezer.asked.count("resume") > 1
        assert fake_app.untouched()
        del freezer.answers["resume"]
        again = ask(proxy)
        answer(fake_app)
        assert again.read_head().status == 200

    in_time(play)


def test_a_restarted_daemon_is_asked_again(
    start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp
) -> None:
    """The old connection breaks; a new one is made, and the request is served."""
    proxy = start()
    frozen(proxy, freezer, fake_app)
    freezer.answers["resume"] = b""  # it closes without a word
    client = ask(proxy)
    wait_for(lambda: freezer.asked.count("resume") > 1, "a second try")
    del freezer.answers["resume"]
    answer(fake_app)
    assert client.read_head().status == 200


def test_probes_of_a_frozen_app_are_answered_for_it_and_wake_nobody(
    start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp
) -> None:
    """queue-proxy's own, and a kubelet's that is meant for the app: it was ready when it was paused."""
    proxy = start()
    frozen(proxy, freezer, fake_app)
    client = proxy.connect()
    for data in (PROBE, KUBELET):
        head, _ = client.ask(data)
        assert head.status == 200
    assert fake_app.untouched()
    assert freezer.asked == []


def test_an_app_that_is_not_ready_is_not_paused(
    start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp
) -> None:
    """While it starts: queue-proxy asks its readiness first, and pauses nothing until it is."""
    fake_app.close()
    probe = json.dumps({"tcpSocket": {"port": fake_app.port, "host": "127.0.0.1"}, "periodSeconds": 1})
    proxy = start(SERVING_READINESS_PROBE=probe)
    freezer.until("resume")
    client = ask(proxy)
    assert client.read_head().status == 502
    assert freezer.asked == ["resume"]
    fake_app.listen()
    freezer.until("resume", "pause")


def test_asked_to_end_it_resumes_the_app(
    start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp
) -> None:
    """So that the app hears its own SIGTERM."""
    proxy = start()
    frozen(proxy, freezer, fake_app)
    proxy.term()
    freezer.until("resume")
    assert proxy.wait() == 0


def test_knatives_habits(start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp) -> None:
    """Paused before the first request, and ready whatever the app says."""
    proxy = start(EMU_FREEZER_MODE="knative", EMU_FREEZER_GRACE_SECONDS="")
    freezer.until("pause")
    head, _ = proxy.connect().ask(PROBE)
    assert head.status == 200
    client = ask(proxy)
    freezer.until("pause", "resume")
    answer(fake_app)
    assert client.read_head().status == 200
    freezer.until("pause", "resume", "pause")


def test_a_request_that_waits_in_the_breaker_keeps_the_app_from_being_paused(
    start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp
) -> None:
    """Its turn comes with the end of the one before, and between the two the app is not idle."""
    proxy = start(CONTAINER_CONCURRENCY=1)
    first, second = ask(proxy), ask(proxy)
    wire = fake_app.accept()
    wire.read_head()
    proxy.settle()  # the second has come, and waits
    wire.send(CLOSING)
    first.read_head()
    wire = fake_app.accept()
    wire.read_head()
    assert "pause" not in freezer.asked
    wire.send(CLOSING)
    second.read_head()
    freezer.until("resume", "pause")


def test_http2_requests_wait_as_well(start: Callable[..., Daemon], freezer: FakeFreezer, fake_app: FakeApp) -> None:
    """A stream to a frozen app resumes it first."""
    proxy = start()
    frozen(proxy, freezer, fake_app)
    freezer.held.add("resume")
    client = proxy.connect()
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
    from h2.config import H2Configuration
    from h2.connection import H2Connection

    conn = H2Connection(H2Configuration(client_side=True))
    conn.initiate_connection()
    conn.data_to_send()
    conn.send_headers(
        1, [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "app")], end_stream=True
    )
    client.send(conn.data_to_send())
    freezer.until("resume")
    assert fake_app.untouched()
    freezer.held.clear()
    assert fake_app.accept().read_until(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
