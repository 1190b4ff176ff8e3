"""The blocking HTTP client: one request, one answer, one deadline. tests/unit/test_prober.py has what probes ask."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from emu.machine.http_client import Reply, fetch

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@contextmanager
def server(*parts: bytes, pause_s: float = 0.0) -> Iterator[int]:
    """Answers one request in these parts; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause_s)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def answer(*parts: bytes, most_bytes: int = 100) -> Reply:
    """What such a server's answer is read as."""
    with server(*parts) as port:
        return fetch("127.0.0.1", port, GET, time.monotonic() + 120.0, most_bytes=most_bytes)


def test_an_answer_is_read_whole() -> None:
    """However it is cut; an informational answer before it is passed over."""
    whole = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nX-A:  b \r\n\r\nabc"
    assert answer(*(bytes([byte]) for byte in whole)) == Reply(404, {"content-length": "3", "x-a": "b"}, b"abc")


def test_no_more_of_a_body_is_read_than_asked_for() -> None:
    """One without a length ends with its connection."""
    assert answer(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 500).body == b"x" * 100
    assert answer(b"HTTP/1.1 200 OK\r\n\r\nabc").body == b"abc"


@pytest.mark.parametrize(
    ("said", "words"), [(b"", "EOF"), (b"HTTP/1.1 2", "unexpected EOF"), (b"x\r\n\r\n", "malformed")]
)
def test_what_is_no_answer_is_an_error(said: bytes, words: str) -> None:
    """In the words of Go's net/http."""
    with pytest.raises(ValueError, match=words):
        answer(said)


def test_the_deadline_holds_for_the_whole_answer() -> None:
    """A server that sends a byte now and then does not prolong it."""
    slow = [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\n" * 50]
    with server(*slow, pause_s=0.01) as port, pytest.raises(TimeoutError):
        fetch("127.0.0.1", port, GET, time.monotonic() + 0.1, most_bytes=1)
