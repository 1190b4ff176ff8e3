"""Large answers: whole however they are cut, and bounded for clients that do not read them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from emu.daemon.http.client import MOST_STUCK, WIDE_READ_BYTES
from emu.daemon.http.flow import BODY_READ_BYTES, WRITE_BUFFER_BYTES, write_pieces
from emu.daemon.loop import new_loop
from tests.unit.daemon.daemon_wire import FakeApp, StartProxy, Wire, wait_for

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SIZE = 1_000_000
BODY = bytes(range(256)) * (SIZE // 256) + b"end" * 100
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)


@pytest.mark.parametrize("cut", [1, 1000, 16 * 1024, 200_000, SIZE])
def test_a_body_arrives_whole_however_it_is_cut(queue_proxy: StartProxy, fake_app: FakeApp, cut: int) -> None:
    """The app's connection is used again for the next request, and its answer is read as any other."""
    client = queue_proxy().connect()
    client.send(GET)
    app = fake_app.accept()
    app.read_head()
    whole = HEAD + BODY
    app.send(whole[:cut])
    if cut < len(HEAD):
        app.send(whole[cut : len(HEAD) + 1000])
        cut = len(HEAD) + 1000
    for at in range(cut, len(whole), max(cut, 4096)):
        app.send(whole[at : at + max(cut, 4096)])
    assert client.read_body(client.read_head()) == BODY
    for _ in range(2):
        client.send(GET)
        app.read_head()
        app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.read_body(client.read_head()) == b"ok"


def test_what_follows_a_body_is_of_no_answer(queue_proxy: StartProxy, fake_app: FakeApp) -> None:
    """The client gets what was announced, and the next request a new connection."""
    client = queue_proxy().connect()
    client.send(GET)
    app = fake_app.accept()
    app.read_head()
    app.send(HEAD + BODY + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
    assert client.read_body(client.read_head()) == BODY
    client.send(GET)
    again = fake_app.accept()
    again.read_head()
    again.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert client.read_body(client.read_head()) == b"ok"


def test_an_app_that_closes_after_its_answer_is_not_asked_again(queue_proxy: StartProxy, fake_app: FakeApp) -> None:
    """It said so in the head."""
    client = queue_proxy().connect()
    client.send(GET)
    app = fake_app.accept()
    app.read_head()
    app.send(HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + BODY)
    assert client.read_body(client.read_head()) == BODY
    assert app.is_closed()


def test_a_body_that_is_cut_off_cuts_the_client_off(queue_proxy: StartProxy, fake_app: FakeApp) -> None:
    """As Go's: what came is passed on, and the connection ends before the length."""
    client = queue_proxy().connect()
    client.send(GET)
    app = fake_app.accept()
    app.read_head()
    app.send(HEAD + BODY[:-1])
    app.close()
    client.read_head()
    assert len(client.read_to_end()) < len(BODY)


def test_an_answer_to_head_has_no_body_whatever_its_length_says(queue_proxy: StartProxy, fake_app: FakeApp) -> None:
    """The next answer begins right after it."""
    client = queue_proxy().connect()
    client.send(GET.replace(b"GET", b"HEAD"))
    app = fake_app.accept()
    app.read_head()
    app.send(HEAD)
    assert client.read_head().get("content-length") == str(len(BODY))
    client.send(GET)
    app.read_head()
    app.send(HEAD + BODY)
    assert client.read_body(client.read_head()) == BODY


def test_clients_that_do_not_read_cost_little_more_than_one_read(queue_proxy: StartProxy, fake_app: FakeApp) -> None:
    """A hundred of them: wide reads for the first few, and Knative's 32 KiB for the others."""
    proxy = queue_proxy()
    clients: list[Wire] = []
    proxy.event("listening")
    before = proxy.memory("RssAnon")
    for _ in range(100):
        client = proxy.connect()
        client.send(GET)
        clients.append(client)
        app = fake_app.accept()
        app.read_head()
        app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        app.sock.setblocking(False)
        clients.append(app)
    stopped: set[int] = set()

    def all_stopped() -> bool:
        for at, app in enumerate(clients[1::2]):
            try:
                app.sock.send(bytes(1 << 20))
                stopped.discard(at)
            except BlockingIOError:
                stopped.add(at)
        return len(stopped) == 100

    wait_for(all_stopped, "all apps to be stopped")
    most = 100 * 2 * BODY_READ_BYTES + 2 * MOST_STUCK * WIDE_READ_BYTES
    assert proxy.memory("RssAnon") - before < most
    for client in clients:
        client.close()


class _Writer(asyncio.Protocol):
    """Counts how often it is to stop writing."""

    paused = 0

    def pause_writing(self) -> None:
        self.paused += 1


@pytest.mark.parametrize("make", [asyncio.new_event_loop, new_loop], ids=["standard", "ours"])
def test_pieces_written_at_once_fill_a_connection_as_one_does(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Whoever writes them learns that nobody reads, and nothing comes of writing to a connection that is lost."""

    async def write() -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        transport, writer = await asyncio.get_running_loop().create_connection(_Writer, sock=near)
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        while transport.get_write_buffer_size() <= WRITE_BUFFER_BYTES:
            write_pieces(transport, (b"head", memoryview(BODY)))
        assert writer.paused == 1
        transport.abort()
        write_pieces(transport, (b"head", memoryview(BODY)))
        await asyncio.sleep(0)
        far.close()

    loop = make()
    try:
        loop.run_until_complete(write())
    finally:
        loop.close()
