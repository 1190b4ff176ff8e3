"""queue-proxy over real sockets: limits, timers, streams, and the bytes of its own answers."""

from __future__ import annotations

import json
import re
import socket
import threading
import time

import pytest

from emu.daemon.queue_proxy import main as module
from tests.unit.daemon.daemon_wire import DEADLINE_S, REQUIRED, Daemon, FakeApp, StartProxy, Wire, in_time, wait_for

GET = b"GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n"
CHUNKED_POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BIG = 1 << 30
CROWD = 200
HUNG_UP = (
    rb"(EOF|http: server closed idle connection|dial tcp 127.0.0.1:\d+: connect: connection reset by peer|"
    rb"(readLoopPeekFailLocked: )?read tcp 127.0.0.1:\d+->127.0.0.1:\d+: read: connection reset by peer)\n"
)
"""What became of a connection that the app ended at once, by when it was seen."""
ROOM = 24 * 1024 * 1024
"""More than the proxy's buffers take, far less than the bodies."""


def serve_one(app: FakeApp, answer: bytes = OK) -> tuple[Wire, bytes]:
    """Take one request's head at the app, and answer it."""
    wire = app.accept()
    head = wire.read_until(b"\r\n\r\n")
    wire.send(answer)
    return wire, head


class TestStart:
    """What it reads from its environment."""

    @pytest.mark.parametrize("name", module.REQUIRED)
    def test_a_missing_variable_is_named_in_knatives_words(self, name: str) -> None:
        """`required key X missing value`."""
        environ = {key: value for key, value in REQUIRED.items() if key != name}
        with pytest.raises(module.SettingsError, match=f"^required key {name} missing value$"):
            module.Settings.from_environ(environ)

    def test_it_exits_1_at_once_when_one_is_missing(self, capsys: pytest.CaptureFixture[str]) -> None:
        """And says which, on standard error."""
        assert module.main({}) == 1
        assert capsys.readouterr().err == "required key CONTAINER_CONCURRENCY missing value\n"

    def test_a_number_that_is_none_is_named(self) -> None:
        """With the value found."""
        with pytest.raises(module.SettingsError, match=r"tcp/http: unknown port"):
            module.Settings.from_environ({**REQUIRED, "USER_PORT": "http"})


class TestForwarding:
    """What passes through, and how."""

    def test_a_request_and_its_answer_pass_and_both_connections_are_kept(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """A second request on the same connection reaches the app over the same connection too."""
        client = queue_proxy().connect()
        client.send(GET)
        app, head = serve_one(fake_app)
        assert head.startswith(b"GET / HTTP/1.1\r\nHost: app.example.com\r\n")
        assert b"X-Forwarded-For: 127.0.0.1\r\n" in head
        answer = client.read_head()
        assert (answer.status, client.read_body(answer)) == (200, b"ok")
        assert answer.get("date")
        client.send(GET)
        app.read_until(b"\r\n\r\n")
        app.send(OK)
        assert client.read_head().status == 200
        assert fake_app.untouched()

    def test_a_body_of_a_known_length_keeps_its_length(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Content-Length in, Content-Length out."""
        client = queue_proxy().connect()
        client.send(b"POST /x?y=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        app = fake_app.accept()
        head = app.read_head()
        assert head.first == "POST /x?y=1 HTTP/1.1"
        assert head.get("content-length") == "5"
        assert app.read_exactly(5) == b"hello"
        app.send(OK)
        assert client.read_head().get("content-length") == "2"

    def test_a_chunked_body_stays_chunked_both_ways(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Each side's chunks arrive as chunks."""
        client = queue_proxy().connect()
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
        )
        app = fake_app.accept()
        head = app.read_head()
        assert head.get("transfer-encoding") == "chunked"
        assert app.read_body(head) == b"abcdefg"
        app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n5\r\nthere\r\n0\r\n\r\n")
        answer = client.read_head()
        assert answer.get("transfer-encoding") == "chunked"
        assert client.read_body(answer) == b"hithere"

    def test_a_body_that_ends_with_its_connection_becomes_chunked(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """So that the client's connection can be kept."""
        client = queue_proxy().connect()
        client.send(GET)
        app, _ = serve_one(fake_app, b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        app.close()
        answer = client.read_head()
        assert client.read_body(answer) == b"until the end"
        client.send(GET)
        serve_one(fake_app)
        assert client.read_head().status == 200

    @pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
    def test_an_answer_without_a_body_by_its_status_has_none(
        self, queue_proxy: StartProxy, fake_app: FakeApp, status: bytes
    ) -> None:
        """No chunked framing is invented for it; the next answer follows at once."""
        client = queue_proxy().connect()
        client.send(GET)
        app, _ = serve_one(fake_app, b"HTTP/1.1 " + status + b"\r\n\r\n")
        answer = client.read_head()
        assert not answer.get("transfer-encoding")
        client.send(GET)
        app.read_until(b"\r\n\r\n")
        app.send(OK)
        assert client.read_head().status == 200

    def test_head_gets_the_length_and_no_body(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """And the app's connection serves the next request."""
        client = queue_proxy().connect()
        client.send(GET.replace(b"GET", b"HEAD"))
        app, _ = serve_one(fake_app, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        assert client.read_head().get("content-length") == "1000"
        client.send(GET)
        app.read_until(b"\r\n\r\n")
        app.send(OK)
        answer = client.read_head()
        assert client.read_body(answer) == b"ok"

    def test_http_1_0_is_answered_and_closed(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """A chunked answer is passed without chunks, for 1.0 knows none."""
        client = queue_proxy().connect()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        serve_one(fake_app, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        said = client.read_to_end()
        assert said.startswith(b"HTTP/1.0 200 OK\r\n")
        assert said.endswith(b"\r\n\r\nok")

    def test_pipelined_requests_are_answered_in_order(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Three in one write; the app sees one after the other."""
        client = queue_proxy().connect()
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(3)))
        app = fake_app.accept()
        for number in range(3):
            assert app.read_head().first == f"GET /{number} HTTP/1.1"
            assert app.quiet()
            app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
        bodies = [client.read_body(client.read_head()) for _ in range(3)]
        assert bodies == [b"0", b"1", b"2"]

    def test_hop_by_hop_headers_stay_on_their_hop(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Both ways, with those that Connection names."""
        client = queue_proxy().connect()
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n"
            b"Knative-Serving-Revision: r\r\nX-Other: 2\r\n\r\n"
        )
        _, head = serve_one(
            fake_app, b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\nX-App: 1\r\n\r\n"
        )
        assert b"X-Other: 2" in head
        assert not re.search(rb"(?i)\r\n(x-mine|keep-alive|connection|knative-serving-revision):", head)
        answer = client.read_head()
        assert answer.get("x-app") == "1"
        assert "keep-alive" not in answer.headers

    def test_early_hints_pass_and_the_final_status_stays(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """A 103 before a 404 (the real queue-proxy then says 200, a defect that is not copied)."""
        client = queue_proxy().connect()
        client.send(GET)
        serve_one(
            fake_app,
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        )
        assert client.read_head().status == 103
        assert client.read_head().status == 404

    def test_a_client_that_expects_a_continue_gets_it_before_it_sends(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """From the server once the body is read; and what the app says of it then passes, as any 1xx does."""
        client = queue_proxy().connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.read_head().status == 100
        client.send(b"hi")
        app = fake_app.accept()
        app.read_until(b"\r\n\r\nhi")
        app.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
        assert [client.read_head().status, client.read_head().status] == [100, 200]

    def test_a_refused_body_is_not_asked_for(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """The answer says that the connection closes, which it does with the client's next byte."""
        client = queue_proxy().connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        app = fake_app.accept()
        app.read_head()
        app.send(b"HTTP/1.1 417 x\r\nContent-Length: 2\r\n\r\nno")
        assert b"Connection: close\r\n" in client.read_until(b"\r\n\r\nno")
        client.send(b"h")
        assert client.read_to_end() == b""

    def test_an_answer_that_overtakes_its_request_leaves_the_connection_usable(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """With full duplex, where its pieces come at once and its end with the request's."""
        client = queue_proxy(ENABLE_HTTP_FULL_DUPLEX="true").connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5005\r\n\r\n" + bytes(5000))
        app = fake_app.accept()
        app.read_head()
        app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        client.read_until(b"2\r\nok\r\n")
        client.send(b"world" + GET)
        client.read_until(b"0\r\n\r\n")
        serve_one(fake_app)
        assert client.read_head().status == 200

    def test_an_app_that_echoes_a_stream_hangs_without_full_duplex(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """What the annotation is for: a client that reads before it writes on waits for ever. The stream still
        reaches the app; of what that answers no more is taken from it than fits into a buffer.
        """
        for full_duplex in (False, True):
            proxy = queue_proxy(ENABLE_HTTP_FULL_DUPLEX=full_duplex)
            client = proxy.connect()
            client.send(CHUNKED_POST + b"1\r\na\r\n")
            app = fake_app.accept()
            app.read_until(b"\r\n\r\n1\r\na\r\n")
            app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            if full_duplex:
                assert client.read_head().status == 200
                client.read_until(b"1\r\na\r\n")
            else:
                proxy.settle()
                assert client.quiet()
            client.send(b"1\r\nb\r\n")
            app.read_until(b"1\r\nb\r\n")
            app.send(b"1\r\nb\r\n")
            client.send(b"0\r\n\r\n")
            app.read_until(b"0\r\n\r\n")
            app.send(b"0\r\n\r\n")
            if not full_duplex:
                assert client.read_head().status == 200
                client.read_until(b"1\r\na\r\n")
            client.read_until(b"1\r\nb\r\n0\r\n\r\n")
            client.send(GET)
            app.read_until(b"\r\n\r\n")
            app.send(OK)
            assert client.read_head().status == 200

    @pytest.mark.parametrize("how", ["the client leaves", "timeout", "the app breaks"])
    def test_a_client_that_leaves_its_request_open_is_no_leak(self, queue_proxy: StartProxy, how: str) -> None:
        """An answer that waits for the request's end goes with the client, with a timeout, with the app."""

        def play(fake_app: FakeApp, period_s: int) -> None:
            timeout_s = period_s if how == "timeout" else 300
            proxy = queue_proxy(USER_PORT=fake_app.port, CONTAINER_CONCURRENCY=1, REVISION_TIMEOUT_SECONDS=timeout_s)
            client = proxy.connect()
            client.send(CHUNKED_POST + b"1\r\na\r\n")
            app = fake_app.accept()
            app.read_until(b"\r\n\r\n1\r\na\r\n")
            app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
            proxy.settle()
            assert client.quiet()
            if how == "the client leaves":
                client.close()
            elif how == "timeout":
                wait_for(app.is_closed, "the app to hear of the timeout")
                client.send(b"0\r\n\r\n")
                assert client.read_head().status == 200
            else:
                app.close()
            client = proxy.connect()
            client.send(GET)
            serve_one(fake_app)
            assert client.read_head().status == 200

        in_time(play)

    def test_what_is_read_for_a_refusal_is_not_kept(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """A hundred refused uploads of 200 kB each, none of which ends: 20 MB came, and hardly any of it stays."""
        proxy = queue_proxy(CONTAINER_CONCURRENCY=1)
        inside = [proxy.connect() for _ in range(11)]  # one runs, ten wait
        for client in inside:
            client.send(GET)
        running = fake_app.accept()
        _probe(proxy)  # answered after all of those were read
        refused = [proxy.connect() for _ in range(100)]
        before = proxy.memory("VmRSS")
        for client in refused:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200001\r\n\r\n" + bytes(200_000))
        proxy.settle()
        assert all(client.quiet() for client in refused)
        assert proxy.memory("VmRSS") - before < 8 << 20
        for client in refused:
            client.send(b"x")
            assert client.read_head().status == 503
        running.close()

    def test_a_slow_upload_reaches_the_app_piece_by_piece(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """The head at once, and each piece as it comes."""
        client = queue_proxy().connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + bytes(100))
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        for size in (100, 4000, 4000, 900):
            if size != 100:
                client.send(bytes(size))
            assert app.read_exactly(size) == bytes(size)

    def test_chunks_reach_the_app_at_once(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Nobody waits for a block of them to fill."""
        client = queue_proxy().connect()
        client.send(CHUNKED_POST + b"1\r\na\r\n")
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n1\r\na\r\n")
        client.send(b"1\r\nb\r\n")
        app.read_until(b"1\r\nb\r\n")


class TestStreams:
    """Bodies far larger than the memory that passes them."""

    def test_an_upload_waits_in_the_kernel_while_the_app_does_not_read(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """200 MB go through, first to an app that stalls, and the proxy grows by a bounded amount."""
        proxy = queue_proxy()
        client = proxy.connect()
        before = proxy.memory("VmRSS")
        sender = threading.Thread(target=_send_big, args=(client,), daemon=True)
        sender.start()
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        proxy.settle()
        assert proxy.memory("VmRSS") - before < ROOM
        app.skip(BIG)
        app.send(OK)
        assert client.read_head().status == 200
        sender.join()
        assert proxy.memory("VmHWM") - before < ROOM

    def test_a_download_waits_in_the_kernel_while_the_client_does_not_read(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """The same the other way round."""
        proxy = queue_proxy()
        client = proxy.connect()
        client.send(GET)
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        before = proxy.memory("VmRSS")
        sender = threading.Thread(target=_send_big, args=(app, b"HTTP/1.1 200 OK"), daemon=True)
        sender.start()
        client.read_head()
        proxy.settle()
        assert proxy.memory("VmRSS") - before < ROOM
        client.skip(BIG)
        sender.join()
        assert proxy.memory("VmHWM") - before < ROOM


def _send_big(wire: Wire, first: bytes = b"POST / HTTP/1.1\r\nHost: a") -> None:
    block = bytes(1 << 20)
    wire.send(first + b"\r\nContent-Length: %d\r\n\r\n" % BIG)
    for _ in range(BIG // len(block)):
        wire.send(block)


class TestBreaker:
    """CONTAINER_CONCURRENCY."""

    def test_ten_run_a_hundred_wait_one_is_refused(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """The 111th gets the measured answer at once, on a connection that stays; the others are all served."""
        proxy = queue_proxy(CONTAINER_CONCURRENCY=10)
        clients = [proxy.connect() for _ in range(110)]
        for client in clients:
            client.send(GET)
        running = [fake_app.accept() for _ in range(10)]
        for app in running:
            app.read_until(b"\r\n\r\n")
        last = proxy.connect()
        answer, body = wait_for(lambda: _refused(last), "a refusal")
        assert body == b"pending request queue full\n"
        date = answer.get("date")
        assert answer.data == (
            b"HTTP/1.1 503 Service Unavailable\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"X-Content-Type-Options: nosniff\r\n"
            b"Date: " + date.encode() + b"\r\n"
            b"Content-Length: 27\r\n\r\n"
        )
        assert fake_app.untouched()
        served = 0
        while served < 110:
            for app in running:
                if served < 110 and not app.quiet():
                    app.got = b""
                app.send(OK)
                served += 1
                if served + 10 <= 110:
                    app.read_until(b"\r\n\r\n")
        for client in clients:
            assert client.read_head().status == 200

    def test_waiters_reach_the_app_in_the_order_in_which_they_came(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """One at a time."""
        proxy = queue_proxy(CONTAINER_CONCURRENCY=1)
        clients = []
        for number in range(5):
            client = proxy.connect()
            client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            _probe(proxy)  # answered after the request before it was read
            clients.append(client)
        app = fake_app.accept()
        order = []
        for _ in clients:
            order.append(app.read_head().first)
            app.send(OK)
        assert order == [f"GET /{number} HTTP/1.1" for number in range(5)]

    def test_a_waiter_that_hangs_up_never_reaches_the_app(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Its place goes to the next."""
        proxy = queue_proxy(CONTAINER_CONCURRENCY=1)
        first, second, third = (proxy.connect() for _ in range(3))
        for number, client in enumerate((first, second, third)):
            client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            _probe(proxy)
        second.close()
        _probe(proxy)
        app = fake_app.accept()
        assert app.read_head().first == "GET /0 HTTP/1.1"
        app.send(OK)
        assert app.read_head().first == "GET /2 HTTP/1.1"
        app.send(OK)
        assert third.read_head().status == 200

    def test_a_client_that_hangs_up_frees_its_place_and_the_apps_connection(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """The next request runs although the app never answered the first."""
        proxy = queue_proxy(CONTAINER_CONCURRENCY=1)
        first, second = proxy.connect(), proxy.connect()
        first.send(GET)
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        second.send(GET)
        first.close()
        assert app.is_closed()
        serve_one(fake_app)
        assert second.read_head().status == 200

    def test_probes_are_answered_while_the_queue_is_full(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """They do not pass the breaker."""
        proxy = queue_proxy(CONTAINER_CONCURRENCY=1)
        clients = [proxy.connect() for _ in range(11)]
        for client in clients:
            client.send(GET)
        assert _probe(proxy) == (200, b"queue")


def _refused(client: Wire) -> tuple[object, bytes] | None:
    answer, body = client.ask(GET)
    assert answer.status == 503
    return answer, body


def _refuses(proxy: Daemon) -> bool:
    """Whether a connection is refused."""
    try:
        proxy.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def _probe(proxy: Daemon, header: bytes = b"queue") -> tuple[int, bytes]:
    wire = proxy.connect()
    answer, body = wire.ask(
        b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: kube-probe/1.30\r\nK-Network-Probe: " + header + b"\r\n\r\n"
    )
    wire.close()
    return answer.status, body


class TestTimeouts:
    """The three timers, known by what happens before what."""

    def test_nothing_sent_yet_is_a_504_on_a_kept_connection(self, queue_proxy: StartProxy) -> None:
        """And the app's connection is closed."""

        def play(fake_app: FakeApp, period_s: int) -> None:
            client = queue_proxy(USER_PORT=fake_app.port, REVISION_TIMEOUT_SECONDS=period_s).connect()
            begun = time.monotonic()
            client.send(GET)
            app = fake_app.accept()
            app.read_until(b"\r\n\r\n")
            answer = client.read_head()
            assert time.monotonic() - begun >= period_s
            assert answer.first == "HTTP/1.1 504 Gateway Timeout"
            assert answer.get("content-type") == "text/plain; charset=utf-8"
            assert "x-content-type-options" not in answer.headers
            assert client.read_body(answer) == b"request timeout"
            assert app.is_closed()
            client.send(GET)
            serve_one(fake_app)
            assert client.read_head().status == 200

        in_time(play)

    def test_a_chunked_answer_that_has_begun_ends_cleanly_with_the_text(self, queue_proxy: StartProxy) -> None:
        """Status 200, and the client cannot see it."""

        def play(fake_app: FakeApp, period_s: int) -> None:
            client = queue_proxy(USER_PORT=fake_app.port, REVISION_TIMEOUT_SECONDS=period_s).connect()
            client.send(GET)
            app, _ = serve_one(fake_app, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            answer = client.read_head()
            assert (answer.status, client.read_body(answer)) == (200, b"abcrequest timeout")
            assert app.is_closed()

        in_time(play)

    def test_an_answer_with_a_length_is_cut_short(self, queue_proxy: StartProxy) -> None:
        """The text within the promised length, then the end."""

        def play(fake_app: FakeApp, period_s: int) -> None:
            client = queue_proxy(USER_PORT=fake_app.port, REVISION_TIMEOUT_SECONDS=period_s).connect()
            client.send(GET)
            app, _ = serve_one(fake_app, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            head = client.read_head()
            assert head.status == 200
            assert client.read_to_end() == b"abcrequest timeout"
            assert app.is_closed()

        in_time(play)

    def test_the_wait_in_the_queue_counts(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """A waiter whose time is up gets its 504 and never reaches the app."""
        proxy = queue_proxy(CONTAINER_CONCURRENCY=1, REVISION_TIMEOUT_SECONDS=1)
        first, second = proxy.connect(), proxy.connect()
        first.send(GET)
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        second.send(GET)
        assert first.read_head().status == 504
        assert second.read_head().status == 504
        assert app.is_closed()

    def test_a_first_byte_in_time_satisfies_the_response_start_timeout(self, queue_proxy: StartProxy) -> None:
        """A silent request ends with 504; one that has begun outlives it."""

        def play(fake_app: FakeApp, period_s: int) -> None:
            proxy = queue_proxy(USER_PORT=fake_app.port, REVISION_RESPONSE_START_TIMEOUT_SECONDS=period_s)
            begun, silent = proxy.connect(), proxy.connect()
            begun.send(GET)
            app, _ = serve_one(fake_app, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
            silent.send(GET)
            assert silent.read_head().status == 504
            app.send(b"def")
            answer = begun.read_head()
            assert answer.status == 200
            assert begun.read_body(answer) == b"abcdef"

        in_time(play)

    def test_a_timeout_of_nought_is_at_once(self, queue_proxy: StartProxy) -> None:
        """REVISION_TIMEOUT_SECONDS=0."""
        answer, body = queue_proxy(REVISION_TIMEOUT_SECONDS=0).connect().ask(GET)
        assert (answer.status, body) == (504, b"request timeout")


class TestBrokenApp:
    """What the client gets when the app fails."""

    def test_no_listener_is_a_502_with_gos_words(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """At once, on a kept connection."""
        proxy = queue_proxy()
        fake_app.close()
        client = proxy.connect()
        for _ in range(2):
            answer, body = client.ask(GET)
            assert answer.status == 502
            assert answer.get("x-content-type-options") == "nosniff"
            assert body == b"dial tcp 127.0.0.1:%d: connect: connection refused\n" % fake_app.port

    def test_a_close_before_the_answer_is_a_502_eof(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Go's transport says EOF."""
        client = queue_proxy().connect()
        client.send(GET)
        app, _ = serve_one(fake_app, b"")
        app.close()
        answer = client.read_head()
        assert (answer.status, client.read_body(answer)) == (502, b"EOF\n")

    def test_a_reset_before_the_answer_is_a_502_that_says_so(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """With both addresses."""
        client = queue_proxy().connect()
        client.send(GET)
        app, _ = serve_one(fake_app, b"")
        app.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        app.close()
        answer = client.read_head()
        assert answer.status == 502
        assert re.fullmatch(
            rb"read tcp 127.0.0.1:\d+->127.0.0.1:\d+: read: connection reset by peer\n", client.read_body(answer)
        )

    @pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
    def test_an_app_that_ends_each_connection_at_once_leaves_nobody_waiting(
        self, queue_proxy: StartProxy, fake_app: FakeApp, reset: bool
    ) -> None:
        """So many at a time that the loop reads the end of a connection before whoever dialled it may ask: 502 for
        each, and the next ones are served. A close is a reset for a request that was not read.
        """
        proxy = queue_proxy()
        answered = threading.Event()

        def hang_up() -> None:  # more often than there are requests: one on a kept connection is repeated
            while not answered.is_set():
                try:
                    app, _ = fake_app.listener.accept()
                except TimeoutError:
                    continue
                if reset:
                    app.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                app.close()

        fake_app.listener.settimeout(0.1)
        busy = threading.Thread(target=hang_up)
        busy.start()
        clients = [proxy.connect() for _ in range(CROWD)]
        for client in clients:
            client.send(GET)
        for client in clients:
            answer = client.read_head()
            assert answer.status == 502
            assert re.fullmatch(HUNG_UP, client.read_body(answer))
        answered.set()
        busy.join()
        fake_app.listener.settimeout(DEADLINE_S)
        clients[0].send(GET)
        serve_one(fake_app)
        assert clients[0].read_head().status == 200

    def test_a_close_in_mid_body_cuts_the_client_off_too(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """No last chunk pretends that the body was whole."""
        client = queue_proxy().connect()
        client.send(GET)
        app, _ = serve_one(fake_app, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        app.close()
        assert client.read_to_end().endswith(b"3\r\nabc\r\n")

    def test_a_kept_connection_that_the_app_closed_is_not_the_clients_trouble(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """The request goes out again over a new one."""
        client = queue_proxy().connect()
        client.send(GET)
        app, _ = serve_one(fake_app)
        assert client.read_body(client.read_head()) == b"ok"
        client.send(GET)
        app.read_until(b"\r\n\r\n")
        app.close()
        serve_one(fake_app)
        assert client.read_head().status == 200

    def test_an_answer_whose_head_never_ends_is_a_502(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Beyond 10 MiB, as net/http's transport has it; nothing grows for ever."""
        client = queue_proxy().connect()
        client.send(GET)
        app, _ = serve_one(fake_app, b"HTTP/1.1 200 OK\r\nX: ")
        try:
            for _ in range(12):
                app.send(b"x" * (1 << 20))
        except (ConnectionResetError, BrokenPipeError):
            pass
        answer = client.read_head()
        assert answer.status == 502
        assert b"server response headers exceeded 10485760 bytes" in client.read_body(answer)

    def test_an_answer_that_nobody_asked_for_reaches_nobody(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Two answers in one write: the waiter who is next on that connection does not get the second."""
        proxy = queue_proxy(CONTAINER_CONCURRENCY=1)
        first, second = proxy.connect(), proxy.connect()
        first.send(GET)
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        second.send(GET)
        _probe(proxy)
        app.send(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        assert first.read_body(first.read_head()) == b"ok"
        serve_one(fake_app)
        assert second.read_body(second.read_head()) == b"ok"

    def test_the_end_of_an_answer_to_head_is_not_that_of_the_next_request(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """A waiter takes over the connection in the very moment in which the head of an empty answer is read."""
        proxy = queue_proxy(CONTAINER_CONCURRENCY=1)
        first, second = proxy.connect(), proxy.connect()
        first.send(GET.replace(b"GET", b"HEAD"))
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        second.send(GET)
        _probe(proxy)
        app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert first.read_head().status == 200
        app.read_until(b"\r\n\r\n")
        app.send(OK)
        assert second.read_body(second.read_head()) == b"ok"


class TestSmuggling:
    """Requests that two hops could read differently are refused, and the app never sees them."""

    @pytest.mark.parametrize(
        "request_",
        [
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nabc",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"nonsense\r\n\r\n",
        ],
    )
    def test_it_is_a_400_and_the_end(self, shared: tuple[Daemon, FakeApp], request_: bytes) -> None:
        """The connection closes after the answer."""
        proxy, fake_app = shared
        client = proxy.connect()
        client.send(request_)
        said = client.read_to_end()
        assert said.startswith(b"HTTP/1.1 400 Bad Request")
        assert b"Connection: close\r\n" in said
        assert fake_app.untouched()

    def test_an_unknown_transfer_encoding_is_a_501(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """As net/http answers."""
        client = queue_proxy().connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
        assert client.read_to_end().startswith(b"HTTP/1.1 501 ")
        assert fake_app.untouched()

    def test_a_chunk_that_breaks_later_never_ends_as_a_whole_request(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """The app's connection ends without the last chunk."""
        client = queue_proxy().connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        app = fake_app.accept()
        app.read_until(b"3\r\nabc\r\n")
        client.send(b"zz\r\n")
        assert app.is_closed()
        said = client.read_to_end()
        assert said.startswith(b"HTTP/1.1 502 ")
        assert said.endswith(b"\r\n\r\ninvalid byte in chunk length\n")

    def test_a_good_request_before_a_bad_one_is_answered_first(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """In one write."""
        client = queue_proxy().connect()
        client.send(GET + b"nonsense\r\n\r\n")
        serve_one(fake_app)
        said = client.read_to_end()
        assert said.index(b"200 OK") < said.index(b"400 Bad Request")

    def test_a_head_that_never_ends_is_a_431(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Beyond 1 MiB."""
        client = queue_proxy().connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        try:
            for _ in range(40):
                client.send(b"X-Long: " + b"x" * 32768 + b"\r\n")
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert client.read_to_end()[:13] == b"HTTP/1.1 431 "
        assert fake_app.untouched()


class TestProbes:
    """Who asks, and what is answered."""

    def test_an_app_that_listens_is_ready(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """A TCP probe, once."""
        probe = json.dumps({"tcpSocket": {"port": fake_app.port, "host": "127.0.0.1"}, "successThreshold": 1})
        proxy = queue_proxy(SERVING_READINESS_PROBE=probe)
        assert _probe(proxy) == (200, b"queue")
        assert fake_app.accept().is_closed()

    def test_an_app_that_does_not_listen_is_not_ready(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """One try when periodSeconds is set: 503, empty."""
        probe = json.dumps({"tcpSocket": {"port": fake_app.port}, "periodSeconds": 1})
        proxy = queue_proxy(SERVING_READINESS_PROBE=probe)
        fake_app.close()
        assert _probe(proxy) == (503, b"")

    def test_no_probe_configured_is_always_ready(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """And the app is not asked."""
        assert _probe(queue_proxy()) == (200, b"queue")
        assert fake_app.untouched()

    def test_a_prober_must_say_queue(self, queue_proxy: StartProxy) -> None:
        """Any other value is a 400 that names it."""
        assert _probe(queue_proxy(), b"activator") == (400, b"unexpected probe header value: activator\n")

    def test_a_network_probe_is_echoed_its_hash(self, queue_proxy: StartProxy) -> None:
        """Without one it is a 400."""
        client = queue_proxy().connect()
        answer, body = client.ask(
            b"GET / HTTP/1.1\r\nHost: a\r\nK-Network-Probe: probe\r\nK-Network-Hash: abc\r\n\r\n"
        )
        assert (answer.status, answer.get("k-network-hash"), body) == (200, "abc", b"")
        answer, body = client.ask(b"GET / HTTP/1.1\r\nHost: a\r\nK-Network-Probe: probe\r\n\r\n")
        assert (answer.status, body) == (
            400,
            b'a probe request must contain a non-empty "K-Network-Hash" header\n',
        )

    def test_queue_without_a_probers_user_agent_is_traffic(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """It reaches the app with its header."""
        client = queue_proxy().connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nK-Network-Probe: queue\r\n\r\n")
        _, head = serve_one(fake_app)
        assert b"K-Network-Probe: queue\r\n" in head


class TestDrain:
    """SIGTERM."""

    def test_probes_fail_and_requests_pass(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """While it drains."""
        proxy = queue_proxy(EMU_DRAIN_QUIET_SECONDS=600)
        proxy.event("listening")
        proxy.term()
        proxy.event("drain")
        assert _probe(proxy) == (503, b"shutting down\n")
        late = proxy.connect()
        late.send(GET)
        serve_one(fake_app)
        answer = late.read_head()
        assert (answer.status, answer.get("connection")) == (200, "")

    def test_a_request_in_flight_is_finished_before_the_end(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """With Connection: close, and the process exits with 0."""
        proxy = queue_proxy()
        client = proxy.connect()
        client.send(GET)
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        proxy.term()
        proxy.event("stopping")
        wait_for(lambda: _refuses(proxy), "it listens no more")
        app.send(OK)
        answer = client.read_head()
        assert (answer.status, answer.get("connection")) == (200, "close")
        assert proxy.wait() == 0

    def test_a_new_connection_is_waited_for_and_its_request_not_served(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """Some five seconds from its beginning, as by Go's server; a connection that is idle is closed at once."""
        proxy = queue_proxy(EMU_DRAIN_QUIET_SECONDS=0)
        idle = proxy.connect()
        idle.send(GET)
        serve_one(fake_app)
        idle.read_body(idle.read_head())
        fresh = proxy.connect()
        assert _probe(proxy)[0] == 200  # so that it is accepted
        proxy.term()
        assert idle.is_closed()
        assert fresh.quiet()
        fresh.send(GET)
        assert fresh.is_closed()
        assert proxy.wait() == 0

    def test_a_short_answer_that_began_before_the_stop_says_that_it_is_the_last(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """Its head is written with its end."""
        proxy = queue_proxy()
        client = proxy.connect()
        client.send(GET)
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        proxy.settle()
        proxy.term()
        proxy.event("stopping")
        wait_for(lambda: _refuses(proxy), "it listens no more")
        app.send(b"def")
        answer = client.read_head()
        assert (client.read_body(answer), answer.get("connection")) == (b"abcdef", "close")

    def test_a_second_sigterm_ends_it_at_once(self, queue_proxy: StartProxy) -> None:
        """With status 1."""
        proxy = queue_proxy(EMU_DRAIN_QUIET_SECONDS=60)
        proxy.event("listening")
        proxy.term()
        proxy.event("drain")
        proxy.term()
        assert proxy.wait() == 1
