"""HTTP/2 on the way through queue-proxy: each stream is a request like any other, and the app is asked in HTTP/2 too.

What is the same as in HTTP/1 (probes, breaker, timers, statistics) is inherited from `proxy.ProxiedExchange`; here is
how heads, bodies and ends are spoken.
"""

# ruff: noqa: D102  the callbacks are described in proxy, server_connection and h2_connection
from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from operator import itemgetter
from typing import Any, cast

from h2.exceptions import ProtocolError

from emu.daemon import forward, http1
from emu.daemon.h2_connection import (
    MAX_STREAMS,
    STREAM_WINDOW_BYTES,
    Connection,
    ErrorCodes,
    Stream,
    events,
)
from emu.daemon.h2_upstream import AppStream, Http2Connections
from emu.daemon.proxy import FINAL_STATUS_LOST, ProxiedExchange, Proxy
from emu.daemon.server_connection import ServerConnection
from emu.daemon.sniff import content_type
from emu.daemon.upstream import DialError
from emu.policy.timeouts import TIMEOUT_BODY

_name = itemgetter(0)
_UPGRADING = (b"connection", b"upgrade", b"http2-settings")


class ClientStream(Stream):
    """A request from a client; it stands where `ServerConnection` does in HTTP/1."""

    __slots__ = ("exchange", "full", "peer", "request_done", "taken")

    def __init__(self, conn: ClientConnection2, stream_id: int, peer: str) -> None:
        super().__init__(conn, stream_id)
        self.peer = peer
        self.full = False
        self.request_done = False
        self.exchange: ProxiedStream | None = None
        self.taken: list[tuple[bytes, Callable[[], None]]] | None = []
        """What came before somebody wanted it; None once it is wanted."""

    @property
    def transport(self) -> asyncio.Transport:
        """The connection's."""
        return self.conn.transport

    def on_data(self, data: bytes, size: int) -> None:
        def passed() -> None:
            self.conn.acknowledge(self.id, size)

        if self.exchange is None:
            passed()
        elif self.taken is not None:
            self.taken.append((data, passed))
        else:
            self.exchange.request_data(data, passed)

    def on_end(self, trailers: http1.Headers | None) -> None:
        self.request_done = True
        exchange = self.exchange
        if exchange is None or exchange.body_done:
            return
        exchange.trailers = trailers
        exchange.body_done = True
        if self.taken is None:
            exchange.body_end()

    def on_reset(self, code: int) -> None:
        exchange = self.exchange
        self._let_go()
        if exchange is not None:
            exchange.abandoned()

    def take_body(self, exchange: Any, flowing: bool = True) -> None:
        if self.taken is None or self.exchange is None or not flowing:
            return
        taken, self.taken = self.taken, None
        for data, passed in taken:
            self.exchange.request_data(data, passed)
        if self.exchange is not None and self.exchange.body_done:
            self.exchange.body_end()

    def begin_answer(self, exchange: Any) -> bool:
        return False

    def finish(self, exchange: Any, keep_alive: bool = True) -> None:
        """The answer is made, and goes out as the client reads it."""
        self._let_go()

    def abort(self, exchange: Any) -> None:
        """The answer ends early, and the client learns it."""
        self._let_go()
        self.reset(int(ErrorCodes.INTERNAL_ERROR))

    def _let_go(self) -> None:
        self.exchange = None
        taken, self.taken = self.taken, None
        for _, passed in taken or ():
            passed()


class ClientConnection2(Connection):
    """A client's HTTP/2 connection."""

    def __init__(self, proxy: Proxy, peer: str, connections: set[ClientConnection2]) -> None:
        super().__init__(client_side=False)
        self._proxy = proxy
        self._peer = peer
        self._connections = connections
        self._leaving = False

    def begin(
        self, transport: asyncio.Transport, said: bytes, upgrade: tuple[bytes, http1.Head] | None = None
    ) -> None:
        """Take the connection over; a request that asked for the upgrade is its first stream."""
        self._connections.add(self)
        transport.set_protocol(self)
        settings = None if upgrade is None else upgrade[0]
        try:
            self.open(transport, MAX_STREAMS, STREAM_WINDOW_BYTES, STREAM_WINDOW_BYTES, settings)
        except (ProtocolError, ValueError):
            transport.close()
            return
        transport.resume_reading()
        if upgrade is not None:
            head = upgrade[1]
            head.headers = [pair for pair in head.headers if pair[0].lower() not in _UPGRADING]
            head.minor, head.upgrade = 2, b""
            stream = ClientStream(self, 1, self._peer)
            self.streams[1] = stream
            self._begin(stream, head, True)
        if said:
            self.receive(said)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(exc)

    def on_other(self, event: events.Event) -> None:
        if isinstance(event, events.RequestReceived):
            self._request(event)

    def _request(self, event: events.RequestReceived) -> None:
        stream = ClientStream(self, event.stream_id, self._peer)
        if len(self.streams) >= MAX_STREAMS or self._leaving:
            stream.reset(int(ErrorCodes.REFUSED_STREAM))
            return
        self.streams[stream.id] = stream
        try:
            head = _read_head([(bytes(name), bytes(value)) for name, value in event.headers or ()])
        except http1.HeadError:
            stream.reset(int(ErrorCodes.PROTOCOL_ERROR))
            return
        self._begin(stream, head, event.stream_ended is not None)

    def _begin(self, stream: ClientStream, head: http1.Head, done: bool) -> None:
        exchange = ProxiedStream(self._proxy, cast(ServerConnection, stream), head)
        stream.exchange = exchange
        stream.request_done = exchange.body_done = done
        exchange.begin()

    def all_sent(self, stream: Stream) -> None:
        assert isinstance(stream, ClientStream)
        if stream.request_done:
            self.forget(stream)
        else:
            # The answer overtook its request: the client need not send the rest (RFC 9113, 8.1).
            asyncio.get_running_loop().call_soon(stream.reset, int(ErrorCodes.NO_ERROR))

    def leave(self) -> None:
        """The servers stop: over TLS take no more streams, and end when the last is answered.

        Without TLS nothing is told: Go's h2c hands the connection over for good, so its server does not know it any
        more. The client may go on, and holds up the end until it leaves or is cut.
        """
        if self.transport.get_extra_info("ssl_object") is None:
            return
        self._leaving = True
        self._end_if_idle()

    def cut(self) -> None:
        """End at once."""
        self.transport.abort()

    def forget(self, stream: Stream) -> None:
        super().forget(stream)
        if self._leaving:
            self._end_if_idle()

    def _end_if_idle(self) -> None:
        if not self.streams and not self.closed:
            self.closed = True
            self.h2.close_connection()
            self.write_out()
            self.transport.close()


def _read_head(pairs: http1.Headers) -> http1.Head:
    """A request's head; h2 has checked what frames it."""
    pseudo: dict[bytes, bytes] = {}
    headers: http1.Headers = []
    cookies: list[bytes] = []
    for name, value in pairs:
        if name.startswith(b":"):
            pseudo[name] = value
        elif name == b"cookie":
            cookies.append(value)
        elif b"\0" in value or b"\r" in value or b"\n" in value:
            raise http1.HeadError(400)
        else:
            headers.append((name, value))
    if cookies:
        headers.append((b"cookie", b"; ".join(cookies)))
    if b":authority" in pseudo:
        headers = [pair for pair in headers if pair[0] != b"host"]
        headers.append((b"host", pseudo[b":authority"]))
    method = pseudo.get(b":method", b"")
    if method == b"CONNECT" or not pseudo.get(b":path"):
        raise http1.HeadError(400)
    head = http1.Head(method, pseudo[b":path"], 2, headers)
    head.content_length = None
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            head.content_length = int(value)
        elif name == b"expect" and value.lower() == b"100-continue":
            head.expects_continue = True
    return head


class ProxiedStream(ProxiedExchange):
    """One request in HTTP/2."""

    __slots__ = ("_stream", "_to")

    def __init__(self, proxy: Proxy, conn: ServerConnection, head: http1.Head) -> None:
        super().__init__(proxy, conn, head)
        self._stream = cast(ClientStream, conn)
        self._to: AppStream | None = None

    # --- to the app

    def _connect(self, now: float) -> None:
        self._dialing = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        proxy = self._proxy
        if proxy.http2 is None:
            proxy.http2 = Http2Connections(proxy.app.host, proxy.app.port)
        try:
            conn = await proxy.http2.take()
        except DialError as failed:
            self._dialing = None
            proxy.log.seldom("dial-failed", why=str(failed))
            self._note("dial-failed", 502, str(failed))
            self._error(502, f"{failed}\n".encode())
            return
        self._dialing = None
        if self._over:
            return
        bodiless = self.body_done and not self._stream.taken and self.trailers is None
        self._may_repeat = bodiless
        try:
            self._to = conn.ask(self._app_headers(bodiless), self, bodiless)
        except ProtocolError as wrong:
            self._note("app-broke", 502, f"http2: {wrong}")
            self._error(502, f"http2: {wrong}\n".encode())
            return
        if not bodiless:
            if self.head.expects_continue and not self.body_done:
                self._send_headers([(b":status", b"100")])
            self._stream.take_body(self)

    def _app_headers(self, bodiless: bool) -> http1.Headers:
        way, head = self._way, self.head
        assert way is not None
        headers = [
            (b":authority", way.host),
            (b":method", head.method),
            (b":path", way.target),
            (b":scheme", b"http"),
        ]
        if way.trailer:
            headers.append((b"trailer", way.trailer))
        headers += [(name.lower(), value) for name, value in way.headers]
        if head.content_length or (bodiless and head.method in forward.LENGTH_EVEN_IF_NONE):
            headers.append((b"content-length", b"%d" % (head.content_length or 0)))
        if way.agent:
            headers.append((b"user-agent", way.agent))
        return headers

    def request_data(self, data: bytes, passed: Callable[[], None]) -> None:
        """A piece of the body; `passed` is called when it is on its way to the app."""
        if self._to is None:
            passed()
        else:
            self._to.send(data, passed)

    def body_end(self) -> None:
        if self._to is not None and not self._to.ended:
            trailers = [pair for pair in self.trailers or () if not pair[0].startswith(b":")]
            self._to.end(trailers or None)

    # --- from the app

    def answer_begins(self, status: int, headers: http1.Headers) -> None:
        """The head of the answer, or of an informational one before it."""
        if self._over:
            return
        if status < 200:
            if status not in (100, 101):
                self._informed = True
                self._send_headers([(b":status", b"%d" % status), *_lower(headers)])
            return
        self._may_repeat = False
        if self._informed and FINAL_STATUS_LOST in self._proxy.defects:
            status = 200
        self.status = status
        self._answer = forward.answer(self.head, status, headers)
        self._wrote()
        asyncio.get_running_loop().call_soon(self._head_alone)

    def _head_alone(self) -> None:
        """No body came along with the head of an answer without a length: send it on."""
        if self._answer is not None and self._answer.prompt and not self._headed and not self._over:
            self._send_head(b"", False)

    def _send_head(self, first: bytes, ended: bool, end_stream: bool = False) -> None:
        answer = self._answer
        assert answer is not None
        self._headed = True
        names = {name for name, _ in answer.headers}
        headers = _lower(answer.headers)
        if b"Date" not in names:
            headers.append((b"date", http1.date()))
        if ended and answer.length is None and b"Content-Length" not in names:
            headers.append((b"content-length", b"%d" % len(first)))
        if first and not names & {b"Content-Type", b"Content-Encoding"}:
            headers.append((b"content-type", content_type(first)))
        self._send_headers([(b":status", b"%d" % answer.status), *headers], end_stream)

    def _send_headers(self, headers: http1.Headers, end_stream: bool = False) -> None:
        conn = self._stream.conn
        try:
            conn.h2.send_headers(self._stream.id, headers, end_stream=end_stream)
        except ProtocolError:
            return
        if end_stream:
            self._stream.ended = True
            conn.all_sent(self._stream)
        conn.later()

    def answer_data(self, data: bytes, passed: Callable[[], None]) -> None:
        """A piece of the body; `passed` is called when it is on its way to the client."""
        if self._over or self._answer is None:
            passed()
            return
        self.sent_bytes += len(data)
        if not self._headed:
            self._send_head(data, False)
        self._wrote()
        self._stream.send(data, passed)

    def answer_over(self, trailers: http1.Headers | None) -> None:
        """The answer is whole."""
        self._to = None
        if self._over or self._answer is None:
            return
        kept = [pair for pair in trailers or () if not pair[0].startswith(b":")]
        if not self._headed and not kept:
            self._send_head(b"", True, end_stream=True)
        else:
            if not self._headed:
                self._send_head(b"", False)
            self._stream.end(kept or None)
        self._finish(keep_alive=True)

    def app_failed(self, words: str, code: int | None) -> None:
        """The app, or the connection to it, gave the request up."""
        self._to = None
        if self._over:
            return
        if self._answer is not None:
            self._proxy.log.seldom("answer-cut", why=words)
            self._note("answer-cut", self.status, words)
            self.status = 500
            self._release()
            self._stream.abort(self)
        elif self._may_repeat and code == int(ErrorCodes.REFUSED_STREAM):
            self._may_repeat = False
            self._connect(time.monotonic())
        else:
            self._proxy.log.seldom("app-broke", why=words)
            self._note("app-broke", 502, words)
            self._error(502, f"{words}\n".encode())

    # --- ends

    def _append_timeout(self, answer: forward.AnswerHead) -> None:
        room = None if answer.length is None else answer.length - self.sent_bytes
        fits = room is None or room >= len(TIMEOUT_BODY)
        if not self._headed:
            self._send_head(TIMEOUT_BODY if fits else b"", fits and room is None)
        if fits:
            self.sent_bytes += len(TIMEOUT_BODY)
            self._stream.send(TIMEOUT_BODY)
        whole = room is None or room == len(TIMEOUT_BODY)
        if whole:
            self._stream.end()
            self._finish(keep_alive=True)
        else:
            self._release()
            self._stream.abort(self)

    def _reply(self, status: int, body: bytes, headers: bytes = b"") -> None:
        self.status = status
        self.sent_bytes = len(body)
        pairs: http1.Headers = [(b":status", b"%d" % status)]
        for line in headers.split(b"\r\n"):
            if line:
                name, _, value = line.partition(b": ")
                pairs.append((name.lower(), value))
        pairs += [(b"date", http1.date()), (b"content-length", b"%d" % len(body))]
        shown = b"" if self.head.method == b"HEAD" else body
        self._send_headers(pairs, end_stream=not shown)
        if shown:
            self._stream.ended = True
            self._stream.send(shown)
        self._finish(keep_alive=True)

    def _leave_app(self) -> None:
        super()._leave_app()
        to, self._to = self._to, None
        if to is not None:
            to.drop()

    def _finish(self, keep_alive: bool) -> None:
        self._release()
        self._stream.finish(self)


def _lower(headers: http1.Headers) -> http1.Headers:
    return [(name.lower(), value) for name, value in sorted(headers, key=_name)]
