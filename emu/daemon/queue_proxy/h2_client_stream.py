"""A client's stream: a request's body as it comes in HTTP/2, and its end."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

from emu.daemon.http import http1
from emu.daemon.http.forward import Route
from emu.daemon.http.h2_connection import Connection
from emu.daemon.http.h2_frames import ErrorCodes
from emu.daemon.http.h2_stream import Piece, Stream


class StreamExchange(Protocol):
    """The request of a stream, and its answer; as `Exchange` is in HTTP/1."""

    body_done: bool
    received: int
    trailers: http1.Headers | None
    head: http1.Head
    way: Route | None

    def request_data(self, data: Piece) -> None:
        """A piece of the request's body."""

    broken: str
    """What is wrong with the request's body."""

    def body_end(self) -> None:
        """The request's body is complete."""

    def body_failed(self) -> None:
        """The request's body is not what its head said; `broken` has it."""

    def abandoned(self) -> None:
        """The client gave the request up."""


class PeerConnection(Connection):
    """A connection that knows its client's address."""

    peer: str


class ClientStream(Stream):
    """A request from a client; it stands where `DownstreamConnection` does in HTTP/1."""

    __slots__ = ("exchange", "taken", "wanted")

    full = False

    def __init__(self, conn: PeerConnection, stream_id: int) -> None:
        super().__init__(conn, stream_id)
        self.exchange: StreamExchange | None = None
        self.wanted = False
        """The body is."""
        self.taken: list[bytes] | None = None
        """Of the body, what came before."""

    @property
    def peer(self) -> str:
        return cast(PeerConnection, self.conn).peer

    @property
    def announced(self) -> bool:
        """Whether the request named trailers, and so has them looked at."""
        return self.exchange is not None and self.exchange.way is not None and bool(self.exchange.way.trailer)

    @property
    def transport(self) -> asyncio.Transport:
        return self.conn.transport

    def on_data(self, data: Piece) -> None:
        exchange = self.exchange
        if exchange is None:
            self.conn.acknowledge(self, len(data))
            return
        exchange.received += len(data)
        if self.wanted:
            exchange.request_data(data)
        elif self.taken is None:
            self.taken = [bytes(data)]
        else:
            self.taken.append(bytes(data))

    def on_end(self, trailers: http1.Headers | None) -> None:
        exchange = self.exchange
        if exchange is None or exchange.body_done:
            return
        exchange.trailers = trailers
        exchange.body_done = True
        if self.wanted:
            exchange.body_end()

    def on_short(self) -> None:
        """It ended, and the body was shorter than its head said."""
        self.remote_done = True
        exchange = self.exchange
        if exchange is not None and exchange.head.content_length is not None:
            declared = exchange.head.content_length
            came = declared - (self.left or 0)
            exchange.body_done = True
            exchange.broken = f"request declared a Content-Length of {declared} but only wrote {came} bytes"
            exchange.body_failed()

    def on_reset(self, code: int) -> None:
        exchange = self.exchange
        self._let_go()
        if exchange is not None:
            exchange.abandoned()

    def take_body(self, exchange: Any, flowing: bool = True) -> None:
        if self.wanted or self.exchange is None or not flowing:
            return
        self.wanted = True
        taken, self.taken = self.taken, None
        for data in taken or ():
            if self.exchange is None:
                self.conn.acknowledge(self, len(data))
            else:
                self.exchange.request_data(data)
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
        for data in taken or ():
            self.conn.acknowledge(self, len(data))
