"""A request in the activator, from its arrival to the last byte of its answer, in HTTP/1."""

from __future__ import annotations

import time
from typing import ClassVar

from emu.daemon.activator.front import Front, Pod
from emu.daemon.http import forward, http1
from emu.daemon.http.client import KnownAnswer, UpstreamConnection
from emu.daemon.http.exchange import ClientSide
from emu.daemon.http.goquote import quoted
from emu.daemon.queue_proxy.admission import answer_network_probe
from emu.daemon.queue_proxy.exchange import ProxiedExchange
from emu.daemon.queue_proxy.h1_proxy import Http1Exchange
from emu.messages import START_HEADER


class HeldExchange(Http1Exchange):
    """One request from its arrival here to the last byte of its answer."""

    __slots__ = ("_front", "_pod")

    timeout_body: ClassVar[bytes] = b"activator request timeout"
    passes_each_continue: ClassVar[bool] = True

    def __init__(self, front: Front, conn: ClientSide, head: http1.Head) -> None:
        super().__init__(front.proxy, conn, head)
        self._front = front
        self._pod: Pod | None = None
        """Where it goes, once there is one with room."""

    def begin(self) -> None:
        now = self.begun_at = time.monotonic()
        head = self.head
        way = forward.route_to_pod(head, self.conn.peer)
        if self.whole is not None:
            if self._front.learn is not None:
                self._front.learn(self.whole, head, way)
            self.whole = None
        head.headers = []
        if head.method == b"CONNECT":
            head.keep_alive = False
        arrived(self, self._front, way, now)

    def dispatch(self, now: float) -> None:
        assert self.way is not None
        pod = self._pod = self._front.pod_of(self, self.conn.peer_port, now)
        self._proxy = pod.proxy
        self.way.host = pod.proxy.app.address
        super().dispatch(now)

    def answer_whole(self, app: UpstreamConnection, known: KnownAnswer, data: bytes) -> bool:
        return not self._front.names_start(self) and super().answer_whole(app, known, data)

    def answer_head(self, status: int, reason: bytes, headers: http1.Headers, minor: int) -> None:
        pod = self._pod
        if status >= 200 and pod is not None and pod.start and self._front.names_start(self):
            headers = [*headers, (START_HEADER.encode(), pod.start)]
        super().answer_head(status, reason, headers, minor)


class TracedExchange(HeldExchange):
    """One of a revision whose requests are traced: that it is forwarded is reported."""

    __slots__ = ()

    def send(self, app: UpstreamConnection) -> None:
        super().send(app)
        self._front.send("forwarded", time.monotonic())


def arrived(request: ProxiedExchange, front: Front, way: forward.Route, now: float) -> None:
    """It is answered here if it is a probe of the activator; else it goes to a pod, once there is one."""
    if request.answered_here():
        return
    if way.kubelet or (way.agent or b"").startswith(forward.KUBE_PROBE):
        request.answer(200, b"")  # is the activator alive? its own kubelet asks
    elif way.network_probe:
        _answer_probe(request, way)
    else:
        front.enter(request, way, now)


def _answer_probe(request: ProxiedExchange, way: forward.Route) -> None:
    """Knative's own probe: is this the activator?"""
    if way.network_probe == b"probe":
        answer_network_probe(request, way)
    elif way.network_probe == b"activator":
        request.answer(200, b"activator")
    else:
        value = quoted(_html_escaped(way.network_probe))
        request.answer(400, b"unexpected probe header value: %b\n" % value, http1.ERROR_TEXT)


def _html_escaped(text: bytes) -> bytes:
    """As Go's html.EscapeString has it."""
    for char, said in ((b"&", b"&amp;"), (b"<", b"&lt;"), (b">", b"&gt;"), (b'"', b"&#34;"), (b"'", b"&#39;")):
        text = text.replace(char, said)
    return text
