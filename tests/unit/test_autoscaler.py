"""A pod that may be scaled to zero, with an engine that is a list and a policy that is the test's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emu.kubelet import prober
from emu.kubelet.node import Node
from emu.kubelet.pod import Pod
from emu.kubelet.prober import Answer
from emu.kubelet.worker import PodWorker
from emu.messages import ActivatorReport, Endpoint, Endpoints
from emu.policy.lifecycle import PodView
from emu.policy.scaling import ScalingRule
from emu.record.events import (
    SCALE_DOWN,
    SCALED_TO_ZERO,
    ContainerExited,
    ContainerStopping,
    EventLog,
    PodScaled,
    PodStatus,
    read_events,
)
from emu.record.rundir import RunDir
from emu.scenario.reading import read_scenario
from emu.serving import autoscaler
from emu.serving.autoscaler import ScaledPod, rule_of
from emu.serving.template import pod_template
from emu.spec import HttpGetSpec
from tests.fakes import FakeEngine, FakePodCgroup, fake_pod

DEADLINE_S = 60.0


class Wish:
    """In the policy's place: there is to be a pod if the test says so."""

    pods = 1
    why = "the test wants it"

    def __init__(self, rule: ScalingRule, now: float) -> None:
        self.ready: list[bool] = []

    def average(self, now: float) -> float | None:
        """Nothing is known."""
        return None

    def readiness(self, now: float, ready: bool) -> None:
        """Noted."""
        self.ready.append(ready)

    def report(self, now: float, concurrency: float) -> None:
        """Not needed."""

    record = report

    def next_at(self) -> float:
        """Never."""
        return float("inf")


class FakeActivator:
    """The endpoints that were published, and reports that the test writes."""

    port = 7777

    def __init__(self) -> None:
        self.published: list[Endpoints] = []
        self.says: list[ActivatorReport] = []

    def update(self, endpoints: Endpoints) -> None:
        """Noted."""
        self.published.append(endpoints)

    def reports(self) -> Iterator[ActivatorReport]:
        """Once each."""
        while self.says:
            yield self.says.pop(0)


class Stubborn(FakeEngine):
    """Its containers do not end on SIGTERM."""

    def stop(self, container_id: str, grace_s: int) -> None:
        """Only noted."""
        self.calls.append((f"stop {grace_s}", container_id))


class Scaled:
    """A scaled pod, its first generation started."""

    def __init__(self, folder: Path, engine: FakeEngine, pod: str) -> None:
        spec = read_scenario(f"name: it\nquestion: What?\npod: {{autoscaling: {{}}, {pod}}}\n", "it").pod
        self.folder = folder
        self.count = 0
        self.run = RunDir(folder / "run")
        self.run.create()
        self.log = EventLog(self.run.events)
        self.engine = engine
        self.activator = FakeActivator()
        self.template = pod_template(spec)
        self.node = Node(engine, self.log, self.run, "it")
        self.made: dict[PodWorker, Pod] = {}
        self.scaled = ScaledPod(
            spec,
            self.template,
            self.log,
            self.activator,  # type: ignore[arg-type]
            self._admit,
            dismiss=self._dismiss,
            found=lambda: "warm-disk",
            say=lambda _: None,
        )

    def _admit(self) -> PodWorker:
        """Pods are called pod-0, pod-1 …"""
        name = f"pod-{self.count}"
        self.count += 1
        pod = fake_pod(self.template, self.engine, FakePodCgroup(self.folder), self.log.of_pod(name), name)
        pod.__enter__()
        worker = self.node.admit(pod)
        self.made[worker] = pod
        return worker

    def _dismiss(self, worker: PodWorker) -> None:
        self.made.pop(worker).close()
        self.node.dismiss(worker)

    def start(self) -> None:
        """As the runner does."""
        self.node.__enter__()
        self.scaled.__enter__()
        self.scaled.start()
        self.until(lambda: self.scaled.view.ready == "2/2")

    def turn(self) -> None:
        """As the run's loop does."""
        self.node.turn(0.01)
        self.scaled.turn()

    def until(self, condition: Callable[[], bool]) -> None:
        """Let it work until something is so."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, [event.to_line() for event in read_events(self.run.events)]
            self.turn()

    def wish(self, pods: int) -> None:
        """What the policy wants from now on."""
        self.scaled._scaling.pods = pods

    @property
    def status(self) -> str:
        """The pod's."""
        return self.scaled.view.status

    def told(self) -> list[tuple[int, bool]]:
        """What is on record of scaling, less the first start."""
        found = [event for event in read_events(self.run.events) if isinstance(event, PodScaled)]
        return [(event.pods, event.reached) for event in found[1:]]


Begin = Callable[..., Scaled]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Start a pod that is ready at once, and whose hooks do nothing; ended with the test."""
    going: list[Scaled] = []
    monkeypatch.setattr(autoscaler, "Scaling", Wish)
    monkeypatch.setattr(prober, "ask", lambda *_: Answer("success"))
    monkeypatch.setattr(prober, "run_hook", lambda *_: None)

    def start(engine: FakeEngine | None = None, pod: str = "") -> Scaled:
        one = Scaled(tmp_path, engine or FakeEngine(), pod)
        going.append(one)
        one.start()
        return one

    yield start
    for one in going:
        for name in list(one.engine.running):
            one.engine.end(name, 0)
        one.scaled.end_drain()
        one.node.stop()
        one.scaled.__exit__(None, None, None)
        one.node.__exit__(None, None, None)
        one.log.close()


def test_the_activator_knows_before_the_containers_do(begin: Begin) -> None:
    """No further request goes to a pod that is to end; its containers are told why, and nothing of it is left."""
    one = begin()
    one.wish(0)
    one.until(lambda: one.status == SCALED_TO_ZERO)
    assert [[pod.address for pod in each.pods] for each in one.activator.published] == [["127.0.0.1"]] * 2 + [[]]
    events = list(read_events(one.run.events))
    stops = [event for event in events if isinstance(event, ContainerStopping)]
    assert {(stop.container, stop.why, stop.grace_s) for stop in stops} == {
        ("queue-proxy", SCALE_DOWN, 300),
        ("app", SCALE_DOWN, 300),
        ("sandbox", SCALE_DOWN, 0.0),
    }
    exits = [event for event in events if isinstance(event, ContainerExited)]
    assert all(event.asked for event in exits)
    removed = {name for what, name in one.engine.calls if what == "remove"}
    assert removed == {"it.pod-0.queue-proxy.0", "it.pod-0.app.0", "it.pod-0.sandbox.0"}
    assert one.engine.running == {}
    assert one.told() == [(0, False), (0, True)]
    assert [event.status for event in events if isinstance(event, PodStatus)][-2:] == ["Terminating", SCALED_TO_ZERO]


def test_the_next_pod_is_a_new_one_and_no_restart(begin: Begin) -> None:
    """It has another name and its containers' numbers begin at 0; the activator hears how warm the start is."""
    one = begin()
    one.wish(0)
    one.until(lambda: one.status == SCALED_TO_ZERO)
    one.wish(1)
    one.until(lambda: one.scaled.view.ready == "2/2")
    assert {name for name, runs in one.engine.running.items() if runs} == {
        "it.pod-1.sandbox.0",
        "it.pod-1.queue-proxy.0",
        "it.pod-1.app.0",
    }
    early, ready = one.activator.published[-2:]
    assert early == Endpoints((Endpoint("127.0.0.1", start="warm-disk"),))
    assert ready == Endpoints((Endpoint("127.0.0.1", start="warm-disk", ready=True),))
    assert one.scaled.view.restarts == 0
    one.activator.says.append(ActivatorReport("ready", time.monotonic(), waiting=3))
    one.until(lambda: one.told()[-1] == (1, True))
    assert one.told() == [(0, False), (0, True), (1, False), (1, True)]


def test_the_next_pod_starts_while_the_last_one_still_ends(begin: Begin) -> None:
    """As in a cluster: a pod that takes its time to end delays no other, and is not killed for it."""
    one = begin(Stubborn())
    one.wish(0)
    one.until(lambda: any(what.startswith("stop") for what, _ in one.engine.calls))
    assert one.status == "Terminating"
    one.wish(1)
    one.until(lambda: one.scaled.view == PodView("2/2", "Running", 0))
    assert one.engine.running.keys() >= {"it.pod-0.app.0", "it.pod-1.app.0"}
    assert not any(what.startswith("kill") for what, _ in one.engine.calls)
    for name in ("queue-proxy", "app"):
        one.engine.end(f"it.pod-0.{name}.0", 0)
    one.until(lambda: one.told() == [(0, False), (1, False), (0, True)])
    assert one.status == "Running"
    assert set(one.engine.running) == {"it.pod-1.sandbox.0", "it.pod-1.queue-proxy.0", "it.pod-1.app.0"}
    statuses = [(event.pod, event.status) for event in read_events(one.run.events) if isinstance(event, PodStatus)]
    assert SCALED_TO_ZERO not in [status for _, status in statuses]
    assert {pod for pod, _ in statuses} == {"pod-0", "pod-1"}


def test_a_pod_that_is_not_ready_any_more_is_probed_again(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait in the activator then, and the policy knows."""
    one = begin()
    monkeypatch.setattr(prober, "ask", lambda *_: Answer("failure", "refused"))
    one.until(lambda: len(one.activator.published) == 3)
    assert [each.pods[0].ready for each in one.activator.published] == [False, True, False]
    assert one.scaled._scaling.ready == [True, False]  # type: ignore[attr-defined]


def test_an_app_that_nobody_may_look_at_is_ready_once_it_runs(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen at once, it is never looked at: queue-proxy alone tells whether the pod is ready, as in a cluster."""
    one = begin()
    one.wish(0)
    one.until(lambda: one.status == SCALED_TO_ZERO)
    monkeypatch.setattr(
        prober, "ask", lambda handler, *_: Answer("success" if isinstance(handler, HttpGetSpec) else "error")
    )
    one.wish(1)
    one.until(lambda: one.scaled._scaling.ready[-1:] == [True])  # type: ignore[attr-defined]
    assert one.scaled.view.ready == "1/2"


def test_where_only_the_kubelet_can_tell_the_activator_waits_for_it(begin: Begin) -> None:
    """A readiness probe by exec, or a startup probe: the activator's own probe proves nothing."""
    one = begin(pod="app: {startupProbe: {exec: {command: [check]}}}")
    assert [each.pods for each in one.activator.published] == [(Endpoint("127.0.0.1", ready=True),)]
    one.wish(0)
    one.until(lambda: one.status == SCALED_TO_ZERO)
    one.wish(1)
    one.turn()
    assert one.activator.published[-1].pods == ()
    one.until(lambda: one.activator.published[-1].pods != ())


def test_requests_go_to_the_activator(begin: Begin) -> None:
    """The load generator is told its port, not the pod's."""
    assert begin().scaled.entrance == ("127.0.0.1", FakeActivator.port)


def test_the_rule_is_the_scenarios() -> None:
    """Knative's names and defaults, in seconds."""
    text = "name: a\nquestion: b\npod: {{containerConcurrency: 3, autoscaling: {}}}\n"
    assert rule_of(read_scenario(text.format("{}"), "a").pod) == ScalingRule(concurrency=3)
    keys = "{window: 6s, scaleDownDelay: 4s, scaleToZeroPodRetentionPeriod: 1m, scaleToZeroGracePeriod: 500ms, \
enableScaleToZero: false}"
    wanted = ScalingRule(6.0, 4.0, 60.0, 0.5, to_zero=False, concurrency=3)
    assert rule_of(read_scenario(text.format(keys), "a").pod) == wanted
