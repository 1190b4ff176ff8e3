"""A pod's containers, looked at from outside while they run: limits, scores, privileges."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cgroups.group import Cgroup, own_cgroup
from emu.policy import qos
from emu.policy.effective import Asked, Resources
from emu.policy.kubelet.pod import Container, Pod, stored
from emu.runtime import archives, images
from emu.runtime.docker import Engine
from tests.scenario.support import run_going

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="kernel")]
MIB = 2**20

SCENARIO = """
name: controls
question: Are all controls where the kernel can see them?
node: {memory: 1Gi}
pod:
  memory: {max: 512Mi}
  queueProxy:
    resources: {limits: {memory: 64Mi, cpu: 500m}}
    memory: {high: 48Mi, low: 8Mi, min: 4Mi, swapMax: 16Mi, oomGroup: true}
  app:
    resources: {requests: {memory: 256Mi}}
    memory: {swapMax: max, oomGroup: false}
load:
  phases:
    - {name: quiet, type: constant, rate: 1, duration: 1h}
"""


@dataclass
class Seen:
    """A running container."""

    pid: int
    cgroup: Cgroup


@pytest.fixture(scope="module")
def pod(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Seen]]:
    """A pod with every control set, as long as the module's tests need it."""
    folder = tmp_path_factory.mktemp("pod")
    (folder / "controls.yaml").write_text(SCENARIO)
    with run_going(engine, str(folder / "controls.yaml"), folder / "run") as run:
        run.until("sending requests")

        def look(name: str) -> Seen:
            pid = engine.state(run.container(name)).pid
            return Seen(pid, own_cgroup(pid))

        yield look
        run.signal(signal.SIGINT)
        run.end()


def test_memory_controls(pod: Callable[[str], Seen]) -> None:
    """Every memory file of queue-proxy holds what the scenario says, also those that Docker has no option for."""
    memory = pod("queue-proxy").cgroup.memory
    assert memory.limits() == type(memory.limits())(
        max=64 * MIB, high=48 * MIB, low=8 * MIB, min=4 * MIB, swap_max=16 * MIB,
        swap_high=memory.swap_high, oom_group=True,
    )  # fmt: skip


def test_no_limit_is_no_limit(pod: Callable[[str], Seen]) -> None:
    """The app without a limit has none of its own, and one process of it may be killed alone."""
    memory = pod("app").cgroup.memory
    assert (str(memory.max), str(memory.swap_max), memory.oom_group) == ("max", "max", False)


def test_the_pod_is_above_its_containers(pod: Callable[[str], Seen]) -> None:
    """Both containers lie in one pod cgroup, which has the pod's own limit."""
    parents = {pod(name).cgroup.path.parent for name in ("queue-proxy", "app")}
    assert len(parents) == 1
    assert Cgroup(parents.pop()).memory.max == 512 * MIB


def test_the_node_is_above_the_pod(pod: Callable[[str], Seen]) -> None:
    """Above the pod is its class's cgroup, and above that the node's, which alone has the node's limit."""
    class_ = pod("app").cgroup.path.parent.parent
    assert "burstable" in class_.name
    assert str(Cgroup(class_).memory.max) == "max"
    assert Cgroup(class_.parent).memory.max == 1024 * MIB


def test_oom_score_adj_is_the_kubelets(pod: Callable[[str], Seen]) -> None:
    """Each process carries the score that the kubelet would give by QoS class and request, on a node of this size."""
    total = 1024 * MIB
    proxy = Container("queue-proxy", Resources.of(Asked(memory_limit=64 * MIB, cpu_limit=500)))
    app = Container("app", Resources.of(Asked(memory_request=256 * MIB)))
    asked = stored(Pod([proxy, app]))
    for container in asked.containers:
        name, wanted = container.name, qos.oom_score_adj(asked, container, total)
        assert int(Path(f"/proc/{pod(name).pid}/oom_score_adj").read_text()) == wanted


def test_the_cpu_limit_is_a_quota(pod: Callable[[str], Seen]) -> None:
    """500m is half of each 100 ms."""
    limit = pod("queue-proxy").cgroup.cpu.max
    assert limit is not None and str(limit) == "50000 100000"


def test_the_cpu_request_is_a_weight(pod: Callable[[str], Seen]) -> None:
    """A container without one has the least, a limit counts as one; the pod's is by the sum."""
    queue_proxy, app = pod("queue-proxy").cgroup, pod("app").cgroup
    assert app.cpu.weight == 1
    assert queue_proxy.cpu.weight in (20, 59)  # runc before and from 1.3.2
    assert Cgroup(app.path.parent).cpu.weight == 20


@pytest.mark.parametrize("name", ["queue-proxy", "app"])
def test_containers_have_no_extra_privileges(pod: Callable[[str], Seen], name: str) -> None:
    """No capability, no way to get one, no root user, a root file system that is read-only."""
    pid = pod(name).pid
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split()[0] == "65532"
    root = next(line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if line.split()[4] == "/")
    assert "ro" in root.split()[5].split(",")


def test_they_share_the_network_of_the_pause_container(pod: Callable[[str], Seen]) -> None:
    """queue-proxy finds the app on loopback: both are in one network namespace, which is not the host's."""
    spaces = {Path(f"/proc/{pod(name).pid}/ns/net").readlink() for name in ("queue-proxy", "app")}
    assert len(spaces) == 1
    assert spaces != {Path("/proc/self/ns/net").readlink()}


def test_an_image_of_ones_own(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An archive that an engine saved is kept, loaded by an engine that lacks the image, and by that one once."""
    monkeypatch.setattr(archives, "own_cache_dir", lambda: tmp_path / "cache")
    name, archive, said = "example.com/own/app:1.2", tmp_path / "own.tar", list[str]()
    engine.build(name, {"Dockerfile": b"FROM scratch\nCOPY own /own\n", "own": b"small"}, {})
    built = engine.image_id(name)
    try:
        engine.save_image(name, archive)
        engine.remove_image(name)
        assert engine.image_id(name) is None
        archives.keep(archive, archives.names_in(archive))
        archives.provide(engine, [name], said.append)
        assert said == [f"loading the image {name}"]
        assert engine.image_id(name) == built
        archives.provide(engine, [name], said.append)
        assert len(said) == 1
    finally:
        engine.remove_image(name)


def test_an_image_gets_a_layer_for_each_filler(engine: Engine, tmp_path: Path) -> None:
    """Two more layers, with a file each; what was written for them is gone."""
    name, sizes = "emu/filled-for-a-test:latest", [2**20, 3 * 2**20]
    engine.tag(images.APP, name)
    try:
        engine.fill(name, sizes, {}, tmp_path)
        added = set(engine.image_folders(name)) - set(engine.image_folders(images.APP))
        files = sorted(path.stat().st_size for folder in added for path in folder.rglob("filler-*"))
        assert (len(added), files) == (2, sizes)
        assert list(tmp_path.iterdir()) == []
    finally:
        engine.remove_image(name)
