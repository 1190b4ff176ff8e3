"""HTTP/1.1 as values: a request's head checked and its framing understood, answers and chunks as bytes.

No I/O here; `server_connection.py` and `client.py` move the bytes.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus

MAX_HEAD_BYTES = (1 << 20) + 4096
"""Longest head of a request (Go's net/http, DefaultMaxHeaderBytes and its slop); beyond it the answer is 431."""
NO_BODY = (204, 304)
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Headers = list[tuple[bytes, bytes]]

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus} | {
    # Where Go's names (net/http, StatusText) are not Python's.
    208: b"Already Reported",
    226: b"IM Used",
    302: b"Found",
    413: b"Request Entity Too Large",
    414: b"Request URI Too Long",
    416: b"Requested Range Not Satisfiable",
    418: b"I'm a teapot",
    422: b"Unprocessable Entity",
    505: b"HTTP Version Not Supported",
}

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class HeadError(Exception):
    """A request that is refused before anyone sees it: `status`, and what Go's net/http says of it, if anything."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Head:
    """A request's head. `content_length` is None for a chunked body; no body is 0."""

    __slots__ = (
        "chunked",
        "content_length",
        "expects_continue",
        "expects_else",
        "headers",
        "keep_alive",
        "method",
        "minor",
        "target",
        "upgrade",
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
        self.expects_else = False
        """Expect asks for something that nobody knows."""
        self.upgrade = b""
        """The protocol that the client wants to go on with; empty when it wants none."""

    def get(self, name: bytes) -> bytes:
        """The first value of a header by its lower-case name; empty when absent."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return b""


_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"host", b"connection", b"expect", b"upgrade"))
_BAD_HOST = re.compile(rb"[^!$%&'()*+,\-.:;=@\[\]_~0-9A-Za-z]")
"""What no Host header may hold (golang.org/x/net/http/httpguts, ValidHostHeader)."""


def read_head(method: bytes, target: bytes, version: str, headers: Headers) -> Head:
    """The head of a request, checked so that the next hop cannot read its framing differently (RFC 9112, 6.3).

    HeadError for two lengths, a length beside chunked, an encoding other than chunked, and Host not exactly once.
    """
    head = Head(method, target, 0 if version == "1.0" else 1, headers)
    if version not in ("1.0", "1.1"):
        raise HeadError(400) if version == "0.9" else HeadError(505, "unsupported protocol version")
    if method == b"CONNECT":
        raise HeadError(400)
    hosts = lengths = 0
    upgrade = b""
    switching = False
    for name, value in headers:
        key = name.lower()
        if key not in _FRAMING:
            continue
        if key == b"host":
            hosts += 1
            if _BAD_HOST.search(value):
                raise HeadError(400, "malformed Host header")
        elif key == b"content-length":
            lengths += 1
            if not value.isdigit() or lengths > 1:
                raise HeadError(400)
            head.content_length = int(value)
        elif key == b"transfer-encoding":
            if value.strip().lower() != b"chunked" or head.chunked:
                raise HeadError(501, "Unsupported transfer encoding")
            head.chunked = True
        elif key == b"connection":
            switching |= _read_connection(head, value)
        elif key == b"upgrade":
            upgrade = upgrade or value
        else:
            _read_expect(head, value)
    if switching:
        head.upgrade = upgrade
    if head.chunked:
        if lengths or head.minor == 0:
            raise HeadError(400)
        head.content_length = None
    if hosts > 1 or (hosts == 0 and head.minor == 1):
        raise HeadError(400, "too many Host headers" if hosts else "missing required Host header")
    return head


def _read_connection(head: Head, value: bytes) -> bool:
    """Note what Connection says; True when it announces an upgrade."""
    lowered = value.lower()
    if lowered == b"keep-alive":
        head.keep_alive = True
        return False
    tokens = [token.strip() for token in lowered.split(b",")]
    if b"close" in tokens:
        head.keep_alive = False
    elif b"keep-alive" in tokens:
        head.keep_alive = True
    return b"upgrade" in tokens


def _read_expect(head: Head, value: bytes) -> None:
    if value.strip().lower() == b"100-continue":
        head.expects_continue = head.minor == 1
    elif value:
        head.expects_else = True


_canonical: dict[bytes, bytes] = {}
_CANONICAL_MOST = 512


def canonical(name: bytes) -> bytes:
    """A header's name as Go writes it: `x-mine` is X-Mine (net/textproto, CanonicalMIMEHeaderKey)."""
    known = _canonical.get(name)
    if known is None:
        known = b"-".join(part[:1].upper() + part[1:].lower() for part in name.split(b"-"))
        if len(_canonical) >= _CANONICAL_MOST:
            _canonical.clear()
        _canonical[name] = known
    return known


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; data must not be empty, for that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def reason(status: int) -> bytes:
    """The reason phrase of a status, in Go's words."""
    return REASONS.get(status) or b"status code %d" % status


def trailer_lines(trailers: Headers) -> bytes:
    """The end of a chunked body: the last chunk and these trailers, but none that would frame or route a message."""
    lines = sorted((canonical(name), value) for name, value in trailers)
    kept = [b"%b: %b\r\n" % pair for pair in lines if pair[0] not in _NO_TRAILER]
    return b"0\r\n%b\r\n" % b"".join(kept)


_NO_TRAILER = frozenset((b"Content-Length", b"Transfer-Encoding", b"Trailer", b"Host", b"Connection"))


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


def answer_head(status: int, length: int, extra: bytes = b"", connection: bytes = b"", minor: int = 1) -> bytes:
    """The head of an answer of our own; `extra` is whole header lines, `connection` that header's value if any.

    The order is that of Go's net/http: the handler's own headers, then Date, Content-Length, Connection.
    """
    tail = b"Connection: %b\r\n\r\n" % connection if connection else b"\r\n"
    return b"HTTP/1.%d %d %b\r\n%bDate: %b\r\nContent-Length: %d\r\n%b" % (
        minor,
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


def refusal(status: int, detail: str = "") -> bytes:
    """What Go's net/http writes for a request that it cannot read, before it closes the connection."""
    line = b"%d %b" % (status, reason(status))
    if status == 501:
        return b"HTTP/1.1 %b\r\n%bConnection: close\r\n\r\n%b" % (line, TEXT, detail.encode())
    if detail:
        line += b": " + detail.encode()
    return b"HTTP/1.1 %b\r\n%bConnection: close\r\n\r\n%b" % (line, TEXT, line)
