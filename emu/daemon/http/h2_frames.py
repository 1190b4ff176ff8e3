"""HTTP/2 as values: frames as bytes, heads coded and decoded, what makes a head malformed (RFC 9113, RFC 7541).

No I/O here; `h2_connection` moves the bytes. Heads are written without the dynamic table, so that the bytes of one
are the same on every connection and can be kept (docs/decisions/0018). The tables and the Huffman code are hpack's.
"""

from __future__ import annotations

import re
import struct
from enum import IntEnum
from functools import lru_cache

from hpack.table import HeaderTable

from emu.daemon.http.goquote import quoted
from emu.daemon.http.http1 import Headers

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITIZED = 4, 8, 32
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9
MOST_SETTINGS = 100
"""In one frame."""
HEAD_BYTES = 9
"""Of a frame."""
DEFAULT_WINDOW = 65535
DEFAULT_FRAME_BYTES = 16384
MOST_WINDOW = (1 << 31) - 1
MAX_HEADER_LIST_BYTES = (1 << 20) + 320
"""Of a head, counted as RFC 7541 does (golang.org/x/net/http2, of net/http's 1 MiB)."""


class ErrorCodes(IntEnum):
    """Why a stream or a connection ended (RFC 9113, 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ProtocolError(Exception):
    """The peer broke a rule that ends the connection."""

    def __init__(self, why: str, code: ErrorCodes = ErrorCodes.PROTOCOL_ERROR) -> None:
        super().__init__(why)
        self.code = code


class FrameError(ProtocolError):
    """A frame is wrong by itself, whatever came before it: GOAWAY does not count its stream."""


class TornFrameError(FrameError):
    """A frame is shorter than its own fields: the connection ends without a word (golang.org/x/net/http2 takes it for
    the end of what the peer sends).
    """


class MalformedError(Exception):
    """A head that ends its stream alone."""


# --- frames

_head = struct.Struct(">IBI")
unpack_head = _head.unpack_from
"""(bytes, offset) → length and kind in one number, flags, stream."""
unpack_setting = struct.Struct(">HI").iter_unpack


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame as it goes over the wire: its head of nine bytes, then the payload."""
    return _head.pack(len(payload) << 8 | kind, flags, stream) + payload


def data_head(size: int, flags: int, stream: int) -> bytes:
    """What comes before the payload of a DATA frame."""
    return _head.pack(size << 8, flags, stream)


def data_run(data: bytes | memoryview, at: int, stop: int, stream_id: int) -> tuple[bytes, int, int]:
    """What the DATA frames hold that begin at `at`, the first of which ends at `stop`, as far as they are of one
    stream and whole; where they end; and the flags of the last. Most servers send all but that with the same head.
    """
    end, view, size = len(data), memoryview(data), stop - at
    head = data[at : at + HEAD_BYTES]
    pieces = [view[at + HEAD_BYTES : stop]]
    last = 0
    while not last and end - stop >= HEAD_BYTES:
        flags, after = 0, stop + size
        if data[stop : stop + HEAD_BYTES] != head:
            word, flags, of = unpack_head(data, stop)
            after = stop + HEAD_BYTES + (word >> 8)
            if word & 0xFF or of != stream_id or flags & ~END_STREAM:
                break
        if after > end:
            break
        pieces.append(view[stop + HEAD_BYTES : after])
        stop, last = after, flags
    return b"".join(pieces), stop, last


def number_frame(kind: int, stream: int, number: int) -> bytes:
    """RST_STREAM or WINDOW_UPDATE."""
    return _number.pack(4 << 8 | kind, 0, stream, number)


_number = struct.Struct(">IBII")


def settings_frame(values: dict[int, int]) -> bytes:
    """SETTINGS."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in values.items()))


def goaway_frame(last: int, code: int) -> bytes:
    """GOAWAY."""
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code))


def head_frames(stream: int, block: bytes, end: bool, most: int) -> bytes:
    """HEADERS, and CONTINUATION for what is longer than a frame may be."""
    flags = END_STREAM if end else 0
    if len(block) <= most:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    parts = [block[at : at + most] for at in range(0, len(block), most)]
    frames = [frame(HEADERS, flags, stream, parts[0])]
    frames += [frame(CONTINUATION, 0, stream, part) for part in parts[1:-1]]
    return b"".join([*frames, frame(CONTINUATION, END_HEADERS, stream, parts[-1])])


# --- heads as bytes

_whole = {pair: index for index, pair in reversed(list(enumerate(HeaderTable.STATIC_TABLE, 1)))}
_names = {name: index for (name, _), index in _whole.items()}


def _number_bytes(value: int, bits: int, first: int) -> bytes:
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    out = bytearray((first | most,))
    value -= most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(name: bytes, value: bytes) -> bytes:
    index = _whole.get((name, value))
    if index is not None:
        return bytes((0x80 | index,))
    index = _names.get(name, 0)
    begun = _number_bytes(index, 4, 0)
    if not index:
        begun += _number_bytes(len(name), 7, 0) + name
    return begun + _number_bytes(len(value), 7, 0) + value


_kept_field = lru_cache(512)(_field)
_LONGEST_KEPT = 256


def field(name: bytes, value: bytes) -> bytes:
    """One field of a head, without the dynamic table."""
    return _kept_field(name, value) if len(value) <= _LONGEST_KEPT else _field(name, value)


def encode(headers: Headers) -> bytes:
    """A head's block; the names are lower-case."""
    return b"".join([field(name, value) for name, value in headers])


# --- what makes a head malformed

_good_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_good_value = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*").fullmatch
_OF_A_CONNECTION = (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path", b":status", b":protocol"))


class Judge:
    """What is wrong with the fields of a head, in Go's words, as they come; `odd` ends it when it is whole."""

    __slots__ = ("_fault", "_looked_at", "_plain", "odd", "pseudo")

    def __init__(self) -> None:
        self._fault = self.odd = ""
        self._looked_at = 0
        self._plain = False
        self.pseudo: dict[bytes, bytes] = {}

    def fault_of(self, headers: Headers) -> str:
        """The first name, value or order that RFC 9113, 8.2 and 8.3 forbid; of these fields, some may be new."""
        pseudo, plain = self.pseudo, self._plain
        for name, value in headers[self._looked_at :] if self._looked_at else headers:
            if self._fault:
                break
            fault = "" if _good_value(value) else f"invalid header field value for {_text(name)}"
            if name.startswith(b":"):
                if plain:
                    fault = "pseudo header field after regular"
                elif name not in _PSEUDO:
                    self.odd = self.odd or f"invalid pseudo-header {_text(name)}"
                elif name in pseudo:
                    self.odd = self.odd or f"duplicate pseudo-header {_text(name)}"
                pseudo[name] = value
            else:
                plain = True
                if _good_name(name) is None:
                    fault = f"invalid header field name {_text(name)}"
            self._fault = fault
        self._plain = plain
        self._looked_at = len(headers)
        return self._fault


def check(headers: Headers) -> dict[bytes, bytes]:
    """The pseudo-headers. MalformedError for a head that is none."""
    judge = Judge()
    fault = judge.fault_of(headers) or judge.odd
    pseudo = judge.pseudo
    if not fault and b":status" in pseudo and len(pseudo) > 1:
        fault = "mix of request and response pseudo headers"
    if fault:
        raise MalformedError(fault)
    return pseudo


def connection_fault(headers: Headers) -> str:
    """What Go says of a request with a field that means something to one connection alone; empty without one."""
    names = {name for name, _ in headers}
    for name in _OF_A_CONNECTION:
        if name in names:
            return f'request header "{name.decode().title()}" is not valid in HTTP/2'
    te = [value for name, value in headers if name == b"te"]
    if te and te not in ([b"trailers"], [b""]):
        return 'request header "TE" may only be "trailers" in HTTP/2'
    return ""


def without_framing(headers: Headers) -> Headers:
    """An answer's fields without those of a connection, nor a Content-Length that is none or says several things."""
    kept = [pair for pair in headers if pair[0] not in _OF_A_CONNECTION]
    try:
        length = declared_length(kept)
    except MalformedError:
        length = None
    if sum(name == b"content-length" for name, _ in kept) > (length is not None):
        kept = [pair for pair in kept if pair[0] != b"content-length"]
        if length is not None:
            kept.append((b"content-length", b"%d" % length))
    return kept


def declared_length(headers: Headers) -> int | None:
    """What Content-Length says; None without one. MalformedError for several that differ, or for no number."""
    found = {value for name, value in headers if name == b"content-length"}
    if not found:
        return None
    value = found.pop()
    if found or not value.isdigit() or len(value) > 4000 or int(value) >= 1 << 63:
        raise MalformedError("content-length")
    return int(value)


def _text(text: bytes) -> str:
    return quoted(text).decode()


def exactly(payload: bytes, size: int) -> bytes:
    """The payload, if it is of this size."""
    if len(payload) != size:
        raise FrameError("frame size", ErrorCodes.FRAME_SIZE_ERROR)
    return payload


def of_stream(stream_id: int) -> None:
    """See that a frame is one of a stream."""
    if not stream_id:
        raise FrameError("a frame of a stream on the connection")


def of_connection(stream_id: int) -> None:
    """See that a frame is one of the connection."""
    if stream_id:
        raise FrameError("a frame of the connection on a stream")


def its_own_parent(stream_id: int, priority: bytes) -> bool:
    """Whether a stream depends on itself."""
    return int.from_bytes(priority[:4], "big") & 0x7FFFFFFF == stream_id
