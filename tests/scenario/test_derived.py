"""What a kubelet makes of requests and limits, read back from the kernel while the pods run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cgroups import files
from emu.record.events import ContainerStarted
from emu.runtime.docker import Engine
from tests.scenario.support import Going, eventually, run_going

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="kernel")]
MIB, PAGE = 2**20, 4096
EVICTION_BYTES = 100 * MIB

PODS = """
pods:
  - name: fixed
    runtime: {runtime}
    containers:
      - {{name: main, port: 8080, resources: {{limits: {{memory: 64Mi, cpu: 500m}}}}}}
  - name: bursting
    runtime: {runtime}
    containers:
      - name: main
        port: 8080
        resources: {{requests: {{memory: 32Mi, cpu: 100m}}, limits: {{memory: 96Mi, cpu: 500m}}}}
      - name: own
        command: [sleep, infinity]
        resources: {{requests: {{memory: 16Mi}}, limits: {{memory: 32Mi, cpu: 500m}}}}
        memory: {{high: 24Mi, min: 8Mi, low: 0, swapMax: 8Mi, oomGroup: false}}
      - {{name: open, command: [sleep, infinity], resources: {{requests: {{memory: 16Mi}}, limits: {{cpu: 200m}}}}}}
  - name: best
    runtime: {runtime}
    containers:
      - {{name: main, port: 8080}}
load: {{phases: [{{name: quiet, to: best, type: constant, rate: 1, duration: 5m}}]}}
"""
NEW = """
name: as-of-now
question: Is what a kubelet of today derives where the kernel sees it?
node:
  memoryQoS: {memoryReservationPolicy: TieredReservation}
  memorySwap: {swapBehavior: LimitedSwap}
"""
OLD = """
name: as-of-old
question: Is what an old kubelet derived where the kernel sees it?
node:
  kubernetes: "1.26"
  memoryQoS: {}
  memorySwap: {swapBehavior: UnlimitedSwap}
"""
OF_THE_POD = """
name: of-the-pod-itself
question: Are resources of a pod itself where the kernel sees them?
pods:
  - name: whole
    runtime: process
    resources: {requests: {memory: 64Mi, cpu: 500m}, limits: {memory: 96Mi, cpu: 600m}}
    containers:
      - {name: main, port: 8080}
      - {name: part, port: 8081, resources: {requests: {memory: 16Mi}, limits: {memory: 48Mi, cpu: 200m}}}
load: {phases: [{name: quiet, type: constant, rate: 1, duration: 5m}]}
"""
Read = Callable[[str, str], str]


class Tree:
    """The cgroups of a run that is under way."""

    def __init__(self, going: Going) -> None:
        self.started = {(one.pod, one.container): one for one in going.events(ContainerStarted)}

    def of(self, pod: str, container: str) -> Path:
        """A container's."""
        return Path(self.started[pod, container].cgroup)

    def read(self, path: Path, *names: str) -> list[str]:
        """Control files, on one line each."""
        return [files.read(path / name).strip() for name in names]

    def adj(self, pod: str, container: str) -> int:
        """oom_score_adj of its first process."""
        return int(Path(f"/proc/{self.started[pod, container].pid}/oom_score_adj").read_text())


def _tree(engine: Engine, folder: Path, text: str, containers: int = 5) -> Iterator[Tree]:
    path = folder / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    with run_going(engine, str(path), folder / "run") as going:
        going.until("sending requests")
        tree = None
        for _ in eventually():
            tree = Tree(going)
            if len([one for one in tree.started if one[1] != "sandbox"]) == containers:
                break
        assert tree is not None
        yield tree
        going.signal(signal.SIGINT)
        going.end()


@pytest.fixture(scope="module")
def tree(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Pods of each class under a kubelet of today, as Docker containers."""
    yield from _tree(engine, tmp_path_factory.mktemp("new"), NEW + PODS.format(runtime="docker"))


@pytest.fixture(scope="module")
def old(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """The same under an old one, as processes."""
    yield from _tree(engine, tmp_path_factory.mktemp("old"), OLD + PODS.format(runtime="process"))


def swap_of(request: int) -> int:
    """LimitedSwap's, as the kernel keeps it: whole pages."""
    memory, swap = psutil.virtual_memory().total, psutil.swap_memory().total
    return int(request / memory * swap) // PAGE * PAGE


MEMORY = ("memory.max", "memory.high", "memory.low", "memory.min", "memory.swap.max", "memory.oom.group")
OWN = [str(32 * MIB), str(24 * MIB), "0", str(8 * MIB), str(8 * MIB), "0"]
"""The container whose own keys have all of them."""


def test_a_guaranteed_container_is_protected_and_does_not_swap(tree: Tree) -> None:
    """memory.min is its request; request and limit are equal, so it has neither memory.high nor swap."""
    size = str(64 * MIB)
    assert tree.read(tree.of("fixed", "main"), *MEMORY) == [size, "max", "0", size, "0", "1"]
    assert tree.read(tree.of("fixed", "main"), "cpu.max") == ["50000 100000"]
    assert tree.adj("fixed", "main") == -997


def test_a_burstable_container_is_held_back_between_request_and_limit(tree: Tree) -> None:
    """memory.low is its request, memory.high lies at 0.9 of the way to its limit, and swap is in proportion."""
    high = (32 * MIB + 9 * 64 * MIB // 10) // PAGE * PAGE
    wanted = [str(96 * MIB), str(high), str(32 * MIB), "0", str(swap_of(32 * MIB)), "1"]
    assert tree.read(tree.of("bursting", "main"), *MEMORY) == wanted
    assert tree.adj("bursting", "main") == min(999, 1000 - 1000 * 32 * MIB // psutil.virtual_memory().total)


def test_without_a_limit_allocatable_stands_in_for_it(tree: Tree) -> None:
    """memory.high is far away; swap is limited although memory is not."""
    allocatable, request = psutil.virtual_memory().total - EVICTION_BYTES, 16 * MIB
    high = int(request + 0.9 * (allocatable - request)) // PAGE * PAGE
    wanted = ["max", str(high), str(request), "0", str(swap_of(request)), "1"]
    assert tree.read(tree.of("bursting", "open"), *MEMORY) == wanted


def test_what_the_scenario_sets_wins(tree: Tree) -> None:
    """Each key of a container's `memory` replaces the derived value, a 0 too."""
    assert tree.read(tree.of("bursting", "own"), *MEMORY) == OWN


def test_a_best_effort_container_has_nothing(tree: Tree) -> None:
    """No limit, no protection, no swap; it is the first victim."""
    assert tree.read(tree.of("best", "main"), *MEMORY) == ["max", "max", "0", "0", "0", "1"]
    assert tree.read(tree.of("best", "main"), "cpu.weight") == ["1"]
    assert tree.adj("best", "main") == 1000


def test_pods_are_in_the_cgroup_of_their_class(tree: Tree) -> None:
    """Guaranteed pods are beside the classes, as below kubepods; each level has what the kubelet writes there, and
    what a container of its own is given to keep, without which that would count for nothing.
    """
    fixed, bursting, best = (tree.of(pod, "main").parent for pod in ("fixed", "bursting", "best"))
    node = fixed.parent
    assert (bursting.parent.parent, best.parent.parent) == (node, node)
    assert "burstable" in bursting.parent.name and "besteffort" in best.parent.name and "kubepods" in node.name
    names = ("memory.min", "memory.low", "memory.max", "cpu.weight", "cpu.max")
    assert tree.read(fixed, *names) == [str(64 * MIB), "0", str(64 * MIB), "20", "50000 100000"]
    assert tree.read(bursting, *names) == [str(8 * MIB), str(64 * MIB), "max", "32", "120000 100000"]
    assert tree.read(best, *names) == ["0", "0", "max", "1", "max 100000"]
    assert tree.read(bursting.parent, *names) == [str(8 * MIB), str(64 * MIB), "max", "32", "max 100000"]
    assert tree.read(best.parent, *names) == ["0", "0", "max", "1", "max 100000"]
    weight = 1 + (1024 * (os.cpu_count() or 1) - 2) * 9999 // 262142
    assert tree.read(node, "memory.min", "memory.low", "cpu.weight") == [str(128 * MIB), "0", str(weight)]


def test_an_old_kubelet_reserves_every_request(old: Tree) -> None:
    """1.26: memory.min at every level, memory.high a share of the limit, no oom.group, any swap. What a kubelet of
    today does as well is done for processes, too: quotas, weights, scores, and the scenario's own keys win.
    """
    bursting, size = old.of("bursting", "main"), str(64 * MIB)
    high = int(96 * MIB * 0.8) // PAGE * PAGE
    wanted = [str(96 * MIB), str(high), "0", str(32 * MIB), "max", "0"]
    assert old.read(bursting, *MEMORY) == wanted
    assert old.read(bursting.parent, "memory.min", "memory.low") == [str(64 * MIB), "0"]
    assert old.read(bursting.parent.parent, "memory.min", "memory.low") == [str(64 * MIB), "0"]
    assert old.read(bursting.parent.parent.parent, "memory.min") == [str(128 * MIB)]
    assert old.read(old.of("best", "main"), "memory.high") != ["max"]
    assert old.read(old.of("bursting", "own"), *MEMORY) == OWN
    assert old.read(old.of("fixed", "main"), "memory.max", "memory.min", "cpu.max") == [size, size, "50000 100000"]
    assert old.read(old.of("best", "main"), "memory.max", "cpu.weight") == ["max", "1"]
    assert old.read(bursting.parent, "cpu.weight", "cpu.max") == ["32", "120000 100000"]
    assert (old.adj("fixed", "main"), old.adj("best", "main")) == (-997, 1000)


def test_a_pod_s_own_resources_are_its_cgroup_s(engine: Engine, tmp_path: Path) -> None:
    """Not the sum of its containers': one of them has no limit. That one may use all of the pod's, and what the pod
    requests above its containers counts for each of them when the kernel chooses whom to kill.
    """
    for tree in _tree(engine, tmp_path, OF_THE_POD, containers=2):
        main, part = tree.of("whole", "main"), tree.of("whole", "part")
        assert tree.read(main.parent, "memory.max", "cpu.max") == [f"{96 * MIB}", "60000 100000"]
        assert tree.read(main, "memory.max", "cpu.max") == [f"{96 * MIB}", "60000 100000"]
        assert tree.read(part, "memory.max", "cpu.max") == [f"{48 * MIB}", "20000 100000"]
        whole = psutil.virtual_memory().total
        for name, request in (("main", 0), ("part", 16 * MIB)):
            assert tree.adj("whole", name) == 1000 - 1000 * (request + 24 * MIB) // whole
