"""A pod's effective requests and limits, given its containers' (emu.policy.effective)."""

from __future__ import annotations

import pytest

from emu.policy.effective import (
    Asked,
    Init,
    PodCgroup,
    Resources,
    effective,
    memory_volume_bytes,
    pod_cgroup,
)

MIB = 2**20


def limits(memory: int | None = None, cpu: int | None = None) -> Resources:
    """Of a container that has only limits; memory in MiB."""
    return Resources.of(Asked(memory_limit=None if memory is None else memory * MIB, cpu_limit=cpu))


@pytest.mark.parametrize(
    ("containers", "inits", "memory", "cpu"),
    [
        ([limits(100, 100), limits(50, 20)], [], 150, 120),
        ([limits(100, 100)], [Init(limits(80, 900))], 100, 900),
        ([limits(100, 100)], [Init(limits(300, 10)), Init(limits(200, 20))], 300, 100),
        ([limits(100, 100)], [Init(limits(30, 10), sidecar=True)], 130, 110),
        ([limits(100, 100)], [Init(limits(30, 10), sidecar=True), Init(limits(120, 1))], 150, 110),
        ([limits(100, 100)], [Init(limits(120, 1)), Init(limits(30, 10), sidecar=True)], 130, 110),
        ([limits(10)], [Init(limits(1), sidecar=True), Init(limits(2), sidecar=True), Init(limits(20))], 23, None),
    ],
    ids=["sum", "larger-init-per-resource", "largest-init", "sidecar", "init-after", "init-before", "running-sum"],
)  # fmt: skip
def test_the_effective_limit_is_the_larger_of_both_times(
    containers: list[Resources], inits: list[Init], memory: int, cpu: int | None
) -> None:
    """Once all run: containers and sidecars. Before: an init container and the sidecars before it, not those after.
    A limit without a request is a request too.
    """
    pod = effective(containers, inits)
    assert pod.limits.get("memory") == memory * MIB and pod.limits.get("cpu") == cpu
    assert pod.requests == pod.limits


def test_a_pod_is_limited_if_each_container_is() -> None:
    """One without a limit leaves memory.max of the pod alone, an init container too; cpu.max goes by itself."""
    both, none = limits(100, 500), Resources()
    assert pod_cgroup(effective([both]), [both]) == PodCgroup(100 * MIB, 512, 20, 50_000)
    for containers, inits in (([both, none], []), ([both], [Init(none)])):
        assert pod_cgroup(effective(containers, inits), containers, inits).memory_max is None
    memory_only = limits(100)
    assert pod_cgroup(effective([memory_only]), [memory_only]) == PodCgroup(100 * MIB, 2, 1, None)


def test_an_init_container_after_a_limited_sidecar_counts_as_limited() -> None:
    """The kubelet judges it together with the sidecars that run beside it, so the pod keeps its limit."""
    app, inits = limits(100), [Init(limits(50), sidecar=True), Init(Resources())]
    assert pod_cgroup(effective([app], inits), [app], inits).memory_max == 150 * MIB
    inits.reverse()
    assert pod_cgroup(effective([app], inits), [app], inits).memory_max is None


def test_the_pod_level_and_the_overhead() -> None:
    """The pod level replaces the sum where it names a resource; overhead comes on top, of limits only where there are
    some. A pod-level limit alone takes its request from the containers, and where they have none from itself.
    """
    app = Resources.of(Asked(memory_request=64 * MIB, memory_limit=64 * MIB))
    level = Resources(limits={"memory": 512 * MIB, "cpu": 1000})
    pod = effective([app], pod_level=level, overhead={"memory": 16 * MIB, "cpu": 250})
    assert pod.limits == {"memory": 528 * MIB, "cpu": 1250}
    assert pod.requests == {"memory": 80 * MIB, "cpu": 1250}
    assert pod_cgroup(pod, [app], pod_level=level).memory_max == 528 * MIB
    assert effective([Resources(limits={"cpu": 0})], overhead={"cpu": 5}).limits == {"cpu": 0}


@pytest.mark.parametrize(
    ("size_limit", "pod_max", "expected"), [(None, None, 900), (64, None, 64), (0, 300, 300), (400, 300, 300)]
)
def test_a_memory_volume_is_as_large_as_anything_allows(
    size_limit: int | None, pod_max: int | None, expected: int
) -> None:
    """The least of sizeLimit, the pod's limit and what the node has; 0 is no sizeLimit."""
    assert memory_volume_bytes(size_limit, pod_max, 900) == expected
