"""Clients that speak HTTP/2: their connections, on which each request has a stream."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

from emu.daemon.http import forward, http1
from emu.daemon.http import h2_frames as frames
from emu.daemon.http.h2_connection import MAX_STREAMS
from emu.daemon.http.h2_frames import ErrorCodes, MalformedError, ProtocolError
from emu.daemon.http.h2_receiver import stream_error
from emu.daemon.http.h2_stream import Stream
from emu.daemon.queue_proxy.h2_client_stream import ClientStream, PeerConnection
from emu.daemon.queue_proxy.h2_known import KnownStream, made_of, read_head
from emu.daemon.queue_proxy.h2_proxy import ProxiedStream
from emu.policy.resets import ResetBudget

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.proxy import Proxy

_UPGRADING = (b"connection", b"upgrade", b"http2-settings")
GOODBYE_S = 1.0
"""From GOAWAY, or the end of the last stream after it, to the close (golang.org/x/net/http2, goAwayTimeout)."""
PREFACE_S = 10.0
"""From a connection to its preface (golang.org/x/net/http2, prefaceTimeout), and from that to SETTINGS
(firstSettingsTimeout); then it ends without a word.
"""
SETTINGS_S = 2.0
TOO_LONG = b"<h1>HTTP Error 431</h1><p>Request Header Field(s) Too Large</p>"
"""What golang.org/x/net/http2 says of a head with too many, or too long, fields."""
HEAD_READ_BYTES = 16 * 1024
"""Read at most this much while no body comes: so many heads may come at once before others have their turn."""


class DownstreamConnection2(PeerConnection):
    """A client's HTTP/2 connection."""

    def __init__(self, proxy: Proxy, peer: str, connections: set[DownstreamConnection2]) -> None:
        super().__init__(client_side=False)
        self._proxy = proxy
        self.peer = peer
        self._connections = connections
        self._reset_budget = ResetBudget()
        self._closing: asyncio.TimerHandle | None = None

    def begin(
        self, transport: asyncio.Transport, said: bytes, upgrade: tuple[bytes, http1.Head] | None = None
    ) -> None:
        """Take the connection over; a request that asked for the upgrade is its first stream."""
        self._connections.add(self)
        transport.set_protocol(self)
        settings = None if upgrade is None else upgrade[0]
        try:
            self.open(transport, settings)
        except (ProtocolError, ValueError):
            transport.close()
            return
        transport.resume_reading()
        if not said:
            asyncio.get_running_loop().call_later(PREFACE_S, self._expect_preface)
        if upgrade is not None:
            head = upgrade[1]
            head.headers = [pair for pair in head.headers if pair[0].lower() not in _UPGRADING]
            head.minor, head.upgrade = 2, b""
            stream = ClientStream(self, 1)
            self.streams[1] = stream
            self._begin(stream, self.exchange(stream, head), True)
        if said:
            self.receive(said)

    def _expect_preface(self) -> None:
        if self._preface:
            self.transport.close()

    def on_preface(self) -> None:
        asyncio.get_running_loop().call_later(SETTINGS_S, self._expect_settings)

    def _expect_settings(self) -> None:
        if not self.settled and (self._head_of is not None or not self._frame_of):
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        buffer = super().get_buffer(sizehint)
        return buffer if self.body_left else buffer[:HEAD_READ_BYTES]

    def on_head(self, stream_id: int, block: bytes, end: bool) -> None:
        begins = stream_id > self.newest and stream_id & 1
        known: KnownStream | None = self.known((block, end)) if begins else None
        pairs: http1.Headers = []
        pseudo: dict[bytes, bytes] = {}
        if known is None:
            pairs = self.decode(block)
            try:
                pseudo = frames.check(pairs)
            except MalformedError:
                self.refuse(stream_id, ErrorCodes.PROTOCOL_ERROR)
                return
        self.expect_settled()
        if self.ending and stream_id > self.newest:
            return
        if not begins:
            self._second_head(stream_id, pairs, end)
            return
        self.newest = stream_id
        if self.being_reset(stream_id):
            return  # what was wrong before it began ends it, too
        stream = ClientStream(self, stream_id)
        if len(self.streams) >= MAX_STREAMS:
            stream.reset(int(ErrorCodes.PROTOCOL_ERROR if self.acknowledged else ErrorCodes.REFUSED_STREAM))
            return
        self.streams[stream_id] = stream
        if self._own_parent == stream_id:
            stream_error(stream, ErrorCodes.PROTOCOL_ERROR)
        elif known is None:
            self._request(stream, pairs, pseudo, block, end)
        else:
            stream.left = known.length
            self._begin(stream, self.exchange(stream, known.head, known), end)

    def _second_head(self, stream_id: int, headers: http1.Headers, end: bool) -> None:
        """Trailers, or the head of a stream that cannot begin."""
        stream = cast("ClientStream | None", self.streams.get(stream_id))
        if stream is None:
            if not self.being_reset(stream_id):
                raise ProtocolError("a stream that is over, or of the server's")
            return
        if stream.announced and not all(http1.may_trail(http1.canonical(name)) for name, _ in headers):
            stream_error(stream, ErrorCodes.PROTOCOL_ERROR)
        else:
            self.trailers(stream, headers, end)

    def exchange(self, stream: ClientStream, head: http1.Head, known: KnownStream | None = None) -> ProxiedStream:
        """One for a request; `known` if it came before."""
        return ProxiedStream(self._proxy, stream, head, known)

    def known_of(self, head: http1.Head, end: bool, length: int | None) -> KnownStream | None:
        """The entry to keep for a request; None where queue-proxy answers it itself."""
        way = forward.route(head, self.peer)
        return made_of(head, way, end, length, self._proxy.app.address)

    def _request(
        self, stream: ClientStream, headers: http1.Headers, pseudo: dict[bytes, bytes], block: bytes, end: bool
    ) -> None:
        """A head that did not come before on this connection."""
        proxy = self._proxy
        if self.decoder.truncated:
            self._request_too_long(stream, headers, pseudo, end)
            return
        said = b"%b\0%d%b" % (self.peer.encode(), end, frames.encode(headers))
        known: KnownStream | None = proxy.known_streams.get(said)
        if known is not None:
            self.keep((block, end), known)
            stream.left = known.length
            self._begin(stream, self.exchange(stream, known.head, known), end)
            return
        head = self._read(stream, headers, pseudo, end)
        if head is None:
            return
        if fault := frames.connection_fault(headers):
            self._refuse(stream, head, end, 400, f"{fault}\n".encode(), http1.ERROR_TEXT)
            return
        if proxy.admission.request_log is None and proxy.known_streams.again(said):
            made = self.known_of(head, end, stream.left)
            if made is not None:
                proxy.known_streams.keep(said, made)
        self._begin(stream, self.exchange(stream, head), end)

    def _request_too_long(
        self, stream: ClientStream, headers: http1.Headers, pseudo: dict[bytes, bytes], end: bool
    ) -> None:
        """A head with more, or longer, fields than are taken: it is judged by those that came first."""
        head = self._read(stream, headers, pseudo, end)
        if head is not None:
            self._refuse(stream, head, end, 431, TOO_LONG, b"Content-Type: text/html; charset=utf-8\r\n")

    @staticmethod
    def _read(
        stream: ClientStream, headers: http1.Headers, pseudo: dict[bytes, bytes], end: bool
    ) -> http1.Head | None:
        """A request's head; None where it is none, or where its body is missing, and the stream has ended."""
        try:
            head = read_head(headers, pseudo)
        except MalformedError:
            stream_error(stream, ErrorCodes.PROTOCOL_ERROR)
            return None
        stream.left = head.content_length
        if end and stream.left:
            stream_error(stream, ErrorCodes.PROTOCOL_ERROR)
            return None
        return head

    def _refuse(
        self, stream: ClientStream, head: http1.Head, end: bool, status: int, body: bytes, headers: bytes
    ) -> None:
        """Answer here, before queue-proxy has seen the request."""
        exchange = stream.exchange = self.exchange(stream, head)
        stream.remote_done = exchange.body_done = end
        exchange.answer(status, body, headers)

    def _begin(self, stream: ClientStream, exchange: ProxiedStream, done: bool) -> None:
        stream.exchange = exchange
        stream.remote_done = exchange.body_done = done
        exchange.begin()

    def on_reset(self, stream: Stream) -> None:
        self.on_refused()

    def short(self, stream: Stream) -> None:
        cast(ClientStream, stream).on_short()

    def on_refused(self) -> None:
        if not self._reset_budget.take(time.monotonic()):
            self._proxy.log.seldom("resets", peer=self.peer)
            raise ProtocolError("too many resets", ErrorCodes.ENHANCE_YOUR_CALM)

    def on_goaway(self, last: int, code: int) -> None:
        self._end()

    def all_sent(self, stream: Stream) -> None:
        if stream.remote_done:
            self.forget(stream)
        else:
            asyncio.get_running_loop().call_soon(self._overtaken, stream)

    def _overtaken(self, stream: Stream) -> None:
        """The answer was whole before its request: the client need not send the rest (RFC 9113, 8.1)."""
        if stream.remote_done:
            self.forget(stream)
        else:
            stream.reset(int(ErrorCodes.NO_ERROR))

    @property
    def over_tls(self) -> bool:
        """Whether it is spoken over TLS. Without, Go's h2c has the connection for good: its server does not know it
        any more, nothing is sent when that stops, and the client may keep sending.
        """
        return self.transport.get_extra_info("ssl_object") is not None

    def leave(self) -> None:
        """The server stops: say so, take no more streams, and end when the last is answered."""
        self._end()

    def cut(self) -> None:
        """End at once."""
        self.transport.abort()

    def forget(self, stream: Stream) -> None:
        super().forget(stream)
        if self.ending:
            self._end_if_idle()

    def _end(self) -> None:
        self.say_goodbye(ErrorCodes.NO_ERROR)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if not self.streams and not self.closed and self._closing is None:
            self._closing = asyncio.get_running_loop().call_later(GOODBYE_S, self.transport.close)
