"""One health check by gRPC (grpc.health.v1.Health/Check), in plain text, as a kubelet asks."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from urllib.parse import unquote

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

from emu.policy.grpc_health import METHOD, request

_SERVING = "SERVING"
UNIMPLEMENTED, DEADLINE_EXCEEDED = 12, 4
"""Codes of gRPC."""
_STATUSES = ("UNKNOWN", _SERVING, "NOT_SERVING", "SERVICE_UNKNOWN")
_RETRY_S = 0.02
_MOST_ANSWER_BYTES = 64 << 10


class NotConnectedError(OSError):
    """Nothing listened until the deadline."""


@dataclass
class Checked:
    """What a gRPC service answered to grpc.health.v1.Health/Check."""

    code: int = 0
    """Of gRPC; 0 is OK."""
    message: str = ""
    status: str = ""
    """As the service says: SERVING, NOT_SERVING, …; empty where it said nothing."""
    answer: bytes = field(default=b"", repr=False)

    @property
    def healthy(self) -> bool:
        """Whether the service reports SERVING."""
        return self.status == _SERVING


def check(host: str, port: int, service: str, agent: str, deadline: float) -> Checked:
    """Ask for the health of a service, by time.monotonic(). NotConnectedError, TimeoutError, OSError; ValueError for
    what is no HTTP/2.
    """
    with _connected(host, port, deadline) as connection:
        return _ask(connection, f"{host}:{port}", service, agent, deadline)


def _connected(host: str, port: int, deadline: float) -> socket.socket:
    """A client of gRPC that blocks tries again until the deadline."""
    while (left_s := deadline - time.monotonic()) > 0:
        try:
            return socket.create_connection((host, port), timeout=left_s)
        except OSError:
            time.sleep(min(_RETRY_S, max(0.0, deadline - time.monotonic())))
    raise NotConnectedError("context deadline exceeded")


def _ask(connection: socket.socket, authority: str, service: str, agent: str, deadline: float) -> Checked:
    speaks = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    speaks.initiate_connection()
    headers = [
        (":method", "POST"), (":scheme", "http"), (":authority", authority), (":path", METHOD.decode()),
        ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", agent),
    ]  # fmt: skip
    speaks.send_headers(1, headers)
    speaks.send_data(1, request(service), end_stream=True)
    found = Checked()
    while True:
        connection.sendall(speaks.data_to_send())
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        data = connection.recv(65536)
        if not data:
            raise ConnectionResetError("connection closed before server preface received")
        try:
            came = speaks.receive_data(data)
        except ProtocolError as wrong:
            raise ValueError(str(wrong)) from wrong
        if any(_take(event, found) for event in came):
            return found
        if time.monotonic() >= deadline:
            raise TimeoutError


def _take(event: events.Event, found: Checked) -> bool:
    """Whether the answer is complete."""
    if isinstance(event, events.ResponseReceived | events.TrailersReceived):
        _take_headers({str(name): str(value) for name, value in event.headers or ()}, found)
    elif isinstance(event, events.DataReceived):
        found.answer = (found.answer + (event.data or b""))[:_MOST_ANSWER_BYTES]
    elif isinstance(event, events.StreamReset | events.ConnectionTerminated):
        raise ConnectionResetError("the stream was reset")
    elif isinstance(event, events.StreamEnded):
        found.status = _status(found.answer)
        return True
    return False


def _take_headers(headers: dict[str, str], found: Checked) -> None:
    if headers.get(":status", "200") != "200":
        found.code, found.message = 2, f"unexpected HTTP status code received from server: {headers[':status']}"
    if "grpc-status" in headers:
        found.code = int(headers["grpc-status"])
        found.message = unquote(headers.get("grpc-message", ""))


def _status(answer: bytes) -> str:
    """Of a HealthCheckResponse: field 1 is the status, and absent is 0."""
    if len(answer) < 5:
        return ""
    message = answer[5:]
    number = message[1] if message[:1] == b"\x08" and len(message) > 1 else 0
    return _STATUSES[number] if number < len(_STATUSES) else str(number)
