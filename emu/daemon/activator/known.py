"""A request that came before, byte for byte: the short way through the activator (docs/decisions/0012).

As in queue-proxy it is not parsed again, and its exchange is used again. What a pod gets for it names the pod too, so
that is kept for each.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from emu.daemon.activator.exchange import HeldExchange
from emu.daemon.http import forward, http1
from emu.daemon.http.flow import LARGE_BYTES
from emu.daemon.http.known import MOST
from emu.daemon.queue_proxy.h1_request import SAFE_TO_REPEAT
from emu.daemon.queue_proxy.known_exchange import MOST_SPARE, PEER, Learned

if TYPE_CHECKING:
    from emu.daemon.activator.front import Front
    from emu.daemon.http.client import KnownAnswer, UpstreamConnection
    from emu.daemon.http.exchange import ClientSide


class HeldRequests(Learned):
    """Those of a revision."""

    def __init__(self, front: Front) -> None:
        super().__init__()
        self.front = front
        self.spare: list[KnownHeld] = []
        """Exchanges that are over, for further requests."""

    def made_of(self, head: http1.Head) -> HeldRequest:
        return HeldRequest(self, head)


class HeldRequest:
    """A request that came before."""

    __slots__ = ("_requests", "head", "may_repeat", "said", "way")

    def __init__(self, requests: HeldRequests, head: http1.Head) -> None:
        self._requests = requests
        self.said: dict[tuple[bytes, str], bytes] = {}
        """What a pod gets, by its address and the client's."""
        self.head = http1.Head(head.method, head.target, 1, [])
        self.way = forward.route_to_pod(head, PEER)
        self.may_repeat = head.method in SAFE_TO_REPEAT

    def exchange(self, conn: ClientSide) -> KnownHeld:
        requests = self._requests
        spare = requests.spare
        exchange = spare.pop() if spare else KnownHeld(requests, conn, self.head)
        exchange.reset(conn, self)
        return exchange

    def for_pod(self, address: bytes, peer: str) -> bytes:
        """What the pod at this address gets, from the client at that one; kept in `said`."""
        if len(self.said) >= MOST:
            self.said.clear()
        self.way.host = address
        made = forward.app_head(self.way, self.head, address)
        said = self.said[address, peer] = made.replace(PEER.encode(), peer.encode())
        return said


class KnownHeld(HeldExchange):
    """One such request from its arrival to the last byte of its answer."""

    __slots__ = ("_known", "_spare")

    def __init__(self, requests: HeldRequests, conn: ClientSide, head: http1.Head) -> None:
        super().__init__(requests.front, conn, head)
        self.body_done = True
        self._spare = requests.spare
        self._known: HeldRequest

    def reset(self, conn: ClientSide, known: HeldRequest) -> None:
        """As new: all that a request whose answer came at once has changed, but for what `begin` and `send` set."""
        self._known = known
        self.conn = conn
        self.head = known.head
        self._proxy = self._front.proxy
        self.status = 0
        self.sent_at = None
        self._informed = self.over = self.failed = False

    def begin(self) -> None:
        now = self.begun_at = monotonic()
        self._front.enter(self, self._known.way, now)

    def dispatch(self, now: float) -> None:
        pod = self._pod = self._front.pod_of(self, self.conn.peer_port, now)
        proxy = self._proxy = pod.proxy
        app = proxy.app.take(now)
        if app is None:
            self.connect(now)
        else:
            self.send(app)

    def send(self, app: UpstreamConnection) -> None:
        app.ask(self, False)
        self._app = app
        self._may_repeat = self._known.may_repeat and app.used > 1
        conn = self.conn
        if conn.flow.stuck:  # all that makes `full` of a request that is whole
            app.pause()
        known, address = self._known, self._proxy.app.address
        app.transport.write(known.said.get((address, conn.peer)) or known.for_pod(address, conn.peer))

    def answer_whole(self, app: UpstreamConnection, known: KnownAnswer, data: bytes) -> bool:
        conn, front = self.conn, self._front
        if conn.server.stopping or (front.waited and front.names_start(self)):
            return super().answer_whole(app, known, data)
        now = monotonic()
        self._app = None
        self.status = known.status
        if known.length < LARGE_BYTES:
            conn.transport.write(known.head + data[known.said_bytes :])
        else:
            known.pass_on_large(data, conn.transport)
        self._proxy.app.give_back(app, now)
        front.release(self, now)
        conn.finish(self, True)
        # Nothing may refer to it any more; its connection and its pod may be gone long before it is used again.
        del self.conn
        self._pod = None
        if len(self._spare) < MOST_SPARE:
            self._spare.append(self)
        return True
