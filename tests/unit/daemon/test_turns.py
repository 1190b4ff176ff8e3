"""A client's connection in this process: whatever happens in whatever order, it makes only the moves of its table."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.daemon.http import http1
from emu.daemon.http.exchange import ClientSide, Exchange
from emu.daemon.http.flow import Stuck
from emu.daemon.http.registry import Registry
from emu.daemon.http.server_connection import PREFACE, DownstreamConnection
from emu.daemon.http.states import CLOSED, HOLDING, SWITCHED

POST = b"POST /long HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n"
REQUESTS = [
    b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
    b"POST /broken HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    b"POST /expects HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    POST + b"x" * 9000,
    b"POST /huge HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"x" * 3000,
    b"GET /old HTTP/1.0\r\n\r\n",
    b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABk\r\n\r\n",
    b"\r\n",
    b"no request\r\n\r\n",
    PREFACE,
    PREFACE[:9],
]
EXCHANGE_ACTS = ["answer", "write", "finish", "take_body", "leave_body", "begin_answer", "abort", "cut", "hijack"]
CONNECTION_ACTS = ["read", "read a little", "tick", "full", "half-close", "hang up", "stop", "overdue"]


class Pipe(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.said = b""
        self.paused = self.closing = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """None are needed."""

    def write(self, data: Any) -> None:
        self.said += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nobody sees it."""

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True


class Scripted(Exchange):
    """Answers at once, or when it is asked to."""

    def __init__(self, conn: ClientSide, head: http1.Head, prompt: bool) -> None:
        super().__init__(conn, head)
        self.prompt = prompt
        self.begun = 0
        self.came = b""
        self.over = False

    def begin(self) -> None:
        self.begun += 1
        if self.prompt:
            self.act("answer")

    def body(self, data: bytes) -> None:
        self.came += data

    def abandoned(self) -> None:
        assert not self.over
        self.over = True

    def act(self, what: str) -> None:
        """Do what an exchange may do while it has its turn."""
        conn = self.conn
        if what == "answer":
            self.over = True
            self.answer(200, b"ok")
        elif what == "write":
            conn.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif what == "finish":
            self.over = True
            conn.finish(self)
        elif what in ("take_body", "leave_body"):
            conn.take_body(self, what == "take_body")
        elif what == "begin_answer":
            conn.begin_answer(self)
        elif what in ("abort", "cut"):
            self.over = True
            (conn.abort if what == "abort" else conn.cut)(self)
        elif what == "hijack" and self.body_done:
            self.over = True
            conn.hijack(self)


class Connected:
    """A connection, what its client is about to send, and its requests so far."""

    def __init__(self, *, full_duplex: bool, http2: bool, prompt: bool) -> None:
        server = Registry(full_duplex=full_duplex, http2=(lambda *_: None) if http2 else None)
        self.server = server
        self.requests: list[Scripted] = []
        self.prompt = prompt
        self.conn = DownstreamConnection(server, self._exchange)
        self.pipe = Pipe()
        self.conn.connection_made(self.pipe)
        self.coming = b""
        self.stuck = self.lost = False

    def _exchange(self, conn: DownstreamConnection, head: http1.Head) -> Scripted:
        self.requests.append(Scripted(conn, head, self.prompt))
        return self.requests[-1]

    def read(self, most: int) -> None:
        """What the transport does when it is readable."""
        conn = self.conn
        if self.coming and not (self.pipe.paused or self.pipe.closing):
            buffer = conn.get_buffer(-1)
            size = min(len(buffer), len(self.coming), most)
            buffer[:size], self.coming = self.coming[:size], self.coming[size:]
            conn.buffer_updated(size)

    async def act(self, what: str | bytes) -> None:
        """One of the acts, or a request that the client sends."""
        conn = self.conn
        if isinstance(what, bytes):
            self.coming += what
        elif what == "tick":
            await asyncio.sleep(0)
        elif what in EXCHANGE_ACTS:
            current = next((one for one in self.requests if one is conn.current and not one.over), None)
            if current is not None:
                current.act(what)
        elif what in ("read", "read a little"):
            self.read(1 << 20 if what == "read" else 7)
        elif what == "full" and self.pipe.said and not self.pipe.closing:
            self.stuck = not self.stuck
            (conn.pause_writing if self.stuck else conn.resume_writing)()
        elif what == "half-close" and not self.pipe.closing:
            if not conn.eof_received():
                self.pipe.close()
        elif what == "hang up":
            self.hang_up()
        elif what == "stop":
            self.server.stopping = True
            for each in list(self.server.connections):
                each.close_if_idle()
        elif what == "overdue" and conn in self.server.connections:
            conn.head_overdue()

    def hang_up(self) -> None:
        """The connection is lost; whoever took it over hears of it instead."""
        if not self.lost and self.conn.state is not SWITCHED:
            self.lost = self.pipe.closing = True
            self.conn.connection_lost(None)


@settings(max_examples=200, deadline=None)
@given(
    acts=st.lists(
        st.one_of(
            st.sampled_from(REQUESTS),
            st.sampled_from(EXCHANGE_ACTS),
            st.just("read"),
            st.sampled_from(CONNECTION_ACTS),
        ),
        max_size=40,
    ),
    full_duplex=st.booleans(),
    http2=st.booleans(),
    prompt=st.booleans(),
)
def test_any_order_of_events_makes_moves_of_the_table_only(
    acts: list[str | bytes], full_duplex: bool, http2: bool, prompt: bool
) -> None:
    """An impossible move raises. Nobody has more than one turn, and nothing stays behind of a client that is gone."""

    async def play() -> None:
        before = Stuck.count
        connected = Connected(full_duplex=full_duplex, http2=http2, prompt=prompt)
        for act in acts:
            if connected.lost or connected.conn.state is SWITCHED:
                break
            await connected.act(act)
        connected.hang_up()
        await asyncio.sleep(0)
        conn = connected.conn
        assert conn.state in (CLOSED, SWITCHED)
        assert conn.current is None and not conn.busy
        assert conn not in connected.server.connections
        assert all(one.begun <= 1 for one in connected.requests)
        assert all(one.over for one in connected.requests if one.begun)
        assert conn.state is SWITCHED or Stuck.count == before
        Stuck.count = before

    asyncio.run(play())


def test_a_client_that_leaves_while_its_answer_is_held_back_reads_no_more_slowly() -> None:
    """It was never written to: it does not count among those that are slow, before or after."""

    async def play() -> None:
        before = Stuck.count
        connected = Connected(full_duplex=False, http2=False, prompt=False)
        await connected.act(POST)
        await connected.act("read")
        await connected.act("begin_answer")
        assert connected.conn.state is HOLDING
        assert connected.conn.full
        connected.hang_up()
        assert Stuck.count == before

    asyncio.run(play())


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.integers(1, 3000), max_size=12), pauses=st.booleans())
def test_a_body_comes_whole_in_whatever_pieces(sizes: list[int], pauses: bool) -> None:
    """Once and in order, also where its reader pauses between them; the request behind it has its turn after it."""

    async def play() -> None:
        connected = Connected(full_duplex=False, http2=False, prompt=False)
        body = bytes(range(250)) * 36
        connected.coming = POST + body + REQUESTS[0]
        connected.read(len(POST))
        first = connected.requests[0]
        for size in [*sizes, *[1 << 20] * 4]:
            first.act("take_body")
            connected.read(size)
            if pauses and not first.body_done:
                first.act("leave_body")
                assert connected.pipe.paused
        assert (first.came, first.received, first.body_done) == (body, len(body), True)
        first.act("answer")
        connected.read(1 << 20)
        assert [one.head.target for one in connected.requests] == [b"/long", b"/plain"]
        assert connected.conn.current is connected.requests[1]

    asyncio.run(play())
