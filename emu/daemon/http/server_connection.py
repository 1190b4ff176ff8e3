"""A client's HTTP/1.1 connection as the transport sees it: bytes in, the client's end, HTTP/2 on the same port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from emu.daemon.http import http1
from emu.daemon.http.endings import NONE_QUEUED
from emu.daemon.http.exchange import Exchange
from emu.daemon.http.flow import BODY_READ_BYTES, FlowControl
from emu.daemon.http.registry import Registry
from emu.daemon.http.states import BEGUN, DISCARDING, FRESH, IDLE, LINGERING, READING, SWITCHED
from emu.daemon.http.turns import Turns

HEAD_READ_BYTES = 4096
"""Read at most this much while a head is awaited (Go's bufio.Reader): what the kernel holds costs us nothing."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client that speaks HTTP/2 without asking says first (RFC 9113, 3.4)."""

_buffer = memoryview(bytearray(BODY_READ_BYTES))
"""One for all connections: what was read is parsed before anything else is read."""
_head_buffer = _buffer[:HEAD_READ_BYTES]


class DownstreamConnection(Turns, asyncio.BufferedProtocol):
    """One connection from a client; `exchanges` makes an exchange of each request's head."""

    __slots__ = ()

    def __init__(self, server: Registry, exchanges: Callable[[DownstreamConnection, http1.Head], Exchange]) -> None:
        super().__init__(server, exchanges)

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.flow = FlowControl(self.transport)
        peer = transport.get_extra_info("peername")
        self.peer, self.peer_port = peer[:2] if peer else ("", 0)
        self.server.connection_came(self)
        secure = transport.get_extra_info("ssl_object")
        if secure is not None and secure.selected_alpn_protocol() == "h2":
            self._become_http2(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        # Else it would count for good among the clients that read too slowly (`Stuck`).
        self.flow.resume_writing()
        self.abandon()
        self.server.connection_gone(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _head_buffer if self._in_head else _buffer

    def buffer_updated(self, nbytes: int) -> None:
        # Copied before anything is called: the buffer is every connection's.
        data = _buffer[:nbytes].tobytes()
        state = self.state
        if state is IDLE:
            known = self.server.known.get(data)
            exchange = self._read_alone(data) if known is None else known.exchange(self)
            if exchange is not None:
                self.state = BEGUN
                self.current = exchange
                self._alone = True
                exchange.begin()
                return
        elif state >= LINGERING or (state is FRESH and self._is_http2(data)):
            return
        elif state is not BEGUN or not self._passes_on(data):
            self.feed(data)
        else:
            return
        self.advance()

    def _passes_on(self, data: bytes) -> bool:
        """Take in a piece amid a body of known length, as `feed` and `advance` would, without their looking: of the
        request whose turn it is and whose answer has not begun. Most of a large body comes in such pieces.
        """
        exchange, left = self.current, self._left
        if exchange is None or not exchange.flowing or exchange is not self._tail or len(data) >= left:
            return False
        if self._in_head or self._chunks is not None or self._leftover is not None:
            return False
        self._left = left - len(data)
        exchange.received += len(data)
        exchange.body(data)
        if self.state is not BEGUN:  # it failed over this
            self.advance()
        return True

    def _read_alone(self, data: bytes) -> Exchange | None:
        """Take in what was read; if that is one request and nothing else, it, which needs no settling."""
        self.feed(data)
        queue = self._queue
        if not self._in_head or self._partial is not None or self._fault is not None or len(queue) != 1:
            return None
        exchange = queue[0]
        if exchange.head.upgrade:
            return None
        if not exchange.received and data.find(b"\r\n\r\n") == len(data) - 4:
            exchange.whole = data
        self._queue = NONE_QUEUED
        return exchange

    def eof_received(self) -> bool:
        # As net/http does: a client that closed even one direction is gone, and its request with it.
        if self.state >= LINGERING:
            return False
        current = self.current
        if not self.busy and self._partial is not None and self._fault is None:
            self._fault = http1.HeadError(400)
            self.advance()
        elif self._rest is not None and self._rest.written:
            self._let_out_last()
            return False
        elif current is None or self.state is not BEGUN:
            self.abandon()
            return False
        elif not self._cut_in_chunk():
            self._queue = NONE_QUEUED
            current.left_alone()
            current.head.keep_alive = False
            if self.state is DISCARDING:
                self.abandon()
                return False
        return not self.transport.is_closing()

    def _let_out_last(self) -> None:
        """The client sends nothing more: what was held back of its answer goes out, and is the last."""
        rest = self._rest
        assert rest is not None
        chunked = self.current is not None and self.current.head.chunked
        self.transport.write(rest.answer(not chunked or self.server.full_duplex))
        self.abandon()
        self.transport.close()

    def begin_next(self) -> None:
        if self.server.stopping:
            self.close()  # what was not read before is served no more (net/http, conn.serve)
        else:
            super().begin_next()

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        if self.current is not None:
            self.current.full()

    def resume_writing(self) -> None:
        self.flow.resume_writing()
        if self.current is None:
            self.advance()
        elif not self.full:
            self.current.ready()

    # --- HTTP/2

    def _is_http2(self, data: bytes) -> bool:
        """Whether the connection is HTTP/2, or too little of it was read to know; then all of it is kept."""
        said = (self._leftover or b"") + data
        if said.startswith(PREFACE):
            if self.server.stopping:
                self.close()
            else:
                self._become_http2(said)
            return True
        if PREFACE.startswith(said):
            self._leftover = said
            return True
        self.move(READING)
        held, self._leftover = self._leftover, None
        if held is not None:
            self.feed(held)
        return False

    def _become_http2(self, said: bytes) -> None:
        assert self.server.http2 is not None
        self._leftover = None
        self._forget(SWITCHED)
        self.server.connection_gone(self)
        self.server.http2(self.transport, self.peer, said, None)

    def switch_to_http2(self, exchange: Exchange) -> bool:
        # `Upgrade: h2c` (RFC 7540, 3.2): the request becomes the first stream. Not done for one with a body.
        settings = exchange.head.get(b"http2-settings")
        if self.server.http2 is None or not exchange.body_done or exchange.held or not settings:
            return False
        transport, leftover = self.hijack(exchange)
        transport.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        self.server.http2(transport, self.peer, leftover, (settings, exchange.head))
        return True
