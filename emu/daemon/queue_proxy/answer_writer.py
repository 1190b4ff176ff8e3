"""An answer on its way to a client in HTTP/1: how head, body and trailers are gathered into few writes."""

from __future__ import annotations

from emu.daemon.http import http1
from emu.daemon.http.forward import AnswerHead

ANSWER_BUFFER_BYTES = 4096
"""Of an answer with a known length, less than this is held back until more comes or it ends (Go's bufio.Writer)."""
HANDLER_BUFFER_BYTES = 2048
"""And before that, less than this: what is in there yet is lost where the answer breaks off, and a type is guessed by
what leaves it first (net/http, bufferBeforeChunkingSize).
"""


class AnswerWriter:
    """Frames an answer; what it has gathered is taken to be written. The head waits for the body's first bytes."""

    __slots__ = ("_buffered", "_first", "_headed", "_out", "begun", "head")

    def __init__(self, head: AnswerHead) -> None:
        self.head = head
        self._headed = False
        self._first: list[bytes] = []
        """Of a known length, before the head."""
        self._buffered = 0
        """So many of the last bytes are in the handler's buffer."""
        self._out: list[bytes] = []
        self.begun = False
        """Something of it was taken."""

    def put_head(self, first: bytes, ended: bool) -> None:
        """The head, unless it is put already; `first` is what of the body is known, `ended` that nothing follows."""
        if not self._headed:
            self._headed = True
            known = b"".join((*self._first, first))
            self._out += (self.head.render(known, ended), *self._first)
            self._first.clear()

    def put_first(self, data: bytes, ended: bool) -> None:
        """A piece of the body, and the head before it once a type can be guessed; `ended` that nothing follows."""
        if not self.head.prompt:
            self._buffer(len(data))
            if not self._headed and not ended and self._buffered == len(data) + sum(map(len, self._first)):
                self._first.append(data)  # none of it has left the handler's buffer
                return
        self.put_head(data, ended)
        self.put(data)

    def _buffer(self, size: int) -> None:
        """As bufio.Writer takes a piece: what finds it empty and is larger goes through."""
        room = HANDLER_BUFFER_BYTES - self._buffered
        if size <= room:
            self._buffered += size
            return
        size -= room if self._buffered else 0
        self._buffered = size if size <= HANDLER_BUFFER_BYTES and (room < HANDLER_BUFFER_BYTES) else 0

    def put(self, data: bytes) -> None:
        """A piece of the body, after the head."""
        self._out.append(http1.chunk(data) if self.head.chunked else data)

    def put_trailers(self, trailers: http1.Headers) -> None:
        """What comes after a chunked body, as far as it was announced."""
        self.put_head(b"", False)
        head = self.head
        if head.chunked:
            announced = next((value for name, value in head.headers if name == b"Trailer"), b"")
            self._out.append(http1.trailer_lines(trailers, frozenset(announced.split(b", "))))
            head.chunked = False  # its end is written

    def put_end(self) -> None:
        """The last chunk of a chunked body; any other body ends by its length."""
        if self.head.chunked:
            self._out.append(http1.LAST_CHUNK)

    def put_late(self, text: bytes) -> None:
        """Append the text of a timeout to a body that came too late, if there is one, and end it."""
        self.put_head(text, self.head.chunked)
        if text:
            self.put(text)
        self.put_end()

    def take_broken(self) -> bytes:
        """What goes out though the rest never comes: of a known length what has left the handler's buffer."""
        if self.head.prompt:
            return self.take()
        said = self.take() if self._headed else b""
        return said[: max(0, len(said) - self._buffered)]

    def take(self) -> bytes:
        """All that was gathered."""
        out, self._out = self._out, []
        self.begun |= bool(out)
        return out[0] if len(out) == 1 else b"".join(out)

    def take_due(self) -> bytes:
        """What goes out though more is to come: everything where each piece does, else what fills a buffer."""
        if self.head.prompt:
            self.put_head(b"", False)
            return self.take()
        return self.take() if sum(map(len, self._out)) > ANSWER_BUFFER_BYTES else b""
