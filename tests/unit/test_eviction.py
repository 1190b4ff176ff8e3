"""The eviction manager of a run: when it looks, whom it evicts, and when it looks again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from emu.errors import EmuError
from emu.kubelet.eviction import Evictions
from emu.kubelet.pod import Instance
from emu.kubelet.template import ContainerTemplate, PodTemplate
from emu.record.events import EventLog, NodeCondition, Note, read_events
from emu.scenario.reading import read_scenario
from emu.spec import Resources

MIB = 2**20
HEAD = "name: a\nquestion: b\n"


def template(request: str | None, **of_pod: Any) -> PodTemplate:
    """A pod of one container."""
    asked = {} if request is None else {"requests": {"memory": request}}
    one = ContainerTemplate(name="main", image="batch:1", resources=Resources.model_validate(asked))
    return PodTemplate(containers=(one,), **of_pod)


@dataclass
class FakeWorker:
    """A pod that runs until it is evicted, and then until the test says so."""

    pod: str
    template: PodTemplate
    running: list[Instance]
    cgroup: Path
    runs: bool = True
    evicted: bool = False
    evictions: list[tuple[str, int]] = field(default_factory=list)

    def evict(self, message: str, grace_s: int) -> None:
        """Remembered."""
        self.evicted = True
        self.evictions.append((message, grace_s))


class Node:
    """A node of 1000 MiB whose cgroups are folders; 900 MiB of it may be taken."""

    def __init__(self, folder: Path, settings: str = "evictionHard: {memory.available: 100Mi}") -> None:
        self.folder = folder
        self.log = EventLog(folder / "events.jsonl")
        spec = read_scenario(f"{HEAD}node: {{{settings}}}", "f.yaml")
        self.uses("", 500)
        self.uses("kubepods", 0)
        rules = spec.node.rules(1000 * MIB, 0)
        self.evictions = Evictions(rules, folder, folder / "kubepods", self.log, 0.0)

    def uses(self, name: str, mib: int, cache: int = 0) -> Path:
        """What a cgroup holds, and how much of it is inactive file pages."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        (path / "memory.current").write_text(f"{mib * MIB}\n")
        text = f"anon {(mib - cache) * MIB}\nfile {cache * MIB}\ninactive_file {cache * MIB}\n"
        (path / "memory.stat").write_text(text)
        return path

    def pod(self, name: str, mib: int, request: str | None = None, **of_pod: Any) -> FakeWorker:
        """A pod that holds so much."""
        path = self.uses(name, mib)
        return FakeWorker(name, template(request, **of_pod), [Instance(name, "main", 0, name, name, path)], path)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that is not short of memory."""
    made = Node(tmp_path)
    yield made
    made.log.close()


def test_it_looks_every_ten_seconds_and_not_sooner(node: Node) -> None:
    """What takes memory fast is met by the kernel first."""
    greedy = node.pod("greedy", 500)
    node.uses("", 950)
    node.evictions.act([greedy], 9.9)
    assert greedy.evictions == []
    node.evictions.act([greedy], 10.0)
    message = (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container main was using 500Mi, request is 0, has larger consumption of memory. "
    )
    assert greedy.evictions == [(message, 1)]
    node.log.close()
    notes = [one for one in read_events(node.folder / "events.jsonl") if isinstance(one, Note)]
    assert [one.what for one in notes] == ["EvictionThresholdMet"]


def test_page_cache_that_can_go_is_no_pressure(node: Node) -> None:
    """inactive_file is not in the working set."""
    pod = node.pod("pod", 500)
    node.uses("", 990, cache=200)
    node.evictions.act([pod], 10.0)
    assert pod.evictions == []


def test_who_is_above_its_request_goes_first_and_one_at_a_time(node: Node) -> None:
    """The next look comes as soon as the pod has ended, and no later than 30 s after."""
    large, small = node.pod("large", 400, request="500Mi"), node.pod("small", 20)
    node.uses("", 950)
    node.evictions.act([large, small], 10.0)
    assert (len(large.evictions), len(small.evictions)) == (0, 1)
    node.evictions.act([large, small], 25.0)
    assert large.evictions == []
    small.runs = False
    node.evictions.act([large, small], 26.0)
    assert len(large.evictions) == 1
    node.evictions.act([large, small], 30.0)
    node.evictions.act([large, small], 57.0)
    assert (len(large.evictions), len(small.evictions)) == (1, 1)


def test_what_all_pods_may_use_is_a_signal_too(node: Node) -> None:
    """Without a limit of its own it is all of the machine's memory."""
    pod = node.pod("pod", 500)
    node.uses("kubepods", 950)
    node.evictions.act([pod], 10.0)
    assert "available: 50Mi" in pod.evictions[0][0]


SOFT = "evictionSoft: {memory.available: 200Mi}, evictionSoftGracePeriod: {memory.available: 15s}"


def test_a_soft_threshold_is_waited_for_and_the_pod_is_given_time(tmp_path: Path) -> None:
    """It has to be met at every look for its grace period; the pod's own time to end counts, up to the most."""
    node = Node(tmp_path, f"{SOFT}, evictionMaxPodGracePeriod: 20")
    slow, quick = node.pod("slow", 500, grace_s=60), node.pod("quick", 400, grace_s=5)
    for at, used in ((10.0, 850), (20.0, 700), (30.0, 850), (40.0, 850)):
        node.uses("", used)
        node.evictions.act([slow, quick], at)
    assert slow.evictions == []
    node.evictions.act([slow, quick], 50.0)
    ((message, grace_s),) = slow.evictions
    assert message.startswith("The node was low on resource: memory. Threshold quantity: 200Mi, available: 150Mi. ")
    assert grace_s == 20
    slow.runs = False
    node.evictions.act([slow, quick], 51.0)
    assert [grace_s for _, grace_s in quick.evictions] == [5]
    node.log.close()


def test_beside_a_soft_threshold_the_kubelets_hard_one_holds(tmp_path: Path) -> None:
    """100Mi, without a wait."""
    node = Node(tmp_path, SOFT)
    pod = node.pod("pod", 500)
    node.uses("", 950)
    node.evictions.act([pod], 10.0)
    assert "Threshold quantity: 100Mi" in pod.evictions[0][0]
    node.log.close()


def test_more_is_reclaimed_than_the_threshold_asks_for(tmp_path: Path) -> None:
    """Once it was met, pods go until threshold and minimum are available together."""
    node = Node(tmp_path, "evictionHard: {memory.available: 100Mi}, evictionMinimumReclaim: {memory.available: 50Mi}")
    large, small = node.pod("large", 400), node.pod("small", 20)
    node.uses("", 860)
    node.evictions.act([large, small], 10.0)
    assert (large.evictions, small.evictions) == ([], [])
    node.uses("", 950)
    node.evictions.act([large, small], 20.0)
    large.runs = False
    node.uses("", 860)
    node.evictions.act([large, small], 21.0)
    assert (len(large.evictions), len(small.evictions)) == (1, 1)
    node.log.close()


def conditions(node: Node) -> list[tuple[float, bool, str]]:
    """The node's, as they were recorded."""
    node.log.close()
    events = read_events(node.folder / "events.jsonl")
    return [(one.t, one.status, one.reason) for one in events if isinstance(one, NodeCondition)]


def test_the_node_is_under_memory_pressure_until_five_minutes_after_the_threshold_was_last_met(node: Node) -> None:
    """From the first look on; a look in between at which it is not met changes nothing."""
    node.uses("", 950)
    node.evictions.act([], 10.0)
    node.uses("", 500)
    for t in (20.0, 300.0, 309.9):
        node.evictions.act([], t)
    node.evictions.act([], 320.0)
    assert conditions(node) == [
        (10.0, True, "KubeletHasInsufficientMemory"), (320.0, False, "KubeletHasSufficientMemory"),
    ]  # fmt: skip


def test_a_soft_threshold_is_pressure_before_its_grace_period_is_over(tmp_path: Path) -> None:
    """Nobody is evicted yet."""
    node = Node(tmp_path, SOFT)
    pod = node.pod("pod", 500)
    node.uses("", 850)
    node.evictions.act([pod], 10.0)
    assert pod.evictions == []
    assert [status for _, status, _ in conditions(node)] == [True]


def test_what_a_pod_uses_is_what_its_cgroup_holds(node: Node) -> None:
    """A volume in memory stays charged to it when its writer is gone."""
    keeps, large = node.pod("keeps", 10), node.pod("large", 300)
    keeps.cgroup = node.uses("pod-keeps", 400)
    node.uses("", 950)
    node.evictions.act([keeps, large], 10.0)
    assert (len(keeps.evictions), len(large.evictions)) == (1, 0)
    assert "Container main was using 10Mi" in keeps.evictions[0][0]


def test_what_all_pods_may_use_is_a_signal_of_its_own(tmp_path: Path) -> None:
    """300 of 1000 MiB are reserved: with 650 MiB in use the node has 350 left, and kubepods 50 of its 700."""
    node = Node(tmp_path, "memory: 1000Mi, systemReserved: {memory: 300Mi}, evictionHard: {memory.available: 100Mi}")
    pod = node.pod("pod", 640)
    node.uses("kubepods", 650)
    node.evictions.act([pod], 10.0)
    assert "Threshold quantity: 100Mi, available: 50Mi. " in pod.evictions[0][0]
    node.log.close()


def test_lower_priority_goes_first(node: Node) -> None:
    """Of pods above their request; one that is within it stays, whatever its priority."""
    dear, cheap = node.pod("dear", 400, priority=1000), node.pod("cheap", 20, priority=-5)
    within = node.pod("within", 300, request="400Mi", priority=-10)
    node.uses("", 950)
    node.evictions.act([dear, within, cheap], 10.0)
    assert [len(one.evictions) for one in (dear, within, cheap)] == [0, 0, 1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("evictionSoft: {memory.available: 1Mi}", "grace period must be specified for the soft eviction threshold"),
        (
            "evictionSoft: {memory.available: lots}, evictionSoftGracePeriod: {memory.available: 1s}",
            "node.evictionSoft.m",
        ),
        ("evictionSoftGracePeriod: {memory.available: 1s}", "evictionSoftGracePeriod has no effect"),
        ("evictionMinimumReclaim: {memory.available: 0%}", "node.evictionMinimumReclaim.memory.available"),
        ("evictionMinimumReclaim: {memory.available: 1Mi}", "evictionMinimumReclaim has no effect"),
        (
            "evictionSoft: {memory.available: 1Mi}, evictionSoftGracePeriod: {memory.available: soon}",
            "GracePeriod.memory",
        ),
        ("evictionSoft: {imagefs.available: 1Mi}", "emu has no signal 'imagefs.available'"),
        (f"{SOFT}}}\npod: {{autoscaling: {{}}", "either `evictionSoft` or `autoscaling`"),
    ],
)
def test_soft_thresholds_that_mean_nothing_are_refused(settings: str, said: str) -> None:
    """With their place, in the kubelet's words where it would not start."""
    with pytest.raises(EmuError) as refused:
        read_scenario(f"{HEAD}node: {{{settings}}}", "f.yaml")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("hard", "said"),
    [
        ("{nodefs.available: 10%}", "emu has no signal 'nodefs.available'"),
        ("{memory.available: lots}", "node.evictionHard.memory.available"),
        ("{memory.available: -1%}", "node.evictionHard.memory.available"),
        ("{memory.available: 1Mi}}\npod: {autoscaling: {}", "either `evictionHard` or `autoscaling`"),
        ("{memory.available: 1Mi}}\nstarts: {temperatures: [cold]", "either `evictionHard` or `starts`"),
    ],
)
def test_a_threshold_that_no_kubelet_starts_with_is_refused(hard: str, said: str) -> None:
    """With its place."""
    with pytest.raises(EmuError) as refused:
        read_scenario(f"{HEAD}node: {{evictionHard: {hard}}}", "f.yaml")
    assert said in str(refused.value)
