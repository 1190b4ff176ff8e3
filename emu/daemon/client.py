"""The client's side of an HTTP/1.1 connection: one answer at a time, streamed to whoever asked."""

# ruff: noqa: D102  a Protocol's and a parser's callbacks are described by asyncio and httptools
from __future__ import annotations

import asyncio
from typing import cast

import httptools

from emu.daemon import forward, http1
from emu.daemon.known import Known
from emu.daemon.server_connection import BODY_READ_BYTES, WRITE_BUFFER_BYTES

MAX_ANSWER_HEAD_BYTES = 10 << 20
"""Longest head, or trailers, of an answer (net/http's transport, MaxResponseHeaderBytes)."""

_buffer = memoryview(bytearray(BODY_READ_BYTES))


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


class Asker:
    """Who sent a request over a `ClientConnection` and takes its answer."""

    __slots__ = ()

    def answer_whole(self, app: ClientConnection, known: KnownAnswer, body: bytes) -> bool:
        """All of an answer, of which the head is known; `app` has let go of the asker. False: tell it in parts."""
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

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__("ended before anything was asked")
        self.connection = connection
        self.why = connection.lost


class ClientConnection(asyncio.BufferedProtocol):
    """One connection to a server. `ask` takes an asker, then the request's bytes are written to `transport`."""

    __slots__ = (
        "_answered",
        "_begun",
        "_early",
        "_feeding",
        "_framed",
        "_head_bytes",
        "_head_only",
        "_headers",
        "_last",
        "_parser",
        "_paused",
        "_ready",
        "_reason",
        "_said",
        "_unasked",
        "asker",
        "closed",
        "idle_since",
        "known",
        "lost",
        "opened",
        "ours",
        "server",
        "transport",
        "used",
    )

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = None
        self._headers: http1.Headers = []
        self._reason = b""
        self._head_bytes = 0
        self._head_only = False
        self._answered = False
        self._early = False
        self._feeding = False
        self._unasked = False
        self._framed = True
        self._paused = False
        self._begun = False
        """The parser has read a part of a message."""
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
        self._early = self._feeding
        self._head_only = head_only
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
            self._begun = False
            self._ready = True

    @property
    def silent(self) -> bool:
        """Nothing was read that could be of the answer, or follow an informational one."""
        return self._ready or self._unasked

    def pause(self) -> None:
        """Read no more for now."""
        self._paused = True
        self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def hijack(self) -> asyncio.Transport:
        """The connection itself; it is no more this object's."""
        self.asker = None
        self._parser = None
        self.closed = True
        return self.transport

    def drop(self) -> None:
        """Close at once; the asker hears nothing more. Nothing happens if it never opened."""
        self.asker = None
        self.closed = True
        if self.opened:
            self.transport.abort()

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.opened = True
        self.transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if exc is not None:
            self.lost = exc
            self.ours = self.transport.get_extra_info("sockname")
        asker, self.asker = self.asker, None
        self._parser = None
        if asker is None:
            return
        if exc is None and self._answered and not self._framed:
            asker.answer_end(False)  # a body without a length ends with its connection
            asker.answer_pause()
        else:
            asker.connection_failed(exc)

    def eof_received(self) -> bool:
        self.closed = True
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        asker = self.asker
        if asker is None or self._parser is None:
            self.drop()  # nobody asked
            return
        data = _buffer[:nbytes].tobytes()
        head_end = 0
        if self._ready and self.known is not None and not self._head_only:
            known = self._last
            if known is None or not data.startswith(known.said):
                head_end = data.find(b"\r\n\r\n") + 4
                known = self.known.get(data[:head_end])
            if known is not None and known.said_bytes + known.length == nbytes:
                self._last = known
                self.asker = None
                if asker.answer_whole(self, known, data[known.said_bytes :]):
                    return
                self.asker = asker
        self._ready = False
        self._feed(asker, data)
        self._ready = not self._begun and self._parser is not None
        said, self._said = self._said, None
        if head_end > 4 and self._ready and said is not None:
            self._learn(data, head_end, *said)

    def _learn(self, data: bytes, head_end: int, status: int, headers: http1.Headers) -> None:
        """An answer was read whole: know its head when it comes for the third time."""
        head = data[:head_end]
        if self.known is not None and not self.closed and self.known.again(head):
            made = forward.for_any_client(status, headers)
            if made is not None and made.length == len(data) - head_end:
                self.known.keep(head, KnownAnswer(head, status, made.render(b"", True), made.length))

    def _feed(self, asker: Asker, data: bytes) -> None:
        assert self._parser is not None
        self._feeding = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            asker.answer_switched(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError as failed:
            raise failed.__context__ or failed from None
        except httptools.HttpParserError as wrong:
            self._fail(BadAnswerError(str(wrong)))
            return
        finally:
            self._feeding = self._early = False
        asker.answer_pause()
        if self._unasked:
            self._fail(BadAnswerError("more than was asked for"))
        elif self._headers or not self._answered:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_ANSWER_HEAD_BYTES and self.asker is not None:
                limit = MAX_ANSWER_HEAD_BYTES
                self._fail(BadAnswerError(f"net/http: server response headers exceeded {limit} bytes; aborted"))
        else:
            self._head_bytes = 0

    def pause_writing(self) -> None:
        if self.asker is not None:
            self.asker.request_full()

    def resume_writing(self) -> None:
        if self.asker is not None:
            self.asker.request_ready()

    # --- the parser's side

    def on_message_begin(self) -> None:
        # Asked while an answer was being read: what follows in the same read cannot be for this asker.
        self._unasked = self._feeding and (self._early or self.asker is None)
        self._begun = True
        self._headers = []
        self._reason = b""
        self._answered = False

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))  # after the head, it is a trailer

    def on_headers_complete(self) -> None:
        if self.asker is None or self._parser is None or self._unasked:
            return
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, []
        self._answered = status >= 200
        self._said = (status, headers)
        self._framed = _framed(status, headers)
        minor = 0 if self._parser.get_http_version() == "1.0" else 1
        self.asker.answer_head(status, self._reason, headers, minor)
        if self._head_only and self._answered:
            # The parser would await the body that these headers promise; a new one reads the next answer.
            reusable = bool(self._parser.should_keep_alive()) or not self._framed
            self._parser = None
            self._end(reusable)

    def on_body(self, data: bytes) -> None:
        if self.asker is None or self._early:
            self._unasked = True
        elif not self._unasked:
            self.asker.answer_body(data)

    def on_message_complete(self) -> None:
        self._begun = False
        # After an answer to HEAD the old parser still tells of its end; that is not the next asker's.
        if self._answered and self._parser is not None and not self._unasked and not self._early:
            if self._headers and self.asker is not None:
                trailers, self._headers = self._headers, []
                self.asker.answer_trailers(trailers)
            self._end(bool(self._parser.should_keep_alive()))

    def _end(self, reusable: bool) -> None:
        asker, self.asker = self.asker, None
        if asker is not None:
            asker.answer_end(reusable and not self.closed)

    def _fail(self, why: Exception) -> None:
        asker = self.asker
        self.drop()
        if asker is not None:
            asker.connection_failed(why)


def _framed(status: int, headers: http1.Headers) -> bool:
    """Whether the end of the answer's body shows before its connection ends."""
    if status < 200 or status in http1.NO_BODY:
        return True
    return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in headers)


async def connect(host: str, port: int, limit_s: float | None = None) -> ClientConnection:
    """A new connection; OSError as the kernel gives it, TimeoutError after `limit_s`.

    EarlyEndError if it ended before this returns: a loop that is busy reads a server's close in the same turn as its
    accept, and whoever asked on such a connection would never hear of it.
    """
    connection = ClientConnection()
    connection.server = (host, port)
    opening = asyncio.get_running_loop().create_connection(lambda: connection, host, port)
    try:
        await (opening if limit_s is None else asyncio.wait_for(opening, limit_s))
        if connection.closed:
            raise EarlyEndError(connection)
    except BaseException:
        connection.drop()  # it may have opened in the very moment in which we were told to stop
        raise
    return connection
