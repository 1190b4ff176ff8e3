"""The activator's part in a start: a request comes before there is a pod to answer it, is held, and is forwarded once
queue-proxy says that the app is ready (Knative's pkg/activator). One request at a time, over a real connection, with
the client at its other end; the answer gets a header that says how warm the start was.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from emu.errors import EmuError
from emu.messages import ACTIVATOR_PROBE, QUEUE_PORT, START_HEADER
from emu.record.events import now

PROBE_EVERY_S = 0.025
"""Between two probes of a pod that does not listen yet."""
_TURN_S = 0.25
_CLIENT_JOIN_S = 5.0
_PART = 1 << 16
_MOST_HEAD_BYTES = 1 << 16
Check = Callable[[], None]


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
        """The app answered; from 500 on it was queue-proxy, or we, who did."""
        return self.error is None and self.status is not None and self.status < 500


class HeldRequest:
    """A request that has arrived, until it is forwarded."""

    def __init__(self, connection: socket.socket, request: bytes, check: Check) -> None:
        self._connection = connection
        self._request = request
        self._check = check
        self.arrived = now()

    def forward(self, address: str, temperature: str, deadline: float, sent: Callable[[], None]) -> None:
        """Send it to queue-proxy, tell `sent`, and pass the answer back with the header. OSError or EmuError where
        no answer came before `deadline`.
        """
        with socket.create_connection((address, QUEUE_PORT), timeout=max(0.01, deadline - now())) as pod:
            pod.sendall(self._request)
            sent()
            head = b""
            while b"\r\n\r\n" not in head:
                part = _receive(pod, self._check, deadline)
                if not part:
                    raise EmuError(
                        "queue-proxy closed the connection", "it sent no complete response head", "see its log"
                    )
                head += part
            first, _, rest = head.partition(b"\r\n")
            self._connection.sendall(first + f"\r\n{START_HEADER}: {temperature}\r\n".encode() + rest)
            while part := _receive(pod, self._check, deadline):
                self._connection.sendall(part)

    def refuse(self, temperature: str) -> None:
        """Answer 503: there is no pod."""
        head = f"HTTP/1.1 503 Service Unavailable\r\n{START_HEADER}: {temperature}\r\nContent-Length: 0\r\n\r\n"
        try:
            self._connection.sendall(head.encode())
        except OSError:
            return


class Activator:
    """Listens on loopback. A context manager; `check` is called while something is waited for, and may raise."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.close()

    def ask(self, request: bytes, serve: Callable[[HeldRequest], None]) -> Answer:
        """Have a client send a request, have `serve` serve it, and return what the client saw."""
        assert self._listener is not None
        answer = Answer()
        client = threading.Thread(target=_ask, args=(self._listener.getsockname(), request, answer), daemon=True)
        client.start()
        self._listener.settimeout(_CLIENT_JOIN_S)
        connection, _ = self._listener.accept()
        try:
            data = b""
            while len(data) < len(request) and (part := connection.recv(_PART)):
                data += part
            serve(HeldRequest(connection, data, self._check))
        finally:
            connection.close()
            client.join(_CLIENT_JOIN_S)
        return answer


def await_ready(address: str, deadline: float, check: Check) -> bool:
    """Probe queue-proxy until it says that the app is ready; False where it does not before `deadline`."""
    while now() < deadline:
        check()
        began = now()
        if _probe(address, deadline, check):
            return True
        time.sleep(max(0.0, PROBE_EVERY_S - (now() - began)))
    return False


def _probe(address: str, deadline: float, check: Check) -> bool:
    try:
        with socket.create_connection((address, QUEUE_PORT), timeout=max(0.01, deadline - now())) as connection:
            connection.sendall(ACTIVATOR_PROBE)
            return b" 200 " in _receive(connection, check, deadline).split(b"\r\n", 1)[0]
    except OSError:
        return False


def _receive(connection: socket.socket, check: Check, deadline: float) -> bytes:
    """The next bytes; empty at the end. TimeoutError at the deadline."""
    connection.settimeout(_TURN_S)
    while True:
        try:
            return connection.recv(_PART)
        except TimeoutError:
            check()
            if now() > deadline:
                raise


def _ask(at: tuple[str, int], request: bytes, answer: Answer) -> None:
    """The client: it waits as long as the connection stands."""
    head = b""
    try:
        with socket.create_connection(at) as connection:
            answer.sent = now()
            connection.sendall(request)
            while part := connection.recv(_PART):
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
    first, *lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = first.split()
    if len(words) < 2 or not words[1].isdigit():
        answer.error = answer.error or "closed"
        return
    answer.status = int(words[1])
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == START_HEADER.lower():
            answer.temperature = value.strip()
