"""The node's kubelet in a scenario: its version, what it may be configured to do, and what contradicts."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from emu.cli.main import main
from emu.errors import EmuError
from emu.kubelet.controls import written_by_pod
from emu.policy.kubelet.derived import as_files
from emu.scenario.reading import load_scenario, read_scenario, resolve
from emu.serving.explained import Level, explained
from emu.spec import ScenarioSpec

HEAD = "name: a\nquestion: b\n"
MIB, GIB = 2**20, 2**30


def read(text: str) -> ScenarioSpec:
    """A scenario with this node, or other keys."""
    return read_scenario(HEAD + text, "f.yaml")


def test_by_default_it_is_the_newest_that_is_known_with_its_features_off() -> None:
    """Memory QoS and swap are off, and an OOM kill takes the whole container."""
    node = read("").node
    rules = node.rules(4 * GIB, 2 * GIB)
    assert (node.kubernetes, rules.memory_qos, rules.swap_behavior) == ("1.36", None, "NoSwap")
    assert rules.counts_the_group_as_one
    assert rules.allocatable == 4 * GIB - 100 * MIB


@pytest.mark.parametrize(
    ("version", "factor"), [("1.26", 0.8), ("1.27", 0.9), ("1.36", 0.9), ("1.37", None), ("v1.30.2", 0.9)]
)
def test_the_factor_s_default_is_the_version_s(version: str, factor: float | None) -> None:
    """`memoryQoS: {}` turns it on with what that kubelet starts with."""
    qos = read(f'node: {{kubernetes: "{version}", memoryQoS: {{}}}}').node.rules(GIB, 0).memory_qos
    assert qos is not None and qos.throttling_factor == factor


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("{kubernetes: 1.3}", "f.yaml:3:20: node.kubernetes: the rules of Kubernetes 1.3 are not known"),
        ('{kubernetes: "1.21"}', "the rules of Kubernetes 1.21 are not known"),
        ('{kubernetes: "1.38"}', "emu knows the rules of 1.22 to 1.37"),
        ("{kubernetes: newest}", "'newest' is not a Kubernetes version"),
        ("{kubernetes: [1]}", "that is not a Kubernetes version"),
        ("{memoryQoS: {memoryThrottlingFactor: 0}}", "node.memoryQoS.memoryThrottlingFactor: 0 is too small"),
        ("{memoryQoS: {memoryThrottlingFactor: 1.1}}", "node.memoryQoS.memoryThrottlingFactor: 1.1 is too large"),
        ("{memoryQoS: {memoryThrottlingFactor: .nan}}", "node.memoryQoS.memoryThrottlingFactor"),
        ("{memoryQoS: {memoryReservationPolicy: Tiered}}", "write one of None, TieredReservation"),
        (
            '{kubernetes: "1.35", memoryQoS: {memoryReservationPolicy: TieredReservation}}',
            "node.memoryQoS.memoryReservationPolicy: this Kubernetes version does not have memoryReservationPolicy",
        ),
        ("{memorySwap: {swapBehavior: UnlimitedSwap}}", "Kubernetes 1.36 has no UnlimitedSwap"),
        ('{kubernetes: "1.27", memorySwap: {swapBehavior: LimitedSwap}}', "it is there from 1.28 on"),
        ('{kubernetes: "1.31", singleProcessOOMKill: true}', "node.singleProcessOOMKill: this Kubernetes version"),
    ],
)
def test_what_no_kubelet_has_is_refused(node: str, said: str) -> None:
    """With its place, the reason and what to do."""
    with pytest.raises(EmuError) as refused:
        read(f"node: {node}")
    wrong = refused.value
    assert said in " ".join((wrong.what, wrong.why, wrong.fix))


def test_a_sidecar_needs_a_version_that_has_them() -> None:
    """An older API server would drop the field, and the pod would wait for it to exit."""
    pod = "pod: {initContainers: [{name: mesh, restartPolicy: Always}]}\n"
    assert read(f'{pod}node: {{kubernetes: "1.29"}}').pod.init_containers[0].is_sidecar
    with pytest.raises(EmuError, match=r"f.yaml:3:52: .*restartPolicy: Kubernetes 1.28 has no sidecar"):
        read(f'{pod}node: {{kubernetes: "1.28"}}')


def test_what_is_not_given_stays_so_in_the_record() -> None:
    """A resolved scenario leaves to the kubelet what the file left to it, and keeps what it set, `max` too."""
    spec = read("pod: {app: {memory: {high: max, swapMax: 1Mi, oomGroup: false}}}\nnode: {memoryQoS: {}}")
    again = read_scenario(resolve(spec), "again")
    assert again == spec
    given = again.pod.app.memory.given
    assert given == {"memory.high": "max", "memory.swap.max": str(MIB), "memory.oom.group": "0"}
    assert again.pod.queue_proxy.memory.given == {}


def test_memory_swap_high_is_written_where_it_is_asked_for() -> None:
    """No kubelet sets it: it is left alone unless the scenario gives a limit."""
    given = read("pod: {app: {memory: {swapMax: 64Mi, swapHigh: 32Mi}}}").pod.app.memory.given
    values = {"memory.high": "max", "memory.oom.group": "0", **given}
    assert written_by_pod(values, limited=True) == {"memory.swap.high": str(32 * MIB)}
    assert written_by_pod({**values, "memory.swap.high": "max"}, limited=True) == {}
    of_zswap = {"memory.zswap.max": "0", "memory.zswap.writeback": "0"}
    assert written_by_pod({**values, "memory.swap.high": "max", **of_zswap}, limited=True) == of_zswap


def test_a_record_of_before_keeps_its_meaning() -> None:
    """It says every control file, as they were written then: no Memory QoS changes them."""
    old = "pod: {app: {memory: {high: max, low: 0, min: 0, swapMax: 0, oomGroup: true}}}"
    assert len(read(old).pod.app.memory.given) == 5


def level(tree: Level, *names: str) -> Level:
    """The one that names lead to."""
    for name in names:
        tree = next(one for one in tree.below if one.name == name)
    return tree


def test_every_built_in_scenario_can_be_explained() -> None:
    """A tree of node, classes, pods and containers, each container with all of its files."""
    for name in ("queue-proxy-oom", "neighbours", "scale-to-zero", "init-container"):
        spec = load_scenario(name)
        tree = explained(spec, spec.node.rules(4 * GIB, GIB))
        found = {one.name for qos in tree.below for pod in qos.below for one in pod.below}
        assert found == {one for pod in spec.each_pod.values() for one in pod.containers}
        for qos in tree.below:
            for pod in qos.below:
                for one in pod.below:
                    files = {value.file for value in one.values}
                    assert files >= {"memory.max", "memory.swap.max", "cpu.weight", "cpu.max", "oom_score_adj"}


def test_the_tree_is_sorted_by_class() -> None:
    """Pods are below their class, with the reason why they are in it."""
    spec = load_scenario("neighbours")
    tree = explained(spec, spec.node.rules(4 * GIB, GIB))
    assert level(tree, "Burstable", "greedy").note == "hoarder has no CPU limit"
    assert tree.note == "Kubernetes 1.36, NoSwap, Memory QoS off (no memory.min, memory.low, memory.high)"


def test_what_a_container_is_given_protects_it_at_each_level() -> None:
    """The kernel protects no more than every cgroup above has: pod and class get what their containers have."""
    text = """
name: a
question: b
pods:
  - name: two
    containers:
      - {name: one, port: 8080, memory: {low: 48Mi, min: 8Mi}}
      - {name: other, port: 8081, memory: {low: 16Mi}}
  - {name: all, containers: [{name: one, port: 8080, memory: {min: max}}]}
  - {name: none, containers: [{name: one, port: 8080}]}
"""
    spec = read_scenario(text, "f.yaml")
    tree = explained(spec, spec.node.rules(4 * GIB, 0))
    files = [as_files(one.values) for one in (tree.below[0], *tree.below[0].below)]
    levels = [(one.get("memory.min"), one.get("memory.low")) for one in files]
    assert levels == [("max", str(64 * MIB)), (str(8 * MIB), str(64 * MIB)), ("max", None), (None, None)]


def explain(*words: str) -> Result:
    """`emu explain`."""
    return CliRunner().invoke(main, ["explain", *words])


def test_explain_prints_the_tree_of_each_variant() -> None:
    """With formulas and versions, at the size of the place it would run in."""
    done = explain("memory-qos", "--on", "sandbox")
    assert done.exit_code == 0, done.output
    off, on = done.output.split("memory-qos, variant on:")
    assert "memory.high  " not in off
    formula = "request 16 MiB + memoryThrottlingFactor 0.4 * (limit 48 MiB - request), in whole pages  [1.27 to 1.36]"
    assert formula in on and "30195712 (28.8 MiB)" in on
    assert "MemTotal          3221225472 (3 GiB)" in on
    assert "shares 1024 of 1000m allocatable" in on  # the sandbox has one CPU
    given = explain("memory-qos", "--on", "host", "--set", "node.cpu=500m")
    assert "cpu.weight        20 " in given.output and "shares 512 of 500m allocatable" in given.output


def test_explain_gives_json_too() -> None:
    """The same tree, for programs."""
    done = explain("queue-proxy-oom", "--on", "sandbox", "--set", "node.memoryQoS={}", "--json")
    reported = json.loads(done.output)
    assert (reported["scenario"], reported["place"], reported["tree"]["kind"]) == (
        "queue-proxy-oom",
        "sandbox",
        "node",
    )


def test_explain_foretells_whom_the_kernel_kills() -> None:
    """In order of oom_score_adj; at its request a Burstable container has as many points as the node has memory."""
    printed = json.loads(explain("victim-order", "--on", "sandbox", "--json").output)
    order = printed["variants"]["container"]["killed_first"]
    assert [one["pod"] for one in order] == ["best-effort", "requests-16", "requests-64", "guaranteed"]
    for one in order[1:3]:
        assert abs(one["request_bytes"] + one["head_start_bytes"] - 320 * 2**20) < 320 * 2**20 / 1000
    assert "requests-64/web   800" in explain("victim-order", "--on", "sandbox").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("queue-proxy-omo",), "did you mean queue-proxy-oom?"),
        (("neighbours", "app-oom"), "a scenario is explained by itself"),
        (("neighbours", "--set", "node.kubernetes=9"), "is not a Kubernetes version"),
    ],
)
def test_explain_says_what_is_wrong_with_it(words: tuple[str, ...], said: str) -> None:
    """As `emu run` would, with exit status 2."""
    done = explain(*words)
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize("name", ["1X", ".x", "..", "a b", "-u", "a:b/c"])
def test_variables_have_names_that_kubernetes_takes(name: str) -> None:
    """Since 1.32 all of printable ASCII but `=`."""
    spec = read_scenario(f'name: a\nquestion: b\npod: {{app: {{env: {{"{name}": "1"}}}}}}\n', "f.yaml")
    assert name in spec.pod.app.env


@pytest.mark.parametrize("name", ["a=b", "", "ä", "a\\tb"])
def test_other_names_of_variables_are_refused(name: str) -> None:
    """With what Kubernetes takes."""
    with pytest.raises(EmuError) as refused:
        read_scenario(f'name: a\nquestion: b\npod: {{app: {{env: {{"{name}": "1"}}}}}}\n', "f.yaml")
    assert "printable ASCII" in str(refused.value)
