"""What all requests in the activator share: the pods that it knows, which of the requests wait, and for what."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

from emu.daemon import loop as runtime
from emu.daemon.activator.forwarded import Forwarded
from emu.daemon.activator.probe import healthy
from emu.daemon.http.forward import Route
from emu.daemon.http.upstream import AppConnections
from emu.daemon.queue_proxy.admission import Admission
from emu.daemon.queue_proxy.ends import Ends
from emu.daemon.queue_proxy.probe import Prober
from emu.daemon.queue_proxy.proxy import Learn, Proxy
from emu.daemon.queue_proxy.request import Admitted
from emu.messages import QUEUE_PORT, REQUESTS_ENDED
from emu.messages.endpoints import ActivatorReport, Endpoint, Endpoints
from emu.policy.activation import PROBE_EVERY_S, Reporter, next_probe_at
from emu.policy.breaker import Breaker
from emu.policy.draining import Draining
from emu.policy.stats import REPORT_PERIOD_S
from emu.policy.throttling import Throttler
from emu.policy.timeouts import RequestTimeouts
from emu.record.events import EventLog, PodLoad, RequestsEnded, RequestsHeld, RequestsWaited

MAX_IDLE = 100
"""MAX_IDLE_PROXY_CONNS_PER_HOST (cmd/activator/main.go)."""


@dataclass(frozen=True)
class FrontSettings:
    """What the revision says. Seconds; 0 is off for all but the first."""

    timeout_s: float = 300.0
    response_start_s: float = 0.0
    idle_s: float = 0.0
    concurrency: int = 0
    probe_every_s: float = PROBE_EVERY_S
    traced: bool = False
    """Each request's arrival and forwarding is reported, and every answer says how warm the start was."""
    revision: str = ""
    """Whose requests they are, for the record; empty where there is only one revision."""
    report_every_s: float = REPORT_PERIOD_S


class Pod:
    """A pod in the endpoints."""

    def __init__(self, front: Front, endpoint: Endpoint) -> None:
        self.proxy = Proxy(front, AppConnections(endpoint.address, endpoint.port, MAX_IDLE))
        """For the requests that are sent to it."""
        self.endpoint = endpoint
        self.start = b""
        """How warm its start was; of a pod that is known to be healthy it changes no more."""
        self.healthy = False
        """It has passed the activator's probe."""
        self.probing: asyncio.Task[None] | None = None

    def end_probing(self) -> None:
        """It is not asked any more."""
        if self.probing is not None:
            self.probing.cancel()
            self.probing = None

    def close(self) -> None:
        """It has left the endpoints: what it has it answers, and no connection to it is kept."""
        self.end_probing()
        self.proxy.app.close()
        if self.proxy.http2 is not None:
            self.proxy.http2.leave()


class Front(Admission):
    """Lets requests go to a pod once there is one and it has room. `update` says where the pods are."""

    def __init__(self, settings: FrontSettings, log: runtime.Log, out: runtime.Log, events: EventLog) -> None:
        timeouts: RequestTimeouts[Admitted] = RequestTimeouts(
            settings.timeout_s, settings.response_start_s, settings.idle_s
        )
        super().__init__(Breaker(0), timeouts, Prober(""), log, Draining(0.0))
        self.settings = settings
        self.proxy = Proxy(self, AppConnections("", QUEUE_PORT, 0))
        """Of requests that have no pod yet."""
        self.throttler: Throttler[Admitted] = Throttler(settings.concurrency, _draw)
        self._ticker = time.monotonic()
        """When the ticker started by which pods are probed."""
        self.reporter = Reporter(self._ticker)
        self.ends = Ends(self._record)
        self.forwarded = Forwarded(events.append)
        self.learn: Learn | None = None
        """Called with each request that was read in one piece; None where none are known by what came before."""
        self._out = out
        self._events = events
        self._pods: dict[str, Pod] = {}
        """By address and port."""
        self._names: dict[str, str] = {}
        """Of the pods that were ever in the endpoints."""
        self._shard = (-1, 1)
        """This activator's index, and how many there are."""
        self.waited: set[Admitted] = set()
        """Requests under way that had to wait for a pod."""

    # --- requests

    # Of what `Admission` has, the activator wants neither breaker nor log nor gate: each request takes all of these
    # steps, and no others.

    def enter(self, request: Admitted, way: Route, now: float) -> None:
        """A request that is no probe of the activator: send it if there is a pod with room; with the timers on."""
        request.way = way
        self.in_flight += 1
        self.timeouts.begin(request, now)
        if self.armed_at is None:
            self.arm(now, now + self.timeouts.shortest_s)
        reporter = self.reporter
        if reporter.known:
            reporter.came(now)
        elif reporter.arrived(now):
            self.send("report", now, concurrency=1.0, rps=1.0 / self.settings.report_every_s)
        if self.settings.traced:
            self.send("arrived", now)
        if self.throttler.enter(request, now):
            request.sent_at = now
            request.dispatch(now)
        elif not self.throttler.open:
            self.waited.add(request)

    def release(self, request: Admitted, now: float | None = None) -> None:
        """It is over: another one goes in its place."""
        if request.over:
            return
        request.over = True
        if request.way is None:
            return
        self.in_flight -= 1
        self.timeouts.end(request)
        self.reporter.left(time.monotonic() if now is None else now)
        if self.waited:
            self.waited.discard(request)
        since = self.throttler.leave(request)
        if since is not None:
            self._gave_up(request.status, since)
        if self.throttler.queue:
            self._admit(time.monotonic())

    def places(self) -> dict[str, int]:
        """How many requests are in the activator, where none waits for a place in it."""
        return {"inside": self.in_flight, "waiting": 0}

    def names_start(self, request: Admitted) -> bool:
        """Whether its answer says how warm the pod's start was: there was no pod for it at some time."""
        return request in self.waited or self.settings.traced

    def _admit(self, now: float) -> None:
        """Send the waiting requests that there is room for."""
        for request, since in self.throttler.admit():
            if since < now:
                self.ends.waited(since, now)
            request.sent_at = now
            request.dispatch(now)

    def pod_of(self, request: Admitted, client: int, now: float) -> Pod:
        """The pod that it goes to, which is recorded; `client` is its client's port."""
        pod = self._pods[self.throttler.placed[request].pod]
        self.forwarded.note(pod.endpoint.pod, client, now, bool(self.waited) and request in self.waited)
        return pod

    # --- reports

    def send(
        self,
        what: str,
        now: float,
        *,
        concurrency: float = 0.0,
        rps: float = 0.0,
        waiting: int | None = None,
        port: int = 0,
        pod: str = "",
    ) -> None:
        """A line to the autoscaler."""
        forwarded = self.throttler.running
        held = self.reporter.inside - forwarded if waiting is None else waiting
        loads = self.throttler.loads()
        self._out.raw(ActivatorReport(what, now, concurrency, held, forwarded, port, pod, loads, rps).to_line())

    def report(self) -> None:
        """What each second brings: how many requests were under way, and how many came."""
        now = time.monotonic()
        report = self.reporter.cut(now)
        self.record_loads(now)
        if report is not None:
            rps = report.request_count / self.settings.report_every_s
            self.send("report", now, concurrency=report.average_concurrency, rps=rps)

    def record_loads(self, now: float) -> None:
        """Put on record how many requests were in a pod at once, where it was never more."""
        for address, most in self.throttler.most().items():
            name = self._names.get(address, "")
            if name:
                self._events.append(PodLoad(t=now, pod=name, most=most))

    # --- pods

    def update(self, endpoints: Endpoints) -> None:
        """These are the pods; one that is new, or not ready any more, is probed until it is."""
        named = {one.host_port: one for one in endpoints.pods}
        if self._pods.keys() - named.keys():
            self.record_loads(time.monotonic())  # while the names are still those of these pods
        # Out before the others come in: an address may be a new pod's at once.
        for address in self._pods.keys() - named.keys():
            self._pods.pop(address).close()
        for address, endpoint in named.items():
            self._name(address, endpoint)
        self._shard = endpoints.index, endpoints.activators
        now = time.monotonic()
        self._open(now)
        self._admit(now)
        if not named:
            self.send("closed", now)
        if self.settings.traced:
            self.send("updated", now)

    def sweep(self) -> None:
        """Close connections that were idle for too long."""
        for pod in self._pods.values():
            pod.proxy.app.sweep()

    def _name(self, address: str, endpoint: Endpoint) -> None:
        pod = self._pods.get(address)
        if pod is None:
            pod = self._pods[address] = Pod(self, endpoint)
        elif pod.endpoint.ready and not endpoint.ready:
            pod.healthy = False
        pod.endpoint = endpoint
        self._names[address] = endpoint.pod
        if not pod.healthy or self.settings.traced:
            pod.start = endpoint.start.encode("ascii")
        if not pod.healthy and pod.probing is None:
            pod.probing = asyncio.get_running_loop().create_task(self._probe(pod))

    async def _probe(self, pod: Pod) -> None:
        began = time.monotonic()
        while not await healthy(pod.endpoint.address, pod.endpoint.port):
            now = time.monotonic()
            at = next_probe_at(began, now, self._ticker, self.settings.probe_every_s)
            await asyncio.sleep(at - now)
            began = at
        pod.probing, pod.healthy = None, True
        now = time.monotonic()
        waited = self._open(now)
        self.send("ready", now, waiting=len(waited), pod=pod.endpoint.host_port)
        self._admit(now)
        if waited:  # only now: those who waited need not wait for the disk
            self._events.append(self._held(now, "forwarded", waited))

    def _open(self, now: float) -> list[float]:
        """Have requests go to the healthy pods; how long each waited that had no pod before."""
        index, activators = self._shard
        healthy_ones = [address for address, pod in self._pods.items() if pod.healthy]
        was_open = self.throttler.open
        waited = self.throttler.update(healthy_ones, now, index=index, activators=activators)
        if was_open and not self.throttler.open:
            self.waited.update(self.throttler.queue)
        return [round(waited_s, 6) for _, waited_s in waited]

    # --- the record

    def _record(self, kind: str, facts: dict[str, Any]) -> None:
        made = RequestsEnded if kind == REQUESTS_ENDED else RequestsWaited
        self._events.append(made(t=time.monotonic(), who="activator", revision=self.settings.revision, **facts))

    def _gave_up(self, status: int, since: float) -> None:
        """A request that waited is over, and was not forwarded."""
        now = time.monotonic()
        outcome = "timeout" if status else "abandoned"
        self._events.append(self._held(now, outcome, [round(now - since, 6)]))

    def _held(self, now: float, outcome: str, waited_s: list[float]) -> RequestsHeld:
        return RequestsHeld(t=now, revision=self.settings.revision, outcome=outcome, waited_s=waited_s)


def _draw(below: int) -> int:
    """A number from 0 up to, not including, this one. A request takes up to three, and `randrange` takes its time."""
    return int(random.random() * below)
