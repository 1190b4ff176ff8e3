"""How `kubectl get pod` words a pod: READY, STATUS, RESTARTS and AGE, from what the kubelet reports of it. Pure.

The rules are those of the API server's printer (pkg/printers/internalversion, printPod), whose words differ between
versions in one place: a container that completed beside one that failed (1.35).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]
NODE_LOST = "NodeLost"
PENDING: Phase = "Pending"
TERMINATING = "Terminating"
_COMPLETED = "Completed"
_INITIALIZING = "PodInitializing"
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 31_536_000


@dataclass(frozen=True)
class Waiting:
    """It is not started yet, or waits to be started again."""

    reason: str = ""


@dataclass(frozen=True)
class Running:
    """Its main process runs."""


@dataclass(frozen=True)
class Terminated:
    """A container that has ended."""

    exit_code: int
    reason: str = ""
    signal: int = 0


State = Waiting | Running | Terminated


@dataclass(frozen=True)
class Container:
    """One container's status. Times are seconds on any one clock."""

    state: State
    ready: bool = False
    restarts: int = 0
    last_ended_at: float | None = None
    """When the instance before ended (lastState.terminated.finishedAt); None: there was none."""
    started: bool = False
    """Of an init container that keeps running (a native sidecar): it has started."""
    sidecar: bool = False
    """An init container with restartPolicy Always."""


@dataclass(frozen=True)
class PodFacts:
    """What the kubelet reports of a pod."""

    containers: Sequence[Container]
    init_containers: Sequence[Container] = ()
    phase: Phase = "Running"
    reason: str = ""
    """status.reason: Evicted, DeadlineExceeded, NodeLost …"""
    ready: bool = False
    """Its condition Ready."""
    initialized: bool = False
    """Its condition Initialized."""
    gated: bool = False
    """The scheduler may not take it yet."""
    deleted: bool = False
    """It is to go."""
    planned: int | None = None
    """How many containers it is to have; None: as many as there are statuses."""
    planned_inits: int | None = None
    planned_sidecars: int | None = None


@dataclass(frozen=True)
class Printed:
    """The columns, less NAME."""

    ready: str
    status: str
    restarts: str
    """`2 (20s ago)`: how many, and when the last ended instance did."""


def print_pod(pod: PodFacts, now: float, *, before_1_35: bool = False) -> Printed:
    """READY STATUS RESTARTS. `before_1_35`: by the older printers' rules."""
    status = "SchedulingGated" if pod.gated else pod.reason or pod.phase
    inits, initializing, ready = pod.init_containers, "", 0
    for index, one in enumerate(inits):
        initializing = _initializing(one, index, len(inits) if pod.planned_inits is None else pod.planned_inits)
        if initializing:
            status = initializing
            break
        ready += one.sidecar and one.started and one.ready and not _is_through(one)
    counted = inits[: index + 1] if initializing else inits
    if not initializing or pod.initialized:
        sidecars = [one for one in counted if one.sidecar]
        status, running = _app_word(pod, status, before_1_35)
        ready += running
        counted = [*sidecars, *pod.containers]
    if pod.deleted and pod.reason == NODE_LOST:
        status = "Unknown"
    elif pod.deleted and pod.phase not in ("Succeeded", "Failed"):
        status = TERMINATING
    planned = len(pod.containers) if pod.planned is None else pod.planned
    kept = sum(one.sidecar for one in inits) if pod.planned_sidecars is None else pod.planned_sidecars
    return Printed(f"{ready}/{planned + kept}", status, _restarts(counted, now))


def _initializing(one: Container, index: int, inits: int) -> str:
    """What an init container that is not through yet makes of the status; empty for one that is."""
    state = one.state
    if _is_through(one):
        return ""
    if one.sidecar and one.started:
        return ""
    if isinstance(state, Terminated):
        return f"Init:{_ended(state)}"
    if isinstance(state, Waiting) and state.reason not in ("", _INITIALIZING):
        return f"Init:{state.reason}"
    return f"Init:{index}/{inits}"


def _is_through(one: Container) -> bool:
    return isinstance(one.state, Terminated) and one.state.exit_code == 0


def _ended(state: Terminated) -> str:
    if state.reason:
        return state.reason
    return f"Signal:{state.signal}" if state.signal else f"ExitCode:{state.exit_code}"


def _app_word(pod: PodFacts, status: str, before_1_35: bool) -> tuple[str, int]:
    """The first container with something to say decides; and how many run and are ready."""
    running, failed = 0, ""
    for one in reversed(pod.containers):
        state = one.state
        if isinstance(state, Waiting) and state.reason:
            status = state.reason
        elif isinstance(state, Terminated):
            status = _ended(state)
            failed = status if state.exit_code != 0 else failed
        elif isinstance(state, Running) and one.ready:
            running += 1
    if status != _COMPLETED:
        return status, running
    if running and pod.ready:
        return "Running", running
    if failed and not before_1_35:
        return failed, running
    return ("NotReady" if running else status), running


def _restarts(counted: Sequence[Container], now: float) -> str:
    times = sum(one.restarts for one in counted)
    ended = [one.last_ended_at for one in counted if one.last_ended_at is not None]
    return f"{times} ({print_age(now - max(ended))} ago)" if times and ended else str(times)


def print_age(seconds: float) -> str:
    """AGE as kubectl has it: the two largest units at most, and the smaller one only where it still matters."""
    whole = int(seconds)
    if whole < 0:
        return "0s" if whole == -1 else "<invalid>"
    minutes, hours, days, years = whole // _MINUTE, whole // _HOUR, whole // _DAY, whole // _YEAR
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{_rest(whole % _MINUTE, 's')}"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{_rest(minutes % 60, 'm')}"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{_rest(hours % 24, 'h')}"
    if days < 2 * 365:
        return f"{days}d"
    return f"{years}y{_rest(days % 365, 'd')}" if years < 8 else f"{years}y"


def _rest(number: int, unit: str) -> str:
    return f"{number}{unit}" if number else ""
