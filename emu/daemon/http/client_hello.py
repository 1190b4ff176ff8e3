"""The first bytes of a TLS connection: what they are, and which protocols they offer. Pure: bytes → values."""

from __future__ import annotations

RECORD_BYTES = 5
"""Of a record's head."""
MOST_RECORD_BYTES = (1 << 14) + 2048
_HANDSHAKE, _ALERT, _CLIENT_HELLO = 22, 21, 1
_ALPN = 16
_HTTP = (b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO")
_FATAL = b"\x15\x03\x01\x00\x02\x02"
_PROTOCOL_VERSION, _RECORD_OVERFLOW = b"\x46", b"\x16"
NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"
HTTP_ANSWER = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
"""What Go's server answers a client that speaks HTTP without TLS (net/http, conn.serve)."""


def refusal(first: bytes) -> bytes | None:
    """What a client gets that does not speak TLS, before the connection ends; None where a handshake may come.

    As crypto/tls reads its first record (readRecordOrCCS).
    """
    if len(first) < RECORD_BYTES:
        return None
    if first.startswith(_HTTP):
        return HTTP_ANSWER
    if first[0] == 0x80:
        return _FATAL + _PROTOCOL_VERSION
    if first[0] not in (_HANDSHAKE, _ALERT) or first[1] >= 0x10:
        return b""
    if int.from_bytes(first[3:5], "big") > MOST_RECORD_BYTES:
        return _FATAL + _RECORD_OVERFLOW
    return None


def offered(first: bytes) -> list[bytes]:
    """The protocols that a ClientHello in one record offers by ALPN, in its order."""
    try:
        return _protocols(first)
    except IndexError:
        return []


def _protocols(first: bytes) -> list[bytes]:
    if first[0] != _HANDSHAKE or first[RECORD_BYTES] != _CLIENT_HELLO:
        return []
    at = RECORD_BYTES + 4 + 2 + 32  # the handshake's head, the version, the random
    at += 1 + first[at]  # the session
    at += 2 + _number(first, at)  # suites
    at += 1 + first[at]  # compressions
    end = at + 2 + _number(first, at)
    at += 2
    while at < end:
        kind, size = _number(first, at), _number(first, at + 2)
        at += 4
        if at + size > len(first):
            return []  # the rest is still on its way: a part of a name is none that is known
        if kind == _ALPN:
            return _names(first[at + 2 : at + size])
        at += size
    return []


def _number(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _names(data: bytes) -> list[bytes]:
    names = []
    at = 0
    while at < len(data):
        size = data[at]
        names.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return names
