"""Which of a pod's requests go to the app, and when: the timers, the breaker, the gate, and the record of each.

The chain of Knative's pkg/queue/sharedmain/handlers.go: probes are answered first; then the timers run, waiting in
the breaker included; then the app is asked. How a request is sent and answered is its exchange's affair.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from emu.daemon.http import http1
from emu.daemon.http.forward import NETWORK_HASH, hash_line
from emu.daemon.loop import Log
from emu.daemon.queue_proxy.ends import HELD_STILL, Ends
from emu.daemon.queue_proxy.observer import Observer
from emu.daemon.queue_proxy.probe import Prober
from emu.policy.breaker import REFUSE, RUN, Breaker
from emu.policy.draining import Draining
from emu.policy.timeouts import RequestTimeouts

if TYPE_CHECKING:
    from emu.daemon.http.forward import Route
    from emu.daemon.queue_proxy.gate import Gate
    from emu.daemon.queue_proxy.request import Admitted
    from emu.daemon.queue_proxy.request_log import RequestLog

NO_ANSWER = (0, 502, 503, 504)
"""After one of these it is not known whether the app is ready: the client left, or the answer was our own."""


class Admission:
    """One for all requests of a pod. It keeps no object for a request: what it notes of one stands in the request."""

    def __init__(
        self,
        breaker: Breaker[Admitted],
        timeouts: RequestTimeouts[Admitted],
        prober: Prober,
        log: Log,
        draining: Draining,
    ) -> None:
        self.breaker = breaker
        self.timeouts = timeouts
        self.prober = prober
        self.log = log
        self.draining = draining
        self.request_log: RequestLog | None = None
        self.gate: Gate | None = None
        """Asked before each request goes to an app that is paused when idle; None where there is no freezer."""
        self.in_flight = 0
        self.observer = Observer(breaker)
        self.ends = Ends(lambda kind, facts: log.event(kind, **facts))
        self.armed_at: float | None = None
        """When it is looked next for requests that took too long; None while there are none."""
        self.watched = True
        """Whether more than the statistics and the metrics sees each request; see `settle`."""
        self._timer: asyncio.TimerHandle | None = None

    def settle(self) -> None:
        """All that looks on is there: from here on `watched` holds."""
        lookers = (self.request_log, self.gate, self.observer.weight)
        self.watched = any(one is not None for one in lookers)

    # --- in

    def enter(self, request: Admitted, way: Route, now: float) -> None:
        """A request that is no probe of queue-proxy's own: into the breaker, with the timers on."""
        # All of this comes before the breaker: a request that it refuses is released as any other, once.
        request.way = way
        if self.draining.active:
            self.draining.request(now)
        self.in_flight += 1
        self.timeouts.begin(request, now)
        if self.armed_at is None:
            self.arm(now, now + self.timeouts.shortest_s)
        if way.kubelet:
            self.run(request, now)
            return
        admitted = self.breaker.enter(request)
        self.observer.arrived(request, now, way.proxied)
        if admitted is RUN:
            self.run(request, now)
        elif admitted is REFUSE:
            self.refuse(request)

    def refuse(self, request: Admitted) -> None:
        """There is no place for it."""
        self.log.seldom("refused", status=503)
        self.note(request, "queue-full", 503)
        request.fail(503, b"pending request queue full\n")

    def run(self, request: Admitted, now: float) -> None:
        """The breaker lets this request run."""
        if request.over:
            return
        request.sent_at = now
        self.observer.dispatched()
        gate = self.gate
        if gate is not None:
            request.held_s = HELD_STILL
            if not self._passes(gate, request):
                return
            request.held_s = 0.0
        request.dispatch(now)

    def _passes(self, gate: Gate, request: Admitted) -> bool:
        """Whether the app runs, so that it may be asked now; if not, the gate calls the request later."""
        assert request.way is not None
        return gate.probe(request) if request.way.kubelet else gate.enter(request)

    # --- out

    def note(self, request: Admitted, reason: str, status: int, why: str = "", **facts: object) -> None:
        """Put this end of a request on record, if it is no probe's."""
        way = request.way
        if way is not None and not way.kubelet:
            facts |= self.places()
            self.ends.ended(request, time.monotonic(), reason, status, why, **facts)

    def places(self) -> dict[str, int]:
        """How many requests are in the breaker, for the record."""
        return {"inside": self.breaker.running, "waiting": self.breaker.waiting}

    def release(self, request: Admitted, now: float | None = None) -> None:
        """Take back its place in the breaker and stop its timers; once."""
        if request.over:
            return
        request.over = True  # first: what follows may end the request again, and must find that it is over
        if now is None:
            now = time.monotonic()
        if self.request_log is not None:
            self.request_log.end(request, request.logged_status, request.sent_bytes, now - request.begun_at)
        way = request.way
        if way is None:
            return
        self.in_flight -= 1
        self.timeouts.end(request)
        if not way.kubelet:
            self.observer.left(request, now, way.proxied)
        elif self.observer.metrics is not None:
            self.observer.count(request, now)
        self.leave(request, now)
        if self.gate is not None:  # only now, so that the app is not idle between the two
            if way.kubelet:
                self.gate.probed(request)
            else:
                self.gate.leave(request, answered=request.status not in NO_ANSWER)

    def leave(self, request: Admitted, now: float) -> None:
        """Its place in the breaker goes to the next."""
        successor = self.breaker.leave(request)
        if successor is not None:
            self.ends.waited(successor.begun_at, now)
            self.run(successor, now)

    # --- the timers

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
        for request, timer in self.timeouts.due(now):
            request.timed_out(timer)
        self.arm(now, self.timeouts.next_at())

    # --- probes

    def answer_probe(self, request: Admitted, way: Route) -> None:
        """Answer a probe of queue-proxy's own, or of the network's."""
        if self.draining.active:
            request.answer(503, b"shutting down\n", http1.ERROR_TEXT)
        elif not way.health_check:
            answer_network_probe(request, way)
        elif way.network_probe != b"queue":
            text = b"unexpected probe header value: %b\n" % way.network_probe
            request.answer(400, text, http1.ERROR_TEXT)
        elif self.gate is not None:
            self.gate.ask_ready(request, partial(_probed, request))
        else:
            self.prober.ask(partial(_probed, request))


def answer_network_probe(request: Admitted, way: Route) -> None:
    """Whoever stands in the path says which version of its network's configuration it was asked with."""
    if way.network_hash:
        request.answer(200, b"", hash_line(way))
    else:
        text = b'a probe request must contain a non-empty "%b" header\n' % NETWORK_HASH
        request.answer(400, text, http1.ERROR_TEXT)


def _probed(request: Admitted, ready: bool) -> None:
    if request.over:
        return
    if ready:
        request.answer(200, b"queue")
    else:
        request.answer(503, b"")
