"""Keeps a pod's containers running as the kubelet would: it waits for facts, and its worker acts on them.

Threads gather facts (the engine's events, one for each probe that is asked, one for each container that ends) and put
them into one queue; `turn`, called from the run's own loop, is the only place that waits for them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from emu.kubelet.facts import EngineActed, EngineLost, Fact
from emu.kubelet.pod import Instance, Pod
from emu.kubelet.worker import PodWorker
from emu.policy.lifecycle import ContainerState, PodView
from emu.record.events import DockerEvent, EventLog, KubeletEvent, Note, now
from emu.record.rundir import RunDir
from emu.runtime.api import LABEL_RUN, EngineGone, Runtime

_JOIN_S = 5.0
_LEAST_WAIT_S = 0.001


class Supervisor:
    """The kubelet's part in a run. A context manager: leaving ends its threads, not the containers."""

    def __init__(
        self,
        pod: Pod,
        engine: Runtime,
        log: EventLog,
        run: RunDir,
        *,
        on_exit: Callable[[str, ContainerState], None],
        on_event: Callable[[KubeletEvent], None] = lambda _: None,
        hold_frozen: bool = True,
        first: Mapping[str, int] | None = None,
    ) -> None:
        """`on_exit` and `on_event` are called as things happen. `hold_frozen`: no probe is asked while a container's
        cgroup is frozen; without it a frozen container fails its liveness probe, and is killed for it. `first`: the
        numbers of the containers' first instances, where the pod is not the run's first.
        """
        self._pod = pod
        self._engine = engine
        self._log = log
        self._run = run
        self._facts: queue.SimpleQueue[Fact] = queue.SimpleQueue()
        self._worker = PodWorker(
            pod,
            engine,
            log,
            self._facts.put,
            on_start=lambda instance: self._spawn(self._follow_output, instance),
            on_exit=on_exit,
            on_event=on_event,
            hold_frozen=hold_frozen,
            first=first or {},
        )
        self._stream: Any = None
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()

    def __enter__(self) -> Supervisor:
        opened = threading.Event()
        self._spawn(self._follow_engine, opened)
        opened.wait(_JOIN_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._stream is not None:
            self._stream.close()
        for thread in self._threads:
            thread.join(_JOIN_S)

    # The pod, as its worker has it

    @property
    def states(self) -> dict[str, ContainerState]:
        """Each container's state."""
        return self._worker.states

    def view(self) -> PodView:
        """The pod as kubectl would show it."""
        return self._worker.view

    def instance(self, container: str) -> Instance | None:
        """The instance that runs or ran last."""
        return self._worker.instances.get(container)

    @property
    def entrance(self) -> tuple[str, int]:
        """Where requests to the pod are sent."""
        port = self._pod.template.port
        assert port is not None, "nothing is sent to a pod that serves nothing"
        return self._pod.address, port

    @property
    def coming(self) -> bool:
        """A container is not ready yet, and may become so by itself."""
        return self._worker.coming

    @property
    def over(self) -> bool:
        """No container runs."""
        return self._worker.over

    def start(self) -> None:
        """Start every container for the first time. EngineGone."""
        self._worker.start()

    def begin_stop(self, *, hooks: bool = False, why: str = "pod") -> None:
        """Ask the containers to end; see `PodWorker.begin_stop`."""
        self._worker.begin_stop(hooks=hooks, why=why)

    def hurry(self) -> None:
        """The run was interrupted: nobody waits for hooks and grace periods any more."""
        self._worker.hurry()

    def cut_short(self) -> None:
        """SIGKILL to containers that are ending."""
        self._worker.cut_short()

    # Waiting

    def turn(self, wait_s: float) -> None:
        """Wait up to `wait_s` for something to happen, act on all that did, start and ask what is due. EngineGone:
        the pod can no longer be kept; what runs of it ends with its cgroup.
        """
        try:
            for fact in self._gather(wait_s):
                if isinstance(fact, EngineActed):
                    self._record(fact)
                self._worker.take(fact)
            self._worker.act()
        except EngineGone:
            self._worker.blind = True
            raise

    def stop(self) -> None:
        """End the containers, and see them ended. EngineGone."""
        worker = self._worker
        worker.begin_stop()
        deadline = now() if worker.blind else worker.stop_by
        while worker.runs and now() < deadline:
            self.turn(0.05)
        worker.join()

    def _gather(self, wait_s: float) -> list[Fact]:
        due_at = self._worker.due_at()
        if due_at is not None:
            wait_s = min(wait_s, due_at - now())
        try:
            facts = [self._facts.get(timeout=max(wait_s, _LEAST_WAIT_S))]
        except queue.Empty:
            return []
        while True:
            try:
                facts.append(self._facts.get_nowait())
            except queue.Empty:
                return facts

    def _record(self, fact: EngineActed) -> None:
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
            for event in self._engine.events(f"{LABEL_RUN}={self._pod.run_id}", on_open):
                self._facts.put(_acted(event))
        except EngineGone as gone:
            why = gone.why
        except Exception as error:  # the stream is closed under us when the run is over
            why = str(error) or why
        if not self._over.is_set():
            self._facts.put(EngineLost(EngineGone(why)))

    def _follow_output(self, instance: Instance) -> None:
        try:
            with self._run.container_log(instance.container, instance.attempt).open("ab", buffering=0) as file:
                for part in self._engine.logs(instance.id):
                    file.write(part)
        except EngineGone:
            return  # the run hears of it where it asks for more than words
        except Exception as error:
            if not self._over.is_set():
                self._log.append(
                    Note(t=now(), what=f"the output of {instance.name} could not be followed", why=str(error))
                )


def _acted(event: dict[str, Any]) -> EngineActed:
    """An event of the engine."""
    actor = event.get("Actor", {})
    attributes = {str(key): str(value) for key, value in (actor.get("Attributes") or {}).items()}
    return EngineActed(
        str(event.get("Action", "")), str(actor.get("ID", "")), attributes, int(event.get("timeNano", 0))
    )
