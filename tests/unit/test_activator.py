"""The activator: it holds a request, forwards it, and says in the answer how warm the start was."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from emu.run import start_activator
from emu.run.start_activator import Activator, HeldRequest, await_ready

REQUEST = b"POST /?sleep=1 HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@contextmanager
def pod(monkeypatch: pytest.MonkeyPatch, *answers: bytes) -> Iterator[list[bytes]]:
    """Something in queue-proxy's place: one connection for each answer, and all that it was sent."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(start_activator, "QUEUE_PORT", listener.getsockname()[1])

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    data = connection.recv(65536)
                    heard.append(data)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield heard
        thread.join(10)


def deadline() -> float:
    """Far away."""
    return time.monotonic() + 60


def nothing() -> None:
    """No interrupt."""


def test_an_answer_says_how_warm_the_start_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request goes to queue-proxy byte for byte, the answer comes back whole, with X-Emu-Start."""
    sent: list[float] = []

    def serve(request: HeldRequest) -> None:
        request.forward("127.0.0.1", "cold", deadline(), lambda: sent.append(time.monotonic()))

    with pod(monkeypatch, OK) as heard, Activator(nothing) as front:
        answer = front.ask(REQUEST, serve)
    assert heard == [REQUEST]
    assert (answer.status, answer.temperature, answer.bytes, answer.error) == (200, "cold", 5, None)
    assert answer.served
    assert answer.first_byte is not None
    assert answer.sent <= sent[0] <= answer.first_byte <= answer.done


def test_a_request_that_cannot_be_served_is_refused() -> None:
    """503, and still the temperature."""
    with Activator(nothing) as front:
        answer = front.ask(REQUEST, lambda request: request.refuse("warm-disk"))
    assert (answer.status, answer.temperature, answer.bytes) == (503, "warm-disk", 0)
    assert not answer.served


def test_a_pod_that_hangs_up_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is no answer: the client sees a closed connection."""

    def serve(request: HeldRequest) -> None:
        with pytest.raises((OSError, start_activator.EmuError)):
            request.forward("127.0.0.1", "cold", deadline(), nothing)

    with pod(monkeypatch, b""), Activator(nothing) as front:
        answer = front.ask(REQUEST, serve)
    assert (answer.status, answer.error) == (None, "closed")


def test_an_interrupt_ends_the_wait() -> None:
    """`check` may raise while queue-proxy has not answered; the client is let go."""

    def stop() -> None:
        raise KeyboardInterrupt

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.MonkeyPatch.context() as patch:
        patch.setattr(start_activator, "QUEUE_PORT", silent.getsockname()[1])
        with Activator(stop) as front, pytest.raises(KeyboardInterrupt):
            front.ask(REQUEST, lambda request: request.forward("127.0.0.1", "cold", deadline(), nothing))


def test_readiness_is_what_queue_proxy_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again until it says 200, by the header that Knative's activator sends."""
    unready = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
    with pod(monkeypatch, unready, unready, b"HTTP/1.1 200 OK\r\n\r\nqueue") as heard:
        assert await_ready("127.0.0.1", deadline(), nothing)
    assert len(heard) == 3
    assert all(b"K-Network-Probe: queue" in one for one in heard)


def test_a_pod_that_never_listens_is_not_ready() -> None:
    """A refused connection is asked again until the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start_activator, "QUEUE_PORT", port)
        assert not await_ready("127.0.0.1", time.monotonic() + 0.1, nothing)
