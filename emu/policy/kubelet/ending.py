"""How a container is ended, and what its end is called.

From pkg/kubelet/kuberuntime/kuberuntime_container.go (killContainer), pkg/kubelet/pod_workers.go and the runtimes'
CRI services.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from emu.policy.kubelet.version import EVICTION_GRACE, NEWEST, SOFT_EVICTION_GRACE, Version

LEAST_GRACE_S = 2
"""Between SIGTERM and SIGKILL, whatever a preStop hook has used of the grace period (minimumGracePeriodInSeconds)."""
KILLED = 137
"""The exit code of a process that SIGKILL ended: 128 + 9. An OOM kill leaves it, and so does every other SIGKILL."""
Reason = Literal["OOMKilled", "Completed", "Error"]


def container_reason(
    exit_code: int,
    *,
    oom_kill_seen: bool,
    runtime: str = "containerd",
    before_exit: bool | None = None,
) -> Reason:
    """The word for an end. OOMKilled wins over every exit code, also where a child was killed long before.
    `oom_kill_seen`: memory.events counted a kill in its cgroup. `before_exit`: whether containerd had heard of it by
    the time of the exit; else it looks the counter up, for an exit with 137 alone.
    """
    late = runtime == "containerd" and before_exit is False and exit_code != KILLED
    if oom_kill_seen and not late:
        return "OOMKilled"
    return "Completed" if exit_code == 0 else "Error"


@dataclass(frozen=True)
class Ending:
    """How long each step of a container's end may take."""

    hook_s: int
    """How long its preStop hook may run, if it has one."""
    term_to_kill_s: int
    """From SIGTERM to SIGKILL, by a process that does not end."""


def ending(grace_s: int, hook_ran_s: float | None = None) -> Ending:
    """Of a container with this grace period. The hook runs within it, and the whole seconds that it took are gone
    from what is left, which is at least 2.
    """
    used = 0 if hook_ran_s is None or grace_s <= 0 else math.floor(min(hook_ran_s, grace_s))
    return Ending(max(0, grace_s), max(LEAST_GRACE_S, grace_s - used))


def pod_grace_s(pod_s: int, *, deletion_s: int | None = None, eviction_s: int | None = None) -> int:
    """For how long a pod may take to end: the shorter of what its deletion and an eviction say, else its own; at
    least 1. A deletion that says 0 leaves it to the eviction.
    """
    said = [one for one in (deletion_s or eviction_s, eviction_s) if one is not None]
    if deletion_s is not None and not said:
        said = [deletion_s]
    return max(1, min(said) if said else pod_s)


def eviction_grace_s(pod_s: int | None, longest_s: int, *, hard: bool, version: Version = NEWEST) -> int:
    """What an eviction gives a pod. `longest_s`: evictionMaxPodGracePeriod, for soft thresholds."""
    if hard:
        return 1 if version >= EVICTION_GRACE else 0
    return longest_s if pod_s is None or version < SOFT_EVICTION_GRACE else min(longest_s, pod_s)
