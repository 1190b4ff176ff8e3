"""HTTP/1.1 as values: a request's head checked and its framing understood, answers and chunks as bytes.

No I/O here; `server_connection.py` and `client.py` move the bytes.
"""

from __future__ import annotations

import time

MAX_HEAD_BYTES = (1 << 20) + 4096
"""Longest head of a request (Go's net/http, DefaultMaxHeaderBytes and its slop); beyond it the answer is 431."""
NO_BODY = (204, 304)
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Headers = list[tuple[bytes, bytes]]

REASONS = {
    200: b"OK",
    201: b"Created",
    202: b"Accepted",
    204: b"No Content",
    304: b"Not Modified",
    400: b"Bad Request",
    404: b"Not Found",
    408: b"Request Timeout",
    413: b"Content Too Large",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    507: b"Insufficient Storage",
}

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class HeadError(Exception):
    """A request that is refused before anyone sees it; `status` and the text of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Head:
    """A request's head. `content_length` is None for a chunked body; no body is 0."""

    __slots__ = (
        "chunked",
        "content_length",
        "expects_continue",
        "headers",
        "keep_alive",
        "method",
        "minor",
        "target",
    )

    def __init__(self, method: bytes, target: bytes, minor: int, headers: Headers) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.headers = headers
        self.chunked = False
        self.content_length: int | None = 0
        self.keep_alive = minor >= 1
        self.expects_continue = False

    def get(self, name: bytes) -> bytes:
        """The first value of a header by its lower-case name; empty when absent."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return b""


_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"host", b"connection", b"expect"))


def read_head(method: bytes, target: bytes, version: str, headers: Headers) -> Head:
    """The head of a request, checked so that the next hop cannot read its framing differently (RFC 9112, 6.3).

    HeadError for two lengths, a length beside chunked, an encoding other than chunked, and Host not exactly once.
    """
    head = Head(method, target, 0 if version == "1.0" else 1, headers)
    if version not in ("1.0", "1.1"):
        raise HeadError(505, "HTTP Version Not Supported")
    if method == b"CONNECT":
        raise HeadError(400, "Bad Request: CONNECT")
    hosts = lengths = 0
    for name, value in headers:
        key = name.lower()
        if key not in _FRAMING:
            continue
        if key == b"host":
            hosts += 1
        elif key == b"content-length":
            lengths += 1
            if not value.isdigit() or lengths > 1:
                raise HeadError(400, "Bad Request: Content-Length")
            head.content_length = int(value)
        elif key == b"transfer-encoding":
            if value.strip().lower() != b"chunked" or head.chunked:
                raise HeadError(501, "Unsupported transfer encoding")
            head.chunked = True
        elif key == b"connection":
            _read_connection(head, value)
        else:
            head.expects_continue = value.strip().lower() == b"100-continue" and head.minor == 1
    if head.chunked:
        if lengths or head.minor == 0:
            raise HeadError(400, "Bad Request: Transfer-Encoding")
        head.content_length = None
    if hosts > 1 or (hosts == 0 and head.minor == 1):
        raise HeadError(
            400, "Bad Request: missing required Host header" if not hosts else "Bad Request: too many Host"
        )
    return head


def _read_connection(head: Head, value: bytes) -> None:
    tokens = [token.strip() for token in value.lower().split(b",")]
    if b"close" in tokens:
        head.keep_alive = False
    elif b"keep-alive" in tokens:
        head.keep_alive = True


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; data must not be empty, for that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def reason(status: int) -> bytes:
    """The reason phrase of a status; empty if it has none here."""
    return REASONS.get(status, b"")


_date_second = -1
_date_text = b""


def date() -> bytes:
    """The wall clock as a Date header's value; made once a second."""
    global _date_second, _date_text
    now = int(time.time())
    if now != _date_second:
        t = time.gmtime(now)
        _date_text = (
            f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
            f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
        ).encode()
        _date_second = now
    return _date_text


def answer_head(status: int, length: int, extra: bytes = b"", connection: bytes = b"") -> bytes:
    """The head of an answer of our own; `extra` is whole header lines, `connection` that header's value if any.

    The order is that of Go's net/http: the handler's own headers, then Date, Content-Length, Connection.
    """
    tail = b"Connection: %b\r\n\r\n" % connection if connection else b"\r\n"
    return b"HTTP/1.1 %d %b\r\n%bDate: %b\r\nContent-Length: %d\r\n%b" % (
        status,
        reason(status),
        extra,
        date(),
        length,
        tail,
    )


TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"
ERROR_TEXT = TEXT + b"X-Content-Type-Options: nosniff\r\n"
"""The headers that Go's http.Error sets."""


def refusal(status: int, text: str) -> bytes:
    """What Go's net/http writes for a request that it cannot read, before it closes the connection."""
    return b"HTTP/1.1 %d %b\r\n%bConnection: close\r\n\r\n%d %b" % (
        status,
        reason(status),
        TEXT,
        status,
        text.encode(),
    )
