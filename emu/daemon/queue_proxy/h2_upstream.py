"""The app asked in HTTP/2: few connections, a stream for each request (golang.org/x/net/http2, Transport)."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from emu.daemon.http import h2_frames as frames
from emu.daemon.http import heads, http1
from emu.daemon.http.client import MAX_ANSWER_HEAD_BYTES
from emu.daemon.http.h2_connection import Connection
from emu.daemon.http.h2_decoder import NO_LIMIT, Decoder
from emu.daemon.http.h2_frames import ErrorCodes, MalformedError, ProtocolError, TornFrameError
from emu.daemon.http.h2_receiver import stream_error
from emu.daemon.http.h2_stream import Piece, Stream
from emu.daemon.http.http1 import Headers
from emu.daemon.http.upstream import DialError, chance, go_words, timeout_words
from emu.daemon.queue_proxy.h2_known import KnownAnswer
from emu.daemon.within import within
from emu.policy.timeouts import dial_limits

APP_WINDOW_BYTES = 4 << 20
"""Of an answer, this much is taken ahead per stream, and held for a client that reads slowly (x/net,
transportDefaultStreamFlow).
"""
APP_CONNECTION_WINDOW_BYTES = 1 << 30
HTTP1_WORDS = (
    "http2: failed reading the frame payload: http2: frame too large, "
    "note that the frame header looked like an HTTP/1.1 header"
)
"""What x/net says of a server that answers in HTTP/1."""
STREAMS_BEFORE_SETTINGS = 100
"""Streams opened before the app's SETTINGS say how many (x/net, initialMaxConcurrentStreams)."""
_NOT_INFORMED = (b"trailer", b"transfer-encoding")
"""Of an informational answer, not passed on."""
LAST_STREAM = (1 << 31) - 3


class StreamAsker(Protocol):
    """Who sent a request over an `AppConnection` and takes its answer; as `Asker` is in HTTP/1."""

    head: http1.Head

    def informed(self, status: int, headers: Headers) -> None:
        """The head of an informational answer."""

    def no_status(self, status: int) -> None:
        """The answer's status is none that can be passed on."""

    def answer_begins(self, known: KnownAnswer) -> None:
        """The app sent the head of its final answer."""

    def answer_kept(self, known: KnownAnswer) -> None:
        """The head of the answer to a HEAD; it counts once the app has ended it, in whatever way."""

    def head_alone(self) -> None:
        """No body came along with the head of an answer without a length: send it on."""

    def answer_data(self, data: Piece, source: AppStream) -> None:
        """A piece of the body, which holds the app's window until it is on its way to the client."""

    def answer_last(self, data: Piece, source: AppStream) -> None:
        """The last piece of the body."""

    def answer_over(self, trailers: Headers | None) -> None:
        """The app ended the answer, with trailers or without."""

    def app_failed(self, words: str, code: int | None) -> None:
        """The app, or the connection to it, gave the request up."""


def _name(code: int) -> str:
    return ErrorCodes(code).name if code in list(ErrorCodes) else f"unknown error code 0x{code:x}"


class AppStream(Stream):
    """A request to the app, and its answer."""

    __slots__ = ("answered", "asker", "head_only")

    def __init__(self, conn: AppConnection, stream_id: int, asker: StreamAsker, head_only: bool) -> None:
        super().__init__(conn, stream_id)
        self.asker: StreamAsker | None = asker
        self.answered = False
        self.head_only = head_only

    def on_data(self, data: Piece) -> None:
        if self.head_only:
            self.conn.acknowledge(self, len(data))
            stream_error(self, ErrorCodes.PROTOCOL_ERROR)
        elif self.asker is not None:
            self.asker.answer_data(data, self)
        else:
            self.conn.acknowledge(self, len(data))

    def on_last(self, data: Piece) -> None:
        if self.head_only:
            self.on_data(data)
            return
        asker = self._over()
        if asker is not None:
            asker.answer_last(data, self)
        else:
            self.conn.acknowledge(self, len(data))

    def on_end(self, trailers: Headers | None) -> None:
        asker = self._over()
        if asker is not None:
            asker.answer_over(trailers)

    def _over(self) -> StreamAsker | None:
        """The answer is whole; who waited for it."""
        asker, self.asker = self.asker, None
        if not self.ended and asker is not None:
            # The answer is whole before the request: the rest of that is not wanted.
            self.reset(int(ErrorCodes.NO_ERROR))
        self.conn.forget(self)
        return asker

    def on_reset(self, code: int) -> None:
        if code == int(ErrorCodes.PROTOCOL_ERROR):
            cast(AppConnection, self.conn).leave()  # it takes us for broken: x/net asks nothing more on it
        self._failed(code, "; received from peer")

    def on_fault(self, code: int) -> None:
        self._failed(code, "")

    def _failed(self, code: int, whose: str) -> None:
        asker, self.asker = self.asker, None
        if asker is not None:
            asker.app_failed(f"stream error: stream ID {self.id}; {_name(code)}{whose}", code)

    def turned_away(self, code: int) -> None:
        """The app goes away and has not read it. It is asked again on another connection, unless this was the first
        on its own and the app goes for a fault: that would end as this one did (golang.org/x/net/http2, setGoAway).
        """
        asker, self.asker = self.asker, None
        if asker is None:
            return
        if self.id == 1 and code:
            asker.app_failed(f"http2: Transport received GOAWAY from server ErrCode:{_name(code)}", None)
        else:
            asker.app_failed(
                "http2: Transport received Server's graceful shutdown GOAWAY", int(ErrorCodes.REFUSED_STREAM)
            )

    def give_up_for(self, fault: str) -> None:
        """The answer's head is malformed."""
        asker, self.asker = self.asker, None
        self.reset(int(ErrorCodes.PROTOCOL_ERROR))
        if asker is not None:
            asker.app_failed(f"stream error: stream ID {self.id}; PROTOCOL_ERROR; {fault}", None)

    def on_short(self) -> None:
        """The body was shorter than its head said."""
        asker, self.asker = self.asker, None
        self.reset(int(ErrorCodes.CANCEL))
        if asker is not None:
            asker.app_failed("unexpected EOF", None)

    def drop(self) -> None:
        """No client waits for the answer any more."""
        if self.asker is not None:
            self.asker = None
            self.reset(int(ErrorCodes.CANCEL))


class AppConnection(Connection):
    """An HTTP/2 connection to the app; each of its streams is a request."""

    window = APP_WINDOW_BYTES
    conn_window = APP_CONNECTION_WINDOW_BYTES

    def __init__(self) -> None:
        super().__init__(client_side=True)
        self._first = True
        self.newest = -1
        self._prompt: list[StreamAsker] = []
        """Whose answers' heads were read just now."""
        self.leaving = False
        """No more streams: the app said GOAWAY, or the connection broke."""
        self.once = False
        """It is closed when what is asked on it first is answered."""
        self.words = "unexpected EOF"
        """Why it broke."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.open(cast(asyncio.Transport, transport))

    def _make_decoder(self) -> Decoder:
        return Decoder(MAX_ANSWER_HEAD_BYTES, NO_LIMIT)

    @property
    def has_room(self) -> bool:
        """Whether one more stream may be opened now."""
        most = STREAMS_BEFORE_SETTINGS if self.peer_streams is None else self.peer_streams
        return len(self.streams) < most and not (self.leaving or self.closed) and self.newest < LAST_STREAM

    def ask(self, block: bytes, asker: StreamAsker, end: bool) -> AppStream:
        """Send a request's head."""
        self.newest += 2
        stream = AppStream(self, self.newest, asker, asker.head.method == b"HEAD")
        self.streams[stream.id] = stream
        self.write_head(stream, block, end)
        return stream

    def receive(self, data: bytes | memoryview) -> None:
        if self._first:
            self._first = False
            if data[:6] == b"HTTP/1":
                self._fail_all(HTTP1_WORDS)
                self.transport.abort()
                return
        super().receive(data)

    def on_head(self, stream_id: int, block: bytes, end: bool) -> None:
        stream = cast("AppStream | None", self.streams.get(stream_id))
        if not self.settled:
            self.decode(block)
            self.expect_settled()
        if stream is None:
            self.decode(block)
        elif stream.answered:
            self._trailers(stream, self.decode(block), end)
        else:
            known = self.known(block) or self._read(stream, block, end)
            if known is not None:
                self._answer(stream, known, end)

    def _trailers(self, stream: AppStream, headers: Headers, end: bool) -> None:
        try:
            frames.check(headers)
        except MalformedError:
            stream_error(stream, ErrorCodes.PROTOCOL_ERROR)
        else:
            self.trailers(stream, headers, end)

    def _answer(self, stream: AppStream, known: KnownAnswer, end: bool) -> None:
        stream.answered = True
        if not (stream.head_only or known.status in http1.NO_BODY):
            stream.left = known.length
        if end and stream.left:
            if stream.asker is not None:
                stream.asker.answer_begins(known)
            self.short(stream)
            return
        stream.remote_done = end
        if stream.head_only and not end:
            if stream.asker is not None:
                stream.asker.answer_kept(known)
            return
        if stream.asker is not None:
            stream.asker.answer_begins(known)
            self._prompt.append(stream.asker)
        if end:
            stream.on_end(None)

    def _read(self, stream: AppStream, block: bytes, end: bool) -> KnownAnswer | None:
        """An answer's head that is not known; None if it is not the final one, or malformed."""
        headers = self.decode(block)
        try:
            if self.decoder.truncated:
                raise MalformedError("http2: response header list larger than advertised limit")
            return self._final(stream, block, headers, end)
        except MalformedError as wrong:
            stream.give_up_for(str(wrong))
            return None

    def _final(self, stream: AppStream, block: bytes, headers: Headers, end: bool) -> KnownAnswer | None:
        """The head of an answer; None for an informational one, which is passed on."""
        said = frames.check(headers).get(b":status", b"")
        status = heads.number(said)
        if not said or status is None:
            why = "malformed non-numeric" if said else "missing"
            raise MalformedError(f"malformed response from server: {why} status pseudo header")
        pairs = [pair for pair in headers if pair[0][0] != 58]
        if 100 <= status < 200:
            if end:
                raise MalformedError("1xx informational response with END_STREAM flag")
            if stream.asker is not None:
                stream.asker.informed(status, [pair for pair in pairs if pair[0] not in _NOT_INFORMED])
            return None
        if not 200 <= status < 1000:
            if stream.asker is not None:
                stream.asker.no_status(status)
            return None
        known = KnownAnswer(status, frames.without_framing(pairs))
        self.keep(block, known)
        return known

    def read_all(self) -> None:
        if self._prompt:
            prompt, self._prompt = self._prompt, []
            for asker in prompt:
                asker.head_alone()

    def takes_data(self, stream: Stream) -> bool:
        return cast(AppStream, stream).answered

    def short(self, stream: Stream) -> None:
        cast(AppStream, stream).on_short()

    def leave(self) -> None:
        """Ask nothing more, and close once all is answered."""
        self.leaving = True
        if not self.streams:
            self.transport.close()

    def on_goaway(self, last: int, code: int) -> None:
        self.leaving = True
        for stream in list(self.streams.values()):
            if stream.id > last:
                self.forget(stream)
                stream.reset_code = int(ErrorCodes.REFUSED_STREAM)
                stream.give_up()
                if isinstance(stream, AppStream):
                    stream.turned_away(code)
        if not self.streams:
            self.transport.close()

    def forget(self, stream: Stream) -> None:
        super().forget(stream)
        if (self.leaving or self.once) and not self.streams and not self.closed:
            self.transport.close()

    def broken(self, why: Exception) -> None:
        if isinstance(why, TornFrameError):
            words = "unexpected EOF"
        else:
            words = f"connection error: {why.code.name}" if isinstance(why, ProtocolError) else f"http2: {why}"
        self._fail_all(words)
        super().broken(why)

    def lost(self, stream: Stream, exc: Exception | None) -> None:
        if isinstance(stream, AppStream) and stream.asker is not None:
            asker, stream.asker = stream.asker, None
            reset = isinstance(exc, ConnectionResetError)
            asker.app_failed("read: connection reset by peer" if reset else "unexpected EOF", None)

    def _fail_all(self, words: str) -> None:
        self.leaving = True
        self.words = words
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            stream.give_up()
            if isinstance(stream, AppStream) and stream.asker is not None:
                asker, stream.asker = stream.asker, None
                asker.app_failed(words, None)


class Http2Connections:
    """HTTP/2 connections to one address: at most one is opened at a time, and whoever needs it waits for it."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._open: list[AppConnection] = []
        self._opening: asyncio.Task[AppConnection] | None = None
        self._left = False

    def ready(self) -> AppConnection | None:
        """A connection with room for a stream, if one is open."""
        for connection in self._open:
            if connection.has_room:
                return connection
        return None

    async def take(self) -> AppConnection:
        """A connection with room for a stream. DialError with Go's words."""
        while True:
            self._open = [connection for connection in self._open if not connection.closed]
            connection = self.ready()
            if connection is not None:
                connection.once = self._left
                return connection
            if self._opening is None:
                self._opening = asyncio.get_running_loop().create_task(self._open_one())
                self._opening.add_done_callback(_see)
            opened = await asyncio.shield(self._opening)
            if opened.peer_streams == 0:
                opened.leave()
                opened.words = "http2: the server takes no streams"
            if opened.closed or opened.leaving:
                # It ended before anyone could ask: dialing again would never end.
                raise DialError(opened.words)

    async def _open_one(self) -> AppConnection:
        # What is noted is noted before the task is done: to await one that is done takes no turn of the loop, and who
        # asks before a callback has run would ask for ever.
        try:
            opened = await self._dial()
            self._open.append(opened)
            return opened
        finally:
            self._opening = None

    async def _dial(self) -> AppConnection:
        where = f"dial tcp {self._host}:{self._port}"
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for limit_s, pause_s in dial_limits(chance):
            if pause_s:
                await asyncio.sleep(pause_s)
            try:
                opening = loop.create_connection(AppConnection, self._host, self._port)
                return (await within(limit_s, opening))[1]
            except TimeoutError:
                continue
            except OSError as failed:
                raise DialError(f"{where}: {go_words(failed)}") from failed
        raise DialError(timeout_words(self._host, self._port, loop.time() - begun))

    def leave(self) -> None:
        """Close each once what was asked on it is answered; so too one that is still opened for who waits for it."""
        self._left = True
        for connection in self._open:
            connection.leave()

    def close(self) -> None:
        """Close the open connections, and give up the one that is being opened."""
        if self._opening is not None:
            self._opening.cancel()
        for connection in self._open:
            connection.transport.close()


def _see(opening: asyncio.Task[AppConnection]) -> None:
    """Whoever waited for it has its error, if any did not leave."""
    if not opening.cancelled():
        opening.exception()
