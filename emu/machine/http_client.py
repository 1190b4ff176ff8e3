"""One request over a connection of its own, and what comes back of the answer: the blocking HTTP client.

Errors are worded as Go's net/http words them. Daemons, which may not block, have emu.daemon.http.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass

_MOST_HEAD_BYTES = 64 * 1024
_PART = 16 * 1024


@dataclass(frozen=True)
class Reply:
    """The final answer."""

    status: int
    fields: dict[str, str]
    """By name in lower case."""
    body: bytes
    """Its beginning, with the framing of chunks if there are any."""


def fetch(host: str, port: int, request: bytes, deadline: float, *, most_bytes: int, secure: bool = False) -> Reply:
    """Send a request that closes its connection. TimeoutError at the deadline, however slowly bytes trickle in;
    ValueError where the answer is none, OSError where the connection fails. Certificates are not verified.
    """
    with _open(host, port, secure, deadline) as connection:
        connection.settimeout(_left(deadline))
        connection.sendall(request)
        status, fields, rest = _head(connection, deadline)
        return Reply(status, fields, _body(connection, fields, rest, deadline, most_bytes))


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and fields, by name in lower case, of an answer's head without its empty line; ValueError where it is
    none.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise ValueError(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{first}"')
    pairs = (line.partition(":") for line in lines)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _open(host: str, port: int, secure: bool, deadline: float) -> socket.socket:
    connection = socket.create_connection((host, port), timeout=_left(deadline))
    if not secure:
        return connection
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _receive(connection: socket.socket, deadline: float) -> bytes:
    connection.settimeout(_left(deadline))
    return connection.recv(_PART)


def _head(connection: socket.socket, deadline: float) -> tuple[int, dict[str, str], bytes]:
    """Status and fields of the final answer, and what came after its head."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            part = _receive(connection, deadline)
            if not part or len(data) > _MOST_HEAD_BYTES:
                raise ValueError("EOF" if not data else "unexpected EOF")
            data += part
        head, _, data = data.partition(b"\r\n\r\n")
        status, fields = parse_head(head)
        if status == 101 or not 100 <= status < 200:
            return status, fields, data


def _body(connection: socket.socket, fields: dict[str, str], data: bytes, deadline: float, most_bytes: int) -> bytes:
    length = fields.get("content-length", "")
    chunked = fields.get("transfer-encoding", "").lower() == "chunked"
    wanted = min(int(length), most_bytes) if length.isdigit() and not chunked else most_bytes
    while len(data) < wanted and not (chunked and data.endswith(b"0\r\n\r\n")):
        part = _receive(connection, deadline)
        if not part:
            break
        data += part
    return data[:most_bytes]
