"""Heads of answers as Go's transport reads them (net/http, ReadResponse and readTransfer). Pure: bytes → values."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from emu.daemon.http import heads
from emu.daemon.http.goquote import quoted
from emu.daemon.http.known import LONGEST_BYTES, MOST

_NEVER_TRAILERS = (b"transfer-encoding", b"trailer", b"content-length")
_NOTABLE = frozenset((b"content-length", b"transfer-encoding", b"connection", b"trailer", b"pragma"))


class AnswerHead(NamedTuple):
    """A head, and how the body after it is framed."""

    status: int
    reason: bytes
    minor: int
    headers: heads.Headers
    chunked: bool
    length: int | None
    """Of the body; None for one that is chunked or ends with the connection."""
    reusable: bool
    """The connection may be kept after it."""


def end_of(data: bytes | bytearray, start: int) -> int:
    """Where the head ends; 0 while it does not."""
    end = data.find(b"\r\n\r\n", max(0, start - 3)) + 4
    if end == 3 or data.find(b"\n\n", 0, end) >= 0 or data.find(b"\n\r\n", 0, end - 3) >= 0:
        return heads.end_of(data, start)
    return end


def check_part(data: bytes | bytearray, checked: int) -> int:
    """Refuse a head of which a line is wrong, before the rest has come; how much was looked at. MessageError."""
    if not checked:
        line, checked = heads.first_line(data)
        if not checked:
            return 0
        heads.status_line(line)
    return heads.check_part(data, checked, data.find(b"\n") + 1 == checked)


def cut_words(data: bytes) -> str:
    """What Go says of an answer that ends within its head."""
    try:
        line, at = heads.first_line(data + b"\r\n")
        if data:
            heads.status_line(line)
            heads.fields(data + b"\r\n\r\n", at)
    except heads.MessageError as wrong:
        return str(wrong)
    return "unexpected EOF"


def read_head(data: bytes, head_only: bool) -> AnswerHead:
    """As `parse_head`; what came before and is not long is not read again, as servers say the same for a second."""
    return parse_head(data, head_only) if len(data) > LONGEST_BYTES else _parsed(data, head_only)


def parse_head(data: bytes, head_only: bool) -> AnswerHead:
    """The head that these bytes are; `head_only` for an answer to HEAD. MessageError with Go's words."""
    line, at = heads.first_line(data)
    status, reason, (major, minor) = heads.status_line(line)
    headers = heads.fields(data, at)
    named: dict[bytes, list[bytes]] = {}
    lowered = heads.lowered
    for name, value in headers:
        key = lowered(name)
        if key in _NOTABLE:
            named.setdefault(key, []).append(value)
    newer = (major, minor) >= (1, 1)
    tokens = [token.strip().lower() for value in named.get(b"connection", ()) for token in value.split(b",")]
    reusable = major >= 1 and b"close" not in tokens and (newer or b"keep-alive" in tokens) and status >= 200
    if newer and b"close" in tokens:  # gone before it could name others
        headers = [pair for pair in headers if pair[0].lower() != b"connection"]
    pragma = named.get(b"pragma", [b""])[0] == b"no-cache"
    if pragma and not any(name.lower() == b"cache-control" for name, _ in headers):
        headers.append((b"Cache-Control", b"no-cache"))
    chunked = newer and _chunked(named.get(b"transfer-encoding"))
    lengths = named.get(b"content-length")
    length = heads.content_length(lengths) if lengths else None
    bodiless = head_only or 100 <= status < 200 or status in (204, 304)
    if lengths and (len(lengths) > 1 or (chunked and not bodiless)):
        headers = [pair for pair in headers if pair[0].lower() != b"content-length"]
        if not chunked or bodiless:
            headers.append((b"Content-Length", lengths[0]))
    if chunked:
        _check_trailers(named.get(b"trailer", ()))
    if b"trailer" in named and chunked is (status < 200):
        headers = [pair for pair in headers if pair[0].lower() != b"trailer"]
    if bodiless:
        return AnswerHead(status, reason, min(minor, 1) if major == 1 else 1, headers, False, 0, reusable)
    if chunked:
        length = None
    ends = not chunked and length is None
    return AnswerHead(
        status, reason, min(minor, 1) if major == 1 else 1, headers, chunked, length, reusable and not ends
    )


_parsed = lru_cache(MOST)(parse_head)


def _chunked(encodings: list[bytes] | None) -> bool:
    if not encodings:
        return False
    if len(encodings) > 1:
        raise heads.MessageError(f"too many transfer encodings: [{' '.join(_text(each) for each in encodings)}]")
    if encodings[0].lower() != b"chunked":
        raise heads.MessageError(f"unsupported transfer encoding: {_text(encodings[0])}")
    return True


def _check_trailers(values: list[bytes] | tuple[()]) -> None:
    for value in values:
        for part in value.split(b","):
            name = part.strip().lower()
            if name in _NEVER_TRAILERS:
                canonical = b"-".join(word.capitalize() for word in name.split(b"-"))
                raise heads.MessageError(f"bad trailer key {_text(canonical)}")


def _text(text: bytes) -> str:
    return quoted(text).decode("utf-8")
