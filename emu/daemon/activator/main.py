"""The activator: in front of a pod that may be gone, it holds requests until there is one, and forwards them.

    python -m emu.daemon.activator --port 0 --events events.jsonl

It runs beside the pods, outside their cgroups. Standard input carries, a JSON line each, where the pods are
(`Endpoints`), and its end ends the process; standard output carries the autoscaler's input (`ActivatorReport`),
standard error the log. Rules from knative/serving, cmd/activator and pkg/activator: each request is forwarded once
queue-proxy has said that the app is ready, in the order of arrival, under the limit of containerConcurrency, and is
ended by the revision's timers.
"""

# ruff: noqa: D102  the callbacks are described where they are declared, in Exchange and Asker
from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from emu.daemon import loop as runtime
from emu.daemon.http import forward, http1
from emu.daemon.http.client import ClientConnection, KnownAnswer
from emu.daemon.http.exchange import ClientSide
from emu.daemon.http.goquote import quoted
from emu.daemon.http.server import Server
from emu.daemon.http.upstream import AppConnections
from emu.daemon.queue_proxy.admission import Admission
from emu.daemon.queue_proxy.ends import Ends
from emu.daemon.queue_proxy.h1_proxy import Http1Exchange
from emu.daemon.queue_proxy.observer import Observer
from emu.daemon.queue_proxy.probe import Prober
from emu.daemon.queue_proxy.proxy import Proxy
from emu.daemon.queue_proxy.request import Admitted, Counted
from emu.messages import (
    ACTIVATOR_PROBE,
    QUEUE_PORT,
    REQUESTS_ENDED,
    START_HEADER,
    ActivatorReport,
    Endpoint,
    Endpoints,
)
from emu.policy.activation import PROBE_EVERY_S, PROBE_LIMIT_S, Reporter, Waiting
from emu.policy.breaker import RUN, Breaker
from emu.policy.draining import Draining
from emu.policy.stats import REPORT_PERIOD_S
from emu.policy.timeouts import RequestTimeouts
from emu.record.events import EventLog, RequestsEnded, RequestsHeld, RequestsWaited

MAX_IDLE = 100
"""MAX_IDLE_PROXY_CONNS_PER_HOST (cmd/activator/main.go)."""
NO_QUEUE_LIMIT = 2**31
"""Requests wait until a timer ends them; Knative's limit is of this order (pkg/activator/net/throttler.go)."""
KUBE_PROBE = b"kube-probe/"
_PROBED = b"\r\n\r\nqueue"
_READ = 1 << 16


@dataclass(frozen=True)
class FrontSettings:
    """What the revision says. Seconds; 0 is off for all but the first."""

    timeout_s: float = 300.0
    response_start_s: float = 0.0
    idle_s: float = 0.0
    concurrency: int = 0


class _Counting(Observer):
    """Counts what is under way, for the autoscaler."""

    __slots__ = ("_front",)

    def __init__(self, front: Front) -> None:
        super().__init__(front.breaker)
        self._front = front

    def arrived(self, request: Counted, now: float, proxied: bool) -> None:
        if self._front.reporter.arrived(now):
            self._front.send("report", now, concurrency=1.0)

    def left(self, request: Counted, now: float, proxied: bool) -> None:
        self._front.reporter.left(now)


class Front(Admission):
    """Lets requests go to the pod once there is one and it has room. `update` says where the pod is."""

    def __init__(self, settings: FrontSettings, log: runtime.Log, out: runtime.Log, events: EventLog) -> None:
        timeouts: RequestTimeouts[Admitted] = RequestTimeouts(
            settings.timeout_s, settings.response_start_s, settings.idle_s
        )
        super().__init__(Breaker(0), timeouts, Prober("", 0), log, Draining(0.0))
        self.proxy = Proxy(self, AppConnections("", QUEUE_PORT, MAX_IDLE))
        self._out = out
        self._events = events
        self.ends = Ends(self._record)
        self.waiting: Waiting[Admitted] = Waiting()
        self._waited: set[Admitted] = set()
        """Those under way that had to wait for a pod."""
        self.room: Breaker[Admitted] = Breaker(settings.concurrency, NO_QUEUE_LIMIT)
        """Which of those that there is a pod for may go to it."""
        self._queued: dict[Admitted, float] = {}
        """Those that wait for room, and since when."""
        self.reporter = Reporter(time.monotonic())
        self.observer = _Counting(self)
        self.start = b""
        """How warm the start was that those are answered after who waited."""
        self._probing: asyncio.Task[None] | None = None

    def exchange(self, conn: ClientSide, head: http1.Head) -> HeldExchange:
        return HeldExchange(self, conn, head)

    # --- what it does otherwise than queue-proxy's

    def run(self, request: Admitted, now: float) -> None:
        """Send it if there is a pod and room in it."""
        if request.over or not self._finds_pod(request, now):
            return
        if self.room.enter(request) is RUN:
            self._send(request, now)
        else:
            self._queued[request] = now

    def release(self, request: Admitted, now: float | None = None) -> None:
        """It is over: another one goes in its place. Without a pod all of them wait for one."""
        if request.over:
            return
        super().release(request, now)
        self._waited.discard(request)
        self._queued.pop(request, None)
        if self.waiting.leave(request):
            self._gave_up(request.status, request.begun_at)
        now = time.monotonic()
        successor = self.room.leave(request)
        while successor is not None and not self._finds_pod(successor, now):
            self._queued.pop(successor, None)
            successor = self.room.leave(successor)
        if successor is not None:
            self.ends.waited(self._queued.pop(successor), now)
            self._send(successor, now)

    def has_waited(self, request: Admitted) -> bool:
        """Whether there was no pod for it at some time."""
        return request in self._waited

    def _finds_pod(self, request: Admitted, now: float) -> bool:
        found = self.waiting.enter(request, now)
        if not found:
            self._waited.add(request)
        return found

    def _send(self, request: Admitted, now: float) -> None:
        request.sent_at = now
        request.dispatch(now)

    # --- the pod

    def send(
        self, what: str, now: float, *, concurrency: float = 0.0, waiting: int | None = None, port: int = 0
    ) -> None:
        """A line to the autoscaler."""
        there = self.room.running
        held = self.reporter.inside - there if waiting is None else waiting
        self._out.raw(ActivatorReport(what, now, concurrency, held, there, port).to_line())

    def report(self) -> None:
        """What each second brings: how many requests were under way."""
        now = time.monotonic()
        concurrency = self.reporter.report(now)
        if concurrency is not None:
            self.send("report", now, concurrency=concurrency)

    def update(self, endpoints: Endpoints) -> None:
        """There is a pod at this address, to be probed until it is ready; or there is none."""
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None
        self.waiting.close()
        self.proxy.app.close()
        if not endpoints.pods:
            self.send("closed", time.monotonic())
            return
        pod = endpoints.pods[0]
        self.start = pod.start.encode("ascii")
        self.proxy.app = AppConnections(pod.address, pod.port, MAX_IDLE)
        self._probing = asyncio.get_running_loop().create_task(self._probe(pod))

    async def _probe(self, pod: Endpoint) -> None:
        while not await healthy(pod.address, pod.port):
            await asyncio.sleep(PROBE_EVERY_S)
        self._probing = None
        now = time.monotonic()
        going = self.waiting.let_in(now)
        self.send("ready", now, waiting=len(going))
        if going:
            self._events.append(
                RequestsHeld(t=now, outcome="forwarded", waited_s=[round(waited_s, 6) for _, waited_s in going])
            )
        for held, _ in going:
            self.run(held, time.monotonic())

    def _record(self, kind: str, facts: dict[str, Any]) -> None:
        made = RequestsEnded if kind == REQUESTS_ENDED else RequestsWaited
        self._events.append(made(t=time.monotonic(), who="activator", **facts))

    def _gave_up(self, status: int, since: float) -> None:
        """A request that waited is over, and was not forwarded."""
        now = time.monotonic()
        outcome = "timeout" if status else "abandoned"
        self._events.append(RequestsHeld(t=now, outcome=outcome, waited_s=[round(now - since, 6)]))


class HeldExchange(Http1Exchange):
    """One request from its arrival here to the last byte of its answer."""

    __slots__ = ("_front",)

    timeout_body: ClassVar[bytes] = b"activator request timeout"

    def __init__(self, front: Front, conn: ClientSide, head: http1.Head) -> None:
        super().__init__(front.proxy, conn, head)
        self._front = front

    def begin(self) -> None:
        now = self.begun_at = time.monotonic()
        head = self.head
        way = forward.route(head, self.conn.peer)
        self.whole = None
        head.headers = []
        if self.answered_here():
            pass
        elif way.kubelet or (way.agent or b"").startswith(KUBE_PROBE):
            self.answer(200, b"")  # is the activator alive? its own kubelet asks
        elif way.network_probe:
            self._answer_probe(way)
        else:
            way.kubelet = False
            mark(way)
            self._front.enter(self, way, now)

    def _answer_probe(self, way: forward.Route) -> None:
        """Knative's own probe: is this the activator?"""
        if way.network_probe == b"probe":
            self.answer(200, b"", b"K-Network-Hash: %b\r\n" % way.network_hash if way.network_hash else b"")
        elif way.network_probe == b"activator":
            self.answer(200, b"activator", http1.TEXT)
        else:
            value = quoted(escape(way.network_probe.decode("latin-1")).encode("latin-1"))
            self.answer(400, b"unexpected probe header value: %b\n" % value, http1.ERROR_TEXT)

    def connect(self, now: float) -> None:
        assert self.way is not None
        app = self._proxy.app
        self.way.host = f"{app.host}:{app.port}".encode()
        super().connect(now)

    def answer_whole(self, app: ClientConnection, known: KnownAnswer, body: bytes) -> bool:
        return not self._front.has_waited(self) and super().answer_whole(app, known, body)

    def answer_head(self, status: int, reason: bytes, headers: http1.Headers, minor: int) -> None:
        if status >= 200 and self._front.start and self._front.has_waited(self):
            headers = [*headers, (START_HEADER.encode(), self._front.start)]
        super().answer_head(status, reason, headers, minor)


def mark(way: forward.Route) -> None:
    """What queue-proxy is to know: that the activator asks, and for which host."""
    way.headers = [pair for pair in way.headers if pair[0] not in (b"K-Original-Host", b"K-Proxy-Request")]
    way.headers += [(b"K-Original-Host", way.host), (b"K-Proxy-Request", b"activator")]
    way.headers.sort(key=lambda pair: pair[0])


async def healthy(address: str, port: int) -> bool:
    """Whether queue-proxy says, in time, that the app is ready."""
    try:
        return await asyncio.wait_for(_asked(address, port), PROBE_LIMIT_S)
    except (TimeoutError, OSError):
        return False


async def _asked(address: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(ACTIVATOR_PROBE)
        said = await reader.read()
    finally:
        writer.close()
    return said.split(b" ", 2)[1:2] == [b"200"] and said.endswith(_PROBED)


async def serve(front: Front, port: int) -> int:
    """Listen on loopback until SIGTERM or the end of standard input."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(front.exchange, full_duplex=False)
    bound = await server.listen("127.0.0.1", port, runtime.LISTEN_BACKLOG)
    os.set_blocking(0, False)
    loop.add_reader(0, _Input(front, stop).read)
    front.send("listening", time.monotonic(), port=bound)
    reporting = loop.create_task(_every(REPORT_PERIOD_S, front))
    await stop.wait()
    loop.remove_reader(0)
    reporting.cancel()
    await server.stop(0.0)
    front.ends.flush()
    return 0


async def _every(seconds: float, front: Front) -> None:
    while True:
        await asyncio.sleep(seconds)
        front.report()
        front.proxy.app.sweep()


class _Input:
    """Lines that come in pieces."""

    def __init__(self, front: Front, stop: asyncio.Event) -> None:
        self._front = front
        self._stop = stop
        self._rest = b""

    def read(self) -> None:
        part = os.read(0, _READ)
        if not part:
            self._stop.set()
            return
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            self._front.update(Endpoints.from_line(line))


def main(argv: list[str] | None = None) -> int:
    """Run it; its exit status."""
    parser = argparse.ArgumentParser(prog="emu.daemon.activator")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--concurrency", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=300.0)
    parser.add_argument("--response-start-timeout", type=float, default=0.0)
    parser.add_argument("--idle-timeout", type=float, default=0.0)
    options = parser.parse_args(argv)
    settings = FrontSettings(
        options.timeout, options.response_start_timeout, options.idle_timeout, options.concurrency
    )

    async def run() -> int:
        log, out = runtime.Log("activator", fd=2), runtime.Log("activator")
        return await serve(Front(settings, log, out, EventLog(options.events)), options.port)

    try:
        return runtime.run(run)
    except OSError as failed:
        print(f"the activator cannot listen on port {options.port}: {failed}", file=sys.stderr, flush=True)
        return 1
