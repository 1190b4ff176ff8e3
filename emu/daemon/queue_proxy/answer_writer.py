"""An answer on its way to a client in HTTP/1: how head, body and trailers are gathered into few writes."""

from __future__ import annotations

from emu.daemon.http import http1
from emu.daemon.http.forward import AnswerHead

ANSWER_BUFFER_BYTES = 4096
"""Of an answer with a known length, less than this is held back until more comes or it ends (Go's bufio.Writer)."""


class AnswerWriter:
    """Frames an answer; what it has gathered is taken to be written. The head waits for the body's first bytes."""

    __slots__ = ("_headed", "_out", "begun", "head")

    def __init__(self, head: AnswerHead) -> None:
        self.head = head
        self._headed = False
        self._out: list[bytes] = []
        self.begun = False
        """Something of it was taken."""

    def put_head(self, first: bytes, ended: bool) -> None:
        """The head, unless it is put already; `first` is what of the body is known, `ended` that nothing follows."""
        if not self._headed:
            self._headed = True
            self._out.append(self.head.render(first, ended))

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
