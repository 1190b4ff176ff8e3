"""The kubelet's QoS class, oom_score_adj, and what the pod's cgroup gets."""

from __future__ import annotations

import pytest

from emu.policy.effective import Asked, Resources
from emu.policy.kubelet.admission import fits
from emu.policy.kubelet.cpu import cpu_shares, cpu_weight
from emu.policy.kubelet.pod import Container, Pod, stored
from emu.policy.qos import oom_score_adj, qos_class

GIB = 2**30
LIMITED = Asked(memory_limit=GIB, cpu_limit=500)
NOTHING = Asked()


def pod(*asked: Asked, sidecar: Asked | None = None) -> Pod:
    """A pod of containers that ask for this."""
    made = [Container(f"c{number}", Resources.of(one)) for number, one in enumerate(asked)]
    inits = [] if sidecar is None else [Container("s", Resources.of(sidecar), sidecar=True)]
    return stored(Pod(made, inits))


@pytest.mark.parametrize(
    ("containers", "wanted"),
    [
        ((LIMITED, LIMITED), "Guaranteed"),
        ((NOTHING, NOTHING), "BestEffort"),
        ((Asked(memory_limit=0, cpu_request=0),), "BestEffort"),
        ((LIMITED, NOTHING), "Burstable"),
        ((LIMITED, Asked(memory_limit=GIB, cpu_limit=0)), "Burstable"),
        ((Asked(memory_limit=GIB), Asked(memory_limit=GIB)), "Burstable"),
        ((Asked(memory_request=GIB // 2, memory_limit=GIB, cpu_limit=1, cpu_request=1),), "Burstable"),
        ((Asked(memory_request=GIB, memory_limit=GIB, cpu_request=9, cpu_limit=9),), "Guaranteed"),
    ],
)
def test_qos_class(containers: tuple[Asked, ...], wanted: str) -> None:
    """Guaranteed if each container's limits equal its requests, BestEffort if none asks for anything; a written 0
    asks for nothing.
    """
    assert qos_class(pod(*containers)) == wanted


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (LIMITED, -997),
        (NOTHING, 1000),
        (Asked(cpu_request=5), 999),
        (Asked(memory_request=4 * GIB), 500),
        (Asked(memory_request=8 * GIB), 3),
        (Asked(memory_limit=2 * GIB), 750),
    ],
)
def test_oom_score_adj(asked: Asked, wanted: int) -> None:
    """By class; a Burstable container's falls with its own request, and stays within 3 and 999."""
    made = pod(asked)
    assert oom_score_adj(made, made.containers[0], 8 * GIB) == wanted


def test_a_queue_proxy_without_a_request_dies_before_its_app() -> None:
    """Above container level the kernel prefers the container that asked for nothing. A sidecar of the pod it spares
    as long as the app, since 1.32.
    """
    made = pod(Asked(memory_request=GIB), NOTHING)
    app, queue_proxy = made.containers
    assert oom_score_adj(made, queue_proxy, 8 * GIB) > oom_score_adj(made, app, 8 * GIB)
    made = pod(Asked(memory_request=GIB), sidecar=Asked(memory_request=1))
    app, sidecar = made.all_containers
    assert oom_score_adj(made, sidecar, 8 * GIB) == oom_score_adj(made, app, 8 * GIB)
    assert oom_score_adj(made, sidecar, 8 * GIB, (1, 31)) == 999


def test_the_pod_is_limited_only_if_every_container_is() -> None:
    """The kubelet sums limits into the pod's memory.max only when none is missing."""
    assert pod(LIMITED, LIMITED).cgroup(best_effort=False).memory_max == 2 * GIB
    assert pod(LIMITED, NOTHING).cgroup(best_effort=False).memory_max is None


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
    cgroup = pod(*asked).cgroup(best_effort=False)
    assert (cgroup.cpu_shares, cgroup.cpu_weight) == (shares, weight)
    assert cpu_weight(cpu_shares(pod(*asked).effective.requests.get("cpu", 0))) == weight


def test_the_pod_level_takes_over_the_limits_on_huge_pages() -> None:
    """Where it names anything at all; it has limits then, so the requests that it lacks are the containers'."""
    huge = "hugepages-2Mi"
    app = Container("a", Resources({"cpu": 100, "memory": 64, huge: 4}, {huge: 4}))
    made = stored(Pod([app], resources=Resources({"cpu": 300}))).resources
    assert made == Resources({huge: 4, "memory": 64, "cpu": 300}, {huge: 4})
    assert stored(Pod([app], resources=Resources())).resources == Resources()


def test_huge_pages_that_the_node_has_not_keep_a_pod_out() -> None:
    """And too many of an extended resource that it has; one that it has not is no affair of the kubelet's."""
    node = {"pods": 5, "cpu": 4000, "memory": GIB}
    huge = Pod([Container("a", Resources({"hugepages-2Mi": 4}))])
    assert fits(huge, [], node).reason == "OutOfhugepages-2Mi"
    gpu = Pod([Container("a", Resources({"nvidia.com/gpu": 1}))])
    assert fits(gpu, [], node).admitted
    assert fits(gpu, [gpu], {**node, "nvidia.com/gpu": 1}).reason == "OutOfnvidia.com/gpu"
