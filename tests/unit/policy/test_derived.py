"""What a kubelet derives from requests and limits, each value with its formula and its versions."""

from __future__ import annotations

import pytest

from emu.policy.effective import Asked, Resources
from emu.policy.kubelet.derived import (
    NodeRules,
    Value,
    as_files,
    class_reason,
    class_values,
    container_values,
    node_values,
    pod_values,
    with_lowered,
)
from emu.policy.kubelet.memory import MemoryQos, levels
from emu.policy.kubelet.pod import Container, Pod, stored
from emu.policy.kubelet.version import Version

MIB, GIB = 2**20, 2**30
TIERED = MemoryQos("TieredReservation", 0.9, 2 * GIB)


def container(name: str, *asked: int | None, sidecar: bool = False) -> Container:
    """One with a memory request and limit, and a CPU request and limit."""
    return Container(name, Resources.of(Asked(*asked)), sidecar=sidecar)


def one(values: list[Value], file: str) -> Value:
    """The value of a file."""
    return next(value for value in values if value.file == file)


BURSTABLE = container("app", 64 * MIB, 128 * MIB, 100, None)
GUARANTEED = container("app", 64 * MIB, 64 * MIB, 500, 500)


def values(
    it: Container, node: NodeRules, given: dict[str, str] | None = None, version: Version | None = None
) -> list[Value]:
    """Of the only container of a pod."""
    pod = stored(Pod([it]), version or node.version)
    return container_values(pod, pod.containers[0], node, given)


@pytest.mark.parametrize(
    ("version", "factor", "high", "how", "rules"),
    [
        ((1, 26), 0.8, int(0.8 * 128 * MIB), "memoryThrottlingFactor 0.8 * limit 128 MiB", "to 1.26"),
        (
            (1, 30), 0.9, (64 * MIB + 9 * 64 * MIB // 10) // 4096 * 4096,
            "request 64 MiB + memoryThrottlingFactor 0.9 * (limit 128 MiB - request), in whole pages", "1.27 to 1.36",
        ),
        ((1, 37), None, None, "memoryThrottlingFactor is not set", "from 1.37"),
    ],
)  # fmt: skip
def test_memory_high_is_reported_with_its_formula(
    version: Version, factor: float | None, high: int | None, how: str, rules: str
) -> None:
    """Each version's own, and the versions that have it."""
    node = NodeRules(4 * GIB, version=version, memory_qos=MemoryQos(throttling_factor=factor))
    found = one(values(BURSTABLE, node), "memory.high")
    assert found == Value("memory.high", "max" if high is None else str(high), how, rules)


@pytest.mark.parametrize(
    ("it", "how"),
    [
        (GUARANTEED, "request and limit are equal"),
        (container("app"), "neither request nor limit"),
    ],
)
def test_why_there_is_no_memory_high(it: Container, how: str) -> None:
    """The reason stands in place of a formula."""
    found = one(values(it, NodeRules(4 * GIB, memory_qos=TIERED)), "memory.high")
    assert (found.value, found.how) == ("max", how)


def test_memory_qos_is_off_by_default() -> None:
    """Then none of its files is written, at no level."""
    node = NodeRules(4 * GIB)
    pod = stored(Pod([BURSTABLE]))
    found = {*as_files(values(BURSTABLE, node)), *as_files(pod_values(pod, node))}
    assert found.isdisjoint({"memory.min", "memory.low", "memory.high"})
    above = levels([pod], None)
    assert (node_values(above, node), [*as_files(class_values("Burstable", above, node))]) == ([], ["cpu.weight"])


def test_what_is_given_wins_and_says_what_it_replaced() -> None:
    """A value that the scenario sets stands in place of the derived one, also where that is not written at all."""
    node = NodeRules(4 * GIB, memory_qos=TIERED)
    found = values(BURSTABLE, node, {"memory.low": "0", "memory.swap.max": "max"})
    low, swap = one(found, "memory.low"), one(found, "memory.swap.max")
    assert (low.value, low.given) == ("0", True)
    assert low.how == f"set in the scenario, in place of {64 * MIB} (requests.memory of 64 MiB)"
    assert (swap.value, swap.how) == ("max", "set in the scenario, in place of 0 (NoSwap)")
    assert one(values(BURSTABLE, NodeRules(GIB), {"memory.high": "9"}), "memory.high").how == "set in the scenario"


@pytest.mark.parametrize(
    ("it", "value", "how"),
    [
        (BURSTABLE, str(32 * MIB), "LimitedSwap: request 64 MiB / memory 4 GiB * swap 2 GiB"),
        (GUARANTEED, "0", "LimitedSwap: not for Guaranteed pods"),
        (container("app"), "0", "LimitedSwap: not for BestEffort pods"),
        (container("app", None, 64 * MIB), "0", "LimitedSwap: not where request and limit are equal"),
        (container("app", None, None, 100), "0", "LimitedSwap: not without a memory request"),
    ],
)
def test_limited_swap_says_why_there_is_none(it: Container, value: str, how: str) -> None:
    """By class, request and limit."""
    node = NodeRules(4 * GIB, 2 * GIB, swap_behavior="LimitedSwap")
    found = one(values(it, node), "memory.swap.max")
    assert (found.value, found.how) == (value, how)


@pytest.mark.parametrize(
    ("version", "single", "value", "rules"),
    [
        ((1, 27), False, "0", "to 1.27"),
        ((1, 31), False, "1", "1.28 to 1.31"),
        ((1, 36), False, "1", "from 1.32"),
        ((1, 36), True, "0", "from 1.32"),
    ],
)
def test_oom_group_by_version(version: Version, single: bool, value: str, rules: str) -> None:
    """None, always, or as singleProcessOOMKill says."""
    node = NodeRules(4 * GIB, version=version, single_process_oom_kill=single)
    found = one(values(BURSTABLE, node), "memory.oom.group")
    assert (found.value, found.rules) == (value, rules)


def test_a_pod_is_limited_only_if_all_its_containers_are() -> None:
    """The one that lacks a limit is named."""
    node = NodeRules(4 * GIB)
    found = pod_values(stored(Pod([BURSTABLE, container("proxy", None, None, 25)])), node)
    assert one(found, "memory.max") == Value("memory.max", "max", "proxy has no memory limit")
    assert one(found, "cpu.max").how == "app has no CPU limit"
    assert one(pod_values(stored(Pod([GUARANTEED, GUARANTEED])), node), "cpu.max").value == "100000 100000"


def test_the_levels_add_up() -> None:
    """What protects pods is reserved above them as well, else it would not hold."""
    node = NodeRules(4 * GIB, memory_qos=TIERED)
    pods = [stored(Pod([GUARANTEED])), stored(Pod([BURSTABLE])), stored(Pod([container("app")]))]
    above = levels(pods, TIERED)
    assert as_files(node_values(above, node)) == {"memory.min": str(128 * MIB)}
    assert as_files(class_values("Burstable", above, node)) == {"memory.low": str(64 * MIB), "cpu.weight": "4"}
    assert as_files(class_values("BestEffort", above, node)) == {"cpu.weight": "1"}
    assert class_values("Guaranteed", above, node) == []


@pytest.mark.parametrize(
    ("millicores", "weight", "shares"), [(1000, "39", 1024), (2000, "79", 2048), (500, "20", 512)]
)
def test_the_weight_of_all_pods_is_that_of_the_node_s_cpus(millicores: int, weight: str, shares: int) -> None:
    """By the even formula; where it is not known how many there are, nothing is written."""
    above = levels([], None)
    found = node_values(above, NodeRules(4 * GIB, allocatable_millicores=millicores))
    how = f"1 + (shares - 2) * 9999 / 262142, shares {shares} of {millicores}m allocatable"
    assert found == [Value("cpu.weight", weight, how)]
    assert node_values(above, NodeRules(4 * GIB)) == []


@pytest.mark.parametrize(
    ("containers", "why"),
    [
        ([GUARANTEED], "each container has CPU and memory limits, and requests equal them"),
        ([container("app")], "nothing is requested or limited"),
        ([GUARANTEED, container("proxy")], "proxy has no CPU limit"),
        ([container("app", 1, 2, 1, 1)], "requests are below limits"),
    ],
)
def test_the_class_has_a_reason(containers: list[Container], why: str) -> None:
    """In a few words."""
    assert class_reason(stored(Pod(containers))) == why


def test_a_sidecar_is_killed_no_sooner_than_the_least_of_its_pod() -> None:
    """From 1.32 on; the formula says so."""
    pod = stored(Pod([container("app", 1 * GIB)], [container("mesh", 64 * MIB, sidecar=True)]))
    for version, adj in (((1, 31), "985"), ((1, 32), "750")):
        found = one(
            container_values(pod, pod.init_containers[0], NodeRules(4 * GIB, version=version)), "oom_score_adj"
        )
        assert found.value == adj


def test_protection_is_taken_back_once_nobody_below_needs_it() -> None:
    """A class that was raised for a pod is lowered when the pod has left; what it never had is not written."""
    before = {"memory.min": str(64 * MIB), "memory.low": "0", "cpu.weight": "4"}
    assert with_lowered(before, {"cpu.weight": "1"}) == {"memory.min": "0", "cpu.weight": "1"}
    lower = {"memory.min": str(MIB), "cpu.weight": "2"}
    assert with_lowered(before, lower) == lower
    assert with_lowered({"memory.min": "0"}, {}) == {}
