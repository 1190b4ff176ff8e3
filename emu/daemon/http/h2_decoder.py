"""Heads in HTTP/2 decoded (RFC 7541), frame by frame, and no longer ones than golang.org/x/net/http2 takes.

No I/O. The tables and the Huffman code are hpack's.
"""

from __future__ import annotations

from hpack import HPACKError, InvalidTableIndex
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from emu.daemon.http.h2_frames import MAX_HEADER_LIST_BYTES, ErrorCodes, ProtocolError
from emu.daemon.http.http1 import MOST_FIELDS, Headers

TABLE_BYTES = 4096
"""The dynamic table that a peer's encoder may use, as is the rule where nothing else was agreed on."""
NO_LIMIT = 1 << 62
FIELD_BYTES = 32
"""What a field counts beside its name and its value."""
_STATIC = len(HeaderTable.STATIC_TABLE)


class Decoder:
    """A peer's heads. `changes` grows with each change of the dynamic table: a block may mean something else then."""

    __slots__ = (
        "_begun", "_bytes", "_fields", "_most_fields", "_rest", "_table", "_trailer_bytes", "_trailers",
        "changes", "entered", "free", "headers", "most_bytes", "truncated",
    )  # fmt: skip

    def __init__(self, most_bytes: int = MAX_HEADER_LIST_BYTES, most_fields: int = MOST_FIELDS) -> None:
        self._table = HeaderTable()
        self.most_bytes = most_bytes
        self._most_fields = most_fields
        self.changes = 0
        self.entered: Headers = []
        """What the block decoded last entered into the dynamic table."""
        self.free = False
        """That block means the same whatever is in the table, and does the same to it."""
        self.headers: Headers = []
        """The fields of the block so far."""
        self.truncated = False
        """It has more of them, or longer ones, than are taken; those stand there that came before."""
        self.begin()

    def enter(self, fields: Headers) -> None:
        """Do to the table what a block did that is known."""
        self.changes += len(fields)
        for name, value in fields:
            self._table.add(name, value)

    def decode(self, block: bytes) -> Headers:
        """The fields of a whole block. ProtocolError for one that cannot be."""
        self.begin()
        self.feed(block)
        return self.end()

    def begin(self) -> None:
        """Forget the block before: fields, sizes and whether it may be remembered."""
        self.headers = []
        self.entered = []
        self.free = True
        self.truncated = False
        self._rest = bytearray()
        self._begun = False
        self._bytes = self._fields = self._trailer_bytes = self._trailers = 0

    def feed(self, block: bytes) -> None:
        """More of it. ProtocolError for what cannot be."""
        rest = self._rest
        try:
            if rest:
                rest += block
                del rest[: self._take(rest)]
            elif (at := self._take(block)) < len(block):
                self._rest = bytearray(block[at:])
        except HPACKError as wrong:
            raise _wrong() from wrong
        if len(self._rest) > 2 * self.most_bytes:
            raise _wrong()

    def end(self) -> Headers:
        """All fields that are taken. ProtocolError for a block that ends within one."""
        if self._rest:
            raise _wrong()
        return self.headers

    def _take(self, block: bytes | bytearray) -> int:
        """Decode what is whole; where the rest begins."""
        at, end, begin, most = 0, len(block), 0, self.most_bytes
        headers, table = self.headers, self._table
        try:
            while at < end:
                begin = at
                byte = block[at]
                if byte & 0x80:
                    index, at = _number_at(block, at, 0x7F)
                    name, value = table.get_by_index(index)
                    self.free &= index <= _STATIC
                elif byte & 0xE0 == 0x20:
                    size, at = _number_at(block, at, 0x1F)
                    self._resize(size)
                    self._begun = True
                    continue
                else:
                    index, at = _number_at(block, at, 0x3F if byte & 0x40 else 0x0F)
                    if index:
                        name = table.get_by_index(index)[0]
                    else:
                        name, at = _text_at(block, at, most)
                    value, at = _text_at(block, at, most)
                    self.free &= index <= _STATIC
                    if byte & 0x40:
                        table.add(name, value)
                        self.changes += 1
                        self.entered.append((name, value))
                self._begun = True
                if not self.truncated and self._has_room(name, value):
                    headers.append((name, value))
        except IndexError:
            return begin
        return end

    def _has_room(self, name: bytes, value: bytes) -> bool:
        """Whether one more field is taken; what Trailer names is counted apart, as if each were a field."""
        if name == b"trailer":
            named = value.count(b",") + 1
            self._trailers += named
            self._trailer_bytes += len(value) - named + 1 + named * FIELD_BYTES
        else:
            self._fields += 1
            self._bytes += FIELD_BYTES + len(name) + len(value)
        fields, size = max(self._fields, self._trailers), max(self._bytes, self._trailer_bytes)
        self.truncated = fields > self._most_fields or size > self.most_bytes
        return not self.truncated

    def _resize(self, size: int) -> None:
        if size > TABLE_BYTES or (self._begun and self._table.dynamic_entries):
            raise InvalidTableIndex
        self._table.maxsize = size
        self.changes += 1
        self.free = False


def _wrong() -> ProtocolError:
    return ProtocolError("COMPRESSION_ERROR", ErrorCodes.COMPRESSION_ERROR)


def _number_at(block: bytes | bytearray, at: int, most: int) -> tuple[int, int]:
    value = block[at] & most
    at += 1
    if value < most:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift >= 63:
            raise InvalidTableIndex


def _text_at(block: bytes | bytearray, at: int, most: int) -> tuple[bytes, int]:
    coded = block[at] & 0x80
    size, at = _number_at(block, at, 0x7F)
    if size > most:
        raise InvalidTableIndex
    if at + size > len(block):
        raise IndexError
    text = bytes(block[at : at + size])
    if coded:
        text = bytes(decode_huffman(text))
        if len(text) > most:
            raise InvalidTableIndex
    return text, at + size
