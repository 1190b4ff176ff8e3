"""What the kubelet does for one pod: facts go in, and containers are started, probed, restarted and ended.

It never waits, except for the engine to make and start a container. What to do next is `emu.policy.lifecycle`'s and
`emu.policy.probing`'s; what has come of each container is kept and recorded by `emu.kubelet.status`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from emu.errors import EmuError
from emu.kubelet.binding import Binding
from emu.kubelet.containers import Containers
from emu.kubelet.ending import Ending
from emu.kubelet.environment import ContainerConfigError
from emu.kubelet.facts import Fact, HookFailed, Printed, ProbeAnswered
from emu.kubelet.pod import Instance, Pod
from emu.kubelet.probes import Probes
from emu.kubelet.status import Status
from emu.kubelet.template import PodTemplate
from emu.kubelet.termination import Termination
from emu.messages.endpoints import Endpoint
from emu.policy import lifecycle
from emu.policy.kubelet.actuation import Write
from emu.policy.kubelet.ending import KILLED
from emu.policy.lifecycle import ContainerState, PodView
from emu.policy.probing import Kind
from emu.policy.scheduling import Verdict
from emu.record.events import ContainerExited, EventLog, KubeletEvent, Note, now
from emu.runtime.api import ContainerStatus, EngineGone, Runtime, RuntimeEvent

_START_ERROR = 128
"""The exit code of a container that could not be started, whatever the engine has (containerd,
internal/cri/server/container_start.go).
"""


class PodWorker:
    """One pod's. Threads that it starts give their facts to `put`; whoever has the facts gives them to `take`."""

    def __init__(
        self,
        pod: Pod,
        engine: Runtime,
        log: EventLog,
        put: Callable[[Fact], None],
        *,
        on_start: Callable[[Instance], None],
        on_exit: Callable[[Instance, ContainerState], None],
        on_event: Callable[[KubeletEvent], None],
        hold_frozen: bool,
        bind: Callable[[], Verdict | None] | None = None,
    ) -> None:
        """`on_start`, `on_exit` and `on_event` are called as things happen; the rest is as in `Node.admit`."""
        self._pod = pod
        self._engine = engine
        self._log = log
        self._on_start = on_start
        self._on_exit = on_exit
        self._status = Status(pod, log, on_event)
        self._containers = Containers(pod, engine, log)
        self._probes = Probes(self._containers, put, hold_frozen=hold_frozen)
        self.heard = self._probes.heard
        """(instance): it printed something. Called in any thread."""
        self._ending = Ending(self._containers, engine, log, put)
        self._termination = Termination(pod, log, self._status, self._probes, self._ending, lambda: self.running)
        self.instances: dict[str, Instance] = {}
        """The instance of each container that runs or ran last."""
        self._killed_for: dict[str, Kind] = {}
        self.binding = Binding(self._status, bind)
        self.resizes = 0
        """Resizes of it that were carried out or refused."""
        self.blind = False
        """The engine is gone: of the containers nothing more is heard."""

    @property
    def pod(self) -> str:
        return self._pod.name

    @property
    def has_node(self) -> bool:
        """Whether there is room for it; only then it may be started."""
        return self.binding.bound

    @property
    def template(self) -> PodTemplate:
        """What the pod is made from."""
        return self._pod.template

    @property
    def cgroup(self) -> Path:
        """The pod's cgroup."""
        return self._pod.cgroup.path

    @property
    def address(self) -> str:
        """The pod's IP address, once it is open."""
        return self._pod.address

    @property
    def states(self) -> Mapping[str, ContainerState]:
        return self._status.states

    @property
    def view(self) -> PodView:
        """The pod as kubectl would show it."""
        return self._status.view(terminating=self._termination.deleted)

    @property
    def each_pod(self) -> tuple[Self]:
        return (self,)

    @property
    def entrance(self) -> tuple[str, int]:
        """Where requests to the pod are sent."""
        assert self._pod.template.port is not None, "nothing is sent to a pod that serves nothing"
        return self._pod.address, self._pod.template.port

    @property
    def ready_pods(self) -> int:
        return int(lifecycle.all_ready(self.view.ready))

    @property
    def open_pods(self) -> tuple[Endpoint, ...]:
        """None: the entrance is the pod."""
        return ()

    def instance(self, container: str) -> Instance | None:
        """The instance that runs or ran last."""
        return self.instances.get(container)

    @property
    def coming(self) -> bool:
        """A container is not ready yet, and may become so by itself; a frozen one is asked once thawed."""
        if self._status.pending or lifecycle.waits_for_good(self.states.values()):
            return False
        return any(not state.ready and not self._held(name) for name, state in self.states.items())

    def _held(self, name: str) -> bool:
        return name in self.instances and self._probes.holds(self.instances[name])

    @property
    def over(self) -> bool:
        """No container runs."""
        return not any(state.phase in ("creating", "running") for state in self.states.values())

    @property
    def runs(self) -> bool:
        """A container has started and not ended."""
        return any(state.phase == "running" for state in self.states.values())

    @property
    def running(self) -> list[Instance]:
        """The instances of the containers that run."""
        names = [name for name, state in self.states.items() if state.phase == "running"]
        return [self.instances[name] for name in names if name in self.instances]

    @property
    def evicted(self) -> bool:
        """The kubelet has ended it for the node's sake."""
        return self._termination.evicted

    @property
    def ending(self) -> bool:
        """It was asked to end, or is about to be."""
        return self._termination.begun or self.binding.preempted

    @property
    def stop_by(self) -> float:
        """When its containers should have ended, once they are to."""
        return self._termination.stop_by

    # What there is to do

    def schedule(self) -> bool:
        """Look for room on the node, where that is due; whether it has some."""
        if not self._termination.begun and self.binding.look():
            self._record_view()
        return self.has_node

    def open(self) -> None:
        """Start the pause container: from here on the pod has an address. EngineGone."""
        self._pod.open()

    def start(self) -> None:
        """Start the pod, which is opened first: every container, or the first of those before them. EngineGone."""
        if not self._pod.address:
            self.open()
        self._start_next()

    def due_at(self) -> float | None:
        """When there is something to do although nothing happened."""
        return self._probes.due_at()

    def act(self) -> None:
        """Ask and start what is due. EngineGone."""
        if not self.has_node:
            return
        self._probes.ask_due()
        self._termination.end_sidecars()
        if not self._termination.asked:
            self._start_due()
            self._start_next()
        self._record_view()

    def take(self, fact: Fact) -> None:
        """Act on something that happened. EngineGone."""
        if isinstance(fact, RuntimeEvent):
            self._on_engine(fact)
        elif isinstance(fact, ProbeAnswered):
            self._on_answer(fact)
        elif isinstance(fact, Printed):
            self._probes.hurry()
        elif isinstance(fact, HookFailed):
            self._status.record(fact.container, "Warning", "FailedPreStopHook", fact.why)
        else:
            raise fact.error

    def begin_stop(self, *, hooks: bool = False, why: str = "pod") -> None:
        """Ask the containers to end, as the kubelet does with a pod that is to go: preStop hook (with `hooks`),
        SIGTERM, SIGKILL. Once; they need not end soon. Without `hooks` the run is over: no grace unless asked for.
        """
        if self._termination.begun or self.blind:
            return
        self._termination.begin(hooks=hooks, why=why)
        if not self.has_node:
            self._record_view()  # it is gone at once

    def record(self, container: str, kind: str, reason: str, message: str) -> None:
        """An event of the pod."""
        self._status.record(container, kind, reason, message)

    def resize(self, template: PodTemplate, writes: Sequence[Write]) -> None:
        """Make the pod what `template` says, by these writes."""
        self._pod.resize(template, writes)

    def evict(self, message: str, grace_s: int) -> None:
        """End it for the node's sake; it stays as it is then, and is not started again."""
        if self._termination.begun or self.blind:
            return
        self._termination.evict(message, grace_s)
        self._record_view()

    def hurry(self) -> None:
        """The run was interrupted: hooks and grace periods are waited for no longer, those under way among them."""
        self._termination.hurry()

    def join(self) -> None:
        """Wait for the threads that end containers."""
        self._ending.join()

    # Starting and ending

    def _start(self, name: str) -> None:
        try:
            instance = self._pod.create(name, self._status.attempt(name))
        except ContainerConfigError as error:
            self._status.refused(name, error.why)
            self._record_view()
            return
        # Before it runs: its end is looked up by id, and may be the next fact.
        self.instances[name] = instance
        self._status.created(name)
        try:
            self._pod.start(instance)
        except EngineGone:
            raise
        except EmuError as error:  # as the kubelet: a container that cannot start has failed, and is tried again
            self._log.append(Note(t=now(), what=f"{name} could not be started", why=error.why, level="error"))
            self._status.record(name, "Warning", "Failed", f"Error: {error.why}")
            self._ended(instance, could_not_start=True)
            return
        self._on_start(instance)
        self._status.up(name)
        self._probes.begin(instance, self._pod.template.container(name).probes)
        self._record_readiness(name)

    def _start_due(self) -> None:
        for name, state in list(self.states.items()):
            if state.phase == "back-off" and state.start_at is not None and state.start_at <= now():
                self._status.restarting(name)
                self._start(name)

    def _start_next(self) -> None:
        """Start what is due for the first time; a sidecar without a startup probe lets the next one start at once."""
        while due := lifecycle.due_to_start(self.states):
            for name in due:
                self._start(name)

    def _on_engine(self, fact: RuntimeEvent) -> None:
        if fact.action in ("kill", "die"):
            self._ending.signalled(fact.container_id)
        if fact.action == "die":
            self._ending.ended(fact.container_id)
        if fact.action == "kill" and not self._termination.begun and self._pod.is_its_sandbox(fact.container_id):
            raise EngineGone("it stopped the pod's pause container, as it does when it shuts down")
        mine = (one for one in self.instances.values() if one.id == fact.container_id)
        for instance in mine if fact.action == "die" else ():
            self._ended(instance)

    def _ended(self, instance: Instance, *, could_not_start: bool = False) -> None:
        self._probes.forget(name := instance.container)
        asked, killed_for = self._termination.asked, self._killed_for.pop(name, None)
        state = self._engine.state(instance.id)
        state = replace(state, exit_code=_START_ERROR) if could_not_start else state
        event = _exit_of(instance, state, asked=asked, killed_for=killed_for)
        oom = event.docker_oom_killed is True or self._containers.counted_a_kill(instance)
        if event.exit_code == KILLED and killed_for is None:
            oom = oom or self._containers.pod_counted_a_kill()
        self._status.exited(event, oom=oom, could_not_start=could_not_start)
        self._record_view()
        if not self._termination.begun or self.evicted:
            self._on_exit(instance, self.states[name])

    # Probes

    def _on_answer(self, fact: ProbeAnswered) -> None:
        counts, doomed = self._probes.take(fact)
        if not counts:
            return
        name, probe = fact.instance.container, fact.probe
        if not probe.ours or self._probes.succeeded(name, fact.kind):
            self._status.record_answer(name, fact.kind, fact.answer)
        self._record_readiness(name)
        if doomed is not None:
            self._status.record_doomed(name, doomed)
            self._killed_for[name] = doomed
            grace_s = self._pod.template.grace_s if probe.grace_s is None else probe.grace_s
            self._termination.stop(fact.instance, grace_s, doomed)

    def _record_readiness(self, name: str) -> None:
        self._status.probed(name, started=self._probes.started(name), ready=self._probes.ready(name))

    def _record_view(self) -> None:
        if self._termination.deleted or self.evicted or not self._termination.begun:
            self._status.record_view(terminating=self._termination.deleted)


def _exit_of(instance: Instance, state: ContainerStatus, *, asked: bool, killed_for: Kind | None) -> ContainerExited:
    """A container's end, as the engine has it."""
    return ContainerExited(
        t=now(),
        container=instance.container,
        attempt=instance.attempt,
        id=instance.id,
        exit_code=state.exit_code,
        docker_oom_killed=state.oom_killed,
        asked=asked,
        started_at=state.started_at,
        finished_at=state.finished_at,
        killed_for=killed_for,
    )
