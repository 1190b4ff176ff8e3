"""HTTP/2 in the activator: a client's connections, and their requests, which the pod is asked for in HTTP/2 too."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar

from emu.daemon.activator.exchange import HeldExchange, arrived
from emu.daemon.http import forward, http1
from emu.daemon.http import h2_frames as frames
from emu.daemon.http.known import MOST
from emu.daemon.queue_proxy.h2_downstream import DownstreamConnection2
from emu.daemon.queue_proxy.h2_known import KnownAnswer, KnownStream, made_of
from emu.daemon.queue_proxy.h2_proxy import ProxiedStream
from emu.messages import START_HEADER

if TYPE_CHECKING:
    from emu.daemon.activator.front import Front, Pod
    from emu.daemon.queue_proxy.h2_client_stream import ClientStream


class HeldStream(ProxiedStream):
    """One request in HTTP/2, from its arrival here to the last byte of its answer."""

    __slots__ = ("_client", "_front", "_pod")

    timeout_body: ClassVar[bytes] = HeldExchange.timeout_body
    passes_each_continue: ClassVar[bool] = True

    def __init__(
        self, front: Front, stream: ClientStream, client: int, head: http1.Head, known: KnownStream | None = None
    ) -> None:
        super().__init__(front.proxy, stream, head, known)
        self._front = front
        self._client = client
        """Its client's port."""
        self._pod: Pod | None = None
        """Where it goes, once there is one with room."""

    def begin(self) -> None:
        now = self.begun_at = time.monotonic()
        front, known, head = self._front, self.known, self.head
        if known is not None:
            front.enter(self, known.way, now)
            return
        way = forward.route_to_pod(head, self.conn.peer)
        head.headers = []
        arrived(self, front, way, now)

    def dispatch(self, now: float) -> None:
        pod = self._pod = self._front.pod_of(self, self._client, now)
        self._proxy = pod.proxy
        if self.known is None:
            assert self.way is not None
            self.way.host = pod.proxy.app.address
            super().dispatch(now)
        else:
            self.connect(now)

    def app_block(self, bodiless: bool) -> bytes:
        known, address = self.known, self._proxy.app.address
        if known is None:
            return super().app_block(bodiless)
        if known.end != bodiless:
            return frames.field(b":authority", address) + super().app_block(bodiless)[known.host_bytes :]
        block = known.by_address.get(address)
        if block is None:
            if len(known.by_address) >= MOST:
                known.by_address.clear()
            block = known.by_address[address] = frames.field(b":authority", address) + known.block[known.host_bytes :]
        return block

    def answer_begins(self, known: KnownAnswer) -> None:
        pod = self._pod
        if pod is not None and pod.start and self._front.names_start(self):
            known = KnownAnswer(known.status, [*known.headers, (START_HEADER.lower().encode(), pod.start)])
        super().answer_begins(known)


class HeldConnection(DownstreamConnection2):
    """A client's HTTP/2 connection."""

    def __init__(self, front: Front, peer: str, connections: set[DownstreamConnection2]) -> None:
        super().__init__(front.proxy, peer, connections)
        self._front = front
        self._port = 0

    def begin(
        self, transport: asyncio.Transport, said: bytes, upgrade: tuple[bytes, http1.Head] | None = None
    ) -> None:
        self._port = transport.get_extra_info("peername")[1]
        super().begin(transport, said, upgrade)

    def exchange(self, stream: ClientStream, head: http1.Head, known: KnownStream | None = None) -> HeldStream:
        return HeldStream(self._front, stream, self._port, head, known)

    def known_of(self, head: http1.Head, end: bool, length: int | None) -> KnownStream | None:
        way = forward.route_to_pod(head, self.peer)
        return made_of(head, way, end, length, b"")
