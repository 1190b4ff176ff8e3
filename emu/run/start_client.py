"""The client of a start: it sends one request, and notes what it sees of the answer, and when."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from emu.machine.http_client import parse_head
from emu.messages import START_HEADER
from emu.record.events import now

_END_S = 5.0
_PART = 1 << 16
_MOST_HEAD_BYTES = 1 << 16


@dataclass
class Answer:
    """What the client saw. Times are CLOCK_MONOTONIC seconds."""

    sent: float = 0.0
    first_byte: float | None = None
    done: float = 0.0
    status: int | None = None
    temperature: str | None = None
    """As the header has it."""
    bytes: int = 0
    error: str | None = None

    @property
    def served(self) -> bool:
        """The app answered; from 500 on queue-proxy or the activator did."""
        return self.error is None and self.status is not None and self.status < 500


class Asking:
    """A request under way, in a thread. A context manager: leaving it hangs up on an answer that is not whole."""

    def __init__(self, port: int, request: bytes) -> None:
        """`port` is the activator's, on loopback."""
        self.answer = Answer()
        self._port = port
        self._request = request
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="ask", daemon=True)

    def __enter__(self) -> Self:
        self._connection = socket.create_connection(("127.0.0.1", self._port))
        self.answer.sent = now()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._connection is not None
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(_END_S)
        self._connection.close()

    def over(self, wait_s: float = 0.0) -> bool:
        """Whether the answer is whole, or will not be."""
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        answer, head = self.answer, b""
        assert self._connection is not None
        try:
            self._connection.sendall(self._request)
            while part := self._connection.recv(_PART):
                if answer.first_byte is None:
                    answer.first_byte = now()
                if b"\r\n\r\n" in head:
                    answer.bytes += len(part)
                    continue
                head = (head + part)[:_MOST_HEAD_BYTES]
                answer.bytes = len(head.partition(b"\r\n\r\n")[2])
        except OSError as error:
            answer.error = "reset" if isinstance(error, ConnectionResetError) else "closed"
        answer.done = now()
        _read_head(head, answer)


def _read_head(head: bytes, answer: Answer) -> None:
    try:
        answer.status, fields = parse_head(head.partition(b"\r\n\r\n")[0])
    except ValueError:
        answer.error = answer.error or "closed"
        return
    answer.temperature = fields.get(START_HEADER.lower())
