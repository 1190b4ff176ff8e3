"""A client's connection and how it ends: at once, after what was written, in time for a client to read its answer."""

from __future__ import annotations

import asyncio

from emu.daemon.http import http1
from emu.daemon.http.exchange import AnyExchange, Exchange
from emu.daemon.http.flow import FlowControl
from emu.daemon.http.overtaken import Rest
from emu.daemon.http.registry import Registry
from emu.daemon.http.request_reader import RequestReader
from emu.daemon.http.states import (
    ANSWERED,
    CLOSED,
    DISCARDING,
    FRESH,
    HOLDING,
    LINGERING,
    MOVES,
    READING,
    SWITCHED,
    State,
    impossible,
)

LINGER_S = 0.5
"""How long a connection is read on after an answer that overtook its request (net/http, rstAvoidanceDelay)."""
NONE_QUEUED: list[Exchange] = []
"""Stands for every empty queue; never appended to."""


class Endings(RequestReader):
    """The state of a connection, the requests that it is about, and its ends."""

    __slots__ = (
        "_alone",
        "_fault",
        "_leftover",
        "_queue",
        "_rest",
        "_tail",
        "current",
        "flow",
        "peer",
        "peer_port",
        "server",
        "state",
        "transport",
    )

    def __init__(self, server: Registry) -> None:
        super().__init__(server.two_framings)
        self.server = server
        self.state: State = READING if server.http2 is None else FRESH
        self.current: Exchange | None = None
        """Whose turn it is."""
        self._alone = False
        """It was all that had come when its turn began, and nothing was read since."""
        self._queue: list[Exchange] = NONE_QUEUED
        """Who comes after it."""
        self._tail: Exchange | None = None
        """The newest: the one that is read."""
        self._rest: Rest | None = None
        """Of the current request, if its answer has begun and its end is waited for: while HOLDING, ANSWERED and
        DISCARDING.
        """
        self._fault: http1.HeadError | None = None
        """Why nothing more is read; it is answered after all that came before. Status 0: the exchange answers it."""
        self._leftover: bytes | None = None
        """What came after a request that asked to switch protocols; None while there is no such request."""
        self.peer, self.peer_port = "", 0
        self.transport: asyncio.Transport
        self.flow: FlowControl

    @property
    def full(self) -> bool:
        """Whether the exchange is to write no more: the client does not read it, or its request is to end first."""
        return self.flow.stuck or self._rest is not None

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self.current is not None or bool(self._queue)

    @property
    def fresh(self) -> bool:
        """Whether no request was read of it."""
        return self._tail is None

    def move(self, to: State) -> None:
        """Go to another state. AssertionError where the table knows no such move."""
        if to not in MOVES[self.state]:
            raise impossible(self.state, to)
        self.state = to

    def _forget(self, end: State) -> None:
        """No request has a turn any more."""
        self.move(end)
        self.current = self._rest = None
        self._queue = NONE_QUEUED

    def hijack(self, exchange: Exchange) -> tuple[asyncio.Transport, bytes]:
        """The connection itself, for a protocol that is not HTTP, and what the client has said in it so far."""
        leftover, self._leftover = self._leftover or b"", None
        # Whoever has the transport now closes it: from SWITCHED the table leads to CLOSED alone.
        self._forget(SWITCHED)
        self.server.connection_gone(self)
        return self.transport, leftover

    def abort(self, exchange: AnyExchange) -> None:
        """Cut the answer short: what was written goes out, then the connection ends."""
        if exchange is self.current:
            self.close()

    def end_short(self, exchange: AnyExchange) -> None:
        if exchange is not self.current:
            return
        if self.state is HOLDING:
            assert self._rest is not None
            if not self.server.full_duplex:
                self._rest.keep_alive = False
                self.move(ANSWERED)
                return
            self.transport.write(b"".join(self._rest.written))
        self.close()

    def cut(self, exchange: Exchange) -> None:
        """End the connection at once; what was not sent yet is lost."""
        if exchange is self.current:
            self._forget(CLOSED)
            self.transport.abort()

    def close(self) -> None:
        """Send what was written, then close."""
        self._forget(CLOSED)
        self.transport.close()

    def abandon(self) -> None:
        """The client is gone."""
        # In these two its exchange has given its whole answer, and may serve another request by now.
        current = None if self.state in (ANSWERED, DISCARDING) else self.current
        queue = self._queue
        self._forget(CLOSED)
        if current is not None:
            current.abandoned()
        for exchange in queue:
            exchange.held = None

    def _linger(self) -> None:
        """Close in a way that lets the client read its answer: a RST for unread bytes would destroy it."""
        self._forget(LINGERING)
        transport = self.transport
        if transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        self.flow.read(True)
        asyncio.get_running_loop().call_later(LINGER_S, transport.close)

    def close_if_idle(self) -> None:
        """Close unless a request is being answered."""
        if not self.busy:
            self.close()

    def head_overdue(self) -> None:
        """A head took too long: close without a word, as Go does."""
        self.close_if_idle()
