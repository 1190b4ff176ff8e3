"""The client's side of an HTTP/1.1 connection: one answer at a time, streamed to whoever asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from emu.daemon.http import answer_reader, forward, heads, http1
from emu.daemon.http.chunks import ChunkReader
from emu.daemon.http.flow import BODY_READ_BYTES, WRITE_BUFFER_BYTES, Stuck, write_pieces
from emu.daemon.http.known import Known
from emu.daemon.within import within

MAX_ANSWER_HEAD_BYTES = 10 << 20
"""Longest head, or trailers, of an answer (net/http's transport, MaxResponseHeaderBytes)."""

WIDE_READ_BYTES = 128 * 1024
"""Read at most this much of an answer while clients read as fast as we write."""
MOST_STUCK = 16
"""With so many clients that do not, what is read is what each of them may come to hold: `BODY_READ_BYTES`."""

_buffer = memoryview(bytearray(WIDE_READ_BYTES))
_narrow = _buffer[:BODY_READ_BYTES]


class BadAnswerError(Exception):
    """What came is not HTTP."""


class KnownAnswer:
    """An answer's head that came before, byte for byte, and the same for our client.

    Known are heads of which the client's does not depend on the request, as long as that is HTTP/1.1, keeps its
    connection and is not HEAD. `length` is the body's.
    """

    __slots__ = ("head", "length", "said", "said_bytes", "status")

    def __init__(self, said: bytes, status: int, head: bytes, length: int) -> None:
        self.said = said
        """The head as it came; `head` is the client's."""
        self.said_bytes = len(said)
        self.status = status
        self.head = head
        self.length = length

    def pass_on_large(self, data: bytes, client: asyncio.Transport) -> None:
        """Write the answer that these bytes are, as they came, without a copy of its body: where that is large."""
        write_pieces(client, (self.head, memoryview(data)[self.said_bytes :]))


class Asker:
    """Who sent a request over a `UpstreamConnection` and takes its answer."""

    __slots__ = ()

    def answer_whole(self, app: UpstreamConnection, known: KnownAnswer, data: bytes) -> bool:
        """All of an answer as it came, of a known head; `app` let go of the asker. False: deliver it in parts."""
        return False

    def answer_head(self, status: int, reason: bytes, headers: http1.Headers, minor: int) -> None:
        """The head of the answer; also called for each informational one (1xx) before it."""

    def answer_body(self, data: bytes) -> None:
        """A piece of the answer's body."""

    def answer_trailers(self, trailers: http1.Headers) -> None:
        """What came after the body; `answer_end` follows."""

    def answer_switched(self, said: bytes) -> None:
        """After a 101 the connection speaks another protocol; `said` is what the other side has said in it."""

    def answer_end(self, reusable: bool) -> None:
        """The answer is complete, and the connection lets go of the asker; `reusable` for a further request."""

    def answer_pause(self) -> None:
        """All that was read is parsed: what was gathered for the client may go out in one write."""

    def connection_failed(self, why: Exception | None) -> None:
        """No more of the answer comes: BadAnswerError, OSError, or None for a close by the other side."""

    def request_full(self) -> None:
        """The other side reads more slowly than we write: write no more until `request_ready`."""

    def request_ready(self) -> None:
        """Write again."""


class EarlyEndError(ConnectionError):
    """A new connection ended before anything could be asked on it; `why` is None for a close by the other side."""

    def __init__(self, connection: UpstreamConnection) -> None:
        super().__init__("ended before anything was asked")
        self.connection = connection
        self.why = connection.lost


class UpstreamConnection(asyncio.BufferedProtocol):
    """One connection to a server. `ask` takes an asker, then the request's bytes are written to `transport`."""

    __slots__ = (
        "_answered",
        "_checked",
        "_chunks",
        "_framed",
        "_head_only",
        "_last",
        "_left",
        "_partial",
        "_ready",
        "_reusable",
        "_said",
        "asker",
        "closed",
        "idle_since",
        "known",
        "lost",
        "opened",
        "ours",
        "paused",
        "server",
        "transport",
        "used",
        "whole",
    )

    def __init__(self) -> None:
        self._partial: bytearray | None = None
        """What has come of a head that is not whole; None while nothing has."""
        self._checked = 0
        """So much of that was looked at for faults."""
        self._chunks: ChunkReader | None = None
        self._left = 0
        """Of a body of known length."""
        self._head_only = False
        self._answered = False
        """The final head was read, and its body is."""
        self._framed = True
        self._reusable = False
        self.whole = False
        """The piece of a body that is passed on is its last."""
        self.paused = False
        """Nothing is read, until `resume`."""
        self._ready = False
        """Nothing was read of the next answer."""
        self._said: tuple[int, http1.Headers] | None = None
        """Status and headers of an answer that is being read."""
        self._last: KnownAnswer | None = None
        """What the last answer began with, if that was known: the next begins alike more often than not."""
        self.asker: Asker | None = None
        self.closed = False
        self.lost: Exception | None = None
        """Why it broke; None while it lives, and if it was closed."""
        self.server = ("", 0)
        """Address and port of the other side."""
        self.ours: tuple[str, int] | None = None
        """Our own, once it broke: the transport, closed then, no longer has it."""
        self.opened = False
        self.idle_since = 0.0
        """When its last answer was complete, for whoever keeps it."""
        self.used = 0
        self.known: Known[KnownAnswer] | None = None
        """Answers that came before on connections to the same app; None where these are not wanted."""
        self.transport: asyncio.Transport

    def ask(self, asker: Asker, head_only: bool) -> None:
        """The next answer is for this asker; `head_only` when the method was HEAD."""
        self.asker = asker
        self.used += 1
        self._head_only = head_only
        self._answered = self.whole = False
        self._ready = True

    @property
    def silent(self) -> bool:
        """Nothing was read of the answer."""
        return self._ready

    def pause(self) -> None:
        """Read no more for now."""
        self.paused = True
        self.transport.pause_reading()

    def resume(self) -> None:
        """Read from the app again, if that was paused."""
        if self.paused:
            self.paused = False
            self.transport.resume_reading()

    def hijack(self) -> asyncio.Transport:
        """The connection itself; it is no more this object's."""
        self.asker = None
        self.closed = True
        return self.transport

    def drop(self) -> None:
        """Close at once; the asker hears nothing more. Nothing happens if it never opened."""
        self.asker = None
        self.closed = True
        if self.opened:
            self.transport.abort()

    def leave(self) -> None:
        """Close once what was written has gone out; the asker hears nothing more."""
        self.asker = None
        self.closed = True
        self.transport.close()

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.opened = True
        self.transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.lost = exc
        if self.asker is not None or exc is not None:
            self.ours = self.transport.get_extra_info("sockname")
        asker, self.asker = self.asker, None
        if asker is None:
            return
        if exc is None and self._answered and not self._framed:
            asker.answer_end(False)  # a body without a length ends with its connection
            asker.answer_pause()
        else:
            self._cut(asker, exc)

    def ends(self) -> str:
        """Both ends, as Go's net package names a connection that is gone."""
        ours = self.ours or self.transport.get_extra_info("sockname") or ("", 0)
        return f"tcp {ours[0]}:{ours[1]}->{self.server[0]}:{self.server[1]}"

    def _cut(self, asker: Asker, exc: Exception | None) -> None:
        """The connection ended within an answer, or before it."""
        if self._answered and self._chunks is not None and (rest := self._chunks.left_over()):
            asker.answer_body(rest)
        if exc is None and not self._answered and not self._ready:
            exc = BadAnswerError(answer_reader.cut_words(bytes(self._partial or b"")))
        asker.connection_failed(exc)

    def eof_received(self) -> bool:
        self.closed = True
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer if Stuck.count < MOST_STUCK else _narrow

    def buffer_updated(self, nbytes: int) -> None:
        asker = self.asker
        if asker is None:
            self.drop()  # no request was sent
            return
        # Copied before anything is called: the buffer is every connection's.
        data = _buffer[:nbytes].tobytes()
        head_end = 0
        if self._ready and self.known is not None and not self._head_only:
            known = self._last
            if known is None or not data.startswith(known.said):
                head_end = data.find(b"\r\n\r\n") + 4
                known = self.known.get(data[:head_end])
            if known is not None and known.said_bytes + known.length == nbytes:
                self._last = known
                self.asker = None  # before it is answered: the asker may give the connection to another from within
                if asker.answer_whole(self, known, data):
                    return
                self.asker = asker
        self._ready = False
        self._feed(asker, data)
        said, self._said = self._said, None
        if head_end > 4 and self.asker is None and said is not None:
            self._learn(data, head_end, *said)

    def _learn(self, data: bytes, head_end: int, status: int, headers: http1.Headers) -> None:
        """An answer was read whole: know its head when it comes for the third time."""
        head = data[:head_end]
        if self.known is not None and not self.closed and self.known.again(head):
            made = forward.for_any_client(status, headers)
            if made is not None and made.length == len(data) - head_end:
                self.known.keep(head, KnownAnswer(head, status, made.render(b"", True), made.length))

    def _feed(self, asker: Asker, data: bytes) -> None:
        try:
            while data and self.asker is not None:
                data = self._read_body(data) if self._answered else self._read_head(data)
        except heads.MessageError as wrong:
            self._fail(BadAnswerError(str(wrong)))
            return
        asker.answer_pause()

    def _read_head(self, data: bytes) -> bytes:
        """Take in what is of a head; what follows it."""
        partial = self._partial
        before = len(partial) if partial is not None else 0
        said = partial + data if partial is not None else data
        end = answer_reader.end_of(said, before)
        if not end:
            if len(said) > MAX_ANSWER_HEAD_BYTES:
                raise heads.MessageError(
                    f"net/http: server response headers exceeded {MAX_ANSWER_HEAD_BYTES} bytes; aborted"
                )
            self._checked = answer_reader.check_part(said, self._checked)
            self._partial = partial = partial if partial is not None else bytearray()
            partial += data
            return b""
        self._partial = None
        self._checked = 0
        read = answer_reader.read_head(bytes(said[:end]), self._head_only)
        rest = bytes(said[end:])
        asker = self.asker
        assert asker is not None
        status = read.status
        self._answered = status >= 200 or status < 100
        self._said = (status, read.headers)
        self._framed = read.length is not None or read.chunked
        self._reusable = read.reusable
        self._left = read.length or 0
        self._chunks = ChunkReader() if read.chunked else None
        asker.answer_head(status, read.reason, read.headers, read.minor)
        if status == 101 and self.asker is asker:
            asker.answer_switched(rest)
            return b""
        if self._answered and self._framed and not (self._left or read.chunked):
            self._end(rest)
            return b""
        return rest

    def _read_body(self, data: bytes) -> bytes:
        """Take in what is of the body; nothing follows it that was asked for."""
        asker, chunks = self.asker, self._chunks
        assert asker is not None
        if chunks is not None:
            body = chunks.feed(data)
            self.whole = chunks.done
            if body:
                asker.answer_body(body)
            if chunks.fault:
                raise heads.MessageError(chunks.fault)
            if chunks.done:
                if chunks.trailers and self.asker is asker:
                    asker.answer_trailers(chunks.trailers)
                self._end(chunks.rest)
        elif not self._framed or len(data) < self._left:
            self._left -= len(data)
            asker.answer_body(data)
        else:
            left, self._left = self._left, 0
            asker.answer_body(data if len(data) == left else data[:left])
            self._end(data[left:])
        return b""

    def _end(self, rest: bytes) -> None:
        """The answer is whole; a connection on which more comes unasked is not used again."""
        # Let go of first: from within `answer_end` the connection may be given to another request.
        asker, self.asker = self.asker, None
        if asker is not None:
            asker.answer_end(self._reusable and not rest and not self.closed)

    def pause_writing(self) -> None:
        if self.asker is not None:
            self.asker.request_full()

    def resume_writing(self) -> None:
        if self.asker is not None:
            self.asker.request_ready()

    def _fail(self, why: Exception) -> None:
        # Read before `drop` forgets it.
        asker = self.asker
        self.drop()
        if asker is not None:
            asker.connection_failed(why)


async def connect(
    host: str,
    port: int,
    limit_s: float | None = None,
    make: Callable[[], UpstreamConnection] = UpstreamConnection,
) -> UpstreamConnection:
    """A new connection; OSError as the kernel gives it, TimeoutError after `limit_s`. `make` makes the protocol.

    EarlyEndError if it ended before this returns: a loop that is busy reads a server's close in the same turn as its
    accept, and whoever asked on such a connection would never hear of it.
    """
    connection = make()
    connection.server = (host, port)
    opening = asyncio.get_running_loop().create_connection(lambda: connection, host, port)
    try:
        await (opening if limit_s is None else within(limit_s, opening))
        if connection.closed:
            raise EarlyEndError(connection)
    except BaseException:
        connection.drop()  # it may have opened in the very moment in which we were asked to stop
        raise
    return connection
