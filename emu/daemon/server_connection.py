"""The server's side of HTTP/1.1 connections: pipelined requests in order, keep-alive, back-pressure.

A connection makes an `Exchange` of each request and lets one at a time have its turn. What is not wanted yet stays
in the kernel: reading pauses while an exchange does not take its body and while a further request waits behind it.
"""

# ruff: noqa: D102  a Protocol's and a parser's callbacks are described by asyncio and httptools
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import httptools

from emu.daemon import http1

if TYPE_CHECKING:
    from emu.daemon.server import Server

HEAD_READ_BYTES = 4096
"""Read at most this much while a head is awaited (Go's bufio.Reader): what the kernel holds costs us nothing."""
BODY_READ_BYTES = 32 * 1024
"""Read at most this much of a body at once (Knative's buffer for each copy, pkg/http/proxy/bufferpool.go)."""
WRITE_BUFFER_BYTES = 32 * 1024
"""Beyond this much unwritten, a connection says that it is full; what comes before it learns is one more read."""
DISCARD_BYTES = 256 * 1024
"""A request's body is read to its end, to keep its connection, up to this (net/http, maxPostHandlerReadBytes)."""
LINGER_S = 0.5
"""How long a connection is read on after an answer that overtook its request (net/http, rstAvoidanceDelay)."""

_buffer = memoryview(bytearray(BODY_READ_BYTES))
"""One for all connections: what was read is parsed before anything else is read."""
_head_buffer = _buffer[:HEAD_READ_BYTES]


_NONE_QUEUED: list[Exchange] = []
"""Stands for every empty queue; never appended to."""


class Exchange:
    """One request and its answer. Subclasses say what happens; all of it runs on the loop."""

    __slots__ = ("body_done", "body_told", "conn", "flowing", "head", "held")

    def __init__(self, conn: ServerConnection, head: http1.Head) -> None:
        self.conn = conn
        self.head = head
        self.flowing = False
        self.body_done = False
        """The request was read to its end."""
        self.body_told = False
        self.held: list[bytes] | None = None

    def begin(self) -> None:
        """It is this request's turn. Its body comes once `conn.take_body` was called."""
        raise NotImplementedError

    def body(self, data: bytes) -> None:
        """A piece of the request's body."""

    def body_end(self) -> None:
        """The request's body is complete."""

    def abandoned(self) -> None:
        """The client is gone, or broke the framing of its body; nothing can be written any more."""

    def full(self) -> None:
        """The client reads more slowly than we write: write no more until `ready`."""

    def ready(self) -> None:
        """Write again."""


class ServerConnection(asyncio.BufferedProtocol):
    """One connection from a client; `exchanges` makes an exchange of each request's head."""

    __slots__ = (
        "_advancing",
        "_current",
        "_discard_left",
        "_ending",
        "_exchanges",
        "_fault",
        "_head_bytes",
        "_headers",
        "_in_head",
        "_parser",
        "_paused",
        "_queue",
        "_server",
        "_tail",
        "_target",
        "_wrote",
        "full",
        "peer",
        "transport",
    )

    def __init__(self, server: Server, exchanges: Callable[[ServerConnection, http1.Head], Exchange]) -> None:
        self._server = server
        self._exchanges = exchanges
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._headers: http1.Headers = []
        self._target = b""
        self._head_bytes = 0
        """Read since the last head or piece of body was understood; trailers and chunk extensions count too."""
        self._in_head = True
        self._current: Exchange | None = None
        self._tail: Exchange | None = None
        self._queue: list[Exchange] = _NONE_QUEUED
        self._paused = False
        self._advancing = False
        self._ending = False
        self._discard_left: int | None = None
        self._wrote = False
        self._fault: http1.HeadError | None = None
        self.full = False
        """The client reads more slowly than was written so far."""
        self.peer = ""
        self.transport: asyncio.Transport

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else ""
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._abandon()
        self._parser = None
        self._server.connection_gone()

    def eof_received(self) -> bool:
        # As net/http does: a client that closed even one direction is gone, and its request with it.
        self._abandon()
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        return _head_buffer if self._in_head else _buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._ending:
            return
        self._head_bytes += nbytes
        try:
            self._feed(_buffer[:nbytes])
        except http1.HeadError as wrong:
            self._broken(wrong)
        if self._head_bytes > http1.MAX_HEAD_BYTES and self._fault is None:
            self._broken(http1.HeadError(431, "Request Header Fields Too Large"))
        self._advance()

    def _feed(self, data: memoryview) -> None:
        while self._parser is not None:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # No protocol is switched to here; what follows is the next request.
                data = data[upgrade.args[0] :]
                if not data:
                    return
            except httptools.HttpParserCallbackError as failed:
                raise failed.__context__ or failed from None
            except httptools.HttpParserError:
                raise http1.HeadError(400, "Bad Request") from None

    def pause_writing(self) -> None:
        self.full = True
        if self._current is not None:
            self._current.full()

    def resume_writing(self) -> None:
        self.full = False
        if self._current is not None:
            self._current.ready()
        else:
            self._advance()

    # --- the parser's side

    def on_message_begin(self) -> None:
        self._in_head = True
        self._headers = []
        self._target = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # what comes after a chunked body is a trailer, and trailers are dropped
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        head = http1.read_head(parser.get_method(), self._target, parser.get_http_version(), self._headers)
        if parser.should_upgrade() and head.content_length != 0:
            raise http1.HeadError(400, "Bad Request: Upgrade with a body")
        self._in_head = False
        self._head_bytes = 0
        self._headers = []
        exchange = self._exchanges(self, head)
        self._tail = exchange
        self._queue = [*self._queue, exchange]

    def on_body(self, data: bytes) -> None:
        exchange = self._tail
        assert exchange is not None
        self._head_bytes = 0
        if self._ending:
            return
        if self._discard_left is not None and exchange is self._current:
            self._discard_left -= len(data)
        elif exchange.flowing:
            exchange.body(data)
        elif exchange.held is None:
            exchange.held = [data]
        else:
            exchange.held.append(data)

    def on_message_complete(self) -> None:
        exchange = self._tail
        assert exchange is not None
        self._in_head = True
        self._head_bytes = 0
        exchange.body_done = True
        if not self._ending:
            self._tell_end(exchange)

    # --- the exchange's side

    def take_body(self, exchange: Exchange, flowing: bool = True) -> None:
        """Let the request's body flow to the exchange, or leave it where it is."""
        if exchange is not self._current or flowing == exchange.flowing:
            return
        exchange.flowing = flowing
        if flowing:
            held, exchange.held = exchange.held, None
            for data in held or ():
                exchange.body(data)
            self._tell_end(exchange)
        self._sync_reading()

    def _tell_end(self, exchange: Exchange) -> None:
        if exchange.flowing and exchange.body_done and not exchange.body_told:
            exchange.body_told = True
            exchange.body_end()

    def write(self, data: bytes) -> None:
        """Write a part of the current exchange's answer."""
        self._wrote = True
        self.transport.write(data)

    def finish(self, exchange: Exchange, keep_alive: bool = True) -> None:
        """The exchange's answer is written; go on with the next request, or close."""
        if exchange is not self._current:
            return
        exchange.held = None
        if not exchange.body_done:
            self._overtaken(exchange, keep_alive)
            return
        self._current = None
        if keep_alive and not self._server.stopping:
            self._advance()
        else:
            self._close()

    def abort(self, exchange: Exchange) -> None:
        """Cut the answer short: what was written goes out, then the connection ends."""
        if exchange is self._current:
            self._current = None
            self._close()

    def answers_last(self, head: http1.Head) -> bool:
        """Whether the connection is to close after the answer to this request."""
        return not head.keep_alive or self._server.stopping

    def close_if_idle(self) -> None:
        """Close unless a request is being answered."""
        if self._current is None and not self._queue:
            self._close()

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._current is not None or bool(self._queue)

    # --- within

    def _advance(self) -> None:
        """Settle what was read: give the next request its turn, and read on or not."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while not self._ending:
                if self._discard_left is not None:
                    self._discarded(self._discard_left)
                if self._current is not None or not self._queue or self.full:
                    break
                self._wrote = False
                self._current, self._queue = self._queue[0], self._queue[1:] or _NONE_QUEUED
                self._current.begin()
        finally:
            self._advancing = False
        if self._ending:
            return
        if self._fault is not None and self._current is None and not self._queue:
            self.transport.write(http1.refusal(self._fault.status, self._fault.text))
            self._linger()
        else:
            self._sync_reading()

    def _broken(self, fault: http1.HeadError) -> None:
        """What came is not HTTP, or not safe: answer what came before it, then the fault, and close."""
        self._fault = fault
        if self._queue:
            if not self._queue[-1].body_done:
                self._queue = self._queue[:-1] or _NONE_QUEUED
            return
        current = self._current
        if current is None or current.body_done:
            return
        if self._wrote or self._discard_left is not None:
            self._linger()
        self._current = None
        current.abandoned()

    def _discarded(self, left: int) -> None:
        """After an answer that overtook its request: the rest of the body has been read, or turned out long."""
        if left < 0:
            self._linger()
        elif self._current is not None and self._current.body_done:
            self._discard_left = None
            self._current = None

    def _sync_reading(self) -> None:
        current = self._current
        wanted = self._fault is None and not self._queue
        if wanted and current is not None:
            wanted = current.body_done or current.flowing or self._discard_left is not None
        if wanted == self._paused and not self.transport.is_closing():
            self._paused = not wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _overtaken(self, exchange: Exchange, keep_alive: bool) -> None:
        """The answer was faster than the request's body: read the rest away if it is short, else close."""
        length = exchange.head.content_length
        if not keep_alive or self._server.stopping or (length is not None and length > DISCARD_BYTES):
            self._linger()
            return
        exchange.flowing = False
        self._discard_left = DISCARD_BYTES
        self._sync_reading()

    def _linger(self) -> None:
        """Close in a way that lets the client read its answer: a RST for unread bytes would destroy it."""
        self._current = None
        self._queue = _NONE_QUEUED
        self._ending = True
        transport = self.transport
        if transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        if self._paused:
            self._paused = False
            transport.resume_reading()
        asyncio.get_running_loop().call_later(LINGER_S, transport.close)

    def _close(self) -> None:
        self._ending = True
        self.transport.close()

    def _abandon(self) -> None:
        current, queue = self._current, self._queue
        self._current = None
        self._queue = _NONE_QUEUED
        self._ending = True
        if current is not None and self._discard_left is None:
            current.abandoned()
        for exchange in queue:
            exchange.held = None
