"""Whose turn it is on a client's connection: requests are answered one at a time, in the order in which they came.

What is not wanted yet stays in the kernel: reading pauses while an exchange does not take its body and while a
further request waits behind it. `states.py` has the states, and the moves between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from emu.daemon.http import http1
from emu.daemon.http.endings import NONE_QUEUED, Endings
from emu.daemon.http.exchange import AnyExchange, Exchange
from emu.daemon.http.overtaken import Rest, most_to_discard
from emu.daemon.http.registry import Registry
from emu.daemon.http.states import ANSWERED, ANSWERING, BEGUN, DISCARDING, HOLDING, IDLE, LINGERING, READING

DISCARD_BYTES = 256 * 1024
"""A request's body is read to its end, to keep its connection, up to this (net/http, maxPostHandlerReadBytes)."""
MOST_UPGRADE_BYTES = 4096
"""Read at most this much of what a client says in the protocol that it hopes to switch to."""


class Turns(Endings):
    """The requests of one connection; what is read comes in through `feed`, and is settled by `advance`."""

    __slots__ = ("_advancing", "_exchanges")

    def __init__(self, server: Registry, exchanges: Callable[..., Exchange]) -> None:
        super().__init__(server)
        self._exchanges = exchanges
        self._advancing = False

    # --- what is read

    def feed(self, data: bytes) -> None:
        """Take in what was read."""
        self._alone = False
        try:
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
        except http1.HeadError as wrong:
            self._fault = wrong

    def on_head(self, head: http1.Head) -> None:
        self.server.has_head(self)
        exchange = self._exchanges(self, head)
        self._tail = exchange
        self._queue = [*self._queue, exchange]

    def on_body(self, data: bytes) -> None:
        exchange = self._tail
        assert exchange is not None
        if self.state >= LINGERING:
            return
        exchange.received += len(data)
        rest = self._rest
        if rest is not None and exchange is self.current:
            long = rest.take(len(data))
            if self.state is DISCARDING:
                return  # `advance` sees how much it was
            if long:
                exchange.head.keep_alive = False
                self._wait_no_more(rest)
            if self.state is ANSWERED:
                return  # it is no longer wanted
        if exchange.flowing:
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
        if self.state < LINGERING:
            self.notify_end(exchange)
            if self.state in (HOLDING, ANSWERED) and exchange is self.current:
                self._wait_no_more(self._rest)

    def on_body_fault(self, words: str) -> None:
        exchange = self._tail
        assert exchange is not None
        exchange.broken = words
        exchange.head.keep_alive = False
        self._fault = http1.HeadError(0)
        if self.state >= LINGERING or exchange is not self.current:
            return
        if self.state in (HOLDING, ANSWERED):
            self._wait_no_more(self._rest)
        elif self.state is DISCARDING:
            self._linger()
        else:
            self.notify_end(exchange)

    def _sync_reading(self) -> None:
        current = self.current
        wanted = self._fault is None and not self._queue and len(self._leftover or b"") <= MOST_UPGRADE_BYTES
        if wanted and current is not None:
            wanted = current.body_done or current.flowing or self._rest is not None
        self.flow.read(wanted)

    # --- the exchange's side

    def take_body(self, exchange: AnyExchange, flowing: bool = True) -> None:
        if exchange is not self.current or flowing == exchange.flowing:
            return
        exchange.flowing = flowing
        if flowing:
            held, exchange.held = exchange.held, None
            for data in held or ():
                exchange.body(data)
            self.notify_end(exchange)
        self._sync_reading()

    def take_held(self, exchange: Exchange) -> list[bytes]:
        exchange.flowing = True
        held, exchange.held = exchange.held, None
        if not exchange.body_done:
            self._sync_reading()
        return held or []

    def notify_end(self, exchange: Exchange) -> None:
        if not exchange.flowing or exchange.end_notified:
            return
        if exchange.body_done:
            exchange.end_notified = True
            exchange.body_end()
        elif exchange.broken:
            exchange.end_notified = True
            exchange.body_failed()

    def answers_last(self, head: http1.Head) -> bool:
        return not head.keep_alive or self.server.stopping

    def begin_answer(self, exchange: AnyExchange) -> bool:
        """Whether the connection is to close after the answer, which is about to be written.

        Unless the server is full duplex, the request is read to its end before (net/http, chunkWriter.writeHeader):
        what is written is held back until then. A body of which `DISCARD_BYTES` or more are to come is not waited
        for, and one that turns out as long no longer; nor one that the client holds back itself. The connection ends
        then. Whoever reads a body holds its lock until the client's next byte, so that an answer waits for that. A
        connection that closes after the answer anyway waits for nothing.
        """
        last = self.answers_last(exchange.head)
        over = exchange.body_done or bool(exchange.broken)
        if exchange is not self.current or self.server.full_duplex:
            return last
        if exchange.head.expects_continue and exchange.head.content_length != 0:
            if exchange.flowing and not over:
                self.hold_answer(exchange, 0)
            return last or not (exchange.flowing and over)
        if over or last:
            return last
        length = exchange.head.content_length
        short = length is None or length - exchange.received < DISCARD_BYTES
        if not (exchange.flowing or short):
            return True
        self.hold_answer(exchange, DISCARD_BYTES if short else 0)
        return last

    def hold_answer(self, exchange: Exchange, most: int) -> None:
        if self._rest is None and exchange is self.current:
            self.move(HOLDING)
            self._rest = Rest(most)
            exchange.full()
            self._sync_reading()

    def _wait_no_more(self, rest: Rest | None) -> None:
        """The request is at its end, or not waited for any more: what was held back goes out, but not from here."""
        if rest is not None and not rest.ends:
            rest.ends = True
            asyncio.get_running_loop().call_soon(self._let_out, rest)

    def _let_out(self, rest: Rest) -> None:
        exchange = self.current
        if rest is not self._rest or exchange is None:  # it is over, or another request has its turn, by now
            return
        whole = self.state is ANSWERED
        self._rest = None
        self.move(ANSWERING)
        said = rest.answer(exchange.head.keep_alive)
        if said:
            self.transport.write(said)
        if whole:
            self.finish(exchange, rest.keep_alive)
        elif self._fault is not None and not self._fault.status:
            exchange.flowing = True
            self.notify_end(exchange)
        elif not self.flow.stuck:
            exchange.ready()

    def write(self, data: bytes) -> None:
        if self.state is HOLDING:
            assert self._rest is not None
            self._rest.written.append(data)
            return
        if self.state is BEGUN:
            self.state = ANSWERING
        self.transport.write(data)

    def finish(self, exchange: AnyExchange, keep_alive: bool = True) -> None:
        if exchange is not self.current:
            return
        if self.state is HOLDING:
            assert self._rest is not None
            self._rest.keep_alive = keep_alive
            self.move(ANSWERED)
            return
        kept = keep_alive and not self.server.stopping
        if self._alone and kept and not self.flow.stuck:
            # What `advance` would find, without its looking.
            self.current = None
            self.state = IDLE
            return
        exchange.held = None
        if not exchange.body_done:
            self._overtaken(exchange, keep_alive and exchange.head.keep_alive)
            return
        self.current = None
        if kept:
            self.move(READING)
            self.advance()
        else:
            self.close()

    def _overtaken(self, exchange: Exchange, keep_alive: bool) -> None:
        """The answer was faster than the request's body: read the rest away if it is short, else close."""
        most = most_to_discard(exchange, keep_alive, self.server.stopping, DISCARD_BYTES)
        if most is None:
            self._linger()
            return
        if most:
            exchange.flowing = False
        if exchange.head.expects_continue:
            exchange.head.keep_alive = False
        self.move(DISCARDING)
        self._rest = Rest(most)
        self._sync_reading()

    # --- the next

    def advance(self) -> None:
        """Settle what was read: give the next request its turn, and read on or not."""
        if self._advancing:
            return  # a request that is answered within its `begin` comes back here; the loop below has the next one
        self._advancing = True
        try:
            while self.state < LINGERING:
                if self.state is DISCARDING:
                    self._look_at_rest()
                if self._leftover is not None and not self.busy:
                    # No protocol was switched to: what came after the request is the next one.
                    held, self._leftover = self._leftover, None
                    self.feed(held)
                if self.current is not None or not self._queue or self.flow.stuck:
                    break
                self.begin_next()
        finally:
            self._advancing = False
        if self.state < LINGERING:
            self._settle()

    def begin_next(self) -> None:
        """It is the turn of the first in the queue."""
        exchange = self._queue[0]
        self._queue = self._queue[1:] or NONE_QUEUED
        self.move(BEGUN)
        self.current = exchange
        if exchange.head.upgrade != b"h2c" or not self.switch_to_http2(exchange):
            exchange.begin()

    def switch_to_http2(self, exchange: Exchange) -> bool:
        """A request asks for HTTP/2: whether the connection speaks it from here on."""
        return False

    def _look_at_rest(self) -> None:
        """After an answer that overtook its request: the rest of it has been read, or turned out long."""
        assert self._rest is not None
        assert self.current is not None
        if self._rest.left < 0 or (self.current.body_done and not self.current.head.keep_alive):
            self._linger()
        elif self.current.body_done:
            self.current = self._rest = None
            self.move(READING)

    def _settle(self) -> None:
        """No request is to begin now: read on or not."""
        if self._fault is not None and not self.busy:
            if self._fault.status:
                self.transport.write(http1.refusal(self._fault.status, self._fault.detail))
            self._linger()
            return
        self._sync_reading()
        if self.current is None:
            begun = not self._in_head or self._partial is not None
            found = READING if begun or self.flow.paused or self.flow.stuck else IDLE
            if found is not self.state:
                self.move(found)
            if self._partial is not None:
                self.server.awaits_head(self)
