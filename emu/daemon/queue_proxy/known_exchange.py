"""A request that came before, byte for byte: the short way through queue-proxy (docs/decisions/0012).

Nothing in it is for us, it has no body, and what the app gets for it is made already. Its exchange is used again once
it is over: setting its many fields for each request would be much of the work. Where there are no observers but
statistics and metrics, `begin` and `answer_whole` do in one piece what `Http1Exchange` does step by step; whatever
turns out otherwise continues there.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from emu.daemon.http import forward, http1
from emu.daemon.http.flow import LARGE_BYTES
from emu.daemon.http.known import Known
from emu.daemon.queue_proxy.h1_proxy import Http1Exchange
from emu.daemon.queue_proxy.h1_request import SAFE_TO_REPEAT
from emu.policy.breaker import REFUSE, RUN

if TYPE_CHECKING:
    from emu.daemon.http.client import KnownAnswer, UpstreamConnection
    from emu.daemon.http.exchange import AnyKnownRequest, ClientSide
    from emu.daemon.queue_proxy.proxy import Proxy
    from emu.policy.metrics import Outcomes, QueueProxyMetrics

PEER = "\0"
"""Stands for the client's address, which differs among clients that say the same; no header holds a NUL."""
MOST_SPARE = 1024
"""Exchanges kept for further requests, of a quarter of a kilobyte each."""


def ordinary(head: http1.Head, way: forward.Route) -> bool:
    """Whether nothing in a request is for us, and it comes and ends as most do."""
    plain = head.minor == 1 and head.keep_alive and not (head.upgrade or head.expects_else or head.expects_continue)
    ours = way.health_check or way.network_probe or way.kubelet or head.target == b"*"
    return plain and not ours and head.method not in (b"HEAD", b"CONNECT")


class Learned:
    """All requests that came before."""

    def __init__(self) -> None:
        self.known: Known[AnyKnownRequest] = Known()

    def learn(self, whole: bytes, head: http1.Head, way: forward.Route) -> None:
        """A request was read in one piece: know it when it comes for the third time, if nothing in it is for us."""
        if not ordinary(head, way) or not self.known.again(whole):
            return
        made = self.made_of(head)
        if made is not None:
            self.known.keep(whole, made)

    def made_of(self, head: http1.Head) -> AnyKnownRequest | None:
        """The entry to keep for a request with this head; None: keep none."""
        raise NotImplementedError


class KnownRequests(Learned):
    """Those of a pod."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self.proxy = proxy
        self.spare: list[KnownExchange] = []
        """Exchanges that are over, for further requests."""

    def made_of(self, head: http1.Head) -> KnownRequest | None:
        """The entry to keep for a request with this head; None where clients' forwarded heads differ by more than
        their address.
        """
        way = forward.route(head, PEER)
        before, found, after = forward.app_head(way, head, self.proxy.app.address).partition(PEER.encode())
        if not found:
            return None
        way.headers = []
        made = http1.Head(head.method, head.target, 1, [])
        return KnownRequest(self, made, way, before, after)


class KnownRequest:
    """A request that came before."""

    __slots__ = ("_after", "_before", "_peer", "_proxy", "_said", "head", "may_repeat", "outcomes", "spare", "way")

    def __init__(
        self, requests: KnownRequests, head: http1.Head, way: forward.Route, before: bytes, after: bytes
    ) -> None:
        self._proxy = requests.proxy
        self.spare = requests.spare
        self._before = before
        self._after = after
        self._peer = PEER
        self._said = b""
        self.outcomes: dict[int, Outcomes] = {}
        """Where it is counted, by the status of its answer."""
        self.head = head
        self.way = way
        self.may_repeat = head.method in SAFE_TO_REPEAT

    def exchange(self, conn: ClientSide) -> KnownExchange:
        spare = self.spare
        exchange = spare.pop() if spare else KnownExchange(self._proxy, conn, self.head)
        exchange.reset(conn, self)
        return exchange

    def for_app(self, peer: str) -> bytes:
        """What the app gets, from the client at this address."""
        if peer != self._peer:
            self._peer = peer
            self._said = self._before + peer.encode() + self._after
        return self._said


class KnownExchange(Http1Exchange):
    """One such request from its arrival to the last byte of its answer."""

    __slots__ = ("_known",)

    def __init__(self, proxy: Proxy, conn: ClientSide, head: http1.Head) -> None:
        super().__init__(proxy, conn, head)
        self.body_done = True
        self._known: KnownRequest

    def reset(self, conn: ClientSide, known: KnownRequest) -> None:
        """As new: all that a request whose answer came at once has changed, but for what `begin` and `send` set."""
        self._known = known
        self.conn = conn
        self.head = known.head
        self.status = 0
        self.sent_at = None
        self._informed = self.over = self.failed = False

    def outcomes(self, metrics: QueueProxyMetrics) -> Outcomes:
        if self.failed:
            return super().outcomes(metrics)
        found = self._known.outcomes.get(self.status)
        if found is None:
            found = self._known.outcomes[self.status] = super().outcomes(metrics)
        return found

    def begin(self) -> None:
        admission = self._proxy.admission
        now = self.begun_at = monotonic()
        way = self._known.way
        if admission.watched or admission.draining.active:
            admission.enter(self, way, now)
            return
        # From here on `Admission.enter`, written out for a request that nothing else watches.
        self.way = way
        admission.in_flight += 1
        admission.timeouts.begin(self, now)
        if admission.armed_at is None:
            admission.arm(now, now + admission.timeouts.shortest_s)
        admitted = admission.breaker.enter(self)
        observer = admission.observer
        observer.stats.arrived(now, way.proxied)
        if admitted is RUN:
            self.sent_at = now
            observer.dispatched()
            self.dispatch(now)
        elif admitted is REFUSE:
            admission.refuse(self)

    dispatch = Http1Exchange.connect
    """Nothing in it is to be refused any more."""

    def send(self, app: UpstreamConnection) -> None:
        app.ask(self, False)
        self._app = app
        self._may_repeat = self._known.may_repeat and app.used > 1
        conn = self.conn
        if conn.flow.stuck:  # all that makes `full` of a request that is whole
            app.pause()
        app.transport.write(self._known.for_app(conn.peer))

    def answer_whole(self, app: UpstreamConnection, known: KnownAnswer, data: bytes) -> bool:
        conn, proxy, way = self.conn, self._proxy, self.way
        admission = proxy.admission
        if conn.server.stopping or admission.watched or way is None or self.sent_at is None:
            return super().answer_whole(app, known, data)
        # And `Admission.release` likewise: the two change together.
        now = monotonic()
        self._app = None
        self.over = True
        self.status = known.status
        if known.length < LARGE_BYTES:
            conn.transport.write(known.head + data[known.said_bytes :])
        else:
            known.pass_on_large(data, conn.transport)
        # Given back before `leave` lets the next request in, which can use it at once.
        proxy.app.give_back(app, now)
        admission.in_flight -= 1
        admission.timeouts.end(self)
        observer = admission.observer
        observer.stats.left(now, way.proxied)
        if observer.metrics is not None:
            found = self._known.outcomes.get(known.status) or self.outcomes(observer.metrics)
            found.ended(now - self.begun_at, now - self.sent_at, 0, known.length)
        successor = admission.breaker.leave(self)
        if successor is not None:
            admission.ends.waited(successor.begun_at, now)
            admission.run(successor, now)
        conn.finish(self, True)
        # Nothing may refer to it any more; its connection may end long before it is used again.
        del self.conn
        spare = self._known.spare
        if len(spare) < MOST_SPARE:
            spare.append(self)
        return True
