"""The client of a start: what it sees of an answer, and when."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from emu.run.start_client import Answer, Asking

REQUEST = b"POST /?sleep=1 HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nX-Emu-Start: cold\r\nContent-Length: 5\r\n\r\nhello"


@contextmanager
def activator(*parts: bytes, reset: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """Something in the activator's place: its port, and what it was sent."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536))
                for part in parts:
                    connection.sendall(part)
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        thread.join(120)


def asked(*parts: bytes, reset: bool = False) -> tuple[Answer, list[bytes]]:
    """What the client saw of such an answer, and what it sent."""
    with activator(*parts, reset=reset) as (port, heard), Asking(port, REQUEST) as asking:
        assert asking.over(120.0)
    return asking.answer, heard


def test_an_answer_says_how_warm_the_start_was() -> None:
    """The request goes out byte for byte; status, header, body and times of the answer are noted."""
    answer, heard = asked(OK)
    assert heard == [REQUEST]
    assert (answer.status, answer.temperature, answer.bytes, answer.error) == (200, "cold", 5, None)
    assert answer.served
    assert answer.first_byte is not None
    assert answer.sent <= answer.first_byte <= answer.done


def test_an_answer_in_pieces_is_one() -> None:
    """Wherever it is cut, in its head and in its body."""
    answer, _ = asked(*(OK[place : place + 7] for place in range(0, len(OK), 7)))
    assert (answer.status, answer.temperature, answer.bytes) == (200, "cold", 5)


def test_no_answer_is_an_error() -> None:
    """A connection that ends or breaks before an answer was not served."""
    for reset, error in ((False, "closed"), (True, "reset")):
        answer, _ = asked(reset=reset)
        assert (answer.status, answer.error, answer.served) == (None, error, False)


def test_the_client_hangs_up_when_it_is_left() -> None:
    """What waits for an answer that does not come ends with the block."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with Asking(silent.getsockname()[1], REQUEST) as asking:
            assert not asking.over(0.05)
        assert asking.over()
    assert not asking.answer.served
