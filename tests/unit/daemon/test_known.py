"""Messages that came before: treated as the first time, whatever comes between, before or after them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emu.daemon.http.known import LONGEST_BYTES, MOST, Known
from emu.files.profiles import load_profile
from tests.unit.daemon.daemon_wire import REQUIRED, Daemon, FakeApp, StartProxy, Wire, in_time, port_of, wait_for

GET = b"GET /a HTTP/1.1\r\nHost: a\r\nX-Mine: 1\r\n\r\n"
DATED = b"Content-Type: text/plain\r\nDate: Sun, 22 Nov 2026 03:00:00 GMT\r\n"
GET_METRICS = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
WATCHED = {
    "EMU_FOOTPRINT": json.dumps(load_profile("knative-1.23").to_data()),
    "EMU_FOOTPRINT_EXECUTABLE": __file__,
}
OFTEN = 6
"""More than the two times after which a message is known."""


def answer(body: bytes, headers: bytes = DATED) -> bytes:
    """An answer of the app, of the kind whose head can be known."""
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body)


def made_known(client: Wire, fake_app: FakeApp) -> Wire:
    """Ask the same so often that it is known; the app's end, to which it was sent once more."""
    client.send(GET)
    app = fake_app.accept()
    for _ in range(OFTEN):
        app.read_until(b"\r\n\r\n")
        app.send(answer(b"ok"))
        client.read_body(client.read_head())
        client.send(GET)
    return app


class TestKnown:
    """What is kept."""

    def test_what_is_said_once_is_not(self) -> None:
        """The second time it came before."""
        known: Known[int] = Known()
        assert [known.again(b"a"), known.again(b"b"), known.again(b"a")] == [False, False, True]

    def test_nothing_long_is(self) -> None:
        """However often it comes."""
        known: Known[int] = Known()
        assert not any(known.again(b"x" * (LONGEST_BYTES + 1)) for _ in range(3))

    def test_only_so_much_is(self) -> None:
        """When there is more, all is forgotten; `get` stays good."""
        known: Known[int] = Known()
        for number in range(MOST + 1):
            known.keep(b"%d" % number, number)
        assert known.get(b"0") is None and known.get(b"%d" % MOST) == MOST


class TestRequests:
    """Heads of clients."""

    def test_the_app_gets_the_same_each_time(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """And the client each time the answer to this one request, though they differ only in their bodies."""
        client = queue_proxy().connect()
        client.send(GET)
        app = fake_app.accept()
        seen = set()
        for number in range(OFTEN):
            seen.add(app.read_until(b"\r\n\r\n"))
            app.send(answer(b"%04d" % number))
            head = client.read_head()
            assert client.read_body(head) == b"%04d" % number
            assert head.data == (
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n"
                b"Date: Sun, 22 Nov 2026 03:00:00 GMT\r\n\r\n"
            )
            client.send(GET)
        assert len(seen) == 1
        assert b"X-Forwarded-For: 127.0.0.1\r\n" in seen.pop()

    def test_each_client_has_its_own_address(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Though both say the same."""
        port = queue_proxy().port
        clients = {}
        for address in ("127.0.0.1", "127.0.0.2"):
            clients[address] = Wire(socket.create_connection(("127.0.0.1", port), source_address=(address, 0)))
        app: Wire | None = None
        for _ in range(OFTEN):
            for address, client in clients.items():
                client.send(GET)
                app = app or fake_app.accept()
                assert f"X-Forwarded-For: {address}\r\n".encode() in app.read_until(b"\r\n\r\n")
                app.send(answer(b"ok"))
                assert client.read_body(client.read_head()) == b"ok"

    def test_a_part_of_one_is_not_one(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """After a known request: the next in two pieces, two in one piece, and one with a body."""
        client = queue_proxy().connect()
        app = made_known(client, fake_app)
        app.read_until(b"\r\n\r\n")
        client.send(GET[:20])
        app.send(answer(b"first"))
        assert client.read_body(client.read_head()) == b"first"
        assert app.quiet()
        client.send(GET[20:] + GET)
        for body in (b"second", b"third"):
            assert app.read_until(b"\r\n\r\n").startswith(b"GET /a ")
            app.send(answer(body))
            assert client.read_body(client.read_head()) == body
        client.send(GET + b"GET /b HTTP/1.1\r\nX-Rest: ")
        for path in (b"/a", b"/b"):
            assert app.read_until(b"\r\n\r\n").startswith(b"GET %b " % path)
            app.send(answer(path))
            assert client.read_body(client.read_head()) == path
            client.send(GET)  # the rest of the one that has begun, then one of its own
        assert app.read_until(b"\r\n\r\n").startswith(b"GET /a ")
        app.send(answer(b"ok"))
        assert client.read_body(client.read_head()) == b"ok"
        client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(GET) + GET)
        head = app.read_head()
        assert (head.first, app.read_body(head)) == ("POST /a HTTP/1.1", GET)

    def test_a_refused_method_is_refused_however_often(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """CONNECT on a connection that was served before: the app never gets it."""
        proxy = queue_proxy()
        app: Wire | None = None
        for _ in range(OFTEN):
            client = proxy.connect()
            client.send(GET)
            app = app or fake_app.accept()
            app.read_until(b"\r\n\r\n")
            app.send(answer(b"ok"))
            client.read_body(client.read_head())
            client.send(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
            assert client.read_head().status == 502

    def test_a_kept_connection_that_the_app_closed_is_replaced(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """A known request is repeated as any other, and says the same."""
        client = queue_proxy().connect()
        app = made_known(client, fake_app)
        said = app.read_until(b"\r\n\r\n")
        app.close()
        again = fake_app.accept()
        assert again.read_until(b"\r\n\r\n") == said
        again.send(answer(b"again"))
        assert client.read_body(client.read_head()) == b"again"

    @pytest.mark.parametrize("before", [0, 1, OFTEN])
    def test_a_client_that_shuts_its_direction_is_answered(
        self, queue_proxy: StartProxy, fake_app: FakeApp, before: int
    ) -> None:
        """As Go's server does for it, however many requests came before on its connection."""
        client = queue_proxy().connect()
        client.send(GET)
        app = fake_app.accept()
        for _ in range(before):
            app.read_until(b"\r\n\r\n")
            app.send(answer(b"ok"))
            assert client.read_body(client.read_head()) == b"ok"
            client.send(GET)
        app.read_until(b"\r\n\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        head = client.read_head()
        assert (head.status, client.read_body(head)) == (200, b"")
        assert client.is_closed()
        assert app.is_closed()

    def test_one_that_waits_for_a_place_is_served(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """By the connection that its predecessor gave back in the same moment."""
        daemon = queue_proxy(CONTAINER_CONCURRENCY=1)
        clients = [daemon.connect() for _ in range(3)]
        app: Wire | None = None
        for _ in range(OFTEN):
            for client in clients:
                client.send(GET)
            app = app or fake_app.accept()
            for _ in clients:
                app.read_until(b"\r\n\r\n")
                app.send(answer(b"ok"))
            assert [client.read_body(client.read_head()) for client in clients] == [b"ok"] * 3

    @pytest.mark.parametrize("watched", [{}, WATCHED])
    def test_what_became_of_one_does_not_show_in_the_next(
        self, queue_proxy: StartProxy, fake_app: FakeApp, watched: dict[str, str]
    ) -> None:
        """After an early hint, a broken connection, an answer in parts and a client that left, each is as the first;
        and all of them are counted. With a footprint, every request goes step by step.
        """
        daemon = queue_proxy(OBSERVABILITY_CONFIG='{"requestMetrics":{"protocol":"prometheus"}}', **watched)
        client = daemon.connect()
        app = made_known(client, fake_app)
        app.read_until(b"\r\n\r\n")
        app.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        assert client.read_head().status == 103
        app.send(answer(b"hinted"))
        assert client.read_body(client.read_head()) == b"hinted"
        for piece in (b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 2000 OK\r\n\r\n"):
            client.send(GET)
            app.read_until(b"\r\n\r\n")
            app.send(piece)
            app.close()
            head = client.read_head()
            assert (head.status, client.read_body(head)[-1:]) == (502, b"\n")
            client.send(GET)
            app = fake_app.accept()
            app.read_until(b"\r\n\r\n")
            app.send(answer(b"ok"))
            assert client.read_body(client.read_head()) == b"ok"
        leaves = daemon.connect()
        leaves.send(GET)
        app.read_until(b"\r\n\r\n")
        leaves.close()
        wait_for(app.is_closed, "the app to hear that the client has gone")
        client.send(GET)
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        app.send(answer(b"last"))
        assert client.read_body(client.read_head()) == b"last"
        page = Wire.to(port_of(daemon, "metrics"))
        counted = (
            'kn_serving_invocation_duration_seconds_count{http_response_status_code="%d",'
            'otel_scope_name="knative.dev/serving/pkg/queue",otel_scope_schema_url="",otel_scope_version=""} %d\n'
        )
        for status, times in ((200, OFTEN + 5), (502, 2)):  # one that left counts as Go's server answers it
            line = counted % (status, times)
            wait_for(lambda: line in page.ask(GET_METRICS)[1].decode(), line)  # noqa: B023  asked before the next

    def test_its_timeout_runs(self, queue_proxy: StartProxy) -> None:
        """A known request gets 504 as any other."""

        def play(fake_app: FakeApp, period_s: int) -> None:
            client = queue_proxy(USER_PORT=fake_app.port, REVISION_TIMEOUT_SECONDS=period_s).connect()
            app = made_known(client, fake_app)
            app.read_until(b"\r\n\r\n")
            head = client.read_head()
            assert (head.status, client.read_body(head)) == (504, b"request timeout")

        in_time(play)

    def test_the_last_answer_before_the_end_says_so(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """A known answer is not used for it."""
        daemon = queue_proxy()
        client = daemon.connect()
        app = made_known(client, fake_app)
        app.read_until(b"\r\n\r\n")
        daemon.term()
        wait_for(lambda: refuses(daemon.port), "listens no more")  # "stopping" is logged a moment before
        app.send(answer(b"ok"))
        head = client.read_head()
        assert (head.get("connection"), client.read_body(head)) == ("close", b"ok")
        assert client.is_closed()


def refuses(port: int) -> bool:
    """Nobody listens there."""
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


ANSWERS = {
    b"/known": lambda body: [answer(body)],
    b"/split": lambda body: [answer(body)[:30], answer(body)[30:]],
    b"/head-first": lambda body: [answer(body)[: -len(body)], body],
    b"/undated": lambda body: [answer(body, b"Content-Type: text/plain\r\n")],
    b"/untyped": lambda body: [answer(body, b"Date: Sun, 22 Nov 2026 03:00:00 GMT\r\n")],
    b"/chunked": lambda body: [
        b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (DATED, len(body), body)
    ],
    b"/last": lambda body: [answer(body, DATED + b"Connection: close\r\n")],
}
"""How the app answers, by path: the pieces that it sends."""
REQUESTS = {
    "plain": b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n",
    "header": b"GET %b HTTP/1.1\r\nHost: a\r\nX-Mine: 1\r\n\r\n",
    "body": b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "chunked": b"POST %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "head": b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n",
    "old": b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
}


class Scripted:
    """An app that answers by path, with a number as the body that counts the requests."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(Wire(sock),), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        try:
            while True:
                head = wire.read_head()
                wire.read_body(head)
                method, path = head.first.split()[:2]
                self.count += 1
                pieces = ANSWERS[path.encode()](b"%06d" % self.count)
                whole = b"".join(pieces)
                for piece in [whole.split(b"\r\n\r\n")[0] + b"\r\n\r\n"] if method == "HEAD" else pieces:
                    wire.send(piece)
                if path == "/last":
                    break
        except (AssertionError, OSError, ValueError, IndexError):
            pass
        wire.close()

    def close(self) -> None:
        """Stop."""
        self.listener.close()


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[Daemon, Scripted]]:
    """A queue-proxy with one place, and an app that answers in every way."""
    app = Scripted()
    variables = {**REQUIRED, "USER_PORT": str(app.port), "CONTAINER_CONCURRENCY": "1"}
    daemon = Daemon("emu.daemon.queue_proxy", [], variables)
    with closing(app), closing(daemon):
        yield daemon, app


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_order_of_a_few_messages_is_answered_in_that_order(
    scripted: tuple[Daemon, Scripted], data: st.DataObject
) -> None:
    """So few that each comes often: the bodies count up, on every connection, and nothing is left over."""
    daemon, app = scripted
    clients = [daemon.connect() for _ in range(2)]
    steps = st.tuples(st.sampled_from(clients), st.sampled_from(sorted(REQUESTS)), st.sampled_from(sorted(ANSWERS)))
    for client, kind, path in data.draw(st.lists(steps, min_size=1, max_size=25)):
        if (kind, path) == ("old", b"/chunked"):
            continue  # ends with its connection
        before = app.count
        request = REQUESTS[kind] % path
        times = data.draw(st.integers(1, 2)) if kind in ("plain", "header") else 1
        client.send(request * times)
        for number in range(before + 1, before + 1 + times):
            head = client.read_head()
            assert head.status == 200
            if kind != "head":
                body = client.read_body(head)
                assert body == b"%06d" % number, (kind, path, head.data)
            assert head.get("content-type").startswith("text/plain") or kind == "head"
        assert client.quiet()
    for client in clients:
        client.close()
