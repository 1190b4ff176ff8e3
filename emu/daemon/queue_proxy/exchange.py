"""One request from its arrival to the last byte of its answer, as far as that is the same in HTTP/1 and HTTP/2."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar

from emu.daemon.http import forward, http1
from emu.daemon.http.exchange import AnyExchange, RequestSide
from emu.daemon.http.goquote import quoted
from emu.daemon.http.upstream import DialError
from emu.daemon.queue_proxy.proxy import Proxy
from emu.policy.timeouts import TIMEOUT_BODY, TIMEOUT_STATUS, Timer

if TYPE_CHECKING:
    from emu.policy.metrics import Outcomes, QueueProxyMetrics

_VERSIONS = ("1.0", "1.1", "2.0")


class ProxiedExchange(AnyExchange):
    """What the admission lets in and times out; subclasses send it to the app and write its answer."""

    __slots__ = (
        "_dialing",
        "_informed",
        "_may_repeat",
        "_proxy",
        "begun_at",
        "failed",
        "held_s",
        "over",
        "sent_at",
        "sent_bytes",
        "status",
        "way",
    )

    def __init__(self, proxy: Proxy, conn: RequestSide, head: http1.Head) -> None:
        super().__init__(conn, head)
        self.begun_at = 0.0
        self.sent_at: float | None = None
        self.held_s = 0.0
        self.status = 0
        self.sent_bytes = 0
        self.failed = False
        """The app gave no answer."""
        self.over = False
        self.way: forward.Route | None = None
        self._proxy = proxy
        self._dialing: asyncio.Task[None] | asyncio.TimerHandle | None = None
        """The app is being dialed, or is to be asked again."""
        self._informed = False
        """The client has an informational answer."""
        self._may_repeat = False
        """It may go to the app once more if the app turns it away."""

    timeout_body: ClassVar[bytes] = TIMEOUT_BODY
    """The answer of one that took too long, or what is appended to a body that has begun."""
    passes_each_continue: ClassVar[bool] = False
    """Whether a second `100 Continue` reaches the client, as it does through the activator."""

    @property
    def begun(self) -> bool:
        """Whether the app's answer has begun."""
        raise NotImplementedError

    def connect(self, now: float) -> None:
        """Ask the app, over a connection that is there or is made."""
        raise NotImplementedError

    def append_timeout(self) -> None:
        """It took too long, and its answer has begun."""
        raise NotImplementedError

    # --- for those who count it

    def outcomes(self, metrics: QueueProxyMetrics) -> Outcomes:
        way, head = self.way, self.head
        assert way is not None
        status = self.status or self.logged_status
        version = _VERSIONS[head.minor]
        fields = head.method, status, way.tag, version, way.came_to, self.over_tls, way.probe, self.failed
        return metrics.known.get(fields) or metrics.outcomes(metrics.kind(*fields))

    @property
    def logged_status(self) -> int:
        """The answer's status. A client that left before there was one is counted as Go's server answers it then."""
        return self.status or (500 if self.sent_at is None else 200)

    @property
    def over_tls(self) -> bool:
        """Whether the client came over TLS."""
        return self.conn.transport.get_extra_info("sslcontext") is not None

    # --- arrival

    def begin(self) -> None:
        proxy = self._proxy
        admission = proxy.admission
        now = self.begun_at = time.monotonic()
        head = self.head
        way = forward.route(head, self.conn.peer)
        if admission.request_log is not None:
            admission.request_log.begin(self, way)
        else:
            if self.whole is not None:
                if proxy.learn is not None:
                    proxy.learn(self.whole, head, way)
                self.whole = None
            if head.headers:
                head.headers = []
        if (head.expects_else or head.target == b"*") and self.answered_here():
            pass
        else:
            if head.method == b"CONNECT":
                head.keep_alive = False
            if way.health_check or way.network_probe == b"probe":
                admission.answer_probe(self, way)
            else:
                admission.enter(self, way, now)

    def answered_here(self) -> bool:
        """Whether Go's server answers it before any handler."""
        return False

    def dispatch(self, now: float) -> None:
        way = self.way
        assert way is not None
        if self.head.method == b"CONNECT":
            self.refuse_protocol(b"client sent unsupported CONNECT request\n")
        elif way.upgrade and not _printable(way.upgrade):
            self.refuse_protocol(b"client tried to switch to invalid protocol %b\n" % quoted(way.upgrade))
        elif way.trailer_fault is not None:
            self.refuse_protocol(b"net/http: invalid trailer field name %b\n" % quoted(way.trailer_fault))
        else:
            self.connect(now)

    def let_in(self) -> None:
        if not self.over:
            now = time.monotonic()
            self.held_s = now - (self.sent_at or now)
            self.dispatch(now)

    def keep_out(self, why: str) -> None:
        if not self.over:
            self.note("not-resumed", 503, why)
            self.fail(503, f"{why}\n".encode())

    def answered_for(self, ready: bool) -> None:
        self.answer(200 if ready else 503, b"")

    # --- ends

    def note(self, reason: str, status: int, why: str = "", **facts: object) -> None:
        """Put this end on record."""
        self._proxy.admission.note(self, reason, status, why, **facts)

    def fail(self, status: int, body: bytes, headers: bytes = http1.ERROR_TEXT) -> None:
        self.leave_app()
        self.failed = True
        self.answer(self.final(status), body, headers)

    def keeps_back(self, status: int) -> bool:
        """Whether an informational answer does not reach the client, as one did before it."""
        once = (status == 100 and not self.passes_each_continue) or self._proxy.final_status_lost
        return once and self._informed

    def final(self, status: int) -> int:
        """The final status, as the client gets it."""
        return 200 if self._informed and self._proxy.final_status_lost else status

    def refuse_protocol(self, words: bytes) -> None:
        """What it or the app asks for is none of HTTP's."""
        self.note("protocol", 502, words.decode("latin-1").strip())
        self.fail(502, words)

    def not_dialed(self, failed: DialError) -> None:
        """There is no connection to the app."""
        self._dialing = None
        self._proxy.log.seldom("dial-failed", why=str(failed))
        self.note("dial-failed", 502, str(failed))
        self.fail(502, f"{failed}\n".encode())

    def app_broke(self, words: str) -> None:
        """The app ended the connection, and has not answered."""
        self._proxy.log.seldom("app-broke", why=words)
        self.note("app-broke", 502, words)
        self.fail(502, f"{words}\n".encode())

    def answer_cut(self, words: str) -> None:
        """The app's answer ends in the middle, and so does the client's."""
        self._proxy.log.seldom("answer-cut", why=words)
        self.note("answer-cut", self.status, words)
        self.status = 500
        self.cut_off()

    def no_status(self, status: int) -> None:
        """The app's is less than 100: Go's server panics when it is to write it, and the client's connection ends."""
        words = f"invalid WriteHeader code {status}"
        self._proxy.log.seldom("answer-cut", why=words)
        self.break_off("answer-cut", words)

    def break_off(self, reason: str, why: str) -> None:
        """End the client's connection in the middle, or without a byte of an answer."""
        self.note(reason, self.status, why)
        self.leave_app()
        self.cut_off()

    def cut_off(self) -> None:
        """End in the middle of the answer, which the client learns."""
        self._proxy.admission.release(self)
        self.conn.abort(self)

    def timed_out(self, timer: Timer) -> None:
        """One of the timers ran out: 504, or the same text appended to a body that has begun."""
        if self.over:
            return
        admission = self._proxy.admission
        admission.log.seldom("timeout")
        status = self.status if self.begun else TIMEOUT_STATUS
        self.note(f"{timer}-timeout", status, period_s=admission.timeouts.period_s(timer))
        self.leave_app()
        if self.begun:
            self.append_timeout()
        else:
            self._informed = False  # the timer's writer does not know of an informational answer
            self.fail(TIMEOUT_STATUS, self.timeout_body, b"")

    def room_for_timeout(self, length: int | None) -> tuple[bool, bool]:
        """Of an answer with this length: whether the timeout's text fits, and whether the answer is whole with it."""
        room = None if length is None else length - self.sent_bytes
        return room is None or room >= len(self.timeout_body), room is None or room == len(self.timeout_body)

    def abandoned(self) -> None:
        if not self.over:
            self.failed = not self.begun
            self.note("client-left", 0)
        self.leave_app()
        self._proxy.admission.release(self)

    def leave_app(self) -> None:
        """Ask the app no more."""
        if self._dialing is not None:
            self._dialing.cancel()
            self._dialing = None

    def finish(self, keep_alive: bool) -> None:
        self._proxy.admission.release(self)
        self.conn.finish(self, keep_alive)

    def wrote(self) -> None:
        """Some of the answer came, which puts the idle timer off."""
        timeouts = self._proxy.admission.timeouts
        if timeouts.watches_writes:
            timeouts.wrote(self, time.monotonic())


def _printable(text: bytes) -> bool:
    return all(32 <= char < 127 for char in text)
