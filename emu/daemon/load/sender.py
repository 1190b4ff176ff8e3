"""One request of the load: sent over a connection, its answer counted, its end recorded under a name."""

from __future__ import annotations

import asyncio
import base64
import errno
import socket
import time
from typing import Protocol

from emu.daemon.http import http1
from emu.daemon.http.client import Asker, BadAnswerError, EarlyEndError, UpstreamConnection, connect
from emu.daemon.load.connections import Choice
from emu.messages.requests import RequestError
from emu.policy.loadplan import Phase, RequestSpec, WebSocketSpec

BODY_BLOCK = 64 * 1024
SLOW_TICK_S = 0.05
"""Slow senders let out what their rate allows at each of these; one timer serves them all."""

_block = bytes(range(256)) * (BODY_BLOCK // 256)


def content_of(spec: RequestSpec) -> bytes | None:
    """The body of a request that has one of its own; None for `body_bytes` of filler."""
    return None if spec.content is None else base64.b64decode(spec.content)


def request_head(spec: RequestSpec, host: str, keep_alive: bool) -> bytes:
    """The bytes of a request's head."""
    lines = [f"{spec.method} {spec.path} HTTP/1.1"]
    named = {name.lower() for name in spec.headers}
    if "host" not in named:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in spec.headers.items()]
    if (spec.body_bytes or spec.method in ("POST", "PUT", "PATCH")) and not named & {
        "content-length",
        "transfer-encoding",
    }:
        lines.append(f"Content-Length: {spec.body_bytes}")
    if not keep_alive and "connection" not in named:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def error_name(why: BaseException | None, connecting: bool, answered: bool) -> RequestError:
    """The name under which a failure is recorded; `answered` once a byte of the answer's head was understood."""
    number = why.errno if isinstance(why, OSError) else None
    if number in (errno.EMFILE, errno.ENFILE):
        return "no-descriptors"
    if number in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
        return "no-ports"
    if isinstance(why, BadAnswerError):
        return "bad-response"
    if connecting:
        return "refused" if number == errno.ECONNREFUSED else "reset" if number == errno.ECONNRESET else "unreachable"
    if answered:
        return "short-body"
    return "closed" if why is None else "reset"


class SlowReader(UpstreamConnection):
    """A connection of a client that reads in small pieces, and whose kernel keeps little for it."""

    __slots__ = ("_piece",)

    def __init__(self, piece: int) -> None:
        super().__init__()
        self._piece = piece

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        kept: socket.socket = transport.get_extra_info("socket")
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, min(self._piece, BODY_BLOCK))

    def get_buffer(self, sizehint: int) -> memoryview:
        return super().get_buffer(sizehint)[: self._piece]


class Outcome(Protocol):
    """Who receives the outcome of a request."""

    def begins(self, request: Request) -> None:
        """Its own time begins now, not when it was taken up: `begun` has changed."""

    def sent(self, request: Request, now: float) -> None:
        """Its first byte goes out, or was tried to."""

    def done(self, request: Request, now: float, error: RequestError | None) -> None:
        """It has ended, well or under the name of an error."""


class Request(Asker):
    """One request from its due time to its end. `number` identifies it; `due` and `begun`, when it was taken up, are
    CLOCK_MONOTONIC seconds. `content` is a body of its own.
    """

    __slots__ = (
        "_connecting",
        "_connection",
        "_connections",
        "_content",
        "_full",
        "_head",
        "_left",
        "_outcome",
        "_owed_since",
        "_reading_since",
        "_slow",
        "_went",
        "begun",
        "body_bytes",
        "due",
        "first_byte",
        "number",
        "over",
        "phase",
        "place",
        "ports",
        "status",
    )

    def __init__(
        self,
        number: int,
        phase: Phase,
        due: float,
        head: bytes,
        content: bytes | None,
        connections: Choice,
        outcome: Outcome,
    ) -> None:
        self.number = number
        self.phase = phase
        self.due = due
        self.begun = time.monotonic()
        self.status: int | None = None
        self.first_byte: float | None = None
        self.body_bytes = 0
        self.over = False
        self._head = head
        self._content = content
        self.place = connections.choose()
        """Where it is sent."""
        self.ports: list[int] = []
        """The client's own and the server's; empty while there is no connection."""
        self._went = False
        self._connections = connections.of(self.place)
        self._outcome = outcome
        self._connection: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._left = phase.request.body_bytes
        self._full = False
        self._slow: SlowSenders | None = None
        self._owed_since = 0.0
        self._reading_since = 0.0

    def start(self, slow: SlowSenders) -> None:
        """Send it now, over a kept connection or a new one."""
        self._slow = slow
        if self.phase.request.websocket is not None:
            self._connecting = asyncio.get_running_loop().create_task(self._converse(self.phase.request.websocket))
            return
        kept = self._connections.take(self.place) if self._may_keep else None
        if kept is not None:
            self._goes(time.monotonic(), self._end_of(kept))
            self._send(kept)
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def _begins(self) -> None:
        """Of many at once each waits for those before it: that is our own time."""
        self.begun = time.monotonic()
        self._outcome.begins(self)

    async def _converse(self, talk: WebSocketSpec) -> None:
        from emu.daemon.http.websocket import Conversation, ProtocolError

        self._begins()
        conversation = Conversation(*self.place.server, self._head)
        failed: BaseException | None = None
        error: RequestError | None = None
        try:
            self._goes(self.begun, (await conversation.connect()).get_extra_info("sockname"))
            await conversation.hold(talk.messages, talk.every_s, talk.size)
        except (ProtocolError, ValueError):
            error = "bad-response"
        except asyncio.IncompleteReadError:
            error = "closed"
        except OSError as broken:
            failed = broken
        self._connecting = None
        self._goes(self.begun)
        self.status, self.first_byte = conversation.status, conversation.first_byte
        self.body_bytes = conversation.echoed_bytes
        if failed is not None:
            answered = conversation.first_byte is not None
            error = error_name(failed, connecting=isinstance(failed, ConnectionRefusedError), answered=answered)
        self._end(error)

    async def _connect(self) -> None:
        self._begins()
        try:
            connection = await connect(*self.place.server, make=self._protocol)
        except OSError as failed:
            self._connecting = None
            if isinstance(failed, EarlyEndError):
                self._goes(time.monotonic(), self._end_of(failed.connection))
                self._end(error_name(failed.why, connecting=False, answered=False))
            else:
                self._goes(time.monotonic())
                self._end(error_name(failed, connecting=True, answered=False))
            return
        self._connecting = None
        self._goes(time.monotonic(), self._end_of(connection))
        self._send(connection)

    def _end_of(self, connection: UpstreamConnection) -> tuple[str, int] | None:
        """Our end of it, where somebody is to be known by that: an activator."""
        if self.place.pod or self.phase.pod:
            return None
        if connection.ours is None:  # asked once: each time is a call to the kernel
            connection.ours = connection.transport.get_extra_info("sockname")
        return connection.ours

    def _goes(self, now: float, own: tuple[str, int] | None = None) -> None:
        """Its first byte goes out over a connection that has this end, or could not: said once."""
        if self._went:
            return
        self._went = True
        if own:
            self.ports = [own[1], self.place.port]
        self._outcome.sent(self, now)

    @property
    def _may_keep(self) -> bool:
        """A slow reader has a connection of its own, for its buffers are small."""
        return self.phase.keep_alive and self.phase.request.read_rate is None

    def _protocol(self) -> UpstreamConnection:
        rate = self.phase.request.read_rate
        return UpstreamConnection() if rate is None else SlowReader(max(1, int(rate * SLOW_TICK_S)))

    def _send(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        spec = self.phase.request
        connection.ask(self, spec.method == "HEAD")
        if spec.send_rate is None:
            first = min(self._left, BODY_BLOCK)
            self._left -= first
            connection.transport.write(self._head + self._body(0, first) if first else self._head)
            self.request_ready()
        else:
            connection.transport.write(self._head)
            self._owed_since = time.monotonic()
            if self._left and self._slow is not None:
                self._slow.add(self)

    def request_full(self) -> None:
        self._full = True

    def request_ready(self) -> None:
        self._full = False
        if self.phase.request.send_rate is not None:
            return
        while self._left and not self._full and self._connection is not None:
            self._write(min(self._left, BODY_BLOCK))

    def owe(self, now: float) -> bool:
        """Send what the rate allows by now; whether there is more to send."""
        rate = self.phase.request.send_rate
        if self.over or rate is None or self._connection is None:
            return False
        allowed = int((now - self._owed_since) * rate) - (self.phase.request.body_bytes - self._left)
        while allowed > 0 and self._left and not self._full:
            size = min(allowed, self._left, BODY_BLOCK)
            allowed -= size
            self._write(size)
        return self._left > 0

    def _write(self, size: int) -> None:
        assert self._connection is not None
        piece = self._body(self.phase.request.body_bytes - self._left, size)
        self._left -= size
        self._connection.transport.write(piece)

    def _body(self, begin: int, size: int) -> bytes:
        """A piece of the body; one of filler is as long as it is asked for, wherever it begins."""
        return _block[:size] if self._content is None else self._content[begin : begin + size]

    # --- the answer

    def answer_head(self, status: int, reason: bytes, headers: http1.Headers, minor: int) -> None:
        if status >= 200:
            self.status = status
            self.first_byte = time.monotonic()

    def answer_body(self, data: bytes) -> None:
        self.body_bytes += len(data)
        if self._connection is not None and self.phase.request.read_rate is not None:
            self._read_slowly(self._connection, self.phase.request.read_rate)

    def _read_slowly(self, connection: UpstreamConnection, rate: float) -> None:
        """Read no more until the rate has caught up: the rest waits in the kernel, and then at the server."""
        now = time.monotonic()
        self._reading_since = self._reading_since or now
        wait_s = self._reading_since + self.body_bytes / rate - now
        if wait_s > 0:
            connection.pause()
            asyncio.get_running_loop().call_later(wait_s, self._read_on, connection)

    def _read_on(self, connection: UpstreamConnection) -> None:
        if connection is self._connection and not connection.closed:
            connection.resume()

    def answer_end(self, reusable: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if reusable and self._may_keep and not self._left:
                self._connections.give_back(connection)
            else:
                connection.drop()
        self._end(None)

    def connection_failed(self, why: Exception | None) -> None:
        self._connection = None
        self._end(error_name(why, connecting=False, answered=self.status is not None))

    # --- ends

    def give_up(self, error: RequestError) -> None:
        """The client waits no longer."""
        if self.over:
            return
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
            self._goes(time.monotonic() if self.phase.request.websocket is None else self.begun)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()
        self._end(error)

    def _end(self, error: RequestError | None) -> None:
        if not self.over:
            self.over = True
            self._outcome.done(self, time.monotonic(), error)


class SlowSenders:
    """Requests whose body goes out slowly, served by one timer."""

    def __init__(self) -> None:
        self._requests: dict[Request, None] = {}
        self._armed = False

    def add(self, request: Request) -> None:
        """From now on the request's body goes out at its rate."""
        self._requests[request] = None
        self._arm()

    def _arm(self) -> None:
        if not self._armed and self._requests:
            self._armed = True
            asyncio.get_running_loop().call_later(SLOW_TICK_S, self._tick)

    def _tick(self) -> None:
        self._armed = False
        now = time.monotonic()
        for request in [request for request in self._requests if not request.owe(now)]:
            del self._requests[request]
        self._arm()
