"""Pieces of requests and answers that the cases are made of."""

from __future__ import annotations

import re

TEXT = "text/plain; charset=utf-8"
PLAIN_ERROR = {"content-type": TEXT, "x-content-type-options": "nosniff"}
DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT"
)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n"
PROBE_UA = b"User-Agent: kube-probe/1.30"
UP = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n"
FULL = "pending request queue full\n"


def ask(
    *headers: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"app.example.com", body: bytes = b""
) -> bytes:
    """A request in HTTP/1.1 as it goes over the wire; without a Host if `host` is None."""
    lines = [line, *([b"Host: " + host] if host is not None else []), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def h2_get(*headers: tuple[bytes, bytes]) -> bytes:
    """A connection's preface, and a GET as its first stream: HPACK without tables (RFC 7541, 6.2.2)."""
    block = b"\x82\x86\x84"  # :method GET, :scheme http, :path /
    for name, value in ((b":authority", b"app.example.com"), *headers):
        block += b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    ends = b"\x05"  # END_STREAM, END_HEADERS
    frame = len(block).to_bytes(3, "big") + b"\1" + ends + b"\0\0\0\1" + block
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + frame


def post(*headers: bytes, body: bytes = b"") -> bytes:
    """A POST."""
    return ask(*headers, line=b"POST / HTTP/1.1", body=body)


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunked framing, one chunk a piece."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def answered(*headers: bytes, status: bytes = b"200 OK", body: bytes = b"ok", length: bool = True) -> bytes:
    """An answer of the app's."""
    lines = [b"HTTP/1.1 " + status, *headers, *([b"Content-Length: %d" % len(body)] if length else [])]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
