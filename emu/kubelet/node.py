"""The kubelet's part in a run: it waits for facts, and the worker of each pod acts on them.

Threads gather facts (the engine's events, one for each probe that is asked, one for each container that ends) and put
them into one queue; `turn`, called from the run's own loop, is the only place in a run under load that waits. Pods
are work items: any number of them share the queue and the engine's stream of events. A measurement of starts has no
node: it makes each container itself, and notes when each step is done (`emu.run.starts`).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from emu.kubelet.eviction import Evictions
from emu.kubelet.facts import EngineLost, Fact
from emu.kubelet.output import keep_output, not_followed
from emu.kubelet.pod import Instance, Pod
from emu.kubelet.resizing import Resizing
from emu.kubelet.starter import Starter
from emu.kubelet.worker import PodWorker
from emu.policy.lifecycle import ContainerState
from emu.policy.scheduling import Verdict
from emu.record.events import DockerEvent, EventLog, KubeletEvent, now
from emu.record.rundir import RunDir
from emu.runtime.api import LABEL_RUN, EngineGone, Runtime, RuntimeEvent

_JOIN_S = 5.0
_LEAST_WAIT_S = 0.001
_STOP_TURN_S = 0.05


class Node:
    """Every pod of a run. A context manager: leaving ends its threads, not the containers."""

    def __init__(
        self,
        engine: Runtime,
        log: EventLog,
        run: RunDir,
        run_id: str,
        evictions: Evictions | None = None,
        resizing: Resizing | None = None,
    ) -> None:
        self._engine = engine
        self._log = log
        self._run = run
        self._run_id = run_id
        self._evictions = evictions
        self._resizing = resizing
        # No SimpleQueue: up to Python 3.12 its `get` waits for ever when a signal is handled as its timeout ends.
        self._facts: queue.Queue[tuple[PodWorker | None, Fact] | None] = queue.Queue()
        """Each with the worker that it is for; None: for all. An item of None only ends the waiting."""
        self._workers: list[PodWorker] = []
        self._starter = Starter(self.wake)
        self._lost = False
        self._stream: Any = None
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()

    def __enter__(self) -> Self:
        opened = threading.Event()
        self._spawn(self._follow_engine, opened)
        opened.wait(_JOIN_S)  # no container starts before its events are heard
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # First: that the engine's stream ends is no loss of the engine from here on.
        self._over.set()
        self._starter.close()
        if self._stream is not None:
            self._stream.close()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def admit(
        self,
        pod: Pod,
        *,
        on_exit: Callable[[Instance, ContainerState], None] = lambda *_: None,
        on_event: Callable[[KubeletEvent], None] = lambda _: None,
        hold_frozen: bool = True,
        bind: Callable[[], Verdict | None] | None = None,
    ) -> PodWorker:
        """Take a pod on; its containers start with the worker's `start`. `on_exit` and `on_event` are called as
        things happen. `hold_frozen`: no probe is asked while a container's cgroup is frozen; without it a frozen
        container fails its liveness probe, and is killed for it. `bind`: the pod has no node yet, and this looks for
        room for it, with the scheduler's verdict; None where that is not due.
        """
        worker = PodWorker(
            pod,
            self._engine,
            self._log.of_pod(pod.name),
            lambda fact: self._facts.put((worker, fact)),
            on_start=lambda instance: self._spawn(self._follow_output, instance, worker.heard),
            on_exit=on_exit,
            on_event=on_event,
            hold_frozen=hold_frozen,
            bind=bind,
        )
        self._workers.append(worker)
        return worker

    def start(self, worker: PodWorker) -> None:
        """Start a pod that has a node, in a thread; until it has started it is left alone."""
        self._starter.start(worker)

    def settle(self, worker: PodWorker) -> None:
        """Before a pod is asked to end: its start is over, or does not begin. EngineGone."""
        self._starter.settle(worker)

    def dismiss(self, worker: PodWorker) -> None:
        """The worker's pod is gone: what is still heard of it matters no more."""
        self._workers.remove(worker)

    def wake(self) -> None:
        """End a wait early, from any thread."""
        self._facts.put(None)

    def turn(self, wait_s: float) -> None:
        """Wait up to `wait_s` for something to happen, act on all that did, start and ask what is due. EngineGone:
        the pods can no longer be kept; what runs of them ends with their cgroups.
        """
        try:
            for worker, fact in self._gather(wait_s):
                self._take(worker, fact)
            started = [worker for worker in self._workers if not self._starter.has(worker)]
            for worker in started:
                worker.act()
            if self._evictions is not None:
                self._evictions.act(started, now())
            if self._resizing is not None:
                self._resizing.act(started, now())
        except EngineGone:
            self._lost = True
            for worker in self._workers:
                worker.blind = True
            raise

    def stop(self) -> None:
        """End every pod, all at once, and see their containers ended. EngineGone."""
        for worker in self._workers:
            self._starter.settle(worker)
            worker.begin_stop()
        while not self._lost and any(worker.runs and now() < worker.stop_by for worker in self._workers):
            self.turn(_STOP_TURN_S)
        for worker in self._workers:
            worker.join()

    def _take(self, owner: PodWorker | None, fact: Fact) -> None:
        if isinstance(fact, EngineLost):
            raise fact.error
        if isinstance(fact, RuntimeEvent):
            self._record(fact)
        # A worker belongs to one thread at a time: while its pod starts, its facts wait for it.
        for worker in self._workers:
            if owner is None or worker is owner:
                if self._starter.has(worker):
                    self._starter.keep(worker, fact)
                else:
                    worker.take(fact)

    def _record(self, fact: RuntimeEvent) -> None:
        self._log.append(
            DockerEvent(
                t=now(),
                action=fact.action,
                id=fact.container_id,
                name=fact.attributes.get("name", ""),
                attributes=dict(fact.attributes),
                time_nano=fact.time_nano,
            )
        )

    def _gather(self, wait_s: float) -> list[tuple[PodWorker | None, Fact]]:
        started = [worker for worker in self._workers if not self._starter.has(worker)]
        due = [due_at for worker in started if (due_at := worker.due_at()) is not None]
        wait_s = min([wait_s, *(due_at - now() for due_at in due)])
        found = []
        try:
            found.append(self._facts.get(timeout=max(wait_s, _LEAST_WAIT_S)))
            while True:
                found.append(self._facts.get_nowait())
        except queue.Empty:
            return [item for item in found if item is not None]

    # Threads that gather facts

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _follow_engine(self, opened: threading.Event) -> None:
        def on_open(stream: Any) -> None:
            self._stream = stream
            opened.set()

        why = "the stream of its events ended"
        try:
            for event in self._engine.events(f"{LABEL_RUN}={self._run_id}", on_open):
                self._facts.put((None, event))
        except EngineGone as gone:
            why = gone.why
        except Exception as error:  # the stream is closed under us when the run is over
            why = str(error) or why
        if not self._over.is_set():
            self._facts.put((None, EngineLost(EngineGone(why))))

    def _follow_output(self, instance: Instance, heard: Callable[[Instance], None]) -> None:
        try:
            keep_output(self._engine, self._run, instance, heard)
        except EngineGone:
            return  # the run hears of it where it asks for more than words
        except Exception as error:
            if not self._over.is_set():
                self._log.append(not_followed(instance, error))
