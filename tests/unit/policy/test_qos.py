"""The kubelet's QoS class, oom_score_adj and CPU shares."""

from __future__ import annotations

import pytest

from emu.policy.qos import Asked, cpu_shares, cpu_weight, oom_score_adj, pod_memory_max, qos_class

GIB = 2**30
LIMITED = Asked(memory_limit=GIB, cpu_limit=500)
NOTHING = Asked()


@pytest.mark.parametrize(
    ("containers", "wanted"),
    [
        ((LIMITED, LIMITED), "Guaranteed"),
        ((NOTHING, NOTHING), "BestEffort"),
        ((LIMITED, NOTHING), "Burstable"),
        ((Asked(memory_limit=GIB), Asked(memory_limit=GIB)), "Burstable"),
        ((Asked(memory_request=GIB // 2, memory_limit=GIB, cpu_limit=1, cpu_request=1),), "Burstable"),
        ((Asked(memory_request=GIB, memory_limit=GIB, cpu_request=9, cpu_limit=9),), "Guaranteed"),
    ],
)
def test_qos_class(containers: tuple[Asked, ...], wanted: str) -> None:
    """A pod is Guaranteed if each container's limits equal its requests, BestEffort if none asks for anything."""
    assert qos_class(containers) == wanted


@pytest.mark.parametrize(
    ("qos", "asked", "wanted"),
    [
        ("Guaranteed", LIMITED, -997),
        ("BestEffort", NOTHING, 1000),
        ("Burstable", NOTHING, 999),
        ("Burstable", Asked(memory_request=4 * GIB), 500),
        ("Burstable", Asked(memory_request=8 * GIB), 3),
        ("Burstable", Asked(memory_limit=2 * GIB), 750),
    ],
)
def test_oom_score_adj(qos: str, asked: Asked, wanted: int) -> None:
    """A Burstable container's score falls with its own request, and stays within 3 and 999."""
    assert oom_score_adj(qos, asked, 8 * GIB) == wanted  # type: ignore[arg-type]


def test_a_queue_proxy_without_a_request_dies_before_its_app() -> None:
    """Above container level the kernel prefers the container that asked for nothing."""
    app = Asked(memory_request=GIB)
    qos = qos_class((NOTHING, app))
    assert oom_score_adj(qos, NOTHING, 8 * GIB) > oom_score_adj(qos, app, 8 * GIB)


def test_the_pod_is_limited_only_if_every_container_is() -> None:
    """The kubelet sums limits into the pod's memory.max only when none is missing; the pod's own limit wins."""
    assert pod_memory_max((LIMITED, LIMITED), None) == 2 * GIB
    assert pod_memory_max((LIMITED, NOTHING), None) is None
    assert pod_memory_max((LIMITED, NOTHING), 7) == 7


@pytest.mark.parametrize(
    ("asked", "shares", "weight"),
    [
        ((NOTHING,), 2, 1),
        ((Asked(cpu_request=0, cpu_limit=500),), 2, 1),
        ((Asked(cpu_limit=500),), 512, 20),
        ((Asked(cpu_request=25),), 25, 1),
        ((Asked(cpu_request=1000),), 1024, 39),
        ((Asked(cpu_request=1000), Asked(cpu_request=500), NOTHING), 1536, 59),
        ((Asked(cpu_request=10**9),), 262_144, 10_000),
    ],
)
def test_cpu_shares_and_weight(asked: tuple[Asked, ...], shares: int, weight: int) -> None:
    """By the request, or the limit where none is given; a pod's by the sum; within what the kernel takes."""
    assert (cpu_shares(asked), cpu_weight(shares)) == (shares, weight)
