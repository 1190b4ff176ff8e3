"""A pod that may be scaled to zero: removed while it is idle, and replaced by a new one on the next request.

Mechanism only: whether there is to be a pod is `emu.policy.scaling`'s. The activator and queue-proxy report how many
requests are under way; `turn`, called from the run's own loop, is the only place where anything is decided or done.
Each pod has a name, a cgroup and a worker of its own, so the next one may start while the last one still ends.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Self

from emu.helpers.activator import RunActivator
from emu.kubelet.pod import Instance
from emu.kubelet.template import PodTemplate
from emu.kubelet.worker import PodWorker
from emu.machine import http_client
from emu.messages import QUEUE_PROXY, QUEUE_STATS_PORT, ActivatorReport, Endpoint, Endpoints
from emu.policy.lifecycle import ContainerState, PodView
from emu.policy.scaling import SCRAPE_S, Scaling, ScalingRule
from emu.policy.stats import Stat
from emu.record.events import SCALE_DOWN, SCALED_TO_ZERO, EventLog, PodScaled, PodStatus, now
from emu.spec import PodSpec

_SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: queue-proxy\r\nConnection: close\r\n\r\n"
_SCRAPE_LIMIT_S = 3.0
_MOST_STAT_BYTES = 4096
_JOIN_S = 5.0


class ScaledPod:
    """Looks like a pod's worker to those who drive a run. A context manager: leaving ends its threads."""

    def __init__(
        self,
        spec: PodSpec,
        template: PodTemplate,
        log: EventLog,
        activator: RunActivator,
        admit: Callable[[], PodWorker],
        *,
        dismiss: Callable[[PodWorker], None],
        found: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        """`admit` makes a pod and takes it on; `dismiss` removes one whose containers have ended. `found` says how
        warm a start would be. `say` is for the screen.
        """
        self.template = template
        self._spec = spec
        self._log = log
        self._activator = activator
        self._admit = admit
        self._dismiss = dismiss
        self._found = found
        self._say = say
        self._rule = rule_of(spec)
        self._scaling = Scaling(self._rule, now())
        self._scraper = Scraper()
        self._worker: PodWorker | None = None
        self._ending: list[PodWorker] = []
        """Of pods that were told to end, the oldest first."""
        self._looking: threading.Thread | None = None
        self._warmth = self._start = ""
        self._coming = self._ready = False
        self._waiting = 0

    def __enter__(self) -> Self:
        self._scraper.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scraper.end()

    # --- what a pod's worker offers; of the newest pod that there is

    @property
    def _newest(self) -> PodWorker | None:
        return self._worker or (self._ending[-1] if self._ending else None)

    @property
    def entrance(self) -> tuple[str, int]:
        """Where requests to the pod are sent: the activator."""
        return "127.0.0.1", self._activator.port

    @property
    def states(self) -> Mapping[str, ContainerState]:
        """Each container's state."""
        newest = self._newest
        return {name: ContainerState() for name in self.template.names} if newest is None else newest.states

    @property
    def coming(self) -> bool:
        """A container of the pod is not ready yet, and may become so by itself."""
        return self._worker is not None and self._worker.coming

    @property
    def view(self) -> PodView:
        """The pod as kubectl would show it, and in a word of emu's where there is none."""
        newest = self._newest
        return PodView("0/0", SCALED_TO_ZERO, 0) if newest is None else newest.view

    def instance(self, container: str) -> Instance | None:
        """The instance that runs or ran last; None where there is no pod."""
        newest = self._newest
        return None if newest is None else newest.instance(container)

    def start(self) -> None:
        """Make the first pod, and start every container of it."""
        self._scaling = Scaling(self._rule, now())
        self._log.append(PodScaled(t=now(), pods=1, reached=False, why=self._scaling.why))
        self._begin()

    def begin_stop(self, *, hooks: bool = False) -> None:
        """The run, or the pod for good, is to end."""
        if self._worker is not None:
            self._worker.begin_stop(hooks=hooks)

    def hurry(self) -> None:
        """The run was interrupted."""
        for worker in (*self._ending, *([] if self._worker is None else [self._worker])):
            worker.hurry()

    def end_drain(self) -> None:
        """The run is over: a drain that is under way is waited for no longer."""
        for worker in self._ending:
            worker.hurry()

    def turn(self) -> None:
        """Act on what the activator and queue-proxy said, and scale where it is due."""
        for report in self._activator.reports():
            self._take(report)
        for moment, concurrency in self._scraper.found():
            self._scaling.record(moment, concurrency)
        self._update_readiness()
        if now() >= self._scaling.next_at():
            self._scaling.step(now())
        self._act()

    # --- what is learnt

    def _take(self, report: ActivatorReport) -> None:
        self._waiting = report.waiting
        if report.what == "report":
            self._scaling.report(report.t, report.concurrency)
        elif report.what == "ready" and self._coming:
            self._coming, self._start = False, ""
            self._log.append(PodScaled(t=report.t, pods=1, reached=True, waiting=report.waiting))

    def _update_readiness(self) -> None:
        """As the cluster sees it. A pod that is not ready any more is probed again by the activator."""
        worker = self._worker
        ready = worker is not None and all(self._is_ready(name, state) for name, state in worker.states.items())
        if ready == self._ready:
            return
        self._ready = ready
        self._scraper.address = worker.address if ready and worker is not None else ""
        self._scaling.readiness(now(), ready)
        if worker is not None:
            self._publish(worker)

    def _is_ready(self, name: str, state: ContainerState) -> bool:
        """As Kubernetes has it: a container without probes of its own is ready once it runs. Our own look at its port
        is not asked for, since it waits while a freezer has the app.
        """
        probes = self.template.container(name).probes
        ours = name != QUEUE_PROXY and "readiness" in probes and probes["readiness"].ours
        return state.phase == "running" if ours and "startup" not in probes else state.ready

    @property
    def _is_probed_early(self) -> bool:
        """Before the kubelet says that it is ready: not where only the kubelet can know (revision_backends.go)."""
        spec = self._spec
        waits = spec.app.readiness_probe is not None and spec.app.readiness_probe.exec is not None
        return not waits and all(one.startup_probe is None for one in spec.containers.values())

    def _publish(self, worker: PodWorker) -> None:
        there = self._ready or self._is_probed_early
        pods = (Endpoint(worker.address, start=self._start, ready=self._ready),) if there else ()
        self._activator.update(Endpoints(pods))

    # --- what is done

    def _act(self) -> None:
        for worker in [one for one in self._ending if one.over]:
            self._remove(worker)
        wanted = self._scaling.pods == 1
        if wanted and self._worker is None:
            self._scale_up()
        elif not wanted and self._worker is not None:
            self._scale_down(self._worker)

    def _begin(self) -> None:
        self._worker = worker = self._admit()
        worker.open()
        if self._is_probed_early:
            self._publish(worker)
        worker.start()

    def _scale_down(self, worker: PodWorker) -> None:
        self._decided(0, worker.pod)
        self._ending.append(worker)
        self._worker = None
        self._update_readiness()
        self._activator.update(Endpoints())
        worker.begin_stop(hooks=True, why=SCALE_DOWN)

    def _remove(self, worker: PodWorker) -> None:
        """A pod's containers have ended."""
        self._ending.remove(worker)
        self._dismiss(worker)
        self._log.append(PodScaled(t=now(), pod=worker.pod, pods=0, reached=True, waiting=self._waiting))
        if self._newest is None:
            self._log.append(PodStatus(t=now(), pod=worker.pod, ready="0/0", status=SCALED_TO_ZERO, restarts=0))
            self._looking = threading.Thread(target=self._look, name="look", daemon=True)
            self._looking.start()

    def _look(self) -> None:
        """Beforehand, and in a thread: every file of an image is looked at, and no request is to wait for that."""
        self._warmth = self._found()

    def _scale_up(self) -> None:
        self._decided(1)
        if self._looking is not None:
            self._looking.join()
        self._coming, self._start = True, self._warmth
        self._begin()

    def _decided(self, pods: int, pod: str = "") -> None:
        average = self._scaling.average(now())
        self._log.append(
            PodScaled(
                t=now(),
                pod=pod,
                pods=pods,
                reached=False,
                why=self._scaling.why,
                concurrency=average,
                waiting=self._waiting,
            )
        )
        self._say(f"scaled {'up from' if pods else 'down to'} zero: {self._scaling.why}")


class Scraper:
    """Asks queue-proxy each second how many requests are under way that did not come through the activator."""

    def __init__(self, port: int = QUEUE_STATS_PORT) -> None:
        self.address = ""
        """Of the pod; empty: no pod is scraped."""
        self._port = port
        self._said: queue.SimpleQueue[tuple[float, float]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrape", daemon=True)

    def begin(self) -> None:
        """Start to ask."""
        self._thread.start()

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join(_JOIN_S)

    def found(self) -> list[tuple[float, float]]:
        """What was said since, with when."""
        every = []
        while True:
            try:
                every.append(self._said.get_nowait())
            except queue.Empty:
                return every

    def _run(self) -> None:
        while not self._ended.wait(SCRAPE_S):
            address = self.address
            concurrency = scrape(address, self._port) if address else None
            if concurrency is not None and address == self.address:
                self._said.put((now(), concurrency))


def scrape(address: str, port: int) -> float | None:
    """Requests under way in a pod that did not come through the activator; None where it does not say."""
    deadline = time.monotonic() + _SCRAPE_LIMIT_S
    try:
        reply = http_client.fetch(address, port, _SCRAPE, deadline, most_bytes=_MOST_STAT_BYTES)
        if reply.status != HTTPStatus.OK:
            return None
        stat = Stat.decoded(reply.body)
    except (OSError, ValueError):
        return None
    return max(0.0, stat.average_concurrent_requests - stat.average_proxied_concurrent_requests)


def rule_of(spec: PodSpec) -> ScalingRule:
    """The rule that a scenario asks for."""
    asked = spec.autoscaling
    assert asked is not None
    return ScalingRule(
        asked.window,
        asked.scale_down_delay,
        asked.scale_to_zero_pod_retention_period,
        asked.scale_to_zero_grace_period,
        asked.enable_scale_to_zero,
        spec.container_concurrency,
    )
