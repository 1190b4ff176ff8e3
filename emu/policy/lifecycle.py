"""When a container is started again, and how kubectl would word the pod's state. Time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from emu.policy import printing
from emu.policy.kubelet.environment import CONFIG_ERROR
from emu.policy.printing import Container, PodFacts, Running, Terminated, Waiting, print_pod

RestartPolicy = Literal["Always", "OnFailure", "Never"]
Phase = Literal["waiting", "creating", "refused", "running", "back-off", "terminated"]
"""refused: what it is to be made of is not there, and it waits for that."""
Role = Literal["container", "init", "sidecar"]
"""init: it runs to its end before the containers start. sidecar: an init container with restartPolicy Always, which
is started in turn and keeps running.
"""
OOM_KILLED = "OOMKilled"


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
    role: Role = "container"
    started: bool = False
    """Of a sidecar: it runs, and its startup probe has succeeded if it has one."""
    ready: bool = False
    """An init container is once it has completed."""
    up: bool = False
    """The runtime has started it. A container is `running` from the moment that it is made, a little earlier."""
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

    @property
    def completed(self) -> bool:
        """It ended as an init container should: with exit code 0, and no process of it was OOM-killed."""
        return self.phase == "terminated" and self.last_exit_code == 0 and self.last_reason != OOM_KILLED

    @property
    def is_past(self) -> bool:
        """What comes after it in the pod's order may start."""
        return self.started if self.role == "sidecar" else self.completed


def due_to_start(states: Mapping[str, ContainerState]) -> list[str]:
    """The containers to start now for the first time, in the pod's order: the next init container or sidecar once the
    one before it has completed or started, all others once those have.
    """
    for name, state in states.items():
        if state.role != "container" and not state.is_past:
            return [name] if state.phase == "waiting" else []
    return [name for name, state in states.items() if state.role == "container" and state.phase == "waiting"]


def has_failed_for_good(states: Iterable[ContainerState]) -> bool:
    """An init container has failed and will not be started again: nothing after it is started either."""
    return any(state.role == "init" and state.phase == "terminated" and not state.completed for state in states)


def waits_for_good(states: Iterable[ContainerState]) -> bool:
    """The pod will not be ready: an init container has failed, or a container cannot be made."""
    found = list(states)
    return has_failed_for_good(found) or any(state.phase == "refused" for state in found)


def is_done(states: Iterable[ContainerState]) -> bool:
    """All containers have ended for good: the sidecars are no longer needed."""
    return all(state.phase == "terminated" for state in states if state.role == "container")


def end_before(sidecar: str, states: Mapping[str, ContainerState]) -> set[str]:
    """What ends before a sidecar when the pod does: the containers, and the sidecars after it; else nothing."""
    names = list(states)
    return set(names[names.index(sidecar) + 1 :]) if states[sidecar].role == "sidecar" else set()


def policy_of(state: ContainerState, pod: RestartPolicy) -> RestartPolicy:
    """Of one container: the pod's, but a sidecar has its own, Always."""
    return "Always" if state.role == "sidecar" else pod


def refused(state: ContainerState) -> ContainerState:
    """The kubelet cannot make it as it is asked for (CreateContainerConfigError)."""
    return replace(state, phase="refused", ready=False, start_at=None)


def started(state: ContainerState, now: float) -> ContainerState:
    """It is made, and is being started."""
    return replace(state, phase="running", ready=False, up=False, started_at=now, start_at=None)


def up(state: ContainerState) -> ContainerState:
    """The runtime has started it."""
    return replace(state, up=True)


def readiness(state: ContainerState, ready: bool) -> ContainerState:
    """A readiness probe's answer changed."""
    return replace(state, ready=ready)


def startup(state: ContainerState) -> ContainerState:
    """Its startup probe succeeded, or it has none and runs."""
    return replace(state, started=True)


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
    code unless the policy is Never. An init container that has completed is restarted under no policy.
    """
    gone = replace(
        state, ready=False, up=False, started=False, exited_at=now, last_reason=reason, last_exit_code=exit_code
    )
    if state.role == "init" and exit_code == 0 and reason != OOM_KILLED:
        return replace(gone, phase="terminated", ready=True, start_at=None)
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
    ran_for = seconds_between(state.started_at, now) if state.started_at is not None else 0.0
    forgotten = not by_probe and ran_for > rule.reset_after_s  # after a probe's kill this life does not count
    back_off_s = 0.0 if forgotten else state.back_off_s
    if by_probe and state.exited_at is None:
        return 0.0, back_off_s
    if back_off_s == 0.0:
        return 0.0, min(rule.initial_s, rule.max_s)
    since = state.exited_at if by_probe and state.exited_at is not None else now
    doubled = min(back_off_s * 2, rule.max_s)
    return (0.0 if seconds_between(since, now) >= back_off_s else back_off_s), doubled


def seconds_between(start: float, end: float) -> float:
    """To the nanosecond, as Go counts: 1286.4 is 600 s after 686.4, and no more."""
    return round(end - start, 9)


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


def all_ready(ready: str) -> bool:
    """Whether a READY column (`2/2`) says that every container is."""
    those, _, of = ready.partition("/")
    return those == of != "0"


def pending_view(roles: Sequence[Role]) -> PodView:
    """Of a pod without a node, by the roles of its containers: it has no container statuses yet."""
    own, kept = roles.count("container"), roles.count("sidecar")
    printed = print_pod(PodFacts([], phase=printing.PENDING, planned=own, planned_sidecars=kept), 0.0)
    return PodView(printed.ready, printed.status, 0)


def pod_view(
    containers: Sequence[ContainerState], now: float, *, terminating: bool = False, reason: str = ""
) -> PodView:
    """READY STATUS RESTARTS as `kubectl get pod` prints them: a back-off shows the exit's reason until the kubelet's
    next look and CrashLoopBackOff while it waits. `terminating`: the pod is being deleted. `reason`: the pod's own,
    for which it has failed (Evicted).
    """
    inits = [state for state in containers if state.role != "container"]
    own = [state for state in containers if state.role == "container"]
    first = "PodInitializing" if inits else "ContainerCreating"
    initialized = all(state.is_past for state in inits)
    facts = PodFacts(
        [_printable(state, now, first) for state in own],
        [_printable(state, now, first) for state in inits],
        phase="Failed" if reason else _phase(own, inits),
        reason=reason,
        ready=all(state.ready for state in containers),
        initialized=initialized or any(state.phase != "waiting" for state in own),
        deleted=terminating,
    )
    printed = print_pod(facts if not terminating else replace(facts, phase="Running"), now)
    return PodView(printed.ready, printed.status, int(printed.restarts.split()[0]))


def is_timed(containers: Sequence[ContainerState]) -> bool:
    """Whether the view of a pod with these containers changes with the time alone."""
    return any(state.phase == "back-off" for state in containers)


def _printable(state: ContainerState, now: float, first: str) -> Container:
    sidecar = state.role == "sidecar"
    return Container(
        _state(state, now, first),
        state.ready,
        state.restarts,
        state.exited_at,
        started=state.started,
        sidecar=sidecar,
    )


def _state(state: ContainerState, now: float, first: str) -> Waiting | Running | Terminated:
    """`first`: what it waits for before its first start."""
    if state.phase == "running":
        return Running()
    if state.phase == "refused":
        return Waiting(CONFIG_ERROR)
    if state.phase in ("waiting", "creating") and state.restarts == 0:
        return Waiting(first)
    if state.phase == "back-off" and state.start_at is not None and state.start_at > now and state.delay_s > 0:
        return Waiting("CrashLoopBackOff")
    return Terminated(state.last_exit_code or 0, state.last_reason or "Error")


def _phase(containers: Sequence[ContainerState], inits: Sequence[ContainerState]) -> printing.Phase:
    """Over only when no container will be started again, or when an init container has failed for good."""
    if has_failed_for_good(inits):
        return "Failed"
    if not all(state.phase == "terminated" for state in containers):
        if any(state.phase == "refused" and not state.restarts for state in (*containers, *inits)):
            return "Pending"
        return "Pending" if all(state.phase == "waiting" for state in containers) and inits else "Running"
    return "Failed" if any(state.last_exit_code for state in containers) else "Succeeded"
