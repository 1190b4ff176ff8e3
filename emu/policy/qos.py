"""The kubelet's QoS class and oom_score_adj (kubernetes pkg/apis/core/v1/helper/qos; pkg/kubelet/qos/policy.go).

Pods are as the API server keeps them (`emu.policy.kubelet.pod.stored`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from emu.policy.effective import CPU, MEMORY, Amounts, Resources
from emu.policy.kubelet.pod import Container, Pod
from emu.policy.kubelet.version import NEWEST, SIDECAR_OOM_SCORE, Version

QosClass = Literal["Guaranteed", "Burstable", "BestEffort"]

GUARANTEED_ADJ = -997
BEST_EFFORT_ADJ = 1000
SANDBOX_ADJ = -998
"""The pause container's; nothing in the pod is chosen after it."""
_LEAST_BURSTABLE_ADJ = 1000 + GUARANTEED_ADJ


def qos_class(pod: Pod) -> QosClass:
    """By CPU and memory alone, and only by amounts above 0. Guaranteed: every container, init containers included,
    has a limit on both, and all requests together equal all limits. BestEffort: nothing is requested or limited.
    Where the pod has resources of its own these decide, whatever its containers have.
    """
    every = [pod.resources] if pod.resources is not None else [one.resources for one in pod.all_containers]
    requests = _total(one.requests for one in every)
    limits = _total(one.limits for one in every)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if all(map(_limited, every)) and requests == limits else "Burstable"


def _limited(one: Resources) -> bool:
    return all(one.limits.get(name, 0) > 0 for name in (CPU, MEMORY))


def _total(every: Iterable[Amounts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for amounts in every:
        for name in (CPU, MEMORY):
            if amounts.get(name, 0) > 0:
                total[name] = total.get(name, 0) + amounts[name]
    return total


def oom_score_adj(pod: Pod, container: Container, machine_memory_bytes: int, version: Version = NEWEST) -> int:
    """What the kubelet gives a container of the pod.

    Burstable: 1000 - 1000 * its own request / memory of the machine, at least 3 and at most 999. A queue-proxy
    without a memory request in a Burstable pod gets 999: the preferred victim of every OOM above its own level. A
    sidecar is killed no sooner than the app container with the least request. Where the pod itself requests less than
    its containers, which the API server refuses, it may come out above 1000.
    """
    if pod.node_critical:
        return GUARANTEED_ADJ
    qos = qos_class(pod)
    if qos != "Burstable":
        return GUARANTEED_ADJ if qos == "Guaranteed" else BEST_EFFORT_ADJ
    share = share_of_the_rest(pod)
    request = container.request(MEMORY)
    if container.sidecar and version >= SIDECAR_OOM_SCORE:
        request = max(request, min(one.request(MEMORY) for one in pod.containers))
    adj = 1000 - _truncated(1000 * (request + share), machine_memory_bytes)
    return max(_LEAST_BURSTABLE_ADJ, BEST_EFFORT_ADJ - 1 if adj == BEST_EFFORT_ADJ else adj)


def share_of_the_rest(pod: Pod) -> int:
    """Of what the pod requests above its containers, divided among all of them. Bytes."""
    if pod.resources is None or not pod.resources.requests.get(MEMORY):
        return 0
    rest = pod.resources.requests[MEMORY] - pod.of_containers.requests.get(MEMORY, 0)
    return _truncated(rest, len(pod.all_containers))


def _truncated(number: int, divisor: int) -> int:
    """Divided as Go divides: towards zero."""
    return -(-number // divisor) if number < 0 else number // divisor
