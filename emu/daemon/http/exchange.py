"""A request and its answer, and what it needs of the connection on which it came."""

from __future__ import annotations

import asyncio
from typing import Protocol

from emu.daemon.http import http1
from emu.daemon.http.flow import FlowControl


class ServedBy(Protocol):
    """What an exchange asks of the server that accepted its connection."""

    full_duplex: bool
    stopping: bool


class RequestSide(Protocol):
    """From where a request came, as its exchange sees it: a connection in HTTP/1, a stream in HTTP/2."""

    @property
    def transport(self) -> asyncio.Transport:
        """The connection's."""

    @property
    def peer(self) -> str:
        """The client's address."""

    def take_body(self, exchange: AnyExchange, flowing: bool = True) -> None:
        """Let the request's body flow to the exchange, or leave it where it is."""

    def begin_answer(self, exchange: AnyExchange) -> bool:
        """The exchange's answer is about to be written: whether the connection is to close after it."""

    def finish(self, exchange: AnyExchange, keep_alive: bool = True) -> None:
        """The exchange's answer is written; take the next request, or close."""

    def abort(self, exchange: AnyExchange) -> None:
        """Cut the answer short: what was written goes out, then the connection ends."""


class ClientSide(RequestSide, Protocol):
    """The client's connection in HTTP/1, as the exchange sees it whose turn it is."""

    @property
    def server(self) -> ServedBy:
        """The server that accepted the connection."""

    @property
    def peer_port(self) -> int:
        """The client's port; 0 on a unix socket."""

    @property
    def flow(self) -> FlowControl:
        """Whether the client reads what was written."""

    @property
    def full(self) -> bool:
        """Whether to write no more until `Exchange.ready`."""

    def take_held(self, exchange: Exchange) -> list[bytes]:
        """Let the request's body flow to the exchange from here on; what was held of it until now."""

    def notify_end(self, exchange: Exchange) -> None:
        """Call `body_end` or `body_failed`, once, if the body flows and is at its end."""

    def answers_last(self, head: http1.Head) -> bool:
        """Whether the connection is to close after the answer to this request."""

    def hold_answer(self, exchange: Exchange, most: int) -> None:
        """Hold back what is written until the request's end, or until more than `most` of it came."""

    def write(self, data: bytes) -> None:
        """Write a part of the current exchange's answer."""

    def end_short(self, exchange: Exchange) -> None:
        """The answer is all that there is: the connection ends after it, and once the request is read where it waits
        for that; in full duplex what was held back goes out now.
        """

    def cut(self, exchange: Exchange) -> None:
        """End the connection at once; what was not sent yet is lost."""

    def hijack(self, exchange: Exchange) -> tuple[asyncio.Transport, bytes]:
        """The connection itself, for a protocol that is not HTTP, and what the client has said in it so far."""


class AnyExchange:
    """One request and its answer. Subclasses say what happens; all of it runs on the loop."""

    __slots__ = (
        "body_done",
        "broken",
        "conn",
        "end_notified",
        "flowing",
        "head",
        "held",
        "received",
        "trailers",
        "whole",
    )

    def __init__(self, conn: RequestSide, head: http1.Head) -> None:
        self.conn = conn
        self.head = head
        self.flowing = self.end_notified = self.body_done = False
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
        raise NotImplementedError

    def full(self) -> None:
        """The client reads more slowly than we write: write no more until `ready`."""

    def ready(self) -> None:
        """Write again."""


class Exchange(AnyExchange):
    """One in HTTP/1."""

    __slots__ = ()

    conn: ClientSide

    def answer(self, status: int, body: bytes, headers: bytes = b"") -> None:
        """Head and body in one write, so that a small answer is one packet."""
        last = self.conn.begin_answer(self)
        self.conn.write(http1.whole_answer(self.head, status, body, headers, last))
        self.conn.finish(self, not last)


class AnyKnownRequest(Protocol):
    """A request that came before, byte for byte; see `known.Known`."""

    def exchange(self, conn: ClientSide) -> Exchange:
        """An exchange for it, to be begun at once, on this connection."""
