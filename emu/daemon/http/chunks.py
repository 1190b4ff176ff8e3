"""A chunked body, taken apart as Go does (net/http/internal, chunkedReader; net/http, body.readTrailer). No I/O."""

from __future__ import annotations

import re

from emu.daemon.http import heads

GATHERED_BYTES = 32 * 1024
"""A chunk that has come in part is passed on when it is whole, or so much of it is there (the copy's buffer)."""
LONGEST_LINE = 4096
"""A chunk's first line, and all trailers, fit into a reader's buffer."""
EXCESS_EACH = 16
EXCESS_MOST = 16 * 1024
"""What is not data: so much for each chunk beside twice its data, and so much beyond that altogether."""
_HEX = re.compile(rb"[0-9A-Fa-f]+")


class ChunkError(Exception):
    """What Go's reader says of bytes that are no chunked body."""


class ChunkReader:
    """One body. `feed` until `done`; then `rest` is what follows it."""

    __slots__ = ("_excess", "_gathered", "_held", "_left", "done", "fault", "rest", "trailers")

    def __init__(self) -> None:
        self._left = 0
        """Of the current chunk, its CRLF included; 0 between chunks, -1 after the last."""
        self._excess = 0
        self._gathered = b""
        """Data that is not passed on yet."""
        self._held = b""
        """The part of a line that has come."""
        self.done = False
        self.rest = b""
        self.trailers: heads.Headers = []
        self.fault = ""
        """Why it cannot be read on, in Go's words."""

    def feed(self, data: bytes) -> bytes:
        """What to forward of the body, now that this came: whole chunks, joined, or much of one."""
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        if self._gathered:
            pieces.append(self._gathered)
            self._gathered = b""
        try:
            at = self._chunks(data, pieces)
            if self._left < 0:
                self._trailers(data, at)
        except ChunkError as wrong:
            self.fault = str(wrong)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        waits = self._left > 2 or (self._left < 0 and not self.done)
        if body and waits and not self.fault and len(body) < GATHERED_BYTES:
            self._gathered = body
            return b""
        return body

    @property
    def inside(self) -> bool:
        """Within a chunk, or in the line that begins one."""
        return self._left > 0 or bool(self._held)

    def left_over(self) -> bytes:
        """The bytes that were not passed on yet, now that no more comes."""
        gathered, self._gathered = self._gathered, b""
        return gathered

    def _chunks(self, data: bytes, pieces: list[bytes]) -> int:
        """Take apart what there is; where the trailers begin."""
        at, size = 0, len(data)
        while self._left >= 0:
            left = self._left
            if left:
                if left > 2 and at < size:
                    take = min(left - 2, size - at)
                    pieces.append(data[at : at + take])
                    at += take
                    self._left = left = left - take
                if left > 2:
                    return at
                # Two bytes that must be CRLF; what is held of them is kept with the count.
                if size - at < 2:
                    self._held = data[at:]
                    return size
                if data[at : at + 2] != b"\r\n":
                    raise ChunkError("malformed chunked encoding")
                at += 2
                self._left = 0
                continue
            end = data.find(b"\n", at, at + LONGEST_LINE)
            if end < 0:
                if size - at >= LONGEST_LINE:
                    raise ChunkError("header line too long")
                self._held = data[at:]
                return size
            self._begin(data[at : end + 1])
            at = end + 1
        return at

    def _begin(self, line: bytes) -> None:
        """A chunk's first line."""
        cr = line.find(b"\r")
        if cr < 0:
            raise ChunkError("chunked line ends with bare LF")
        if cr != len(line) - 2:
            raise ChunkError("invalid CR in chunked line")
        length = _size(line[:-2].rstrip(b" \t").partition(b";")[0])
        self._excess = max(0, self._excess + len(line) - EXCESS_EACH - 2 * length)
        if self._excess > EXCESS_MOST:
            raise ChunkError("chunked encoding contains too much non-data")
        self._left = length + 2 if length else -1

    def _trailers(self, data: bytes, at: int) -> None:
        """After the last chunk: an empty line, or header fields and one."""
        rest = data[at:]
        if len(rest) < 2:
            self._held = rest
            return
        end = 2 if rest.startswith(b"\r\n") else rest.find(b"\r\n\r\n", 0, LONGEST_LINE) + 4
        if end == 3:
            if len(rest) >= LONGEST_LINE:
                raise ChunkError("http: suspiciously long trailer after chunked body")
            self._held = rest
            return
        if end > 2:
            end = heads.end_of(b"\n" + rest[:end]) - 1
            try:
                self.trailers = heads.fields(rest[:end], 0)
            except heads.MessageError as wrong:
                raise ChunkError(str(wrong)) from None
        self.rest = rest[end:]
        self.done = True


_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")


def whole(data: bytes, at: int) -> bytes | None:
    """The body from `at` on if it ends with these bytes, and nothing but chunks and their lengths is in it; else
    None: then a `ChunkReader` judges it.
    """
    if data[-7:] != b"\r\n0\r\n\r\n":
        return None
    pieces: list[bytes] = []
    last = len(data) - 5
    while at < last:
        line = _LINE.match(data, at)
        if line is None:
            return None
        begin = line.end()
        at = begin + int(line[1], 16)
        if at == begin or data[at : at + 2] != b"\r\n":
            return None
        pieces.append(data[begin:at])
        at += 2
    return b"".join(pieces) if at == last else None


def _size(text: bytes) -> int:
    if not text:
        raise ChunkError("empty hex number for chunk length")
    if not _HEX.fullmatch(text[:17]):
        raise ChunkError("invalid byte in chunk length")
    if len(text) > 16:
        raise ChunkError("http chunk length too large")
    return int(text, 16)
