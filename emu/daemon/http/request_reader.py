"""Requests out of the bytes of a connection, as Go's server reads them: heads, then their bodies."""

from __future__ import annotations

from emu.daemon.http import chunks, heads, http1

LEAST_BYTES = 4
"""After a request, fewer bytes than these are nothing yet (net/http, conn.serve)."""
MOST_EMPTY_BYTES = 4
"""Of empty lines after a POST, so many bytes are passed over (net/http, conn.readRequest)."""


class RequestReader:
    """Reads the current request; `DownstreamConnection` decides what becomes of it."""

    __slots__ = ("_checked", "_chunks", "_few", "_in_head", "_left", "_partial", "_skip", "two_framings")

    def __init__(self, two_framings: bool) -> None:
        self.two_framings = two_framings
        self._in_head = True
        self._partial: bytearray | None = None
        """What has come of a head that is not whole; None while nothing has."""
        self._checked = 0
        """So much of that was looked at for faults."""
        self._left = 0
        """Of a body of known length."""
        self._chunks: chunks.ChunkReader | None = None
        self._few: bytes | None = None
        """The few bytes that came after a request; None while none is over, and where there are enough."""
        self._skip = 0
        """So many bytes of empty lines may come before the next head."""

    def on_head(self, head: http1.Head) -> None:
        """A head is whole. Its body follows, then `on_message_complete`."""

    def on_body(self, data: bytes) -> None:
        """What came of the body, without its framing."""

    def on_message_complete(self, trailers: heads.Headers | None) -> None:
        """The request is read to its end."""

    def on_body_fault(self, words: str) -> None:
        """The body's framing is broken; what follows is nothing."""

    def _read_head(self, data: bytes) -> bytes:
        """Take in what is of a head, and return what follows it. HeadError."""
        if self._few is not None:
            data = self._few + data
            if len(data) < LEAST_BYTES:
                self._few = data
                return b""
            self._few = None
        if self._skip:
            data = self._past_empty(data)
        partial = self._partial
        head: http1.Head | None = None
        if partial is None:
            end = data.find(b"\r\n\r\n") + 4
            head = http1.usual_head(data[:end]) if end > 3 else None
            if head is None:  # whatever is odd in it may end it sooner
                end = heads.end_of(data)
                said = data[:end]
        else:
            before = len(partial)
            partial += data
            end = heads.end_of(partial, before)
            said = bytes(partial[:end])
            data = bytes(partial[before:]) if not end else bytes(partial)
        if not end:
            self._partial = self._unfinished(partial if partial is not None else bytearray(data))
            return b""
        self._partial = None
        self._checked = 0
        if head is None:
            head = http1.parse_head(said, self.two_framings)
        self._in_head = False
        self._left = head.content_length or 0
        self._skip = MOST_EMPTY_BYTES if head.method == b"POST" else 0
        self.on_head(head)
        if head.chunked:
            body = chunks.whole(data, end)
            if body is None:
                self._chunks = chunks.ChunkReader()
                return data[end:]
            if body:
                self.on_body(body)
            self._complete(None)
            return b""
        if not self._left:
            self._complete(None)
        return data[end:]

    def _past_empty(self, data: bytes) -> bytes:
        most = data[: self._skip]
        rest = most.lstrip(b"\r\n")
        self._skip = 0 if rest or len(most) == self._skip else self._skip - len(most)
        return data[len(most) - len(rest) :]

    def _unfinished(self, partial: bytearray) -> bytearray | None:
        """A part of a head: refused at once if a line of it is wrong already, or if it is too long. HeadError."""
        if len(partial) > http1.MAX_HEAD_BYTES:
            raise http1.HeadError(431)
        if not self._checked:
            self._checked = partial.find(b"\n") + 1
            if not self._checked:
                return partial or None
            http1.check_first_line(bytes(partial[: self._checked]))
        first = partial.find(b"\n") + 1 == self._checked
        try:
            self._checked = heads.check_part(partial, self._checked, first)
        except heads.MessageError:
            raise http1.HeadError(400) from None
        return partial

    def _read_body(self, data: bytes) -> bytes:
        """Take in what is of the body, and return what follows it."""
        reader = self._chunks
        if reader is None:
            left = self._left
            if len(data) < left:
                self._left = left - len(data)
                self.on_body(data)
                return b""
            self._left = 0
            piece, rest = (data, b"") if len(data) == left else (data[:left], data[left:])
            self.on_body(piece)
            self._complete(None)
            return rest
        body = reader.feed(data)
        if body:
            self.on_body(body)
        if reader.fault:
            self.on_body_fault(reader.fault)
            return b""
        if not reader.done:
            return b""
        self._complete(reader.trailers or None)
        return reader.rest

    def _cut_in_chunk(self) -> bool:
        """The client closed its direction: whether that is within a chunk, what had come of it passed on."""
        reader = self._chunks
        if reader is None or not reader.inside:
            return False
        if rest := reader.left_over():
            self.on_body(rest)
        self.on_body_fault("unexpected EOF")
        return True

    def _complete(self, trailers: heads.Headers | None) -> None:
        self._in_head = True
        self._few = b""
        self._chunks = None
        self.on_message_complete(trailers)
