"""Keeps a pod's containers running as the kubelet would: starts them, probes them, sees them end, restarts them.

Mechanism only: what to do next is `emu.policy.lifecycle`'s and `emu.policy.probing`'s. Threads gather facts (the
engine's events, one for each probe that is asked, one follower of output per instance) and put them into one queue;
`turn`, called from the run's own loop, is the only place where anything is decided or changed.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cgroups import freeze, parse
from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.errors import EmuError
from emu.kubelet import execution, prober
from emu.kubelet.pod import SANDBOX, Instance, Pod
from emu.kubelet.prober import Answer, Target
from emu.kubelet.template import Hook, PodProbe
from emu.policy import lifecycle, probing
from emu.policy.lifecycle import ContainerState, PodView
from emu.policy.probing import ContainerProbes, Kind
from emu.record.events import (
    BackOffBegan,
    ContainerExited,
    ContainerReady,
    ContainerStopping,
    DockerEvent,
    EventLog,
    KubeletEvent,
    Note,
    PodStatus,
    now,
)
from emu.record.rundir import RunDir
from emu.runtime.api import LABEL_RUN, EngineGone, Runtime

_SIGKILLED = 137
_JOIN_S = 5.0
_STOP_MARGIN_S = 30.0
_TOLD_WITHIN_S = 10.0
"""At a pod's end hooks wait for the other containers' SIGTERM, but not for an engine that sends none."""
_LEAST_GRACE_S = 2
"""The kubelet leaves a container that long after SIGTERM, whatever its grace period (minimumGracePeriodInSeconds)."""


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
        self._on_exit = on_exit
        self._on_event = on_event
        self._hold_frozen = hold_frozen
        self._rule = pod.template.back_off
        self._facts: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._states = {name: ContainerState() for name in pod.containers}
        self._first = first or {}
        self._instances: dict[str, Instance] = {}
        self._view: PodView | None = None
        self._ending = self._terminating = False
        self._stoppers: list[threading.Thread] = []
        self._stop_by = 0.0
        self._untold: set[str] = set()
        """Ids of the containers without a hook that have not got their SIGTERM yet, at the pod's end."""
        self._stream: Any = None
        self._threads: list[threading.Thread] = []
        self._probes: dict[str, ContainerProbes] = {}
        self._killed_for: dict[str, Kind] = {}
        self._ended = threading.Event()
        self._hurried = threading.Event()
        self._kills_seen = 0
        self._blind = False
        """The engine is gone: of the containers nothing more is heard, and they can be told nothing."""

    def __enter__(self) -> Supervisor:
        opened = threading.Event()
        self._spawn(self._follow_engine, opened)
        opened.wait(_JOIN_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._stream is not None:
            self._stream.close()
        for thread in self._threads:
            thread.join(_JOIN_S)

    @property
    def states(self) -> dict[str, ContainerState]:
        """Each container's state."""
        return self._states

    def view(self) -> PodView:
        """The pod as kubectl would show it."""
        return lifecycle.pod_view(list(self._states.values()), now(), terminating=self._terminating)

    def instance(self, container: str) -> Instance | None:
        """The instance that runs or ran last."""
        return self._instances.get(container)

    def start(self) -> None:
        """Start every container for the first time. EngineGone."""
        for name in self._pod.containers:
            self._start(name)

    def turn(self, wait_s: float) -> None:
        """Wait up to `wait_s` for something to happen, act on all that did, start and ask what is due. EngineGone:
        the pod can no longer be kept; what runs of it ends with its cgroup.
        """
        try:
            self._turn(wait_s)
        except EngineGone:
            self._blind = True
            raise

    def _turn(self, wait_s: float) -> None:
        self._ask_due()
        for kind, fact in self._gather(wait_s):
            if kind == "engine":
                self._on_engine(fact)
            elif kind == "answer":
                self._on_answer(*fact)
            elif kind == "event":
                self._tell(*fact)
            elif kind == "gone":
                raise fact
        if not self._ending:
            self._start_due()
        self._tell_view()

    def _gather(self, wait_s: float) -> list[tuple[str, Any]]:
        times = [time for probes in self._probes.values() if (time := probing.next_due(probes)) is not None]
        wait_s = min([wait_s, *(time - now() for time in times)])
        try:
            facts = [self._facts.get(timeout=max(wait_s, 0.001))]
        except queue.Empty:
            return []
        while True:
            try:
                facts.append(self._facts.get_nowait())
            except queue.Empty:
                return facts

    @property
    def entrance(self) -> tuple[str, int]:
        """Where requests to the pod are sent."""
        assert self._pod.template.port is not None, "nothing is sent to a pod that serves nothing"
        return self._pod.address, self._pod.template.port

    @property
    def coming(self) -> bool:
        """A container is not ready yet, and may become so by itself. Not one that stands still: queue-proxy lets none
        be paused that is not ready, and it is looked at again once a request has come.
        """
        return any(not state.ready and not self._held(name) for name, state in self._states.items())

    def _held(self, name: str) -> bool:
        return self._hold_frozen and name in self._instances and self._frozen(self._instances[name])

    @property
    def over(self) -> bool:
        """No container runs."""
        return not any(state.phase in ("creating", "running") for state in self._states.values())

    def _running(self) -> list[str]:
        return [name for name, state in self._states.items() if state.phase == "running" and name in self._instances]

    def begin_stop(self, *, hooks: bool = False, why: str = "pod") -> None:
        """Ask the containers to end, as the kubelet does with a pod that is to go: preStop hook (with `hooks`),
        SIGTERM, then the grace period's SIGKILL. Once; they need not end soon. Without `hooks` the run is over, and
        there is no grace period unless the scenario gives one: nobody needs the pod any more.
        """
        if self._ending or self._blind:
            return
        self._ending, self._terminating = True, hooks
        template = self._pod.template
        at_the_end_s = 0 if self._hurried.is_set() else template.last_grace_s
        grace_s = template.grace_s if hooks else at_the_end_s
        self._stop_by = now() + grace_s + _STOP_MARGIN_S
        running = self._running()
        if hooks:
            self._untold = {
                self._instances[name].id for name in running if self._pod.template.container(name).pre_stop is None
            }
        for name, probes in self._probes.items():
            self._probes[name] = probing.ending(probes) if hooks else ContainerProbes({})
        for name in running:
            if hooks:
                self._tell(name, "Normal", "Killing", f"Stopping container {name}")
            self._stop_container(name, grace_s, why if hooks else "run")

    def hurry(self) -> None:
        """The run was interrupted: nobody waits for hooks and grace periods any more, those under way among them."""
        self._hurried.set()
        if self._ending:
            self._stop_by = now() + _STOP_MARGIN_S
            for name in self._running():
                self._stop_container(name, 0, "run")

    def cut_short(self) -> None:
        """SIGKILL to containers that were told to end: nobody needs them any more."""
        for name in self._running():
            self._engine.kill(self._instances[name].id)

    def stop(self) -> None:
        """End the containers, and see them ended. EngineGone."""
        self.begin_stop()
        stoppers, deadline = self._stoppers, now() if self._blind else self._stop_by
        while any(state.phase == "running" for state in self._states.values()) and now() < deadline:
            self.turn(0.05)
        for stopper in stoppers:
            stopper.join(_JOIN_S)

    def _stop_container(self, name: str, grace_s: float, why: str) -> None:
        instance = self._instances[name]
        self._log.append(
            ContainerStopping(t=now(), container=name, attempt=instance.attempt, why=why, grace_s=grace_s)
        )
        hook = self._pod.template.container(name).pre_stop if why != "run" and grace_s > 0 else None
        stopper = threading.Thread(target=self._stop_one, args=(instance, grace_s, hook), daemon=True)
        self._stoppers.append(stopper)
        stopper.start()

    def _stop_one(self, instance: Instance, grace_s: float, hook: Hook | None) -> None:
        """Thaw, preStop, SIGTERM, SIGKILL. The hook's time is the grace period's, of which at least 2 s are left."""
        began = now()
        self._thaw(instance)
        if hook is not None:
            self._await_the_others()
            self._run_hook(instance, hook, grace_s)
        try:
            left_s = 0.0 if self._hurried.is_set() else grace_s - (now() - began)
            least_s = _LEAST_GRACE_S if self._terminating or grace_s > 0 else 0
            self._engine.stop(instance.id, max(least_s, round(left_s)))
        except EngineGone as gone:
            self._facts.put(("gone", gone))
        except EmuError as error:
            self._log.append(Note(t=now(), what=error.what, why=error.why))

    def _await_the_others(self) -> None:
        """At the pod's end a hook begins when the containers without one have their SIGTERM. Knative's hook gives
        queue-proxy one second to be told, which an engine on a busy machine does not keep.
        """
        give_up = now() + _TOLD_WITHIN_S
        while self._untold and now() < give_up and not self._hurried.is_set():
            self._hurried.wait(0.02)

    def _run_hook(self, instance: Instance, hook: Hook, grace_s: float) -> None:
        try:
            prober.run_hook(hook, self._target(instance, "preStop"), grace_s, self._hurried)
        except EmuError as error:
            fact = (instance.container, "Warning", "FailedPreStopHook", f"{error.what}: {error.why}")
            self._facts.put(("event", fact))

    def _thaw(self, instance: Instance) -> None:
        """A frozen process would act on no signal but SIGKILL: let it run, so that it can end in order."""
        if not self._frozen(instance):
            return
        try:
            self._engine.unpause(instance.id)
            freeze.thaw(self._cgroup(instance))
        except (EmuError, CgroupError) as error:
            why = f"{error.what}: {error.why}"
            self._log.append(
                Note(t=now(), what=f"{instance.container} was to end and could not be thawed before", why=why)
            )

    # Starting and ending

    def _start(self, name: str) -> None:
        instance = self._pod.create(name, self._attempt(name))
        self._instances[name] = instance
        present = f'Container image "{self._pod.image(name)}" already present on machine'
        self._tell(name, "Normal", "Pulled", present)
        self._tell(name, "Normal", "Created", f"Created container: {name}")
        self._states[name] = lifecycle.started(self._states[name], now())
        try:
            self._pod.start(instance)
        except EngineGone:
            raise
        except EmuError as error:  # as the kubelet: a container that cannot start has failed, and is tried again
            self._log.append(Note(t=now(), what=f"{name} could not be started", why=error.why, level="error"))
            self._tell(name, "Warning", "Failed", f"Error: {error.why}")
            self._ended_one(name, instance, could_not_start=True)
            return
        self._spawn(self._follow_output, instance)
        self._tell(name, "Normal", "Started", f"Started container {name}")
        rules = {kind: probe.rule for kind, probe in self._pod.template.container(name).probes.items()}
        self._probes[name] = probing.begin(rules, now())
        self._tell_readiness(name)

    def _attempt(self, name: str) -> int:
        """The number of its newest instance in the run."""
        return self._first.get(name, 0) + self._states[name].attempt

    def _start_due(self) -> None:
        for name, state in list(self._states.items()):
            if state.phase == "back-off" and state.start_at is not None and state.start_at <= now():
                self._states[name] = lifecycle.restarting(state)
                self._start(name)

    def _on_engine(self, event: dict[str, Any]) -> None:
        actor = event.get("Actor", {})
        attributes = {str(key): str(value) for key, value in (actor.get("Attributes") or {}).items()}
        container_id, action = str(actor.get("ID", "")), str(event.get("Action", ""))
        self._log.append(
            DockerEvent(
                t=now(),
                action=action,
                id=container_id,
                name=attributes.get("name", ""),
                attributes=attributes,
                time_nano=int(event.get("timeNano", 0)),
            )
        )
        if action in ("kill", "die"):
            self._untold.discard(container_id)
        if action == "kill" and not self._ending and self._holds_the_network(container_id):
            raise EngineGone("it told the pod's pause container to end, as it does when it is stopped itself")
        if action != "die":
            return
        name = next((name for name, instance in self._instances.items() if instance.id == container_id), None)
        if name is not None:
            self._ended_one(name, self._instances[name])

    def _holds_the_network(self, container_id: str) -> bool:
        """Whether it is the pod's pause container; of a pod before this one, which was scaled away, it is not."""
        newest = next((one for one in reversed(self._pod.instances) if one.container == SANDBOX), None)
        return newest is not None and newest.id == container_id

    def _ended_one(self, name: str, instance: Instance, *, could_not_start: bool = False) -> None:
        engine_state = self._engine.state(instance.id)
        exit_code = int(engine_state.get("ExitCode", -1))
        flag = None if (told := engine_state.get("OOMKilled")) is None else bool(told)
        self._probes.pop(name, None)
        killed_for = self._killed_for.pop(name, None)
        oom = flag is True or self._counted_itself(instance)
        oom = oom or (exit_code == _SIGKILLED and killed_for is None and self._a_kill_was_counted())
        reason = _reason(exit_code, oom, could_not_start)
        moment = now()
        self._log.append(
            ContainerExited(
                t=moment,
                container=name,
                attempt=instance.attempt,
                id=instance.id,
                exit_code=exit_code,
                docker_oom_killed=flag,
                asked=self._ending,
                started_at=str(engine_state.get("StartedAt")),
                finished_at=str(engine_state.get("FinishedAt")),
                killed_for=killed_for,
            )
        )
        policy = "Never" if self._ending else self._pod.template.restart_policy
        state = lifecycle.exited(
            self._states[name],
            moment,
            exit_code=exit_code,
            reason=reason,
            policy=policy,
            rule=self._rule,
            by_probe=killed_for is not None,
        )
        self._states[name] = state
        if state.phase == "back-off":
            self._log.append(BackOffBegan(t=moment, container=name, restarts=state.restarts, delay_s=state.delay_s))
            if state.delay_s > 0:
                text = f"Back-off restarting failed container {name} in pod {self._pod.run_id}_default"
                self._tell(name, "Warning", "BackOff", text)
        self._tell_view()
        if not self._ending:
            self._on_exit(name, state)

    def _counted_itself(self, instance: Instance) -> bool:
        """Whether a process of it was ever killed, by its own count, where that is still there."""
        try:
            counted = self._cgroup(instance).memory.events
            return counted is not None and bool(counted.oom_kill)
        except CgroupError:
            return False

    def _a_kill_was_counted(self) -> bool:
        """Whether the pod's own count rose, which takes in its containers' and outlives them; each rise counts for
        one container. A guess for the screen: the report judges.
        """
        try:
            text = (self._pod.cgroup.path / "memory.events").read_text()
        except OSError:
            return False
        before, self._kills_seen = self._kills_seen, parse.parse_flat(text).get("oom_kill", 0)
        return self._kills_seen > before

    # Probes

    def _ask_due(self) -> None:
        for name, probes in self._probes.items():
            due_at = probing.next_due(probes)
            if due_at is None or due_at > now():
                continue
            instance = self._instances[name]
            frozen = self._hold_frozen and self._frozen(instance)
            self._probes[name], kinds = probing.due(probes, now(), frozen=frozen)
            for kind in kinds:
                threading.Thread(target=self._ask, args=(instance, kind), daemon=True).start()

    def _ask(self, instance: Instance, kind: Kind) -> None:
        """In a thread of its own: ask, and put the answer among the facts. One that froze meanwhile gave none."""
        probe = self._pod.template.container(instance.container).probes[kind]
        answer = prober.ask(probe.handler, self._target(instance, kind), probe.timeout_s)
        if answer.outcome != "success" and self._hold_frozen and self._frozen(instance):
            answer = Answer("error")
        if answer.outcome != "success" and kind != "readiness" and self._is_over(instance):
            answer = Answer("error")  # dead of something else: a busy engine tells of it seconds later
        self._facts.put(("answer", (instance, kind, probe, answer)))

    def _on_answer(self, instance: Instance, kind: Kind, probe: PodProbe, answer: Answer) -> None:
        name = instance.container
        before = self._probes.get(name)
        if before is None or kind not in before.probes or self._instances[name] != instance:
            return
        after = self._probes[name] = probing.answered(before, kind, answer.outcome, now())
        if not probe.ours:
            self._tell_answer(name, kind, answer)
        self._tell_readiness(name)
        if after.doomed is not None and before.doomed is None:
            self._kill_for(name, after.doomed, probe)

    def _tell_answer(self, name: str, kind: Kind, answer: Answer) -> None:
        if answer.outcome == "failure":
            self._tell(name, "Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {answer.message}")
        elif answer.outcome == "error" and answer.message:
            text = f"{kind.capitalize()} probe errored and resulted in unknown state: {answer.message}"
            self._tell(name, "Warning", "Unhealthy", text)
        elif answer.warning:
            self._tell(name, "Warning", "ProbeWarning", f"{kind.capitalize()} probe warning: {answer.warning}")

    def _tell_readiness(self, name: str) -> None:
        state, ready = self._states[name], self._probes[name].ready
        if state.phase == "running" and state.ready != ready:
            self._states[name] = lifecycle.readiness(state, ready)
            self._log.append(ContainerReady(t=now(), container=name, attempt=self._attempt(name), ready=ready))

    def _kill_for(self, name: str, kind: Kind, probe: PodProbe) -> None:
        again = "" if self._pod.template.restart_policy == "Never" else ", will be restarted"
        self._tell(name, "Normal", "Killing", f"Container {name} failed {kind} probe{again}")
        self._killed_for[name] = kind
        self._stop_container(name, self._pod.template.grace_s if probe.grace_s is None else probe.grace_s, kind)

    def _target(self, instance: Instance, why: str) -> Target:
        owner = (instance.container, instance.attempt, instance.id)
        path = self._pod.cgroup.container_path(instance.id)
        run = partial(execution.execute, self._engine, self._log, owner, path, why)
        return Target(self._pod.address, self._pod.template.container(instance.container).port, run)

    def _cgroup(self, instance: Instance) -> Cgroup:
        return Cgroup(self._pod.cgroup.container_path(instance.id))

    def _is_over(self, instance: Instance) -> bool:
        """Whether no process of it is left."""
        try:
            return not self._cgroup(instance).events().populated
        except CgroupError:
            return True

    def _frozen(self, instance: Instance) -> bool:
        """Whether its cgroup is frozen, or is being frozen."""
        try:
            group = self._cgroup(instance)
            return group.core.freeze is True or group.events().frozen is True
        except CgroupError:  # it is gone, or this kernel has no freezer
            return False

    def _tell(self, name: str, kind: str, reason: str, message: str) -> None:
        """Put an event of the pod on record, as the kubelet would."""
        event = KubeletEvent(
            t=now(), type=kind, reason=reason, message=message, container=name, attempt=self._attempt(name)
        )
        self._log.append(event)
        self._on_event(event)

    def _tell_view(self) -> None:
        view = self.view()
        if view != self._view and (self._terminating or not self._ending):
            self._view = view
            self._log.append(PodStatus(t=now(), ready=view.ready, status=view.status, restarts=view.restarts))

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
                self._facts.put(("engine", event))
        except EngineGone as gone:
            why = gone.why
        except Exception as error:  # the stream is closed under us when the run is over
            why = str(error) or why
        if not self._ended.is_set():
            self._facts.put(("gone", EngineGone(why)))

    def _follow_output(self, instance: Instance) -> None:
        try:
            with self._run.container_log(instance.container, instance.attempt).open("ab", buffering=0) as file:
                for part in self._engine.logs(instance.id):
                    file.write(part)
        except EngineGone:
            return  # the run hears of it where it asks for more than words
        except Exception as error:
            if not self._ended.is_set():
                self._log.append(
                    Note(t=now(), what=f"the output of {instance.name} could not be followed", why=str(error))
                )


def _reason(exit_code: int, oom: bool, could_not_start: bool) -> str:
    """As the kubelet words an exit."""
    if oom:
        return "OOMKilled"
    if could_not_start:
        return "StartError"
    return "Completed" if exit_code == 0 else "Error"
