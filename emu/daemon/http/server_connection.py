"""The server's side of HTTP/1.1 connections: pipelined requests in order, keep-alive, back-pressure.

A connection makes an `Exchange` of each request and lets one at a time have its turn. What is not wanted yet stays
in the kernel: reading pauses while an exchange does not take its body and while a further request waits behind it.
"""

# ruff: noqa: D102  a Protocol's and a parser's callbacks are described by asyncio
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from emu.daemon.http import http1
from emu.daemon.http.request_reader import RequestReader

if TYPE_CHECKING:
    from emu.daemon.http.server import Server

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


class Stuck:
    """Clients that read more slowly than was written, in this process: what they cost decides how much is read."""

    count = 0


_buffer = memoryview(bytearray(BODY_READ_BYTES))
"""One for all connections: what was read is parsed before anything else is read."""
_head_buffer = _buffer[:HEAD_READ_BYTES]


_NONE_QUEUED: list[Exchange] = []
"""Stands for every empty queue; never appended to."""


class Exchange:
    """One request and its answer. Subclasses say what happens; all of it runs on the loop."""

    __slots__ = (
        "body_done",
        "body_told",
        "broken",
        "conn",
        "flowing",
        "head",
        "held",
        "received",
        "trailers",
        "whole",
    )

    def __init__(self, conn: ServerConnection, head: http1.Head) -> None:
        self.conn = conn
        self.head = head
        self.flowing = self.body_told = self.body_done = False
        """`body_done`: the request was read to its end."""
        self.held: list[bytes] | None = None
        self.received = 0
        """Of the request's body, in bytes."""
        self.broken = ""
        """Why the rest of the request's body cannot be read, in Go's words."""
        self.trailers: http1.Headers | None = None
        """What came after a chunked body; known once that is done."""
        self.whole: bytes | None = None
        """All of the request, if it has no body and was read in one piece with nothing before or after it."""

    def begin(self) -> None:
        """It is this request's turn. Its body comes once `conn.take_body` was called."""
        raise NotImplementedError

    def body(self, data: bytes) -> None:
        """A piece of the request's body."""

    def body_end(self) -> None:
        """The request's body is complete."""

    def body_failed(self) -> None:
        """The rest of the body cannot be read (`broken` says why): the connection is to end."""
        self.abandoned()
        self.conn.abort(self)

    def abandoned(self) -> None:
        """The client is gone; nothing can be written any more."""

    def left_alone(self) -> None:
        """The client closed its direction: it is gone for Go, though it might still read an answer."""
        self.abandoned()
        self.conn.abort(self)

    def answer(self, status: int, body: bytes, headers: bytes = b"") -> None:
        """Answer all at once, and be over; `headers` are whole lines."""
        last = self.conn.begin_answer(self)
        minor = self.head.minor
        connection = (b"close" if minor else b"") if last else b"" if minor else b"keep-alive"
        shown = b"" if self.head.method == b"HEAD" else body
        self.conn.write(http1.answer_head(status, len(body), headers, connection, minor) + shown)
        self.conn.finish(self, not last)

    def full(self) -> None:
        """The client reads more slowly than we write: write no more until `ready`."""

    def ready(self) -> None:
        """Write again."""


class KnownRequest(Protocol):
    """A request that came before, byte for byte; see `known.Known`."""

    def exchange(self, conn: ServerConnection) -> Exchange:
        """An exchange for it, to be begun at once."""


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client that speaks HTTP/2 without asking says first (RFC 9113, 3.4)."""
MOST_UPGRADE_BYTES = 4096
"""Read at most this much of what a client says in the protocol that it hopes to switch to."""


class ServerConnection(RequestReader, asyncio.BufferedProtocol):
    """One connection from a client; `exchanges` makes an exchange of each request's head."""

    __slots__ = (
        "_advancing",
        "_awaited",
        "_current",
        "_discard_left",
        "_ending",
        "_exchanges",
        "_fault",
        "_finished",
        "_fresh",
        "_held_back",
        "_leftover",
        "_paused",
        "_queue",
        "_quick",
        "_ready",
        "_tail",
        "_wrote",
        "full",
        "peer",
        "server",
        "transport",
    )

    def __init__(self, server: Server, exchanges: Callable[[ServerConnection, http1.Head], Exchange]) -> None:
        super().__init__(server.two_framings)
        self.server = server
        self._exchanges = exchanges
        self._current: Exchange | None = None
        self._tail: Exchange | None = None
        self._queue: list[Exchange] = _NONE_QUEUED
        self._paused = False
        self._advancing = False
        self._ending = False
        self._discard_left: int | None = None
        self._held_back: list[bytes] | None = None
        """What was written of an answer that waits for its request's end; None while none does."""
        self._awaited = 0
        """How many bytes of that request are waited for at most."""
        self._finished: bool | None = None
        """The answer that is held back is whole; whether the connection may be kept."""
        self._wrote = False
        self._fault: http1.HeadError | None = None
        self._fresh = server.http2 is not None
        """Nothing was read yet, so that it may be HTTP/2."""
        self._leftover: bytes | None = None
        """What came after a request that asked to switch protocols; None while there is no such request."""
        self._ready = False
        """Nothing is under way and nothing was read of the next request."""
        self._quick = False
        """The current request was read whole, and nothing since."""
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
        self.server.connection_came(self)
        self.server.awaits_head(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        self.server.has_head(self)
        if self.full:
            self.full = False
            Stuck.count -= 1
        self._abandon()
        self.server.connection_gone()

    def eof_received(self) -> bool:
        # As net/http does: a client that closed even one direction is gone, and its request with it.
        if self._ending:
            return False
        current = self._current
        if current is None and not self._queue and self._partial is not None and self._fault is None:
            self._broken(http1.HeadError(400))
            self._advance()
        elif current is None or self._held_back is not None or self._wrote or self._discard_left is not None:
            self._abandon()
            return False
        elif not self._cut_in_chunk():
            current.head.keep_alive = False
            self._queue = _NONE_QUEUED
            current.left_alone()
        return not self.transport.is_closing()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _head_buffer if self._in_head else _buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._ending:
            return
        data = _buffer[:nbytes].tobytes()
        ready, self._ready = self._ready, False
        if ready:
            known = self.server.known.get(data)
            if known is not None:
                self._quick = True
                self._current = exchange = known.exchange(self)
                exchange.begin()
                return
        self._quick = False
        if self._fresh and self._is_http2(data):
            return
        self._feed_checked(data)
        begun = not self._in_head or self._partial is not None or self._fault is not None
        if ready and not begun and len(self._queue) == 1:
            exchange = self._queue[0]
            if not exchange.head.upgrade:
                if not exchange.received and data.find(b"\r\n\r\n") == nbytes - 4:
                    exchange.whole = data
                else:
                    self._wrote = False
                self._queue = _NONE_QUEUED
                self._quick = True
                self._current = exchange
                exchange.begin()
                return
        self._advance()

    def _is_http2(self, data: bytes) -> bool:
        """Whether the connection is HTTP/2, or too little of it was read to tell; then all of it is kept."""
        said = (self._leftover or b"") + data
        if said.startswith(PREFACE):
            self._leftover = None
            self._become_http2(said)
            return True
        if PREFACE.startswith(said):
            self._leftover = said
            return True
        self._fresh = False
        if self._leftover is not None:
            held, self._leftover = self._leftover, None
            self._feed_checked(held)
        return False

    def _become_http2(self, said: bytes) -> None:
        assert self.server.http2 is not None
        self.server.connections.discard(self)
        self.server.has_head(self)
        self._ending = True
        self.server.http2(self.transport, self.peer, said, None)

    def _switch_to_http2(self, exchange: Exchange) -> bool:
        """`Upgrade: h2c` (RFC 7540, 3.2): the request becomes the first stream. Not done for one with a body."""
        settings = exchange.head.get(b"http2-settings")
        if self.server.http2 is None or not exchange.body_done or exchange.held or not settings:
            return False
        transport, leftover = self.hijack(exchange)
        transport.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        self.server.http2(transport, self.peer, leftover, (settings, exchange.head))
        return True

    def _feed_checked(self, data: bytes) -> None:
        try:
            self._feed(data)
        except http1.HeadError as wrong:
            self._broken(wrong)

    def _feed(self, data: bytes) -> None:
        while data:
            if self._leftover is not None:
                self._leftover += data
                return
            if not self._in_head:
                data = self._read_body(data)
                continue
            last = self._tail
            if self._fault is not None or (last is not None and not last.head.keep_alive):
                return  # nothing after it is a request
            data = self._read_head(data)

    def pause_writing(self) -> None:
        self.full = True
        Stuck.count += 1
        if self._current is not None:
            self._current.full()

    def resume_writing(self) -> None:
        self.full = False
        Stuck.count -= 1
        if self._current is not None:
            self._current.ready()
        else:
            self._advance()

    # --- the reader's side

    def on_head(self, head: http1.Head) -> None:
        self.server.has_head(self)
        exchange = self._exchanges(self, head)
        self._tail = exchange
        self._queue = [*self._queue, exchange]

    def on_body(self, data: bytes) -> None:
        exchange = self._tail
        assert exchange is not None
        if self._ending:
            return
        exchange.received += len(data)
        if self._held_back is not None and exchange is self._current:
            self._waits_on(exchange, len(data))
        if self._discard_left is not None and exchange is self._current:
            self._discard_left -= len(data)
        elif self._finished is not None and exchange is self._current:
            return  # nobody wants it any more
        elif exchange.flowing:
            exchange.body(data)
        elif exchange.held is None:
            exchange.held = [data]
        else:
            exchange.held.append(data)

    def on_message_complete(self, trailers: http1.Headers | None) -> None:
        exchange = self._tail
        assert exchange is not None
        exchange.trailers = trailers
        exchange.body_done = True
        if exchange.head.upgrade:
            self._leftover = b""
        if not self._ending:
            self.tell_end(exchange)
            if self._held_back is not None and exchange is self._current:
                asyncio.get_running_loop().call_soon(self._let_out)

    def on_body_fault(self, words: str) -> None:
        exchange = self._tail
        assert exchange is not None
        exchange.broken = words
        exchange.head.keep_alive = False
        self._fault = http1.HeadError(0)
        if self._ending or exchange is not self._current:
            return
        if self._held_back is not None:
            asyncio.get_running_loop().call_soon(self._let_out)
        elif self._discard_left is not None:
            self._linger()
        else:
            self.tell_end(exchange)

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
            self.tell_end(exchange)
        self._sync_reading()

    def take_held(self, exchange: Exchange) -> list[bytes]:
        """Let the request's body flow to the exchange from here on; what was held of it until now."""
        exchange.flowing = True
        held, exchange.held = exchange.held, None
        if not exchange.body_done:
            self._sync_reading()
        return held or []

    def tell_end(self, exchange: Exchange) -> None:
        if not exchange.flowing or exchange.body_told:
            return
        if exchange.body_done:
            exchange.body_told = True
            exchange.body_end()
        elif exchange.broken:
            exchange.body_told = True
            exchange.body_failed()

    def write(self, data: bytes) -> None:
        """Write a part of the current exchange's answer."""
        if self._held_back is not None:
            self._held_back.append(data)
            return
        self._wrote = True
        self.transport.write(data)

    def finish(self, exchange: Exchange, keep_alive: bool = True) -> None:
        """The exchange's answer is written; go on with the next request, or close."""
        if exchange is not self._current:
            return
        if self._held_back is not None:
            self._finished = keep_alive
            return
        if self._quick and keep_alive and not self.full and not self.server.stopping:
            self._current = None
            self._ready = True
            return
        exchange.held = None
        if not exchange.body_done:
            self._overtaken(exchange, keep_alive and exchange.head.keep_alive)
            return
        self._current = None
        if keep_alive and not self.server.stopping:
            self._advance()
        else:
            self._close()

    def abort(self, exchange: Exchange) -> None:
        """Cut the answer short: what was written goes out, then the connection ends."""
        if exchange is self._current:
            self._current = self._held_back = None
            self._close()

    def hijack(self, exchange: Exchange) -> tuple[asyncio.Transport, bytes]:
        """The connection itself, for a protocol that is not HTTP, and what the client has said in it so far."""
        leftover, self._leftover = self._leftover or b"", None
        self.server.connections.discard(self)
        self.server.has_head(self)
        self._current = None
        self._ending = True
        self.server.connection_gone()
        return self.transport, leftover

    def cut(self, exchange: Exchange) -> None:
        """End the connection at once; what was not sent yet is lost."""
        if exchange is self._current:
            self._current = self._held_back = None
            self._ending = True
            self.transport.abort()

    def answers_last(self, head: http1.Head) -> bool:
        """Whether the connection is to close after the answer to this request."""
        return not head.keep_alive or self.server.stopping

    def begin_answer(self, exchange: Exchange) -> bool:
        """The exchange's answer is about to be written: whether the connection is to close after it.

        Unless the server is full duplex, the request is read to its end before (net/http, chunkWriter.writeHeader):
        what is written is held back until then. A body of which `DISCARD_BYTES` or more are to come is not waited
        for, and one that turns out as long no longer; nor one that the client holds back itself. The connection ends
        then. Whoever reads a body holds its lock until the client's next byte, so that an answer waits for that.
        """
        last = self.answers_last(exchange.head)
        over = exchange.body_done or bool(exchange.broken)
        if over or exchange is not self._current or self.server.full_duplex:
            return last
        if exchange.head.expects_continue:
            return True
        length = exchange.head.content_length
        short = not last and (length is None or length - exchange.received < DISCARD_BYTES)
        if not (exchange.flowing or short):
            return True
        self.hold_answer(exchange, DISCARD_BYTES if short else 0)
        return last

    def hold_answer(self, exchange: Exchange, most: int) -> None:
        """Hold back what is written until the request's end, or until more than `most` of it came."""
        if self._held_back is None:
            self._held_back = []
            self._awaited = most
            self.full = True
            exchange.full()
            self._sync_reading()

    def close_if_idle(self) -> None:
        """Close unless a request is being answered."""
        if self._current is None and not self._queue:
            self._close()

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._current is not None or bool(self._queue)

    # --- within

    def _waits_on(self, exchange: Exchange, nbytes: int) -> None:
        """More of a request came whose answer waits for its end."""
        before, self._awaited = self._awaited, self._awaited - nbytes
        if before >= 0 > self._awaited:
            exchange.head.keep_alive = False
            asyncio.get_running_loop().call_soon(self._let_out)

    def _let_out(self) -> None:
        """What was held back goes out: the request is at its end, or is not waited for any more."""
        written, self._held_back = self._held_back, None
        finished, self._finished = self._finished, None
        exchange = self._current
        if written is None or exchange is None or self._ending:
            return
        said = b"".join(written)
        if not exchange.head.keep_alive:
            head, end, body = said.partition(b"\r\n\r\n")
            said = b"%b\r\nConnection: close%b%b" % (head, end, body) if end else said
        self.full = False
        if said:
            self.write(said)
        if finished is not None:
            self.finish(exchange, finished)
        elif self._fault is not None and not self._fault.status:
            exchange.flowing = True
            self.tell_end(exchange)
        elif not self.full:
            exchange.ready()

    def _advance(self) -> None:
        """Settle what was read: give the next request its turn, and read on or not."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while not self._ending:
                if self._discard_left is not None:
                    self._discarded(self._discard_left)
                if self._leftover is not None and self._current is None and not self._queue and not self._fresh:
                    self._read_leftover()
                if self._current is not None or not self._queue or self.full:
                    break
                self._wrote = False
                self._current, self._queue = self._queue[0], self._queue[1:] or _NONE_QUEUED
                if self._current.head.upgrade == b"h2c" and self._switch_to_http2(self._current):
                    break
                self._current.begin()
        finally:
            self._advancing = False
        if self._ending:
            return
        if self._fault is not None and self._current is None and not self._queue:
            if self._fault.status:
                self.transport.write(http1.refusal(self._fault.status, self._fault.detail))
            self._linger()
        else:
            self._sync_reading()
            if self._current is None:
                begun = not self._in_head or self._partial is not None
                self._ready = not (begun or self._paused or self.full or self._fresh)
                if self._partial is not None:
                    self.server.awaits_head(self)

    def _read_leftover(self) -> None:
        """No protocol was switched to: what came after the request is the next one."""
        held, self._leftover = self._leftover or b"", None
        self._feed_checked(held)

    def head_overdue(self) -> None:
        """A head took too long: close without a word, as Go does."""
        if self._current is None and not self._queue:
            self._close()

    def _broken(self, fault: http1.HeadError) -> None:
        """What came is no request, or not safe: it is answered after all that came before; the connection ends."""
        self._fault = fault

    def _discarded(self, left: int) -> None:
        """After an answer that overtook its request: the rest of the body has been read, or turned out long."""
        if left < 0:
            self._linger()
        elif self._current is not None and self._current.body_done:
            self._discard_left = None
            self._current = None

    def _sync_reading(self) -> None:
        current = self._current
        wanted = self._fault is None and not self._queue and len(self._leftover or b"") <= MOST_UPGRADE_BYTES
        if wanted and current is not None:
            drained = self._discard_left is not None or self._held_back is not None
            wanted = current.body_done or current.flowing or drained
        if wanted == self._paused and not self.transport.is_closing():
            self._paused = not wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _overtaken(self, exchange: Exchange, keep_alive: bool) -> None:
        """The answer was faster than the request's body: read the rest away if it is short, else close."""
        length = exchange.head.content_length
        if exchange.head.expects_continue and not exchange.received:
            self._discard_left = 0  # the body is read by nobody, but awaited: only its first byte ends the connection
            self._sync_reading()
            return
        if not keep_alive or self.server.stopping or (length is not None and length > DISCARD_BYTES):
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
        over = self._discard_left is not None or self._finished is not None
        self._current = self._held_back = None
        self._queue = _NONE_QUEUED
        self._ending = True
        if current is not None and not over:
            current.abandoned()
        for exchange in queue:
            exchange.held = None
