"""Upgrades through queue-proxy: websockets with a well-kept library on both ends, and any other protocol."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve

from tests.unit.daemon.daemon_wire import DEADLINE_S, Daemon, FakeApp, StartProxy, in_time

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n",
)


@pytest.fixture
def echo() -> Iterator[Server]:
    """A websocket server that says everything back."""

    def back(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(back, "127.0.0.1", 0, max_size=None, open_timeout=DEADLINE_S, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _through(proxy: Daemon) -> ClientConnection:
    """A websocket on which nothing is late."""
    address = f"ws://127.0.0.1:{proxy.port}/chat"
    return connect(address, max_size=None, proxy=None, open_timeout=DEADLINE_S, ping_interval=None)


class TestWebsockets:
    """With the websockets library on both ends."""

    def test_messages_pass_both_ways_of_any_size(self, queue_proxy: StartProxy, echo: Server) -> None:
        """A short one and eight MiB."""
        proxy = queue_proxy(USER_PORT=echo.socket.getsockname()[1])
        with _through(proxy) as client:
            for message in ("hello", b"x" * (8 << 20)):
                client.send(message)
                assert client.recv(timeout=DEADLINE_S) == message

    def test_a_websocket_holds_its_place_in_the_breaker(self, queue_proxy: StartProxy, echo: Server) -> None:
        """With containerConcurrency 1 the next waits until the first is closed."""
        proxy = queue_proxy(USER_PORT=echo.socket.getsockname()[1], CONTAINER_CONCURRENCY=1)
        opened = threading.Event()

        def second() -> None:
            with _through(proxy):
                opened.set()

        with _through(proxy) as first:
            thread = threading.Thread(target=second)
            thread.start()
            first.send("still here")
            assert first.recv(timeout=DEADLINE_S) == "still here"
            assert not opened.wait(0.3)
        thread.join(DEADLINE_S)
        assert opened.is_set()

    def test_the_revision_timeout_cuts_it(self, queue_proxy: StartProxy, echo: Server) -> None:
        """However busy it is."""

        def play(_: FakeApp, period_s: int) -> None:
            proxy = queue_proxy(USER_PORT=echo.socket.getsockname()[1], REVISION_TIMEOUT_SECONDS=period_s)
            begun = time.monotonic()
            with _through(proxy) as client, pytest.raises(ConnectionClosed):
                while time.monotonic() - begun < DEADLINE_S:
                    client.send("busy")
                    client.recv(timeout=DEADLINE_S)
            assert period_s <= time.monotonic() - begun < DEADLINE_S

        in_time(play, InvalidStatus)

    def test_it_may_go_on_for_a_while_after_sigterm(self, queue_proxy: StartProxy, echo: Server) -> None:
        """The process ends when it is closed."""
        proxy = queue_proxy(USER_PORT=echo.socket.getsockname()[1])
        with _through(proxy) as client:
            proxy.term()
            assert proxy.event("stopping")["hijacked"] == 1
            client.send("goodbye")
            assert client.recv(timeout=DEADLINE_S) == "goodbye"
        assert proxy.wait() == 0

    def test_but_not_for_ever(self, queue_proxy: StartProxy, echo: Server) -> None:
        """60 s in Knative."""
        proxy = queue_proxy(USER_PORT=echo.socket.getsockname()[1], EMU_HIJACKED_SECONDS=0.3)
        with _through(proxy) as client:
            proxy.term()
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=DEADLINE_S)
        assert proxy.wait() == 0


class TestAnyProtocol:
    """The bytes themselves."""

    def test_what_was_said_early_arrives(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Both sides speak before the other has understood."""
        client = queue_proxy().connect()
        client.send(UPGRADE[0] + b"early")
        app = fake_app.accept()
        head = app.read_head()
        assert (head.get("connection"), head.get("upgrade")) == ("Upgrade", "thing")
        app.send(UPGRADE[1] + b"early too")
        assert app.read_exactly(5) == b"early"
        assert client.read_head().status == 101
        assert client.read_exactly(9) == b"early too"

    def test_one_direction_may_end_before_the_other(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Its end is passed on, and the other goes on."""
        client = queue_proxy().connect()
        client.send(UPGRADE[0])
        app = fake_app.accept()
        app.read_head()
        app.send(UPGRADE[1])
        client.read_head()
        client.send(b"last")
        client.sock.shutdown(1)
        assert app.read_to_end() == b"last"
        app.send(b"answer")
        app.close()
        assert client.read_to_end() == b"answer"

    def test_a_slow_reader_costs_a_bounded_buffer(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """The app is stopped; queue-proxy holds next to nothing; all arrives in the end."""
        proxy = queue_proxy()
        client = proxy.connect()
        client.send(UPGRADE[0])
        app = fake_app.accept()
        app.read_head()
        app.send(UPGRADE[1])
        client.read_head()
        before = proxy.memory("RssAnon")
        total = 64 << 20
        sender = threading.Thread(target=app.send, args=(bytes(total),))
        sender.start()
        sender.join(0.5)
        assert sender.is_alive()
        assert proxy.memory("RssAnon") - before < 2 << 20
        client.skip(total)
        sender.join(DEADLINE_S)

    def test_no_upgrade_is_an_ordinary_answer(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """And the connection goes on with the next request, even one that was sent before."""
        client = queue_proxy().connect()
        client.send(UPGRADE[0] + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        app = fake_app.accept()
        app.read_head()
        app.send(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
        assert client.read_head().status == 426
        assert app.read_head().first == "GET /next HTTP/1.1"
        app.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert client.read_head().status == 204

    def test_another_protocol_than_was_asked_for_is_a_502(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """Go's words."""
        client = queue_proxy().connect()
        client.send(UPGRADE[0])
        app = fake_app.accept()
        app.read_head()
        app.send(UPGRADE[1].replace(b"thing", b"other"))
        answer = client.read_head()
        said = b'backend tried to switch protocol "other" when "thing" was requested\n'
        assert (answer.status, client.read_body(answer)) == (502, said)

    def test_http_1_can_become_http_2(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """`Upgrade: h2c` is answered by queue-proxy itself, and the request is the first stream."""
        client = queue_proxy().connect()
        settings = base64.urlsafe_b64encode(b"\0\x04\0\0\xff\xff").rstrip(b"=")
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: " + settings + b"\r\n\r\n"
        )
        assert client.read_head().first == "HTTP/1.1 101 Switching Protocols"
        assert fake_app.accept().read_until(b"SM\r\n\r\n").startswith(b"PRI * HTTP/2.0")
