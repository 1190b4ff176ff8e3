"""The order in which a pod's init containers, sidecars and containers start and end, driven by facts alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from emu.kubelet.facts import Fact, ProbeAnswered
from emu.kubelet.prober import Answer
from emu.kubelet.template import ContainerTemplate, PodProbe, PodTemplate
from emu.kubelet.worker import PodWorker
from emu.policy.lifecycle import BackOffRule, RestartPolicy
from emu.policy.probing import ProbeRule
from emu.record.events import EventLog, PodStatus, read_events
from emu.runtime.api import RuntimeEvent
from emu.spec import ExecSpec
from tests.fakes import FakeEngine, FakePodCgroup, fake_pod

_PATIENCE_S = 120.0
STARTUP = PodProbe(ExecSpec(command=("check",)), ProbeRule(initial_delay_s=3600), 1.0)
IMAGE = "batch:1"
FETCH = ContainerTemplate(name="fetch", image=IMAGE, role="init")
CHECK = ContainerTemplate(name="check", image=IMAGE, role="init")
MESH = ContainerTemplate(name="mesh", image=IMAGE, role="sidecar", probes={"startup": STARTUP})
LOGS = ContainerTemplate(name="logs", image=IMAGE, role="sidecar")
JOB = ContainerTemplate(name="job", image=IMAGE)


class Starting:
    """A worker of a pod of these containers, whose pause container runs."""

    def __init__(self, folder: Path, *containers: ContainerTemplate, policy: RestartPolicy = "Always") -> None:
        self.engine = FakeEngine()
        self.events = folder / "events.jsonl"
        self.log = EventLog(self.events)
        self.facts: list[Fact] = []
        template = PodTemplate(
            containers=containers, back_off=BackOffRule(3600.0, 3600.0), restart_policy=policy, grace_s=30
        )
        pod = fake_pod(template, self.engine, FakePodCgroup(folder), self.log)
        self.worker = PodWorker(
            pod, self.engine, self.log, self.facts.append,
            on_start=lambda _: None, on_exit=lambda *_: None, on_event=lambda _: None, hold_frozen=True,
        )  # fmt: skip
        self.worker.start()

    def ends(self, container: str, exit_code: int = 0, attempt: int = 0, *, oom: bool | None = None) -> None:
        """The engine says that an instance ended; then comes the next turn."""
        ident = f"it.pod.{container}.{attempt}"
        self.engine.end(ident, exit_code, oom)
        self.worker.take(RuntimeEvent("die", ident, {}, 0))
        self.worker.act()

    def started(self, container: str) -> None:
        """The startup probe of the newest instance succeeds; then comes the next turn."""
        instance = self.worker.instances[container]
        self.worker.take(ProbeAnswered(instance, "startup", STARTUP, Answer("success", "")))
        self.worker.act()

    @property
    def running(self) -> list[str]:
        """The containers that run, in the order of their starts."""
        return [name.split(".")[2] for name, runs in self.engine.running.items() if runs][1:]

    @property
    def status(self) -> tuple[str, str]:
        """READY and STATUS."""
        view = self.worker.view
        return view.ready, view.status


Make = Callable[..., Starting]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a pod of these containers."""
    made: list[Starting] = []

    def make(*containers: ContainerTemplate, policy: RestartPolicy = "Always") -> Starting:
        made.append(Starting(tmp_path, *containers, policy=policy))
        return made[-1]

    yield make
    for one in made:
        one.log.close()


def test_init_containers_run_one_after_another(make: Make) -> None:
    """Each to its end, before any container starts; kubectl counts those that are through."""
    pod = make(FETCH, CHECK, JOB)
    assert (pod.running, pod.status) == (["fetch"], ("0/1", "Init:0/2"))
    pod.ends("fetch")
    assert (pod.running, pod.status) == (["check"], ("0/1", "Init:1/2"))
    assert pod.worker.coming
    pod.ends("check")
    assert (pod.running, pod.status) == (["job"], ("1/1", "Running"))
    assert not pod.worker.coming
    pod.worker.act()
    statuses = [event.status for event in read_events(pod.events) if isinstance(event, PodStatus)]
    assert statuses == ["Init:1/2", "PodInitializing", "Running"]


@pytest.mark.parametrize(
    ("exit_code", "oom", "word"), [(1, None, "Init:Error"), (137, True, "Init:OOMKilled")], ids=["error", "oom"]
)
def test_a_failed_init_container_is_run_again(make: Make, exit_code: int, oom: bool | None, word: str) -> None:
    """At once the first time, then after a back-off; what comes after it waits. RESTARTS counts it."""
    pod = make(FETCH, JOB, policy="OnFailure")
    pod.ends("fetch", exit_code, oom=oom)
    assert (pod.running, pod.worker.view.restarts) == (["fetch"], 1)
    pod.ends("fetch", exit_code, 1, oom=oom)
    assert (pod.running, pod.status) == ([], ("0/1", "Init:CrashLoopBackOff"))
    never = make(FETCH, JOB, policy="Never")
    never.ends("fetch", exit_code, oom=oom)
    assert (never.running, never.status) == ([], ("0/1", word))
    assert not never.worker.coming


def test_an_oom_kill_in_an_init_container_that_exits_0_is_a_failure(make: Make) -> None:
    """Its main process did not notice; the kubelet runs it again all the same."""
    pod = make(FETCH, JOB)
    pod.ends("fetch", 0, oom=True)
    assert pod.running == ["fetch"] and pod.worker.states["fetch"].restarts == 1


def test_a_sidecar_starts_before_what_comes_after_it(make: Make) -> None:
    """The next one waits for its startup probe; without one it has started as soon as it runs. READY counts it."""
    pod = make(LOGS, MESH, FETCH, JOB)
    assert (pod.running, pod.status) == (["logs", "mesh"], ("1/3", "Init:1/3"))
    pod.started("mesh")
    assert (pod.running, pod.status) == (["logs", "mesh", "fetch"], ("2/3", "Init:2/3"))
    pod.ends("fetch")
    assert (pod.running, pod.status) == (["logs", "mesh", "job"], ("3/3", "Running"))


def test_a_sidecar_is_restarted_whatever_the_pods_policy(make: Make) -> None:
    """It has its own, Always; the containers run on meanwhile. Once they have ended for good, it is ended."""
    pod = make(LOGS, JOB, policy="Never")
    pod.ends("logs", 1)
    assert pod.running == ["job", "logs"]
    pod.ends("job", 0)
    pod.worker.join()
    assert ("stop 30", "it.pod.logs.1") in pod.engine.calls
    pod.ends("logs", 0, 1)
    assert (pod.running, pod.status) == ([], ("0/2", "Completed"))


def test_sidecars_end_after_the_containers_in_reverse_order(make: Make) -> None:
    """Each has its SIGTERM only when the containers, and the sidecars after it, have ended."""
    other = ContainerTemplate(name="metrics", image=IMAGE, role="sidecar")
    pod = make(LOGS, other, JOB)
    pod.worker.begin_stop(hooks=True)
    for name in ("job", "metrics", "logs"):
        _await(lambda name=name: ("stop 30", f"it.pod.{name}.0") in pod.engine.calls)  # type: ignore[misc]
        stopped = [ident for what, ident in pod.engine.calls if what.startswith("stop")]
        assert stopped[-1] == f"it.pod.{name}.0"
        pod.ends(name, 0)
    pod.worker.join()
    assert pod.worker.over


def _await(holds: Callable[[], bool]) -> None:
    deadline = monotonic() + _PATIENCE_S
    while not holds():
        assert monotonic() < deadline
        sleep(0.01)
