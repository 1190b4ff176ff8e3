"""A request's way through queue-proxy: timers, breaker, connection to the app, both bodies streamed.

The chain of Knative's pkg/queue/sharedmain/handlers.go: probes are answered first; then the timers run, waiting in
the breaker included; then the app is asked, in the protocol in which we were.
"""

# ruff: noqa: D102  the callbacks are described where they are declared, in Exchange and Asker
from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from emu.daemon.http import forward, http1, server_connection
from emu.daemon.http.client import Asker, ClientConnection, KnownAnswer
from emu.daemon.http.goquote import quoted
from emu.daemon.http.known import Known
from emu.daemon.http.server_connection import Exchange, ServerConnection
from emu.daemon.http.tunnel import Tunnel
from emu.daemon.http.upstream import AppConnections, DialError, broken_words
from emu.daemon.loop import Log
from emu.daemon.queue_proxy.ends import HELD_STILL, Ends
from emu.daemon.queue_proxy.observer import Observer
from emu.daemon.queue_proxy.probe import Prober
from emu.policy.breaker import REFUSE, RUN, Breaker
from emu.policy.draining import Draining
from emu.policy.timeouts import TIMEOUT_BODY, TIMEOUT_STATUS, RequestTimeouts, Timer

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.gate import Gate
    from emu.daemon.queue_proxy.h2_known import KnownStream
    from emu.daemon.queue_proxy.h2_upstream import Http2Connections
    from emu.daemon.queue_proxy.request_log import RequestLog
    from emu.policy.metrics import Outcomes, QueueProxyMetrics

SAFE_TO_REPEAT = (b"GET", b"HEAD", b"OPTIONS", b"TRACE")
CONTINUE_WAIT_S = 1.0
"""How long the app may take to say `100 Continue` before the body is sent anyway (net/http, DefaultTransport)."""
ANSWER_BUFFER_BYTES = 4096
"""Of an answer with a known length, less than this is held back until more comes or it ends (Go's bufio.Writer)."""
FINAL_STATUS_LOST = "final-status-lost"
"""A defect of the real one, copied if asked: after an informational answer the final status is 200."""
TWO_FRAMINGS = "two-framings"
"""The other: of a request that two hops may read differently, one framing is chosen."""
NO_ANSWER = (0, 502, 503, 504)
"""After one of these nobody knows whether the app is ready: the client went, or the answer was most likely ours."""
_VERSIONS = ("1.0", "1.1", "2.0")
DEFECTS = (FINAL_STATUS_LOST, TWO_FRAMINGS)

Learn = Callable[[bytes, http1.Head, forward.Route], None]
"""(all of the request, its head, where it goes)."""


class Proxy:
    """What all requests of a pod share."""

    def __init__(
        self,
        app: AppConnections,
        breaker: Breaker[ProxiedExchange],
        timeouts: RequestTimeouts[ProxiedExchange],
        prober: Prober,
        log: Log,
        draining: Draining,
    ) -> None:
        self.app = app
        self.http2: Http2Connections | None = None
        """Connections on which the app is asked in HTTP/2; made when the first is needed."""
        self.breaker = breaker
        self.timeouts = timeouts
        self.prober = prober
        self.log = log
        self.request_log: RequestLog | None = None
        self.defects: frozenset[str] = frozenset()
        self.draining = draining
        self.gate: Gate | None = None
        """Asked before each request goes to an app that is paused when idle; None where there is no freezer."""
        self.in_flight = 0
        self.tunnels: set[ProxiedExchange] = set()
        """Requests that became connections of another protocol."""
        self.observer = Observer(breaker)
        self.ends = Ends(lambda kind, facts: log.event(kind, **facts))
        self.armed_at: float | None = None
        """When it is looked next for requests that took too long; None while there are none."""
        self.learn: Learn | None = None
        """Called with each request that was read in one piece; None where none are known by what came before."""
        self.known_streams: Known[KnownStream] = Known()
        """Requests in HTTP/2 that came before, by the client's address and what they say."""
        self.watched = True
        """Whether more than the statistics and the metrics is told of each request; see `settle`."""
        self._timer: asyncio.TimerHandle | None = None

    def settle(self) -> None:
        """All that looks on is there: from here on `watched` holds."""
        lookers = (self.request_log, self.gate, self.observer.weight)
        self.watched = any(one is not None for one in lookers)

    def exchange(self, conn: ServerConnection, head: http1.Head) -> ProxiedExchange:
        """An exchange for a request that was read."""
        return ProxiedExchange(self, conn, head)

    def arm(self, now: float, at: float | None) -> None:
        """Look for requests that took too long at `at`, unless that is done sooner anyway."""
        if at is None or (self.armed_at is not None and self.armed_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self.armed_at = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - now), self._look)

    def _look(self) -> None:
        self.armed_at = self._timer = None
        now = time.monotonic()
        for exchange, timer in self.timeouts.due(now):
            exchange.timed_out(timer)
        self.arm(now, self.timeouts.next_at())


class ProxiedExchange(Exchange, Asker):
    """One request from its arrival to the last byte of its answer."""

    __slots__ = (
        "_answer",
        "_app",
        "_continue_timer",
        "_dialing",
        "_headed",
        "_informed",
        "_may_repeat",
        "_out",
        "_over",
        "_proxy",
        "_tunnel",
        "_way",
        "begun_at",
        "failed",
        "held_s",
        "sent_at",
        "sent_bytes",
        "status",
    )

    def __init__(self, proxy: Proxy, conn: ServerConnection, head: http1.Head) -> None:
        # What Exchange sets is set here: one call less for each request.
        self.conn = conn
        self.head = head
        self.flowing = self.body_told = self.body_done = False
        self.held = self.trailers = self.whole = None
        self.broken = ""
        self.received = 0
        self.status = 0
        """The answer's, once there is one."""
        self.begun_at = 0.0
        self.sent_at: float | None = None
        """When it went to the app."""
        self.held_s = 0.0
        """From then on, so long it waited for the app to be resumed; `HELD_STILL`: it still does."""
        self.failed = False
        """The app gave no answer."""
        self.sent_bytes = 0
        """Of the answer's body, as written so far."""
        self._proxy = proxy
        self._way: forward.Route | None = None
        self._app: ClientConnection | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._answer: forward.AnswerHead | None = None
        self._headed = self._informed = self._may_repeat = self._over = False
        self._out: list[bytes] | None = None
        self._tunnel: Tunnel | None = None
        self._continue_timer: asyncio.TimerHandle | None = None

    timeout_body: ClassVar[bytes] = TIMEOUT_BODY
    """The answer of one that took too long, or what is appended to a body that has begun."""

    def outcomes(self, metrics: QueueProxyMetrics) -> Outcomes:
        """Where this request is counted, once its status is known."""
        way, head = self._way, self.head
        assert way is not None
        status = self.status or self.told_status
        version = _VERSIONS[head.minor]
        fields = head.method, status, way.tag, version, way.came_to, self.over_tls, way.probe, self.failed
        return metrics.known.get(fields) or metrics.outcomes(metrics.kind(*fields))

    @property
    def told_status(self) -> int:
        """The answer's status. A client that left before there was one is counted as Go's server answers it then."""
        return self.status or (500 if self.sent_at is None else 200)

    @property
    def over_tls(self) -> bool:
        """Whether the client came over TLS."""
        return self.conn.transport.get_extra_info("sslcontext") is not None

    # --- arrival

    def begin(self) -> None:
        proxy = self._proxy
        now = self.begun_at = time.monotonic()
        head = self.head
        way = forward.route(head, self.conn.peer)
        if proxy.request_log is not None:
            proxy.request_log.begin(self, way)
        else:
            if self.whole is not None:
                if proxy.learn is not None:
                    proxy.learn(self.whole, head, way)
                self.whole = None
            if head.headers:
                head.headers = []
        if (head.expects_else or head.target == b"*") and self._answered_here():
            pass
        elif head.method == b"CONNECT":
            head.keep_alive = False
            self._enter(way, now)
        elif way.health_check or way.network_probe == b"probe":
            self._probe(way)
        else:
            self._enter(way, now)

    def _answered_here(self) -> bool:
        """Whether Go's server answers it before any handler: `OPTIONS *`, and what expects anything but 100."""
        head = self.head
        if head.target == b"*" and head.method == b"OPTIONS":
            self._reply_in_order(200, b"Content-Length: 0\r\n")
        elif head.expects_else:
            head.keep_alive = False
            self._reply_in_order(417, b"Connection: close\r\n", b"Content-Length: 0\r\n")
        else:
            return False
        return True

    def _enter(self, way: forward.Route, now: float) -> None:
        """No probe of ours: into the breaker, with the timers on."""
        proxy = self._proxy
        self._way = way
        if proxy.draining.active:
            proxy.draining.request(now)
        proxy.in_flight += 1
        proxy.timeouts.begin(self, now)
        if proxy.armed_at is None:
            proxy.arm(now, now + proxy.timeouts.shortest_s)
        if way.kubelet:
            self.run(now)
            return
        admission = proxy.breaker.enter(self)
        proxy.observer.arrived(self, now, way.proxied)
        if admission is RUN:
            self.run(now)
        elif admission is REFUSE:
            self._refused()

    def _refused(self) -> None:
        self._proxy.log.seldom("refused", status=503)
        self._note("queue-full", 503)
        self._error(503, b"pending request queue full\n")

    def run(self, now: float) -> None:
        """The breaker lets this request run."""
        if self._over:
            return
        self.sent_at = now
        self._proxy.observer.dispatched()
        gate = self._proxy.gate
        if gate is not None:
            self.held_s = HELD_STILL
            if not self._passes(gate):
                return
            self.held_s = 0.0
        self._go(now)

    def _go(self, now: float) -> None:
        way = self._way
        assert way is not None
        if self.head.method == b"CONNECT":
            self._note("protocol", 502, "client sent unsupported CONNECT request")
            self._error(502, b"client sent unsupported CONNECT request\n")
            return
        if way.upgrade and not _printable(way.upgrade):
            words = b"client tried to switch to invalid protocol %b\n" % quoted(way.upgrade)
            self._note("protocol", 502, words.decode("latin-1").strip())
            self._error(502, words)
            return
        self._connect(now)

    def _passes(self, gate: Gate) -> bool:
        """Whether the app runs, so that it may be asked now; if not, one of the three below is called sometime."""
        assert self._way is not None
        return gate.probe(self) if self._way.kubelet else gate.enter(self)

    def let_in(self) -> None:
        """The app was resumed: this request goes on."""
        if not self._over:
            now = time.monotonic()
            self.held_s = now - (self.sent_at or now)
            self._go(now)

    def keep_out(self, why: str) -> None:
        """The app could not be resumed in time."""
        if not self._over:
            self._note("not-resumed", 503, why)
            self._error(503, f"{why}\n".encode())

    def answered_for(self, ready: bool) -> None:
        """A probe of an app that stands still is answered for it."""
        self._reply(200 if ready else 503, b"")

    def _connect(self, now: float) -> None:
        app = self._proxy.app.take(now)
        if app is None:
            self._dialing = asyncio.get_running_loop().create_task(self._dial())
        else:
            self._send(app)

    async def _dial(self) -> None:
        try:
            app = await self._proxy.app.dial()
        except DialError as failed:
            self._dialing = None
            self._proxy.log.seldom("dial-failed", why=str(failed))
            self._note("dial-failed", 502, str(failed))
            self._error(502, f"{failed}\n".encode())
            return
        self._dialing = None
        if self._over:
            app.drop()
        else:
            self._send(app)

    def _send(self, app: ClientConnection) -> None:
        assert self._way is not None
        head = self.head
        app.ask(self, head.method == b"HEAD")
        self._app = app
        bodiless = self.body_done and not self.held
        self._may_repeat = bodiless and app.used > 1 and head.method in SAFE_TO_REPEAT
        if self.conn.full:
            app.pause()
        first = forward.app_head(self._way, head, self._proxy.app.address)
        if not self._may_repeat:
            self._way.headers = []
        if head.content_length == 0:
            app.transport.write(first)
        elif head.expects_continue:
            app.transport.write(first)
            self._continue_timer = asyncio.get_running_loop().call_later(CONTINUE_WAIT_S, self._take_expected)
        else:
            self._send_with_body(app, first)

    def _send_with_body(self, app: ClientConnection, first: bytes) -> None:
        """The head and what has come of the body, in one write."""
        pieces = self.conn.take_held(self)
        if self.head.chunked:
            pieces = [http1.chunk(piece) for piece in pieces]
            if self.body_done:
                self.body_told = True
                pieces.append(http1.LAST_CHUNK)  # see body_end
        app.transport.write(b"".join([first, *pieces]) if pieces else first)
        self.conn.tell_end(self)

    def _take_expected(self) -> None:
        """The body that the client holds back: ask for it, for the app wants it or has said nothing."""
        self._continue_timer = None
        if self._over or self.flowing or self._app is None:
            return
        if not self._informed and not self.body_done and not self.held:
            self._informed = True
            self.conn.write(http1.CONTINUE)
        self.conn.take_body(self)

    # --- the request's body, to the app

    def body(self, data: bytes) -> None:
        if self._app is None or self._over:
            return
        self._app.transport.write(http1.chunk(data) if self.head.chunked else data)

    def body_end(self) -> None:
        if self._app is None or self._over:
            return
        if self.head.chunked:
            self._app.transport.write(http1.LAST_CHUNK)  # its trailers stay here, announced or not (httputil)

    def body_failed(self) -> None:
        """The client's chunks are none: the app's connection ends, and the client is answered if it is not yet."""
        if self._over:
            return
        app, self._app = self._app, None
        if app is not None:
            app.leave()
        if self._answer is None:
            self._note("protocol", 502, self.broken)
            self._error(502, f"{self.broken}\n".encode())
        else:
            self._break_off("protocol", self.broken)

    def _break_off(self, reason: str, why: str) -> None:
        """End the client's connection in the middle, or without a byte of an answer."""
        self._note(reason, self.status, why)
        self._leave_app()
        self._release()
        self.conn.abort(self)

    def request_full(self) -> None:
        self.conn.take_body(self, False)

    def request_ready(self) -> None:
        if self._continue_timer is None:
            self.conn.take_body(self)

    # --- the answer, to the client

    def answer_whole(self, app: ClientConnection, known: KnownAnswer, body: bytes) -> bool:
        conn, head = self.conn, self.head
        if head.minor != 1 or not head.keep_alive or not self.body_done or self._informed or conn.server.stopping:
            return False
        now = time.monotonic()
        self._app = None
        self.status = known.status
        self.sent_bytes = known.length
        conn.write(known.head + body)
        if app.transport.get_write_buffer_size():
            app.drop()
        else:
            app.resume()
            self._proxy.app.give_back(app, now)
        self._release(now)
        conn.finish(self, True)
        return True

    def answer_head(self, status: int, reason: bytes, headers: http1.Headers, minor: int) -> None:
        self._may_repeat = False
        if status < 100:
            # No status at all: Go's server panics when it is to write it, and the client's connection ends.
            words = f"invalid WriteHeader code {status}"
            self._proxy.log.seldom("answer-cut", why=words)
            self._break_off("answer-cut", words)
            return
        if status < 200:
            self._informational(status, reason, headers)
            return
        if self._informed and self._proxy.defects and FINAL_STATUS_LOST in self._proxy.defects:
            status = 200
        self.status = status
        closing = self.conn.begin_answer(self)
        if self._continue_timer is not None:
            self._continue_timer.cancel()
            self._continue_timer = None
            closing |= not self.body_done  # nobody knows whether the body comes
        self._answer = answer = forward.answer(self.head, status, headers, closing)
        waits = self.flowing and not (self.body_done or answer.prompt) and self.conn.server.full_duplex
        if waits and (answer.length or 0) <= ANSWER_BUFFER_BYTES:
            self.conn.hold_answer(self, http1.MAX_HEAD_BYTES)  # all of it waits in buffers for its handler's end
        self._wrote()

    def _informational(self, status: int, reason: bytes, headers: http1.Headers) -> None:
        if status == 101:
            self._switch(reason, headers)
            return
        once = status == 100 or (self._proxy.defects and FINAL_STATUS_LOST in self._proxy.defects)
        if not (once and self._informed):
            self._informed = True
            self.conn.write(forward.informational(status, headers, self.head.minor))
        if status == 100 and self._continue_timer is not None:
            self._continue_timer.cancel()
            self._take_expected()

    def answer_body(self, data: bytes) -> None:
        answer = self._answer
        assert answer is not None
        self.sent_bytes += len(data)
        if not self._headed:
            self._put_head(answer, data, self._app is not None and self._app.whole)
        self._put(http1.chunk(data) if answer.chunked else data)
        self._wrote()

    def _put(self, data: bytes) -> None:
        """Gather what goes out in one write."""
        if self._out is None:
            self._out = [data]
        else:
            self._out.append(data)

    def _put_head(self, answer: forward.AnswerHead, first: bytes, ended: bool) -> None:
        self._headed = True
        self._put(answer.render(first, ended))

    def answer_trailers(self, trailers: http1.Headers) -> None:
        answer = self._answer
        if answer is None or self._over:
            return
        if not self._headed:
            self._put_head(answer, b"", False)
        if answer.chunked:
            announced = next((value for name, value in answer.headers if name == b"Trailer"), b"")
            self._put(http1.trailer_lines(trailers, frozenset(announced.split(b", "))))
            answer.chunked = False  # its end is written

    def answer_end(self, reusable: bool) -> None:
        app, self._app = self._app, None
        answer = self._answer
        assert answer is not None
        if not self._headed:
            self._put_head(answer, b"", True)
        if self.flowing and not self.body_done and self.conn.server.full_duplex:
            self._flush()
            self.conn.hold_answer(self, server_connection.DISCARD_BYTES)  # its handler waits for the request's end
        if answer.chunked:
            self._put(http1.LAST_CHUNK)
        self._flush()
        if app is not None:
            if reusable and self.body_done and not app.transport.get_write_buffer_size():
                app.resume()
                self._proxy.app.give_back(app, time.monotonic())
            else:
                app.drop()
        self._finish(keep_alive=not answer.last)

    def answer_pause(self) -> None:
        answer = self._answer
        if answer is None or self._over:
            return
        if answer.prompt:
            if not self._headed:
                self._put_head(answer, b"", False)
            self._flush()
        elif self._out and sum(map(len, self._out)) > ANSWER_BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._out and not self._over:
            out, self._out = self._out, None
            self.conn.write(out[0] if len(out) == 1 else b"".join(out))

    def connection_failed(self, why: Exception | None) -> None:
        app, self._app = self._app, None
        if self._over or app is None:
            return
        if self._answer is not None:
            if self._out and self._answer.prompt:
                self._flush()
            self._proxy.log.seldom("answer-cut", why=str(why or "EOF"))
            self._note("answer-cut", self.status, str(why or "EOF"))
            self.status = 500
            self.sent_bytes = 0
            self._release()
            self.conn.abort(self)
        elif self._may_repeat and app.silent:
            # A kept connection that the app closed just as we used it (net/http, shouldRetryRequest).
            self._may_repeat = False
            self._connect(time.monotonic())
        else:
            words = broken_words(app, why)
            self._proxy.log.seldom("app-broke", why=words)
            self._note("app-broke", 502, words)
            self._error(502, f"{words}\n".encode())

    def full(self) -> None:
        if self._app is not None:
            self._app.pause()

    def ready(self) -> None:
        if self._app is not None:
            self._app.resume()

    def _wrote(self) -> None:
        if self._proxy.timeouts.watches_writes:
            self._proxy.timeouts.wrote(self, time.monotonic())

    # --- another protocol

    def _switch(self, reason: bytes, headers: http1.Headers) -> None:
        """The app says 101: pass it on if the client asked for the same protocol."""
        assert self._way is not None
        head, protocol = forward.switched(reason, headers)
        asked = self._way.upgrade
        if not protocol and not asked:
            words = b"internal error: 101 switching protocols response with non-writable body\n"
            self._note("protocol", 502, words.decode().strip())
            self._error(502, words)
            return
        if protocol.lower() != asked.lower():
            words = b"backend tried to switch protocol %b when %b was requested\n"
            words %= (quoted(protocol), quoted(asked))
            self._note("protocol", 502, words.decode("latin-1").strip())
            self._error(502, words)
            return
        self.status = 101
        self._out = [head]

    def answer_switched(self, said: bytes) -> None:
        app, self._app = self._app, None
        if self._over or app is None or self.status != 101:
            return
        from_app = app.hijack()
        to_client, early = self.conn.hijack(self)
        to_client.write(b"".join([*(self._out or ()), said]))
        self._out = None
        if early:
            from_app.write(early)
        self._proxy.tunnels.add(self)
        self._tunnel = Tunnel(to_client, from_app, self._tunnel_ended)

    def _tunnel_ended(self) -> None:
        self._tunnel = None
        self._proxy.tunnels.discard(self)
        self._release()

    def cut_tunnel(self) -> None:
        """End a connection of another protocol."""
        if self._tunnel is not None:
            self._tunnel.cut()

    # --- ends

    def timed_out(self, timer: Timer) -> None:
        """One of the timers ran out: 504, or the same text appended to a body that has begun."""
        if self._over:
            return
        self._proxy.log.seldom("timeout")
        status = TIMEOUT_STATUS if self._answer is None and self._tunnel is None else self.status
        self._note(f"{timer}-timeout", status, period_s=self._proxy.timeouts.period_s(timer))
        if self._tunnel is not None:
            self._tunnel.cut()
            return
        self._leave_app()
        answer = self._answer
        if answer is None:
            self._error(TIMEOUT_STATUS, self.timeout_body, http1.TEXT)
        else:
            self._append_timeout(answer)

    def _append_timeout(self, answer: forward.AnswerHead) -> None:
        body = self.timeout_body
        room = None if answer.length is None else answer.length - self.sent_bytes
        fits = room is None or room >= len(body)
        if not self._headed:
            self._put_head(answer, body if fits else b"", answer.chunked)
        if fits:
            self.sent_bytes += len(body)
            self._put(http1.chunk(body) if answer.chunked else body)
        if answer.chunked:
            self._put(http1.LAST_CHUNK)
        self._flush()
        if room is not None and room != len(body):
            self._release()
            self.conn.abort(self)
        else:
            self._finish(keep_alive=not answer.last)

    def left_alone(self) -> None:
        if self._over or self._answer is not None or self._tunnel is not None:
            self.abandoned()
            self.conn.abort(self)
            return
        # Its handler returns without a word, and Go's server answers for it; one that waits for a place fails.
        self.abandoned()
        minor, status = self.head.minor, 500 if self.sent_at is None and self._way is not None else 200
        closing = b"close" if minor and self.head.chunked and not self.body_done else b""
        self.conn.write(http1.answer_head(status, 0, b"", closing, minor))
        self.conn.finish(self, False)

    def abandoned(self) -> None:
        if not self._over:
            self.failed = self._answer is None
            self._note("client-left", 0)
        self._leave_app()
        self._release()

    def _note(self, reason: str, status: int, why: str = "", **facts: object) -> None:
        """Put this end on record, if it is no probe's."""
        proxy, way = self._proxy, self._way
        if way is not None and not way.kubelet:
            facts |= {"inside": proxy.breaker.running, "waiting": proxy.breaker.waiting}
            proxy.ends.ended(self, time.monotonic(), reason, status, why, **facts)

    def _error(self, status: int, body: bytes, headers: bytes = http1.ERROR_TEXT) -> None:
        if self._informed and self._proxy.defects and FINAL_STATUS_LOST in self._proxy.defects:
            status = 200
        self._leave_app()
        self._out = None
        self.failed = True
        self._reply(status, body, headers)

    def _reply(self, status: int, body: bytes, headers: bytes = b"") -> None:
        """An answer of our own, whole."""
        self.status = status
        head = self.head
        last = self.conn.begin_answer(self)
        if head.expects_continue and not self._informed and not self.body_done:
            last = True
        minor = head.minor
        connection = (b"close" if minor else b"") if last else b"" if minor else b"keep-alive"
        shown = b"" if head.method == b"HEAD" else body
        self.sent_bytes = len(body)
        self.conn.write(http1.answer_head(status, len(body), headers, connection, minor) + shown)
        self._finish(keep_alive=not last)

    def _reply_in_order(self, status: int, before: bytes, after: bytes = b"") -> None:
        """An empty answer whose handler set headers that Go's server sets elsewhere: they stand before the date."""
        self.status = status
        last = self.conn.begin_answer(self)
        minor = self.head.minor
        if last and minor and b"Connection" not in before:
            after += b"Connection: close\r\n"
        head = b"HTTP/1.%d %d %b\r\n%bDate: %b\r\n%b\r\n"
        self.conn.write(head % (minor, status, http1.reason(status), before, http1.date(), after))
        self._finish(keep_alive=not last)

    def _leave_app(self) -> None:
        if self._continue_timer is not None:
            self._continue_timer.cancel()
            self._continue_timer = None
        if self._dialing is not None:
            self._dialing.cancel()
            self._dialing = None
        app, self._app = self._app, None
        if app is not None:
            app.drop()

    def _finish(self, keep_alive: bool) -> None:
        self._release()
        self.conn.finish(self, keep_alive)

    def _release(self, now: float | None = None) -> None:
        """Give back the place in the breaker and stop the timers; once."""
        if self._over:
            return
        self._over = True
        self._out = None
        proxy = self._proxy
        if now is None:
            now = time.monotonic()
        if proxy.request_log is not None:
            proxy.request_log.end(self, self.told_status, self.sent_bytes, now - self.begun_at)
        way = self._way
        if way is None:
            return
        proxy.in_flight -= 1
        proxy.timeouts.end(self)
        if not way.kubelet:
            proxy.observer.left(self, now, way.proxied)
        elif proxy.observer.metrics is not None:
            proxy.observer.count(self, now)
        successor = proxy.breaker.leave(self)
        if successor is not None:
            proxy.ends.waited(successor.begun_at, now)
            successor.run(now)
        if proxy.gate is not None:  # only now, so that the app is not idle between the two
            if way.kubelet:
                proxy.gate.probed(self)
            else:
                proxy.gate.leave(self, answered=self.status not in NO_ANSWER)

    # --- probes

    def _probe(self, way: forward.Route) -> None:
        proxy = self._proxy
        if proxy.draining.active:
            self._reply(503, b"shutting down\n", http1.ERROR_TEXT)
        elif not way.health_check:
            if way.network_hash:
                self._reply(200, b"", b"K-Network-Hash: %b\r\n" % way.network_hash)
            else:
                text = b'a probe request must contain a non-empty "K-Network-Hash" header\n'
                self._reply(400, text, http1.ERROR_TEXT)
        elif way.network_probe != b"queue":
            text = b"unexpected probe header value: %b\n" % way.network_probe
            self._reply(400, text, http1.ERROR_TEXT)
        elif proxy.gate is not None:
            proxy.gate.ask_ready(self, self._probed)
        else:
            proxy.prober.ask(self._probed)

    def _probed(self, ready: bool) -> None:
        if self._over:
            return
        if ready:
            self._reply(200, b"queue", http1.TEXT)
        else:
            self._reply(503, b"")


def _printable(text: bytes) -> bool:
    return all(32 <= char < 127 for char in text)
