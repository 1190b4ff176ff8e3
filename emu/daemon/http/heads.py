"""Heads of messages as Go reads them: lines, header fields, request and status lines. Pure: bytes → values.

Sources: net/textproto (ReadMIMEHeader), net/http (readRequest, ReadResponse). What Go refuses is refused, in its
words; what it takes is taken: lines that end with LF alone, folded fields, blanks around values.
"""

from __future__ import annotations

import re

from emu.daemon.http.goquote import quoted

Headers = list[tuple[bytes, bytes]]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_SEEN = bytes([9, *range(32, 127), *range(128, 256)])
"""What may stand in a line."""
_names: dict[bytes, bytes] = {}
"""Names that are tokens, and how they are in lower case."""
MOST_NAMES = 512
_END = re.compile(rb"\n\r?\n")
_ODD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NAME = re.compile(_TOKEN + rb"+")
_NAME_OR_BLANKS = re.compile(rb"[ !#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_BLANKS = b" \t"
METHODS = frozenset((b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"PATCH", b"OPTIONS"))
_KEEPS_BLANK = frozenset((b"transfer-encoding", b"host", b"x-forwarded-for"))
"""Fields of which the blank counts that a fold without words leaves at their end; elsewhere it goes when written."""


class MessageError(Exception):
    """What Go's reader says of bytes that are no message."""


class TooManyFieldsError(MessageError):
    """More header fields than a server takes."""


def end_of(data: bytes | bytearray, start: int = 0) -> int:
    """Where a head ends, its empty line included; 0 while it does not."""
    found = _END.search(data, max(0, start - 2))
    return found.end() if found else 0


def version(proto: bytes) -> tuple[int, int] | None:
    """Major and minor of `HTTP/1.1`; None for what is none."""
    if proto == b"HTTP/1.1":
        return 1, 1
    found = _VERSION.fullmatch(proto)
    return (int(found[1]), int(found[2])) if found else None


def fields(data: bytes, at: int, most: int = 0) -> Headers:
    """The header fields from `at` to the head's end. MessageError; TooManyFieldsError beyond `most` (0: any)."""
    found = _ordinary_fields(data, at)
    if found is None:
        found = _odd_fields(data, at)
    if most and len(found) > most:
        raise TooManyFieldsError("message too large")
    return found


def _ordinary_fields(data: bytes, at: int) -> Headers | None:
    """The fields of a head whose lines end with CRLF and hold a token, a colon and nothing odd; else None."""
    lines = data[at:].split(b"\r\n")
    if len(lines) < 2 or not clean(data, data.count(b"\r\n")) or lines[-1] or lines[-2]:
        return None
    del lines[-2:]
    found: Headers = []
    names = _names
    for line in lines:
        name, colon, value = line.partition(b":")
        if name not in names:
            if not colon or not _NAME.fullmatch(name):
                return None
            if len(names) >= MOST_NAMES:
                names.clear()
            names[name] = name.lower()
        elif not colon:
            return None
        found.append((name, value.strip(_BLANKS)))
    return found


def clean(data: bytes, ends: int) -> bool:
    """Whether nothing stands in it but what may stand in lines, and so many CRLF."""
    return data.translate(None, _SEEN) == b"\r\n" * ends


def lowered(name: bytes) -> bytes:
    """A name in lower case."""
    return _names.get(name) or name.lower()


def _odd_fields(data: bytes, at: int) -> Headers:
    """The same, line by line, for what is not quite ordinary."""
    lines = [line.removesuffix(b"\r") for line in data[at:].split(b"\n")]
    if lines[0][:1] in (b" ", b"\t"):
        raise MessageError(_protocol(b"malformed MIME header initial line: %b", lines[0]))
    found: Headers = []
    number = 0
    while number < len(lines) and lines[number]:
        line = lines[number]
        number += 1
        if b":" not in line:
            raise MessageError(_protocol(b"malformed MIME header: missing colon: %b", line))
        line = line.strip(_BLANKS)
        while number < len(lines) and lines[number][:1] in (b" ", b"\t"):
            line += b" " + lines[number].strip(_BLANKS)
            number += 1
        name, _, value = line.partition(b":")
        if not _NAME_OR_BLANKS.fullmatch(name):
            raise MessageError(_protocol(b"malformed MIME header line: %b", line))
        if _ODD_VALUE.search(value):
            raise MessageError(_protocol(b"malformed MIME header line: %b", b"%b:%b" % (canonical(name), value)))
        found.append((name, value.lstrip(_BLANKS) if name.lower() in _KEEPS_BLANK else value.strip(_BLANKS)))
    return found


def check_part(data: bytes | bytearray, at: int, first: bool) -> int:
    """Look at the lines of a head that has come in part, from `at` on, for a fault that Go sees before the rest is
    there; `first` where they are the first. Where those end of which nothing more can be said. MessageError.
    """
    if first and data[at : at + 1] in (b" ", b"\t") and data.find(b"\n", at) >= 0:
        fields(bytes(data) + b"\r\n\r\n", at)
    while (end := data.find(b"\n", at)) >= 0:
        if data.find(b":", at, end) < 0:
            fields(bytes(data[at : end + 1]) + b"\r\n", 0)
        after = end + 1
        while data[after : after + 1] in (b" ", b"\t"):
            after = data.find(b"\n", after) + 1
            if not after:
                return at
        if after >= len(data):
            return at  # the next line may continue it
        _odd_fields(bytes(data[at:after]), 0)
        at = after
    return at


def valid_name(name: bytes) -> bool:
    """Whether a header's name is a token: Go reads names with blanks in them, and refuses them later."""
    return _NAME.fullmatch(name) is not None


def request_line(line: bytes) -> tuple[bytes, bytes, tuple[int, int]]:
    """Method, target and version. MessageError."""
    parts = line.split(b" ", 2)
    if len(parts) < 3:
        raise MessageError(f"malformed HTTP request {_text(line)}")
    method, target, proto = parts
    if method not in METHODS and not _NAME.fullmatch(method):
        raise MessageError(f"invalid method {_text(method)}")
    numbers = version(proto)
    if numbers is None:
        raise MessageError(f"malformed HTTP version {_text(proto)}")
    return method, target, numbers


def status_line(line: bytes) -> tuple[int, bytes, tuple[int, int]]:
    """Status, reason and version. MessageError."""
    proto, blank, rest = line.partition(b" ")
    if not blank:
        raise MessageError(f"malformed HTTP response {_text(line)}")
    code, _, reason = rest.lstrip(b" ").partition(b" ")
    status = number(code) if len(code) == 3 else None
    if status is None or status < 0:
        raise MessageError(f"malformed HTTP status code {_text(code)}")
    numbers = version(proto)
    if numbers is None:
        raise MessageError(f"malformed HTTP version {_text(proto)}")
    return status, reason, numbers


def first_line(data: bytes | bytearray) -> tuple[bytes, int]:
    """The first line without its end, and where the next begins; 0 while it is not whole."""
    end = data.find(b"\n")
    return (bytes(data[:end]).removesuffix(b"\r"), end + 1) if end >= 0 else (b"", 0)


def content_length(values: list[bytes]) -> int:
    """The length that these say, all the same. MessageError."""
    first = values[0].strip(_BLANKS)
    if len(values) > 1 and any(value.strip(_BLANKS) != first for value in values):
        got = " ".join(_text(value) for value in values)
        raise MessageError(f"http: message cannot contain multiple Content-Length headers; got [{got}]")
    if not first:
        raise MessageError('invalid empty Content-Length ""')
    if not first.isdigit() or len(first) > 4000 or int(first) >= 1 << 63:
        raise MessageError(f"bad Content-Length {_text(first)}")
    return int(first)


def canonical(name: bytes) -> bytes:
    """A name as Go writes it: `x-mine` is X-Mine; what is no name stays as it is."""
    return b"-".join(part.capitalize() for part in name.split(b"-")) if valid_name(name) else name


def number(text: bytes) -> int | None:
    """A whole number, with or without a sign; None for what is none (strconv.Atoi)."""
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    if not digits.isdigit() or len(digits) > 18:
        return None
    return -int(digits) if text[:1] == b"-" else int(digits)


def _text(text: bytes) -> str:
    return quoted(text).decode("utf-8")


def _protocol(words: bytes, line: bytes) -> str:
    return (words % quoted(line)).decode("utf-8")
