"""As many requests in flight as descriptors allow: each is answered, its memory is bounded, and nothing is left."""

from __future__ import annotations

import resource
import threading
from pathlib import Path

import pytest

from tests.unit.daemon.daemon_wire import Daemon, FakeApp, StartProxy, Wire, wait_for

MOST = 9000
SPARE = 500
"""Descriptors beside those of the requests: pytest's own, and queue-proxy's."""
REQUEST_BYTES = 8 * 1024
"""Own anonymous memory for each request in flight, at most."""
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def many() -> int:
    """9,000, or fewer where this machine does not give a process two descriptors for each."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = MOST if hard == resource.RLIM_INFINITY else (hard - SPARE) // 2
    if room < MOST // 10:
        pytest.skip(f"a process may open {hard} files here; raise the limit: ulimit -Hn {2 * MOST + SPARE}")
    return min(MOST, room)


def test_nine_thousand_in_flight(queue_proxy: StartProxy, fake_app: FakeApp, many: int) -> None:
    """All are with the app at once; all are answered; then every descriptor is free again."""
    proxy = queue_proxy()
    port = proxy.port
    at_app: list[Wire] = []

    def accept() -> None:
        while len(at_app) < many:
            app = fake_app.accept()
            try:
                app.read_until(b"\r\n\r\n")
            except AssertionError:  # an attempt to connect that took too long, and was made again
                app.close()
            else:
                at_app.append(app)

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    idle, descriptors = proxy.memory("RssAnon"), _descriptors(proxy)
    clients = []
    for _ in range(many):
        client = Wire.to(port)
        client.send(GET)
        clients.append(client)
    wait_for(lambda: len(at_app) == many, f"{many} requests at the app")
    grown = proxy.memory("RssAnon") - idle
    assert grown <= many * REQUEST_BYTES
    for app in at_app:
        app.send(OK)
    assert {client.read_body(client.read_head()) for client in clients} == {b"ok"}
    for wire in [*clients, *at_app]:
        wire.close()
    wait_for(lambda: _descriptors(proxy) <= descriptors, "every descriptor to be free again")


def _descriptors(proxy: Daemon) -> int:
    return sum(1 for _ in Path(f"/proc/{proxy.pid}/fd").iterdir())
