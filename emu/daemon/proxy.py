"""A request's way through queue-proxy: timers, breaker, connection to the app, both bodies streamed.

The chain of Knative's pkg/queue/sharedmain/handlers.go: probes are answered first; then the timers run, waiting in
the breaker included; then the app is asked.
"""

# ruff: noqa: D102  the callbacks are described where they are declared, in Exchange and Asker
from __future__ import annotations

import asyncio
import time

from emu.daemon import forward, http1
from emu.daemon.client import Asker, ClientConnection
from emu.daemon.observer import Observer
from emu.daemon.probe import Prober
from emu.daemon.runtime import Log
from emu.daemon.server_connection import Exchange, ServerConnection
from emu.daemon.upstream import AppConnections, DialError, broken_words
from emu.policy.breaker import Admission, Breaker
from emu.policy.timeouts import TIMEOUT_BODY, TIMEOUT_STATUS, RequestTimeouts

SAFE_TO_REPEAT = (b"GET", b"HEAD", b"OPTIONS", b"TRACE")


class Proxy:
    """What all requests of a pod share."""

    def __init__(
        self,
        app: AppConnections,
        breaker: Breaker[ProxiedExchange],
        timeouts: RequestTimeouts[ProxiedExchange],
        prober: Prober,
        log: Log,
    ) -> None:
        self.app = app
        self.breaker = breaker
        self.timeouts = timeouts
        self.prober = prober
        self.log = log
        self.draining = False
        self.in_flight = 0
        self.last_request_at = time.monotonic()
        self.observer = Observer(breaker)
        self._armed_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def exchange(self, conn: ServerConnection, head: http1.Head) -> ProxiedExchange:
        """An exchange for a request that was read."""
        return ProxiedExchange(self, conn, head)

    def arm(self, now: float, at: float | None) -> None:
        """Look for requests that took too long at `at`, unless that is done sooner anyway."""
        if at is None or (self._armed_at is not None and self._armed_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_at = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - now), self._look)

    def _look(self) -> None:
        self._armed_at = self._timer = None
        now = time.monotonic()
        for exchange in self.timeouts.due(now):
            exchange.timed_out()
        self.arm(now, self.timeouts.next_at())


class ProxiedExchange(Exchange, Asker):
    """One request from its arrival to the last byte of its answer."""

    __slots__ = (
        "_answer",
        "_app",
        "_dialing",
        "_may_repeat",
        "_out",
        "_over",
        "_proxy",
        "_sent",
        "_to_app",
        "_way",
        "status",
    )

    def __init__(self, proxy: Proxy, conn: ServerConnection, head: http1.Head) -> None:
        super().__init__(conn, head)
        self._proxy = proxy
        self._way: forward.Route | None = None
        self._app: ClientConnection | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._answer: forward.AnswerHead | None = None
        self._out: list[bytes] = []
        self._sent = 0
        self._to_app: list[bytes] | None = None
        self._may_repeat = False
        self._over = False
        self.status = 0
        """The answer's, once there is one."""

    # --- arrival

    def begin(self) -> None:
        proxy = self._proxy
        way = forward.route(self.head, self.conn.peer)
        if way.health_check or way.network_probe == b"probe":
            self._probe(way)
            return
        self.head.headers = []
        self._way = way
        now = time.monotonic()
        proxy.last_request_at = now
        proxy.in_flight += 1
        proxy.timeouts.begin(self, now)
        proxy.arm(now, now + proxy.timeouts.shortest_s)
        admission = Admission.RUN if way.kubelet else proxy.breaker.enter(self)
        if not way.kubelet:
            proxy.observer.arrived(self, now, way.proxied)
        if admission is Admission.RUN:
            self.run()
        elif admission is Admission.REFUSE:
            proxy.log.seldom("refused", status=503)
            self._error(503, b"pending request queue full\n")

    def run(self) -> None:
        """The breaker lets this request run."""
        if self._over:
            return
        self._proxy.observer.dispatched(self)
        app = self._proxy.app.take()
        if app is not None:
            self._send(app)
        else:
            self._dialing = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        try:
            app = await self._proxy.app.dial()
        except DialError as failed:
            self._dialing = None
            self._proxy.log.seldom("dial-failed", why=str(failed))
            self._error(502, f"{failed}\n".encode())
            return
        self._dialing = None
        if self._over:
            app.drop()
        else:
            self._send(app)

    def _send(self, app: ClientConnection) -> None:
        assert self._way is not None
        app.ask(self, self.head.method == b"HEAD")
        self._app = app
        bodiless = self.body_done and not self.held
        self._may_repeat = bodiless and app.used > 1 and self.head.method in SAFE_TO_REPEAT
        if self.conn.full:
            app.transport.pause_reading()
        self._to_app = [self._way.to_app]
        if self.head.expects_continue and not self.body_done:
            self.conn.write(http1.CONTINUE)
        if self.head.content_length != 0:
            self.conn.take_body(self)
        first, self._to_app = self._to_app, None
        app.transport.write(b"".join(first))

    # --- the request's body, to the app

    def body(self, data: bytes) -> None:
        if self._app is None or self._over:
            return
        self._pass(self._app, http1.chunk(data) if self.head.chunked else data)

    def body_end(self) -> None:
        if self.head.chunked and self._app is not None and not self._over:
            self._pass(self._app, http1.LAST_CHUNK)

    def _pass(self, app: ClientConnection, data: bytes) -> None:
        if self._to_app is not None:
            self._to_app.append(data)  # goes out in one write with the head
        else:
            app.transport.write(data)

    def request_full(self) -> None:
        self.conn.take_body(self, False)

    def request_ready(self) -> None:
        self.conn.take_body(self)

    # --- the answer, to the client

    def answer_head(self, status: int, reason: bytes, headers: http1.Headers, minor: int) -> None:
        if status < 200:
            if status not in (100, 101) and self.head.minor:
                self._out.append(forward.informational(status, reason, headers))
            return
        self._may_repeat = False
        self.status = status
        closing = self.conn.answers_last(self.head)
        self._answer = forward.answer(self.head, status, reason, headers, closing)
        self._out.append(self._answer.bytes)
        self._wrote()

    def answer_body(self, data: bytes) -> None:
        assert self._answer is not None
        self._sent += len(data)
        self._out.append(http1.chunk(data) if self._answer.chunked else data)
        self._wrote()

    def answer_end(self, reusable: bool) -> None:
        app, self._app = self._app, None
        assert self._answer is not None
        if self._answer.chunked:
            self._out.append(http1.LAST_CHUNK)
        self.answer_pause()
        if app is not None:
            if reusable and self.body_done and not app.transport.get_write_buffer_size():
                app.transport.resume_reading()
                self._proxy.app.give_back(app)
            else:
                app.drop()
        self._finish(keep_alive=not self._answer.last)

    def answer_pause(self) -> None:
        if self._out and not self._over:
            out, self._out = self._out, []
            self.conn.write(out[0] if len(out) == 1 else b"".join(out))

    def connection_failed(self, why: Exception | None) -> None:
        app, self._app = self._app, None
        if self._over or app is None:
            return
        if self._answer is not None:
            self._proxy.log.seldom("answer-cut", why=str(why or "EOF"))
            self.answer_pause()
            self._release()
            self.conn.abort(self)
        elif self._may_repeat:
            # A kept connection that the app closed just as we used it (net/http, shouldRetryRequest).
            self._may_repeat = False
            self.run()
        else:
            words = broken_words(app, why)
            self._proxy.log.seldom("app-broke", why=words)
            self._error(502, f"{words}\n".encode())

    def full(self) -> None:
        if self._app is not None:
            self._app.transport.pause_reading()

    def ready(self) -> None:
        if self._app is not None:
            self._app.transport.resume_reading()

    def _wrote(self) -> None:
        if self._proxy.timeouts.watches_writes:
            self._proxy.timeouts.wrote(self, time.monotonic())

    # --- ends

    def timed_out(self) -> None:
        """One of the timers ran out: 504, or the same text appended to a body that has begun."""
        if self._over:
            return
        self._proxy.log.seldom("timeout")
        self._leave_app()
        answer = self._answer
        if answer is None:
            self._error(TIMEOUT_STATUS, TIMEOUT_BODY, http1.TEXT)
            return
        self.answer_pause()
        if answer.chunked:
            self.conn.write(http1.chunk(TIMEOUT_BODY) + http1.LAST_CHUNK)
            self._finish(keep_alive=not answer.last)
            return
        room = len(TIMEOUT_BODY) if answer.length is None else answer.length - self._sent
        self.conn.write(TIMEOUT_BODY[: max(0, room)])
        self._release()
        self.conn.abort(self)

    def abandoned(self) -> None:
        self._leave_app()
        self._release()

    def _error(self, status: int, body: bytes, headers: bytes = http1.ERROR_TEXT) -> None:
        self._leave_app()
        self._out = []
        self._reply(status, body, headers)

    def _reply(self, status: int, body: bytes, headers: bytes = b"") -> None:
        """An answer of our own, whole."""
        self.status = status
        last = self.conn.answers_last(self.head)
        connection = b"close" if last else b"keep-alive" if self.head.minor == 0 else b""
        shown = b"" if self.head.method == b"HEAD" else body
        self.conn.write(http1.answer_head(status, len(body), headers, connection) + shown)
        self._finish(keep_alive=not last)

    def _leave_app(self) -> None:
        if self._dialing is not None:
            self._dialing.cancel()
            self._dialing = None
        app, self._app = self._app, None
        if app is not None:
            app.drop()

    def _finish(self, keep_alive: bool) -> None:
        self._release()
        self.conn.finish(self, keep_alive)

    def _release(self) -> None:
        """Give back the place in the breaker and stop the timers; once."""
        if self._over:
            return
        self._over = True
        self._out = []
        if self._way is None:
            return
        proxy = self._proxy
        proxy.in_flight -= 1
        proxy.timeouts.end(self)
        if not self._way.kubelet:
            proxy.observer.left(self, time.monotonic(), self._way.proxied)
        successor = proxy.breaker.leave(self)
        if successor is not None:
            successor.run()

    # --- probes

    def _probe(self, way: forward.Route) -> None:
        proxy = self._proxy
        if proxy.draining:
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
        else:
            proxy.prober.ask(self._probed)

    def _probed(self, ready: bool) -> None:
        if self._over:
            return
        if ready:
            self._reply(200, b"queue", http1.TEXT)
        else:
            self._reply(503, b"")
