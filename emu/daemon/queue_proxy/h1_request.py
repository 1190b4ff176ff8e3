"""A request in HTTP/1 on its way to the app: a connection to it, and the body streamed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from emu.daemon.http import forward, http1
from emu.daemon.http.client import Asker, UpstreamConnection
from emu.daemon.http.exchange import ClientSide, Exchange
from emu.daemon.http.upstream import BROKEN, DialError, broken_words
from emu.daemon.queue_proxy.answer_writer import ANSWER_BUFFER_BYTES
from emu.daemon.queue_proxy.exchange import ProxiedExchange

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.proxy import Proxy

SAFE_TO_REPEAT = (b"GET", b"HEAD", b"OPTIONS", b"TRACE")
CONTINUE_WAIT_S = 1.0
"""How long the app may take to say `100 Continue` before the body is sent anyway (net/http, DefaultTransport)."""


class Http1Request(Exchange, ProxiedExchange, Asker):
    """The request's side of an exchange."""

    __slots__ = ("_app", "_continue_timer", "_unsent", "_words", "_words_cut")

    def __init__(self, proxy: Proxy, conn: ClientSide, head: http1.Head) -> None:
        super().__init__(proxy, conn, head)
        self._app: UpstreamConnection | None = None
        self._continue_timer: asyncio.TimerHandle | None = None
        self._unsent: int | None = None
        """Of the body, what came since the app was gone; None while it is not."""
        self._words = self._words_cut = ""
        """What the client gets for that; and if it sends no more."""

    def connect(self, now: float) -> None:
        app = self._proxy.app.take(now)
        if app is None:
            self._dialing = asyncio.get_running_loop().create_task(self._dial())
        else:
            self.send(app)

    async def _dial(self) -> None:
        try:
            app = await self._proxy.app.dial()
        except DialError as failed:
            self.not_dialed(failed)
            return
        self._dialing = None
        if self.over:
            app.drop()
        else:
            self.send(app)

    def send(self, app: UpstreamConnection) -> None:
        """Ask the app over this connection."""
        way, head = self.way, self.head
        assert way is not None
        app.ask(self, head.method == b"HEAD")
        self._app = app
        self._may_repeat = self.body_done and not self.held and app.used > 1 and head.method in SAFE_TO_REPEAT
        if self.conn.full:
            app.pause()
        first = forward.app_head(way, head, self._proxy.app.address)
        if not self._may_repeat:
            way.headers = []
        if head.content_length == 0:
            app.transport.write(first)
        elif head.expects_continue:
            app.transport.write(first)
            self._continue_timer = asyncio.get_running_loop().call_later(CONTINUE_WAIT_S, self._take_expected)
        else:
            self._send_with_body(app, first)

    def _send_with_body(self, app: UpstreamConnection, first: bytes) -> None:
        """The head and what has come of the body, in one write."""
        pieces = self.conn.take_held(self)
        if self.head.chunked:
            pieces = [http1.chunk(piece) for piece in pieces]
            if self.body_done:
                self.end_notified = True
                pieces.append(http1.LAST_CHUNK)  # see body_end
        app.transport.write(b"".join([first, *pieces]) if pieces else first)
        self.conn.notify_end(self)

    def _take_expected(self) -> None:
        """The body that the client holds back: ask for it, for the app wants it or has said nothing."""
        self._continue_timer = None
        if self.over or self.flowing or self._app is None:
            return
        if not self._informed:
            self.conn.write(http1.CONTINUE)  # by the server, and no answer of the app's
        self.conn.take_body(self)

    def body(self, data: bytes) -> None:
        if self._unsent is not None:
            self._unsent += len(data)
            if self._unsent > ANSWER_BUFFER_BYTES and not self.over:
                self._not_sent()
        if self._app is None or self.over:
            return
        self._app.transport.write(http1.chunk(data) if self.head.chunked else data)

    def body_end(self) -> None:
        if self._unsent is not None and not self.over:
            self._not_sent()
        if self._app is None or self.over:
            return
        if self.head.chunked:
            self._app.transport.write(http1.LAST_CHUNK)  # its trailers stay here, announced or not (httputil)

    def broke_amid_body(self, app: UpstreamConnection, why: Exception | None) -> None:
        """The app is gone while the request's body comes: it is answered once more of that cannot be sent, or it ends
        (net/http, mapRoundTripError waits for who writes).
        """
        self._unsent = 0
        if self.head.chunked:
            self._words = self._words_cut = self.words_of(app, why)
        else:
            ends = app.ends()
            self._words = f"readfrom {ends}: write {ends}: use of closed network connection"
            self._words_cut = f"readfrom {ends}: unexpected EOF"

    def words_of(self, app: UpstreamConnection, why: Exception | None) -> str:
        """What Go's transport says of a connection that broke; more where something of an answer had come."""
        words = broken_words(app, why)
        return f"{BROKEN}: {words}" if self._informed and words.startswith("read ") else words

    def _not_sent(self) -> None:
        self._unsent = None
        self.app_broke(self._words)

    def body_failed(self) -> None:
        """The client's chunks are none: the app's connection ends, and the client is answered if it is not yet."""
        if self.over:
            return
        app, self._app = self._app, None
        if app is not None:
            app.leave()
        if not self.begun:
            self.note("protocol", 502, self.broken)
            self.fail(502, f"{self.broken}\n".encode())
        else:
            self.break_off("protocol", self.broken)

    def request_full(self) -> None:
        self.conn.take_body(self, False)

    def request_ready(self) -> None:
        if self._continue_timer is None:
            self.conn.take_body(self)
