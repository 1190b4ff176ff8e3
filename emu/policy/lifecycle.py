"""When a container is started again, and how kubectl would word the pod's state. Time is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from emu.policy.printing import Container, PodFacts, Running, Terminated, Waiting, print_pod

RestartPolicy = Literal["Always", "OnFailure", "Never"]
Phase = Literal["waiting", "creating", "running", "back-off", "terminated"]


@dataclass(frozen=True)
class BackOffRule:
    """The kubelet's: the first restart at once, then `initial_s` doubling to `max_s`; forgotten once a container ran
    for `reset_after_s`. All in seconds.
    """

    initial_s: float = 10.0
    max_s: float = 300.0
    reset_after_s: float = 600.0

    def scaled(self, factor: float) -> BackOffRule:
        """The same shape, `factor` times as long."""
        return BackOffRule(self.initial_s * factor, self.max_s * factor, self.reset_after_s * factor)


@dataclass(frozen=True)
class ContainerState:
    """One container of the pod, over all its instances."""

    phase: Phase = "waiting"
    ready: bool = False
    restarts: int = 0
    started_at: float | None = None
    start_at: float | None = None
    """In back-off: when the next instance starts."""
    delay_s: float = 0.0
    """How long the next instance waits, or the last one waited; 0 is not at all."""
    back_off_s: float = 0.0
    """The kubelet's entry for it: what the next exit will make it wait; 0 is no entry."""
    exited_at: float | None = None
    """When the last instance ended."""
    last_reason: str | None = None
    last_exit_code: int | None = None

    @property
    def attempt(self) -> int:
        """The number of the instance that runs or ran last, from 0."""
        return self.restarts


def started(state: ContainerState, now: float) -> ContainerState:
    """The engine said that it runs."""
    return replace(state, phase="running", ready=False, started_at=now, start_at=None)


def readiness(state: ContainerState, ready: bool) -> ContainerState:
    """A readiness probe's answer changed."""
    return replace(state, ready=ready)


def exited(
    state: ContainerState,
    now: float,
    *,
    exit_code: int,
    reason: str,
    policy: RestartPolicy,
    rule: BackOffRule,
    by_probe: bool = False,
) -> ContainerState:
    """It ended: terminated for good, or in back-off until `start_at`. `reason` as Kubernetes words it
    (OOMKilled, Error, Completed). `by_probe`: the kubelet killed it for a probe, and restarts it whatever its exit
    code unless the policy is Never.
    """
    gone = replace(state, ready=False, exited_at=now, last_reason=reason, last_exit_code=exit_code)
    if policy == "Never" or (policy == "OnFailure" and exit_code == 0 and not by_probe):
        return replace(gone, phase="terminated", start_at=None)
    delay_s, back_off_s = next_delay(state, now, rule, by_probe=by_probe)
    return replace(gone, phase="back-off", delay_s=delay_s, back_off_s=back_off_s, start_at=now + delay_s)


def next_delay(
    state: ContainerState, now: float, rule: BackOffRule, *, by_probe: bool = False
) -> tuple[float, float]:
    """Seconds to wait before the next instance, and the back-off that the exit after it will meet.

    After a probe's kill the kubelet starts the next instance in the same turn, with what it knew before: back-off
    counts from the exit before this one, and the first time there was none (kuberuntime_manager.go: SyncPod kills,
    then starts with the podStatus that it began with; doBackOff). Only if that lies too close, the container waits,
    and then from its own end.
    """
    ran_for = now - state.started_at if state.started_at is not None else 0.0
    forgotten = not by_probe and ran_for > rule.reset_after_s  # after a probe's kill this life does not count
    back_off_s = 0.0 if forgotten else state.back_off_s
    if by_probe and state.exited_at is None:
        return 0.0, back_off_s
    if back_off_s == 0.0:
        return 0.0, min(rule.initial_s, rule.max_s)
    since = state.exited_at if by_probe and state.exited_at is not None else now
    doubled = min(back_off_s * 2, rule.max_s)
    return (0.0 if now - since >= back_off_s else back_off_s), doubled


def restarting(state: ContainerState) -> ContainerState:
    """The next instance is being made."""
    return replace(state, phase="creating", ready=False, restarts=state.restarts + 1, start_at=None)


def resized(state: ContainerState) -> ContainerState:
    """Its resources are others: the kubelet's entry for it, which goes by them since 1.34, is forgotten."""
    return replace(state, back_off_s=0.0)


@dataclass(frozen=True)
class PodView:
    """The columns of `kubectl get pod`, less AGE."""

    ready: str
    status: str
    restarts: int


def pod_view(containers: Sequence[ContainerState], now: float, *, terminating: bool = False) -> PodView:
    """READY STATUS RESTARTS as `kubectl get pod` prints them: a back-off shows the exit's reason until the kubelet's
    next look and CrashLoopBackOff while it waits. `terminating`: the pod is being deleted.
    """
    facts = PodFacts(
        [_printable(state, now) for state in containers],
        phase=_phase(containers),
        ready=all(state.ready for state in containers),
        deleted=terminating,
    )
    printed = print_pod(facts if not terminating else replace(facts, phase="Running"), now)
    return PodView(printed.ready, printed.status, sum(state.restarts for state in containers))


def _printable(state: ContainerState, now: float) -> Container:
    return Container(_state(state, now), state.ready, state.restarts, state.exited_at)


def _state(state: ContainerState, now: float) -> Waiting | Running | Terminated:
    if state.phase == "running":
        return Running()
    if state.phase in ("waiting", "creating") and state.restarts == 0:
        return Waiting("ContainerCreating")
    if state.phase == "back-off" and state.start_at is not None and state.start_at > now and state.delay_s > 0:
        return Waiting("CrashLoopBackOff")
    return Terminated(state.last_exit_code or 0, state.last_reason or "Error")


def _phase(containers: Sequence[ContainerState]) -> Literal["Running", "Succeeded", "Failed"]:
    """Over only when no container will be started again."""
    if not all(state.phase == "terminated" for state in containers):
        return "Running"
    return "Failed" if any(state.last_exit_code for state in containers) else "Succeeded"
