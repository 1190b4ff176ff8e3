"""The app asked in HTTP/2: few connections, a stream for each request (golang.org/x/net/http2, Transport)."""

# ruff: noqa: D102  the callbacks are described in h2_connection
from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from emu.daemon.h2_connection import Connection, ErrorCodes, Stream, events
from emu.daemon.http1 import Headers
from emu.daemon.upstream import DialError, go_words, timeout_words
from emu.policy.timeouts import dial_limits

if TYPE_CHECKING:
    from emu.daemon.h2_proxy import ProxiedStream

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
STREAMS_UNTIL_TOLD = 100
"""Streams opened before the app's SETTINGS say how many (x/net, initialMaxConcurrentStreams)."""


class AppStream(Stream):
    """A request to the app, and its answer."""

    __slots__ = ("answered", "asker")

    def __init__(self, conn: AppConnection, stream_id: int, asker: ProxiedStream) -> None:
        super().__init__(conn, stream_id)
        self.asker: ProxiedStream | None = asker
        self.answered = False

    def on_data(self, data: bytes, size: int) -> None:
        if self.asker is not None:
            self.asker.answer_data(data, lambda: self.conn.acknowledge(self.id, size))
        else:
            self.conn.acknowledge(self.id, size)

    def on_end(self, trailers: Headers | None) -> None:
        asker, self.asker = self.asker, None
        if not self.ended and asker is not None:
            # The answer is whole before the request: nobody wants the rest of that.
            self.reset(int(ErrorCodes.NO_ERROR))
        self.conn.forget(self)
        if asker is not None:
            asker.answer_over(trailers)

    def on_reset(self, code: int) -> None:
        asker, self.asker = self.asker, None
        if asker is not None:
            name = ErrorCodes(code).name if code in list(ErrorCodes) else f"unknown error code 0x{code:x}"
            asker.app_failed(f"stream error: stream ID {self.id}; {name}; received from peer", code)

    def drop(self) -> None:
        """Nobody waits for the answer any more."""
        if self.asker is not None:
            self.asker = None
            self.reset(int(ErrorCodes.CANCEL))


class AppConnection(Connection):
    """A connection to the app."""

    def __init__(self) -> None:
        super().__init__(client_side=True)
        self._first = True
        self.leaving = False
        """No more streams: the app said GOAWAY, or the connection broke."""
        self.words = "unexpected EOF"
        """Why it broke."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.open(transport, 0, APP_WINDOW_BYTES, APP_CONNECTION_WINDOW_BYTES)  # type: ignore[arg-type]

    @property
    def has_room(self) -> bool:
        """Whether one more stream may be opened now."""
        told = SettingCodes.MAX_CONCURRENT_STREAMS in self.h2.remote_settings
        most = self.h2.remote_settings.max_concurrent_streams if told else STREAMS_UNTIL_TOLD
        return not self.leaving and not self.closed and len(self.streams) < most

    def ask(self, headers: Headers, asker: ProxiedStream, end: bool) -> AppStream:
        """Send a request's head."""
        stream = AppStream(self, self.h2.get_next_available_stream_id(), asker)
        self.h2.send_headers(stream.id, headers, end_stream=end)
        stream.ended = end
        self.streams[stream.id] = stream
        self.later()
        return stream

    def receive(self, data: bytes) -> None:
        if self._first:
            self._first = False
            if data.startswith(b"HTTP/1"):
                self._fail_all(HTTP1_WORDS)
                self.transport.abort()
                return
        super().receive(data)

    def on_other(self, event: events.Event) -> None:
        if isinstance(event, events.ResponseReceived | events.InformationalResponseReceived):
            stream = self.streams.get(event.stream_id)
            if isinstance(stream, AppStream) and stream.asker is not None:
                pairs = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
                status = next((int(value) for name, value in pairs if name == b":status"), 0)
                stream.asker.answer_begins(status, [pair for pair in pairs if not pair[0].startswith(b":")])

    def on_goaway(self, event: events.ConnectionTerminated) -> None:
        self.leaving = True
        for stream in list(self.streams.values()):
            if stream.id > (event.last_stream_id or 0):
                self.forget(stream)
                stream.on_reset(int(ErrorCodes.REFUSED_STREAM))
        if not self.streams:
            self.transport.close()

    def forget(self, stream: Stream) -> None:
        super().forget(stream)
        if self.leaving and not self.streams and not self.closed:
            self.transport.close()

    def broken(self, why: Exception) -> None:
        self.leaving = True
        self._fail_all(f"http2: {why}")
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
            if isinstance(stream, AppStream) and stream.asker is not None:
                asker, stream.asker = stream.asker, None
                asker.app_failed(words, None)


class Http2Connections:
    """The connections to one address."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._open: list[AppConnection] = []
        self._opening: asyncio.Task[AppConnection] | None = None

    async def take(self) -> AppConnection:
        """A connection with room for a stream. DialError with Go's words."""
        while True:
            self._open = [connection for connection in self._open if not connection.closed]
            for connection in self._open:
                if connection.has_room:
                    return connection
            if self._opening is None:
                self._opening = asyncio.get_running_loop().create_task(self._dial())
                self._opening.add_done_callback(self._opened)
            opened = await asyncio.shield(self._opening)
            if opened.closed or opened.leaving:
                # It ended before anyone could ask: to dial again would go on for ever.
                raise DialError(opened.words)

    def _opened(self, opening: asyncio.Task[AppConnection]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._open.append(opening.result())

    async def _dial(self) -> AppConnection:
        where = f"dial tcp {self._host}:{self._port}"
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for limit_s, pause_s in dial_limits(random.random):
            if pause_s:
                await asyncio.sleep(pause_s)
            try:
                opening = loop.create_connection(AppConnection, self._host, self._port)
                return (await asyncio.wait_for(opening, limit_s))[1]
            except TimeoutError:
                continue
            except OSError as failed:
                raise DialError(f"{where}: {go_words(failed)}") from failed
        raise DialError(timeout_words(self._host, self._port, loop.time() - begun))

    def close(self) -> None:
        """Close all."""
        if self._opening is not None:
            self._opening.cancel()
        for connection in self._open:
            connection.transport.close()


__all__ = ["AppConnection", "AppStream", "Http2Connections", "ProtocolError"]
