"""The first bytes of a TLS connection: what they are, and which protocols they offer. Pure: bytes → values."""

from __future__ import annotations

RECORD_BYTES = 5
"""Of a record's head."""
MOST_RECORD_BYTES = (1 << 14) + 2048
_HANDSHAKE, _ALERT, _CLIENT_HELLO = 22, 21, 1
_MESSAGE_HEAD_BYTES = 4
_ALPN = 16
_HTTP = (b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO")
_FATAL = b"\x15\x03\x01\x00\x02\x02"
_PROTOCOL_VERSION, _RECORD_OVERFLOW = b"\x46", b"\x16"
_BEFORE_VERSION = (_PROTOCOL_VERSION, b"\x0a", b"\x32", b"\x50")
"""What is wrong before a version is chosen: the version, an unexpected message, one that cannot be decoded, Go's own
error.
"""
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
    ends = first[0] == _ALERT and len(first) > RECORD_BYTES + 1 and (first[5] == 2 or first[6] == 0)
    return b"" if ends else None  # its own alert, fatal or close_notify, is not answered


def as_go_says(alert: bytes) -> bytes:
    """An alert of OpenSSL's to a first message, in a record of the version that crypto/tls gives it: the oldest, as
    long as none was chosen.
    """
    return b"\x15\x03\x01" + alert[3:] if alert[:1] == b"\x15" and alert[-1:] in _BEFORE_VERSION else alert


def needed(first: bytes) -> int:
    """How many bytes a client has to have said before it can be judged, as far as these show: a record's head, the
    record, all records of a ClientHello. No more than there are: they suffice.
    """
    if refusal(first) is not None:
        return len(first)
    message, end = b"", 0
    while len(first) >= end + RECORD_BYTES:
        begin = end + RECORD_BYTES
        end = begin + _number(first, end + 3)
        if len(first) < end:
            return end
        message += first[begin:end]
        if first[begin - RECORD_BYTES] != _HANDSHAKE or begin == end or message[0] != _CLIENT_HELLO:
            return len(first)
        if len(message) >= _MESSAGE_HEAD_BYTES and len(message) >= _message_bytes(message):
            return len(first)
    return end + RECORD_BYTES


def offered(first: bytes) -> list[bytes]:
    """The protocols that a ClientHello offers by ALPN, in its order."""
    try:
        return _protocols(_message(first))
    except IndexError:
        return []


def _message(first: bytes) -> bytes:
    """The first handshake message, which may be cut into several records."""
    message, at = b"", 0
    while first[at] == _HANDSHAKE:
        begin = at + RECORD_BYTES
        at = begin + _number(first, at + 3)
        message += first[begin:at]
        if at >= len(first) or at == begin or len(message) >= _message_bytes(message):
            break
    return message


def _message_bytes(message: bytes) -> int:
    return _MESSAGE_HEAD_BYTES + int.from_bytes(message[1:_MESSAGE_HEAD_BYTES], "big")


def _protocols(hello: bytes) -> list[bytes]:
    if hello[0] != _CLIENT_HELLO:
        return []
    at = _MESSAGE_HEAD_BYTES + 2 + 32  # its version, its random
    at += 1 + hello[at]  # the session
    at += 2 + _number(hello, at)  # suites
    at += 1 + hello[at]  # compressions
    end = at + 2 + _number(hello, at)
    at += 2
    while at < end:
        kind, size = _number(hello, at), _number(hello, at + 2)
        at += 4
        if at + size > len(hello):
            return []  # the rest is still on its way: a part of a name is none that is known
        if kind == _ALPN:
            return _names(hello[at + 2 : at + size])
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
