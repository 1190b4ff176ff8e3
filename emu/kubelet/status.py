"""The status of one pod: the state of each of its containers, and every change on record with the kubelet's events.

Here alone a container's state changes; into which is `emu.policy.lifecycle`'s.
"""

from __future__ import annotations

from collections.abc import Callable

from emu.kubelet.environment import NODE
from emu.kubelet.pod import Pod
from emu.kubelet.prober import Answer
from emu.policy import lifecycle
from emu.policy.kubelet import eviction
from emu.policy.kubelet.environment import NAMESPACE
from emu.policy.kubelet.messages import back_off_event
from emu.policy.lifecycle import ContainerState, PodView
from emu.policy.probing import Kind
from emu.record.events import (
    BackOffBegan,
    ContainerExited,
    ContainerReady,
    EventLog,
    KubeletEvent,
    PodEvicted,
    PodPreempted,
    PodStatus,
    now,
)


class Status:
    """Of one pod. `on_event` is called with each event of the kubelet."""

    def __init__(self, pod: Pod, log: EventLog, on_event: Callable[[KubeletEvent], None]) -> None:
        self._pod = pod
        self._log = log
        self._on_event = on_event
        self.states = {one.name: ContainerState(role=one.role) for one in pod.template.containers}
        """Each container's state."""
        self._recorded: PodView | None = None
        self._shown: tuple[object, PodView] | None = None
        """The last view that depends on no clock, and what it was made of."""
        self._reason = ""
        """The pod's own, where it has failed for one."""
        self.pending = False
        """It has no node."""

    def view(self, *, terminating: bool) -> PodView:
        """The pod as kubectl would show it."""
        if self.pending and not terminating:
            return lifecycle.pending_view([one.role for one in self.states.values()])
        states = list(self.states.values())
        # Looked at in each turn of a run, for each of its pods; what a state is, it stays.
        of = states, terminating, self._reason
        if self._shown is not None and self._shown[0] == of:
            return self._shown[1]
        view = lifecycle.pod_view(states, now(), terminating=terminating, reason=self._reason)
        self._shown = None if lifecycle.is_timed(states) else (of, view)
        return view

    def evicted(self, message: str, grace_s: int) -> None:
        """The pod has failed: the kubelet evicts it."""
        self._reason = eviction.EVICTED
        self._log.append(PodEvicted(t=now(), message=message, grace_s=grace_s))
        event = KubeletEvent(
            t=now(), type="Warning", reason=eviction.EVICTED, message=message, container="", attempt=0
        )
        self._log.append(event)
        self._on_event(event)

    def preempted(self, by: str, by_priority: int) -> None:
        """The scheduler removes the pod for another."""
        message = f"Preempted by pod {by} on node {NODE}"
        priority = self._pod.template.priority
        self._log.append(PodPreempted(t=now(), message=message, priority=priority, by=by, by_priority=by_priority))
        event = KubeletEvent(t=now(), type="Normal", reason="Preempted", message=message, container="", attempt=0)
        self._log.append(event)
        self._on_event(event)

    def record_view(self, *, terminating: bool) -> None:
        """Record how kubectl would show the pod, if that has changed."""
        view = self.view(terminating=terminating)
        if view != self._recorded:
            self._recorded = view
            self._log.append(PodStatus(t=now(), ready=view.ready, status=view.status, restarts=view.restarts))

    def attempt(self, name: str) -> int:
        """The number of its newest instance."""
        return self.states[name].attempt

    def scheduled(self, message: str) -> None:
        """The scheduler found no room for it, and says why; an empty message: it did after all."""
        pod = self._pod.name
        kind, reason = ("Warning", "FailedScheduling") if message else ("Normal", "Scheduled")
        message = message or f"Successfully assigned {NAMESPACE}/{pod} to {NODE}"
        event = KubeletEvent(t=now(), type=kind, reason=reason, message=message, container="", attempt=0)
        self._log.append(event)
        self._on_event(event)

    # What happens to a container

    def refused(self, name: str, message: str) -> None:
        """It cannot be made as it is asked for. The kubelet tries again; here nothing changes meanwhile."""
        self._pulled(name)
        self.record(name, "Warning", "Failed", f"Error: {message}")
        self.states[name] = lifecycle.refused(self.states[name])

    def _pulled(self, name: str) -> None:
        present = f'Container image "{self._pod.image(name)}" already present on machine'
        self.record(name, "Normal", "Pulled", present)

    def created(self, name: str) -> None:
        """It is made, and to be started."""
        self._pulled(name)
        self.record(name, "Normal", "Created", f"Created container: {name}")
        self.states[name] = lifecycle.started(self.states[name], now())

    def up(self, name: str) -> None:
        """The runtime has started it."""
        self.states[name] = lifecycle.up(self.states[name])
        self.record(name, "Normal", "Started", f"Started container {name}")

    def probed(self, name: str, *, started: bool, ready: bool) -> None:
        """Take in what a running container's probes found; an init container has no readiness."""
        state = self.states[name]
        if state.phase != "running" or state.role == "init":
            return
        if state.role == "sidecar" and started:
            self.states[name] = state = lifecycle.startup(state)
        if state.ready != ready:
            self.states[name] = lifecycle.readiness(state, ready)
            self._log.append(ContainerReady(t=now(), container=name, attempt=self.attempt(name), ready=ready))

    def exited(self, event: ContainerExited, *, oom: bool, could_not_start: bool) -> None:
        """It has ended. One that was asked to is not started again."""
        self._log.append(event)
        name, before = event.container, self.states[event.container]
        template = self._pod.template
        self.states[name] = state = lifecycle.exited(
            before,
            event.t,
            exit_code=event.exit_code,
            reason=_reason(event.exit_code, oom, could_not_start),
            policy="Never" if event.asked else lifecycle.policy_of(before, template.restart_policy),
            rule=template.back_off,
            by_probe=event.killed_for is not None,
        )
        if state.phase == "back-off":
            self._log.append(BackOffBegan(t=event.t, container=name, restarts=state.restarts, delay_s=state.delay_s))
            if state.delay_s > 0:
                self.record(name, "Warning", "BackOff", back_off_event(name, f"{self._pod.name}_{NAMESPACE}"))

    def restarting(self, name: str) -> None:
        """Its back-off is over."""
        self.states[name] = lifecycle.restarting(self.states[name])

    # Events

    def record(self, name: str, kind: str, reason: str, message: str) -> None:
        """An event of the pod, as the kubelet would have it."""
        event = KubeletEvent(
            t=now(), type=kind, reason=reason, message=message, container=name, attempt=self.attempt(name)
        )
        self._log.append(event)
        self._on_event(event)

    def record_stopping(self, name: str) -> None:
        """The container is to end for good."""
        self.record(name, "Normal", "Killing", f"Stopping container {name}")

    def record_doomed(self, name: str, kind: Kind) -> None:
        """The container is to end because a probe failed."""
        again = "" if self._pod.template.restart_policy == "Never" else ", will be restarted"
        self.record(name, "Normal", "Killing", f"Container {name} failed {kind} probe{again}")

    def record_answer(self, name: str, kind: Kind, answer: Answer) -> None:
        """A probe was answered; there is an event only of what went wrong."""
        if answer.outcome == "failure":
            self.record(name, "Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {answer.message}")
        elif answer.outcome == "error" and answer.message:
            text = f"{kind.capitalize()} probe errored and resulted in unknown state: {answer.message}"
            self.record(name, "Warning", "Unhealthy", text)
        elif answer.warning:
            self.record(name, "Warning", "ProbeWarning", f"{kind.capitalize()} probe warning: {answer.warning}")


def _reason(exit_code: int, oom: bool, could_not_start: bool) -> str:
    """As the kubelet words an exit."""
    if oom:
        return "OOMKilled"
    if could_not_start:
        return "StartError"
    return "Completed" if exit_code == 0 else "Error"
