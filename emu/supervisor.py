"""Keeps a pod's containers running as the kubelet would: starts them, sees them ready, sees them end, restarts them.

Mechanism only: what to do next is `emu.policy.lifecycle`'s. Three kinds of threads gather facts (the engine's events,
readiness probes, one follower of output per instance) and put them into one queue; `turn`, called from the
run's own loop, is the only place where anything is decided or changed.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

from cgroups import parse
from emu.containers import LABEL_RUN, Engine
from emu.errors import EmuError
from emu.events import (
    BackOffBegan,
    ContainerExited,
    ContainerReady,
    DockerEvent,
    EventLog,
    Note,
    PodStatus,
    now,
)
from emu.messages import QUEUE_ADMIN_PORT
from emu.pod import APP, QUEUE_PROXY, Instance, Pod
from emu.policy import lifecycle
from emu.policy.lifecycle import BackOffRule, ContainerState, PodView
from emu.rundir import RunDir

_PROBE_NOT_READY_S = 0.1
_PROBE_READY_S = 1.0
_PROBE_TIMEOUT_S = 1.0
_JOIN_S = 5.0
_STOP_MARGIN_S = 30.0
_PRE_STOP = b"GET /wait-for-drain HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"
_PROBE = (
    b"GET /healthz HTTP/1.1\r\nHost: app.default.example.com\r\nUser-Agent: kube-probe/1.31\r\n"
    b"K-Network-Probe: queue\r\nConnection: close\r\n\r\n"
)


class Supervisor:
    """The kubelet's part in a run. A context manager: leaving ends its threads, not the containers."""

    def __init__(
        self,
        pod: Pod,
        engine: Engine,
        log: EventLog,
        run: RunDir,
        *,
        on_exit: Callable[[str, ContainerState], None],
    ) -> None:
        back_off = pod.spec.back_off
        self._pod = pod
        self._engine = engine
        self._log = log
        self._run = run
        self._on_exit = on_exit
        self._rule = BackOffRule(back_off.initial, back_off.max, back_off.reset_after).scaled(back_off.scale)
        self._facts: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._states = {name: ContainerState() for name in pod.containers}
        self._instances: dict[str, Instance] = {}
        self._view: PodView | None = None
        self._ending = False
        self._stoppers: list[threading.Thread] = []
        self._stop_by = 0.0
        self._stream: Any = None
        self._threads: list[threading.Thread] = []
        self._probe_lock = threading.Lock()
        self._probed: dict[str, Instance] = {}
        self._ended = threading.Event()
        self._kills_seen = 0

    def __enter__(self) -> Supervisor:
        opened = threading.Event()
        self._spawn(self._follow_engine, opened)
        opened.wait(_JOIN_S)
        self._spawn(self._probe_all)
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
        return lifecycle.pod_view(list(self._states.values()), now())

    def instance(self, container: str) -> Instance | None:
        """The instance that runs or ran last."""
        return self._instances.get(container)

    def start(self) -> None:
        """Start every container for the first time."""
        for name in self._pod.containers:
            self._start(name)

    def turn(self, wait_s: float) -> None:
        """Wait up to `wait_s` for something to happen, act on all that did, start what is due."""
        try:
            facts = [self._facts.get(timeout=max(wait_s, 0.001))]
        except queue.Empty:
            facts = []
        while True:
            try:
                facts.append(self._facts.get_nowait())
            except queue.Empty:
                break
        for kind, fact in facts:
            if kind == "engine":
                self._on_engine(fact)
            elif kind == "ready":
                self._on_ready(*fact)
        if not self._ending:
            self._start_due()
        self._tell_view()

    def begin_stop(self, *, hooks: bool = False) -> None:
        """Ask the containers to end: SIGTERM, then the grace period's SIGKILL; with `hooks` the app's preStop hook,
        which Knative sets to wait for queue-proxy's drain, goes before its SIGTERM. Once; they need not end soon.
        """
        if self._ending:
            return
        self._ending = True
        grace_s = self._pod.spec.termination_grace_period_seconds
        self._stop_by = now() + grace_s + _STOP_MARGIN_S
        self._stoppers = [
            threading.Thread(
                target=self._stop_one, args=(self._instances[name], grace_s, hooks and name == APP), daemon=True
            )
            for name, state in self._states.items()
            if state.phase == "running" and name in self._instances
        ]
        for stopper in self._stoppers:
            stopper.start()

    def stop(self) -> None:
        """End the containers, and see them ended."""
        self.begin_stop()
        stoppers, deadline = self._stoppers, self._stop_by
        while any(state.phase == "running" for state in self._states.values()) and now() < deadline:
            self.turn(0.05)
        for stopper in stoppers:
            stopper.join(_JOIN_S)

    def _stop_one(self, instance: Instance, grace_s: int, hook: bool = False) -> None:
        began = now()
        if hook:
            self._wait_for_drain(grace_s)
        try:
            self._engine.stop(instance.id, max(2, round(grace_s - (now() - began))))
        except EmuError as error:
            self._log.append(Note(now(), error.what, error.why))

    def _wait_for_drain(self, grace_s: int) -> None:
        """The app's preStop hook; the kubelet waits for it no longer than the grace period."""
        try:
            with socket.create_connection((self._pod.address, QUEUE_ADMIN_PORT), timeout=grace_s) as connection:
                connection.sendall(_PRE_STOP)
                connection.recv(256)
        except OSError as error:
            self._log.append(Note(now(), "the app's preStop hook failed", str(error)))

    # Starting and ending

    def _start(self, name: str) -> None:
        state = self._states[name]
        instance = self._pod.create(name, state.attempt)
        self._instances[name] = instance
        self._states[name] = lifecycle.started(state, now())
        try:
            self._pod.start(instance)
        except EmuError as error:  # as the kubelet: a container that cannot start has failed, and is tried again
            self._log.append(Note(now(), f"{name} could not be started", error.why, "error"))
            self._ended_one(name, instance, could_not_start=True)
            return
        self._spawn(self._follow_output, instance)
        with self._probe_lock:
            self._probed[name] = instance

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
                now(), action, container_id, attributes.get("name", ""), attributes, int(event.get("timeNano", 0))
            )
        )
        if action != "die":
            return
        name = next((name for name, instance in self._instances.items() if instance.id == container_id), None)
        if name is not None:
            self._ended_one(name, self._instances[name])

    def _ended_one(self, name: str, instance: Instance, *, could_not_start: bool = False) -> None:
        engine_state = self._engine.state(instance.id)
        exit_code = int(engine_state.get("ExitCode", -1))
        flag = bool(engine_state.get("OOMKilled"))
        kills = self._oom_kills()
        reason = _reason(exit_code, flag or kills > self._kills_seen, could_not_start)
        self._kills_seen = kills
        with self._probe_lock:
            self._probed.pop(name, None)
        moment = now()
        self._log.append(
            ContainerExited(
                moment, name, instance.attempt, instance.id, exit_code, flag, self._ending,
                str(engine_state.get("StartedAt")), str(engine_state.get("FinishedAt")),
            )
        )  # fmt: skip
        policy = "Never" if self._ending else self._pod.spec.restart_policy
        state = lifecycle.exited(
            self._states[name], moment, exit_code=exit_code, reason=reason, policy=policy, rule=self._rule
        )
        self._states[name] = state
        if state.phase == "back-off":
            self._log.append(BackOffBegan(moment, name, state.restarts, state.delay_s))
        self._tell_view()
        if not self._ending:
            self._on_exit(name, state)

    def _oom_kills(self) -> int:
        """The pod's own count, which takes in its containers' and outlives them."""
        try:
            text = (self._pod.cgroup.path / "memory.events").read_text()
        except OSError:
            return self._kills_seen
        return parse.parse_flat(text).get("oom_kill", 0)

    def _on_ready(self, name: str, attempt: int, ready: bool) -> None:
        state = self._states[name]
        if state.phase != "running" or state.attempt != attempt:
            return
        self._states[name] = lifecycle.readiness(state, ready)
        self._log.append(ContainerReady(now(), name, attempt, ready))

    def _tell_view(self) -> None:
        view = self.view()
        if view != self._view and not self._ending:
            self._view = view
            self._log.append(PodStatus(now(), view.ready, view.status, view.restarts))

    # Threads that gather facts

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _follow_engine(self, opened: threading.Event) -> None:
        def on_open(stream: Any) -> None:
            self._stream = stream
            opened.set()

        try:
            for event in self._engine.events(f"{LABEL_RUN}={self._pod.run_id}", on_open):
                self._facts.put(("engine", event))
        except Exception as error:
            if not self._ended.is_set():
                self._log.append(Note(now(), "the engine's events ended early", str(error), "error"))

    def _follow_output(self, instance: Instance) -> None:
        try:
            with self._run.container_log(instance.container, instance.attempt).open("ab", buffering=0) as file:
                for part in self._engine.logs(instance.id):
                    file.write(part)
        except Exception as error:
            if not self._ended.is_set():
                self._log.append(Note(now(), f"the output of {instance.name} could not be followed", str(error)))

    def _probe_all(self) -> None:
        told: dict[tuple[str, int], bool] = {}
        next_at: dict[tuple[str, int], float] = {}
        while not self._ended.wait(_PROBE_NOT_READY_S):
            with self._probe_lock:
                probed = dict(self._probed)
            for name, instance in probed.items():
                key = (name, instance.attempt)
                if next_at.get(key, 0.0) > now():
                    continue
                ready = self._probe(name)
                next_at[key] = now() + (_PROBE_READY_S if ready else 0.0)
                if told.get(key, False) != ready:
                    told[key] = ready
                    self._facts.put(("ready", (name, instance.attempt, ready)))

    def _probe(self, name: str) -> bool:
        """The kubelet's readiness probes: queue-proxy by HTTP as Knative sets it, others by TCP."""
        port = self._pod.port(name)
        if port is None:
            return True
        try:
            with socket.create_connection((self._pod.address, port), timeout=_PROBE_TIMEOUT_S) as connection:
                if name != QUEUE_PROXY:
                    return True
                connection.sendall(_PROBE)
                return b" 200 " in connection.recv(256).split(b"\r\n", 1)[0]
        except OSError:
            return False


def _reason(exit_code: int, oom: bool, could_not_start: bool) -> str:
    """As the kubelet words an exit."""
    if oom and exit_code != 0:
        return "OOMKilled"
    if could_not_start:
        return "StartError"
    return "Completed" if exit_code == 0 else "Error"
