"""node.memory: the pods of a scenario must fit in it, and what a kubelet derives follows from it."""

from __future__ import annotations

import pytest

from emu.errors import EmuError
from emu.policy.kubelet.derived import as_files, node_values
from emu.policy.kubelet.memory import levels
from emu.policy.oom_victims import points
from emu.policy.scheduling import first_pending
from emu.scenario.capacity import lacking
from emu.scenario.reading import read_scenario
from emu.serving.template import pod_template
from emu.spec import MIB, ScenarioSpec

GIB = 1024 * MIB


def read(node: str, *resources: str) -> ScenarioSpec:
    """A scenario with a pod for each of the resources."""
    pods = "\n".join(
        f"  - {{name: pod-{number}, containers: [{{name: web, port: 8080, resources: {one}}}]}}"
        for number, one in enumerate(resources)
    )
    return read_scenario(f"name: a\nquestion: b\nnode: {node}\npods:\n{pods}\n", "f.yaml")


def refused(node: str, *resources: str) -> EmuError:
    """Why such a scenario is refused."""
    with pytest.raises(EmuError) as wrong:
        read(node, *resources)
    assert wrong.value.what.startswith("f.yaml:3:")
    return wrong.value


def test_what_the_scheduler_says_of_the_first_pod_that_does_not_fit() -> None:
    """Requests add up in order; a pod that requests nothing always fits."""
    node = {"memory": 100}
    assert first_pending([("a", {"memory": 60}), ("b", {"memory": 40}), ("c", {})], node) is None
    pending = first_pending([("a", {"memory": 60}), ("b", {"memory": 41}), ("c", {})], node)
    assert pending is not None
    assert pending[:2] == ("b", {"memory": 60})
    assert pending[2].startswith("0/1 nodes are available: 1 Insufficient memory.")


def test_pods_that_do_not_fit_together_are_refused() -> None:
    """Each fits alone. A limit without a request counts as one, and the message is the scheduler's."""
    wrong = refused("{memory: 100Mi}", "{requests: {memory: 60Mi}}", "{limits: {memory: 41Mi}}")
    assert "node.memory: the pod pod-1 does not fit on a node with 100 MiB for pods" in wrong.what
    assert "requests 41 MiB of memory, and those before it 60 MiB" in wrong.why
    assert "Pending: 0/1 nodes are available: 1 Insufficient memory. preemption: " in wrong.why
    assert read("{memory: 101Mi}", "{requests: {memory: 60Mi}}", "{limits: {memory: 41Mi}}").watches_node


def test_an_eviction_threshold_is_not_for_pods() -> None:
    """allocatable is what it leaves."""
    wrong = refused("{memory: 300Mi, evictionHard: {memory.available: 100Mi}}", "{requests: {memory: 201Mi}}")
    assert "a node with 200 MiB for pods" in wrong.what
    assert read("{memory: 300Mi}", "{requests: {memory: 300Mi}}").node.rules(GIB, 0).allocatable == 300 * MIB


RESERVED = "memory: 300Mi, kubeReserved: {memory: 40Mi}, systemReserved: {memory: 10Mi}"


def test_what_is_reserved_is_not_for_pods_and_what_eviction_keeps_stays_in_kubepods() -> None:
    """memory.max of kubepods is more than the scheduler has to give; oom_score_adj goes by the whole node."""
    spec = read(f"{{{RESERVED}, evictionHard: {{memory.available: 100Mi}}}}", "{requests: {memory: 150Mi}}")
    node = spec.node.rules(GIB, 0)
    assert (node.memory_bytes, node.kubepods_max, node.allocatable) == (300 * MIB, 250 * MIB, 150 * MIB)
    template = pod_template(spec.each_pod["pod-0"])
    found = levels([template.stored(node.version)], None, node.version)
    (most,) = node_values(found, node)
    assert most.value == str(250 * MIB) and most.how.endswith("systemReserved; the eviction threshold stays in it")
    (most,) = node_values(found, read(f"{{{RESERVED}}}", "{}").node.rules(GIB, 0))
    assert most.how == "node.memory - kubeReserved - systemReserved"
    assert as_files(template.container_values("web", node))["oom_score_adj"] == "500"
    assert "a node with 250 MiB for pods" in refused(f"{{{RESERVED}}}", "{requests: {memory: 251Mi}}").what


def test_what_keeps_a_kubelet_from_starting_can_be_mended() -> None:
    """A larger machine does not make node.memory larger."""
    hard = "evictionHard: {memory.available: 251Mi}"
    (wrong,) = lacking({"a": read(f"{{{RESERVED}, {hard}}}", "{}")}, "sandbox", GIB, 0)
    assert wrong.what == "a: a kubelet would not start on a node of 300 MiB"
    assert wrong.fix == "lower node.evictionHard or what is reserved, or raise node.memory"


@pytest.mark.parametrize(
    ("node", "what"),
    [
        ("{systemReserved: {memory: 1Mi}}", "systemReserved has no effect"),
        ("{memory: 50Mi, kubeReserved: {memory: 45Mi}}", "kubeReserved and systemReserved leave 5 MiB of 50 MiB"),
        ("{memory: 50Mi, kubeReserved: {memory: 1Gi}}", "kubeReserved and systemReserved leave 0 B of 50 MiB"),
        ("{memory: 50Mi, kubeReserved: {cpu: 1}}", "there is no such key"),
        ("{memory: 5Mi}", "a memory limit of 5 MiB is too small"),
        ("{memory: 100}", "a memory limit of 100 B is too small"),
        ("{memory: much}", "'much' is not a size"),
        ("{memory: 100000Gi}", "is too large"),
    ],
)
def test_a_size_that_cannot_be_is_refused(node: str, what: str) -> None:
    """As any other limit."""
    assert what in refused(node, "{}").what


def test_protected_memory_must_fit() -> None:
    """What the kernel must leave to the containers is no more than there is."""
    container = "{name: web, port: 8080, memory: {min: 40Mi}}"
    pods = f"[{{name: one, containers: [{container}]}}, {{name: two, containers: [{container}]}}]"
    with pytest.raises(EmuError, match=r"memory.min of all containers, 80 MiB, is above the node's 64 MiB"):
        read_scenario(f"name: a\nquestion: b\nnode: {{memory: 64Mi}}\npods: {pods}\n", "f.yaml")


def test_a_node_is_no_larger_than_its_machine() -> None:
    """Else the machine would run out first."""
    plays = {"a": read("{memory: 5Gi}", "{}")}
    (wrong,) = lacking(plays, "host", 4 * GIB, 0)
    assert wrong.what == "a: node.memory of 5 GiB is more than the machine has"
    assert list(lacking(plays, "host", 5 * GIB, 0)) == []


def test_what_a_kubelet_derives_follows_from_it() -> None:
    """memory.max above the pods, and oom_score_adj as a share of it; without it, of the machine's."""
    spec = read("{memory: 200Mi}", "{requests: {memory: 50Mi}}")
    template = pod_template(spec.each_pod["pod-0"])
    for memory, most, adj in ((200, str(200 * MIB), "750"), (None, None, "952")):
        node = spec.node.model_copy(update={"memory": memory and memory * MIB}).rules(GIB, 0)
        found = levels([template.stored(node.version)], node.memory_qos, node.version)
        assert as_files(node_values(found, node)).get("memory.max") == most
        assert as_files(template.container_values("web", node))["oom_score_adj"] == adj


def test_points_are_what_is_held_and_a_share_of_what_ran_out() -> None:
    """The kernel's oom_badness, in bytes."""
    assert points(50 * MIB, 1000, 200 * MIB) == 250 * MIB
    assert points(90 * MIB, 500, 200 * MIB) == 190 * MIB
    assert points(90 * MIB, -1000, 200 * MIB) is None


def test_one_pod_on_a_node_of_its_own_is_watched_there() -> None:
    """Otherwise the node's cgroup of a single pod says nothing new."""
    one = "name: a\nquestion: b\n"
    assert not read_scenario(one, "f.yaml").watches_node
    for node in ("memory: 1Gi", "io: {max: {disk: {wbps: 1Mi}}}", "evictionHard: {memory.available: 1Mi}"):
        assert read_scenario(f"{one}node: {{{node}}}\n", "f.yaml").watches_node


def test_of_pods_that_start_together_the_least_important_one_finds_no_room() -> None:
    """Wherever it stands in the file: the scheduler goes by priority."""
    keys = "name: it\nquestion: What?\nnode: {memory: 100Mi}\npods:\n"
    app = "containers: [{name: c, port: 80, resources: {requests: {memory: 60Mi}}}]"
    with pytest.raises(EmuError) as wrong:
        read_scenario(f"{keys}- {{name: low, priority: 1, {app}}}\n- {{name: high, priority: 2, {app}}}\n", "it")
    assert "the pod low does not fit" in wrong.value.what


@pytest.mark.parametrize(
    ("given", "priority"),
    [
        ("priority: 7", 7),
        ("priorityClassName: mine, priority: 7", 7),
        ("priorityClassName: system-cluster-critical", 2_000_000_000),
        ("priorityClassName: system-node-critical, preemptionPolicy: Never", 2_000_001_000),
    ],
)
def test_a_pod_has_the_priority_of_its_class(given: str, priority: int) -> None:
    """A system class has its own; to the kubelet such a pod is critical."""
    template = pod_template(read_scenario(f"name: it\nquestion: What?\npod: {{{given}}}\n", "it").pod)
    assert (template.priority, template.preempts) == (priority, "Never" not in given)
    assert template.asked.critical == (priority >= 2_000_000_000)
    assert template.asked.node_critical == ("system-node-critical" in given)


def test_a_system_class_has_no_other_value() -> None:
    """The message has it."""
    keys = "name: it\nquestion: What?\npod: {priorityClassName: system-node-critical, priority: 7}\n"
    with pytest.raises(EmuError) as wrong:
        read_scenario(keys, "it")
    assert "the value of system-node-critical is 2000001000" in wrong.value.what
