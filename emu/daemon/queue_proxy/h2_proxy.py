"""HTTP/2 on the way through queue-proxy: each stream is a request like any other, and the app is asked in HTTP/2 too.

What is the same as in HTTP/1 is in admission.py and exchange.py; here is how heads, bodies and ends are spoken.
"""

from __future__ import annotations

import asyncio
import time

from emu.daemon.http import forward, http1
from emu.daemon.http import h2_frames as frames
from emu.daemon.http.gohost import HostError, punycode_host
from emu.daemon.http.goquote import quoted
from emu.daemon.http.h2_frames import ErrorCodes
from emu.daemon.http.h2_stream import Piece
from emu.daemon.http.sniff import content_type
from emu.daemon.http.upstream import DialError
from emu.daemon.queue_proxy.exchange import ProxiedExchange
from emu.daemon.queue_proxy.h2_client_stream import ClientStream
from emu.daemon.queue_proxy.h2_known import (
    KnownAnswer,
    KnownStream,
    app_headers,
    client_headers,
    good_method,
    lower,
)
from emu.daemon.queue_proxy.h2_upstream import AppConnection, AppStream, Http2Connections
from emu.daemon.queue_proxy.proxy import Proxy

MOST_REPEATS = 7
"""An app that refuses a stream is asked again at once, then after 1, 2, 4 ... seconds (golang.org/x/net/http2,
Transport.RoundTripOpt).
"""
_TOO_LATE = (
    "http2: Transport: cannot retry err [{}] after Request.Body was written; "
    "define Request.GetBody to avoid this error"
)
"""What it says of a request with a body, which is not kept to be sent again (shouldRetryRequest)."""


class ProxiedStream(ProxiedExchange):
    """One request in HTTP/2."""

    __slots__ = ("_answer", "_headed", "_kept", "_repeats", "_stream", "_to", "_whose", "known")

    def __init__(
        self, proxy: Proxy, stream: ClientStream, head: http1.Head, known: KnownStream | None = None
    ) -> None:
        super().__init__(proxy, stream, head)
        self._stream = stream
        self.known = known
        """The request came before."""
        self._answer: forward.AnswerHead | None = None
        self._headed = False
        """The client has the answer's head."""
        self._whose: KnownAnswer | None = None
        """The answer's head, as the app sent it."""
        self._kept: KnownAnswer | None = None
        """The answer to a HEAD until the app has ended it (golang.org/x/net/http2, RoundTrip waits for that)."""
        self._to: AppStream | None = None
        self._repeats = 0
        """How often the app was asked again."""

    def begin(self) -> None:
        if self.known is None:
            super().begin()
        else:
            now = self.begun_at = time.monotonic()
            self._proxy.admission.enter(self, self.known.way, now)

    @property
    def begun(self) -> bool:
        return self._answer is not None

    # --- to the app

    def dispatch(self, now: float) -> None:
        host = b"" if self.way is None else self.way.host
        try:
            bad_host = http1.BAD_HOST.search(punycode_host(host)) is not None
        except HostError as wrong:
            self.refuse_protocol(wrong.words)
            return
        if bad_host:
            self.refuse_protocol(b"http2: invalid Host header\n")
        elif self.known is None and not good_method(self.head.method):
            self.refuse_protocol(b"net/http: invalid method %b\n" % quoted(self.head.method))
        else:
            super().dispatch(now)

    def connect(self, now: float) -> None:
        http2 = self._proxy.http2
        conn = None if http2 is None else http2.ready()
        if conn is None:
            self._dialing = asyncio.get_running_loop().create_task(self._dial())
        else:
            self._ask(conn)

    async def _dial(self) -> None:
        proxy = self._proxy
        if proxy.http2 is None:
            proxy.http2 = Http2Connections(proxy.app.host, proxy.app.port)
        try:
            conn = await proxy.http2.take()
        except DialError as failed:
            self.not_dialed(failed)
            return
        self._dialing = None
        if not self.over:
            self._ask(conn)

    def _ask(self, conn: AppConnection) -> None:
        stream = self._stream
        bodiless = self.head.content_length == 0 or (self.body_done and not stream.taken and self.trailers is None)
        self._may_repeat = bodiless
        self._to = conn.ask(self.app_block(bodiless), self, bodiless)
        if not bodiless:
            if self.head.expects_continue and not self.body_done:
                stream.send_head(frames.encode([(b":status", b"100")]))
            stream.take_body(self)

    def app_block(self, bodiless: bool) -> bytes:
        """The head that the app gets."""
        known, head = self.known, self.head
        if known is None:
            assert self.way is not None
            return frames.encode(app_headers(self.way, head, bodiless, self._proxy.app.address))
        if bodiless and not known.end and not head.content_length and head.method in forward.LENGTH_EVEN_IF_NONE:
            # A body was announced and none came: the head says so, and is the only thing that differs.
            return known.block + frames.field(b"content-length", b"0")
        return known.block

    def request_data(self, data: Piece) -> None:
        """A piece of the body, which holds our client's window until it is on its way to the app."""
        if self._to is None:
            self._stream.conn.acknowledge(self._stream, len(data))
        else:
            self._to.send(data, self._stream, len(data))

    def body_end(self) -> None:
        if self._to is not None and not self._to.ended:
            trailers = [pair for pair in self.trailers or () if not pair[0].startswith(b":")]
            self._to.end(trailers or None)

    def body_failed(self) -> None:
        """The client's body is not what its head said: nothing more is asked, and the client learns why."""
        if self.over:
            return
        if self._answer is None:
            self.refuse_protocol(f"{self.broken}\n".encode())
        else:
            self.break_off("protocol", self.broken)

    # --- from the app

    def informed(self, status: int, headers: http1.Headers) -> None:
        """The head of an informational answer."""
        if not self.over and not self.keeps_back(status):
            self._informed = True
            self.wrote()
            pairs = sorted((http1.canonical(name), value) for name, value in headers)
            self._stream.send_head(frames.encode([(b":status", b"%d" % status), *lower(pairs)]))

    def answer_begins(self, known: KnownAnswer) -> None:
        if self.over:
            return
        self._may_repeat = False
        self.status = self.final(known.status)
        if self.head.method == b"HEAD" or (self._informed and self._proxy.final_status_lost):
            self._answer = forward.answer(self.head, self.status, known.headers)
        else:
            self._answer = known.answer
            self._whose = known
        self.wrote()

    def answer_kept(self, known: KnownAnswer) -> None:
        """The head of the answer to a HEAD."""
        self._may_repeat = False
        self._kept = known

    def _head_over(self) -> None:
        """The app has ended the answer to a HEAD, or the connection did."""
        assert self._kept is not None
        known, self._kept = self._kept, None
        self.answer_begins(known)
        self.answer_over(None)

    def head_alone(self) -> None:
        """No body came along with the head of an answer without a length: send it on."""
        if self._answer is not None and self._answer.prompt and not self._headed and not self.over:
            self._send_head(b"", False)

    def _send_head(self, first: Piece, ended: bool, end_stream: bool = False) -> None:
        answer = self._answer
        assert answer is not None
        self._headed = True
        block = None if self._whose is None else self._whose.block(ended)
        if block is None:
            names = {name for name, _ in answer.headers}
            headers = client_headers(answer)
            if b"Date" not in names:
                headers.append((b"date", http1.date()))
            if ended and answer.length is None and b"Content-Length" not in names:
                headers.append((b"content-length", b"%d" % len(first)))
            if first and not names & {b"Content-Type", b"Content-Encoding"}:
                headers.append((b"content-type", content_type(bytes(first[:512]))))
            block = frames.encode(headers)
        self._stream.send_head(block, end_stream)

    def answer_data(self, data: Piece, source: AppStream) -> None:
        """A piece of the body, which holds the app's window until it is on its way to the client."""
        if self._wants(data, source):
            self._stream.send(data, source, len(data))

    def answer_last(self, data: Piece, source: AppStream) -> None:
        """The last piece of the body."""
        self._to = None
        if self._wants(data, source):
            self._stream.send_last(data, source, len(data))
            self.finish(keep_alive=True)

    def _wants(self, data: Piece, source: AppStream) -> bool:
        """Whether the client is to get this piece of the body; the head goes before it."""
        if self.over or self._answer is None:
            source.conn.acknowledge(source, len(data))
            return False
        if self.status in http1.NO_BODY:
            if not self._headed:
                self._send_head(b"", False)
            self.sent_bytes = 0
            self.answer_cut("http: request method or response status code does not allow body")
            source.conn.acknowledge(source, len(data))
            return False
        self.sent_bytes += len(data)
        if not self._headed:
            self._send_head(data, False)
        self.wrote()
        return True

    def answer_over(self, trailers: http1.Headers | None) -> None:
        self._to = None
        if self._kept is not None:
            self._head_over()
            return
        if self.over or self._answer is None:
            return
        trailers = [pair for pair in trailers or () if http1.may_trail(http1.canonical(pair[0]))]
        announced = any(name == b"Trailer" for name, _ in self._answer.headers)
        if not (self._headed or trailers or announced):
            self._send_head(b"", True, end_stream=True)
        else:
            if not self._headed:
                self._send_head(b"", False)
            self._stream.end(trailers or None)
        self.finish(keep_alive=True)

    def app_failed(self, words: str, code: int | None) -> None:
        """The app, or the connection to it, gave the request up."""
        self._to = None
        if self.over:
            return
        if self._kept is not None:
            self._head_over()
        elif self._answer is not None:
            self.answer_cut(words)
        elif self._may_repeat and code == int(ErrorCodes.REFUSED_STREAM) and self._repeats < MOST_REPEATS:
            self._may_repeat = False
            self._repeats += 1
            if self._repeats == 1:
                self._repeat()
            else:
                again_s = 2.0 ** (self._repeats - 2)
                self._dialing = asyncio.get_running_loop().call_later(again_s, self._repeat)
        elif code == int(ErrorCodes.REFUSED_STREAM) and not self._may_repeat:
            self.app_broke(_TOO_LATE.format(words))
        else:
            self.app_broke(words)

    def _repeat(self) -> None:
        self._dialing = None
        self.connect(time.monotonic())

    # --- ends

    def append_timeout(self) -> None:
        answer, body = self._answer, self.timeout_body
        assert answer is not None
        fits, _ = self.room_for_timeout(answer.length)
        if not self._headed:
            self._send_head(body if fits else b"", fits and answer.length is None)
        if fits:
            self.sent_bytes += len(body)
            self._stream.send(body)
        self._stream.end()  # also where less came than its head says
        self.finish(keep_alive=True)

    def answer(self, status: int, body: bytes, headers: bytes = b"") -> None:
        self.status = status
        self.sent_bytes = len(body)
        pairs: http1.Headers = [(b":status", b"%d" % status)]
        for line in (headers or (http1.TEXT if body else b"")).split(b"\r\n"):
            if line:
                name, _, value = line.partition(b": ")
                pairs.append((name.lower(), value))
        pairs += [(b"date", http1.date()), (b"content-length", b"%d" % len(body))]
        shown = b"" if self.head.method == b"HEAD" else body
        self._stream.send_head(frames.encode(pairs), not shown)
        if shown:
            self._stream.send_last(shown)
        self.finish(keep_alive=True)

    def leave_app(self) -> None:
        super().leave_app()
        to, self._to = self._to, None
        if to is not None:
            to.drop()
