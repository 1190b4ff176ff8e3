"""What queue-proxy puts on record of requests that it answers itself, or that wait."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.daemon.daemon_wire import Daemon, FakeApp, StartProxy, in_time, wait_for

GET = b"GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def ended(proxy: Daemon, reason: str, number: int = 1) -> dict[str, Any]:
    """The first line of this reason, with all ends of it, which are so many; waits for them."""

    def found() -> dict[str, Any] | None:
        lines = [one for one in proxy.lines if one.get("event") == "requests-ended" and one["reason"] == reason]
        each = [end for one in lines for end in one["each"]]
        return {**lines[0], "each": each} if len(each) >= number else None

    line: dict[str, Any] = wait_for(found, f"a record of {reason}")
    return line


@pytest.mark.parametrize(
    ("said", "why"),
    [(b"", ("EOF",)), (b"HTTP/1.1 20x OK\r\n\r\n", ("net/http: HTTP/1.x transport connection broken",))],
    ids=["eof", "malformed"],
)
def test_a_connection_that_the_app_breaks_is_recorded_in_gos_words(
    queue_proxy: StartProxy, fake_app: FakeApp, said: bytes, why: tuple[str, ...]
) -> None:
    """502: with why, and how long the request was in the app."""
    proxy = queue_proxy()
    client = proxy.connect()
    client.send(GET)
    app = fake_app.accept()
    app.read_until(b"\r\n\r\n")
    app.send(said)
    app.close()
    assert client.read_head().status == 502
    line = ended(proxy, "app-broke")
    assert line["status"] == 502 and all(part in line["why"] for part in why)
    _, waited, held, in_app = line["each"][0]
    assert waited == 0 and held == 0 and in_app > 0


def test_a_full_queue_is_recorded_with_who_was_there(queue_proxy: StartProxy, fake_app: FakeApp) -> None:
    """503: one in the app, ten waiting; none of the refused ever got to the app."""
    proxy = queue_proxy(CONTAINER_CONCURRENCY=1)
    clients = [proxy.connect() for _ in range(13)]
    clients[0].send(GET)
    app = fake_app.accept()
    app.read_until(b"\r\n\r\n")
    for client in clients[1:]:
        client.send(GET)
    line = ended(proxy, "queue-full", 2)
    assert (line["status"], line["inside"], line["waiting"]) == (503, 1, 10)
    assert [one[3] for one in line["each"]] == [None, None]


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("REVISION_TIMEOUT_SECONDS", "response-timeout"),
        ("REVISION_RESPONSE_START_TIMEOUT_SECONDS", "response-start-timeout"),
        ("REVISION_IDLE_TIMEOUT_SECONDS", "idle-timeout"),
    ],
)
def test_the_timer_that_ran_out_is_named(queue_proxy: StartProxy, variable: str, reason: str) -> None:
    """504: which of the three, how long it is, and that the second request waited all the while."""

    def play(fake_app: FakeApp, period_s: int) -> None:
        proxy = queue_proxy(USER_PORT=fake_app.port, CONTAINER_CONCURRENCY=1, **{variable: period_s})
        clients = [proxy.connect() for _ in range(2)]
        clients[0].send(GET)
        app = fake_app.accept()
        app.read_until(b"\r\n\r\n")
        clients[1].send(GET)
        assert [client.read_head().status for client in clients] == [504, 504]
        line = ended(proxy, reason, 2)
        assert (line["status"], line["period_s"]) == (504, period_s)
        (_, waited, _, in_app), (_, waited_too, _, in_app_too) = line["each"]
        assert waited == 0 and in_app > 0 and waited_too > (in_app_too or 0)

    in_time(play)


def test_a_client_that_leaves_and_a_wait_are_recorded(queue_proxy: StartProxy, fake_app: FakeApp) -> None:
    """The queue is full: the first waiter has its place when the client of the one in the app goes."""
    proxy = queue_proxy(CONTAINER_CONCURRENCY=1)
    first, *others = [proxy.connect() for _ in range(12)]
    first.send(GET)
    app = fake_app.accept()
    app.read_until(b"\r\n\r\n")
    for other in others:
        other.send(GET)
    ended(proxy, "queue-full")
    first.close()
    again = fake_app.accept()
    again.read_until(b"\r\n\r\n")
    line = ended(proxy, "client-left")
    assert line["status"] == 0 and line["each"][0][3] > 0
    waits = proxy.event("requests-waited")
    assert len(waits["at"]) == len(waits["waited"]) == 1
    app.close()
    again.close()
