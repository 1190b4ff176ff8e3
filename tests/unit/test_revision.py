"""A revision's pods, with an engine that is a list and a policy that is the test's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from emu.kubelet import ending, prober
from emu.kubelet.node import Node
from emu.kubelet.pod import Pod
from emu.kubelet.prober import Answer, Target
from emu.kubelet.worker import PodWorker
from emu.messages.endpoints import ActivatorReport, Endpoint, Endpoints
from emu.policy.autoscaling.settings import Settings
from emu.policy.lifecycle import PodView
from emu.policy.scaling import Scaling, ScalingRule, Verdict
from emu.policy.scheduling import Scheduler
from emu.policy.scheduling import Verdict as Room
from emu.record.events import (
    PREEMPTED,
    SCALE_DOWN,
    SCALED_TO_ZERO,
    ContainerExited,
    ContainerStopping,
    EventLog,
    KubeletEvent,
    PodPreempted,
    PodScaled,
    PodStatus,
    ScaleDecided,
    now,
    read_events,
)
from emu.record.rundir import RunDir
from emu.runtime.api import EngineGone
from emu.scenario.reading import read_scenario
from emu.serving import kpa
from emu.serving.kpa import Kpa, rule_of
from emu.serving.revision import Revision
from emu.serving.template import pod_template
from emu.spec import HttpGetSpec, RevisionPlan
from tests.fakes import FakeEngine, FakePodCgroup, fake_pod

DEADLINE_S = 120.0
PROBED_OFTEN = "app: {readinessProbe: {tcpSocket: {}, periodSeconds: 1, failureThreshold: 1}}"


class Wish:
    """In the policy's place: there is to be a pod if the test says so."""

    why = "the test wants it"

    def __init__(self, rule: ScalingRule, now: float, origin: float | None = None) -> None:
        self.ready: list[int] = []
        self.pods = rule.initial_scale
        self.judged: list[Verdict] = []
        self.settings = rule.settings

    proxied = True

    def route(self, now: float, *, routed: bool | None, failing: bool) -> None:
        """Noted."""
        self.settings = replace(self.settings, reachable=routed is not False and not failing)

    def average(self, now: float) -> float | None:
        """Nothing is known."""
        return None

    def readiness(self, now: float, ready: int) -> None:
        """Noted."""
        self.ready.append(ready)

    def report(self, now: float, concurrency: float, rps: float = 0.0) -> None:
        """Not needed."""

    record = report

    def next_at(self) -> float:
        """Never."""
        return float("inf")

    def verdicts(self) -> list[Verdict]:
        """What the test wrote."""
        found, self.judged = self.judged, []
        return found


class FakeActivator:
    """The endpoints that were published, and reports that the test writes."""

    port = 7777

    def __init__(self) -> None:
        self.published: list[Endpoints] = []
        self.says: list[ActivatorReport] = []
        self.reached = True
        """Its probes find each pod that is ready."""

    def reaches(self, pod: Endpoint) -> bool:
        """As the test wrote."""
        return self.reached

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


class Addressed(FakeEngine):
    """Each pod has an address of its own, by its number."""

    def address(self, container_id: str) -> str:
        """`it.pod-3.sandbox.0` is at 10.0.0.3."""
        return f"10.0.0.{container_id.split('.')[1].removeprefix('pod-')}"


class AddressedStubborn(Addressed, Stubborn):
    """Both."""


class Held(Addressed):
    """The start of one pod takes until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.gone: EngineGone | None = None

    def start(self, container_id: str) -> None:
        """Of pod-1 it is held."""
        if ".pod-1." in container_id:
            self.begun.set()
            assert self.let_go.wait(DEADLINE_S)
            if self.gone is not None:
                raise self.gone
        super().start(container_id)


class Scaled:
    """A scaled pod, its first generation started."""

    def __init__(self, folder: Path, engine: FakeEngine, pod: str, keys: str, room: int) -> None:
        spec = read_scenario(f"name: it\nquestion: What?\npod: {{autoscaling: {{{keys}}}, {pod}}}\n", "it").pod
        self.folder = folder
        self.count = 0
        self.scheduler = Scheduler({"memory": room}, 100.0)
        self.run = RunDir(folder / "run")
        self.run.create()
        self.log = EventLog(self.run.events)
        self.engine = engine
        self.activator = FakeActivator()
        self.template = pod_template(spec)
        self.node = Node(engine, self.log, self.run, "it")
        self.made: dict[PodWorker, Pod] = {}
        plan = RevisionPlan("app", "app-00001", "", spec)
        self.scaled = Revision(
            plan,
            self.template,
            self.log,
            self.activator,
            Kpa(plan),
            self._admit,
            start=self.node.start,
            settle=self.node.settle,
            dismiss=self._dismiss,
            found=lambda: "warm-disk",
            say=lambda _: None,
        )

    def _admit(self) -> PodWorker:
        """Pods are called pod-0, pod-1 …, and the node has room for `room` of them."""
        name = f"pod-{self.count}"
        self.count += 1
        pod = fake_pod(self.template, self.engine, FakePodCgroup(self.folder), self.log.of_pod(name), name)
        self.scheduler.add(name, {"memory": 1})

        def bind() -> Room | None:
            verdict = self.scheduler.attempt(name, now())
            if verdict is not None and verdict.fits:
                pod.__enter__()
            return verdict

        worker = self.node.admit(pod, bind=bind)
        self.made[worker] = pod
        return worker

    def _dismiss(self, worker: PodWorker) -> None:
        self.scheduler.remove(worker.pod)
        self.made.pop(worker).close(PREEMPTED if worker.binding.preempted else SCALE_DOWN)
        self.node.dismiss(worker)

    def start(self, ready: str) -> None:
        """As the runner does."""
        self.node.__enter__()
        self.scaled.__enter__()
        self.scaled.start()
        self.until(lambda: self.scaled.view.ready == ready)

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
        self.scaled._scaling._scaling.pods = pods  # type: ignore[attr-defined]

    @property
    def ready(self) -> list[str]:
        """The addresses of the pods that the activator knows as ready."""
        last = self.activator.published[-1] if self.activator.published else Endpoints()
        return [pod.address for pod in last.pods if pod.ready]

    @property
    def status(self) -> str:
        """The pod's."""
        return self.scaled.view.status

    def scalings(self) -> list[tuple[int, bool]]:
        """What is on record of scaling, less the first start."""
        found = [event for event in read_events(self.run.events) if isinstance(event, PodScaled)]
        return [(event.pods, event.reached) for event in found[1:]]


Begin = Callable[..., Scaled]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Start a pod that is ready at once, and whose hooks do nothing; ended with the test."""
    going: list[Scaled] = []
    monkeypatch.setattr(kpa, "Scaling", Wish)
    monkeypatch.setattr(prober, "ask", lambda *_: Answer("success"))
    monkeypatch.setattr(prober, "run_hook", lambda *_: None)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # pods start one after the other

    def start(
        engine: FakeEngine | None = None, pod: str = "", keys: str = "", ready: str = "2/2", room: int = 1000
    ) -> Scaled:
        one = Scaled(tmp_path, engine or FakeEngine(), pod, keys, room)
        going.append(one)
        one.start(ready)
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
    """No further request goes to a pod that is to end; their stop has a reason, and nothing of it is left."""
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
    assert one.scalings() == [(0, False), (0, True)]
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
    assert early == Endpoints((Endpoint("127.0.0.1", start="warm-disk", pod="pod-1"),))
    assert ready == Endpoints((Endpoint("127.0.0.1", start="warm-disk", ready=True, pod="pod-1"),))
    assert one.scaled.view.restarts == 0
    one.activator.says.append(ActivatorReport("ready", time.monotonic(), waiting=3))
    one.until(lambda: one.scalings()[-1] == (1, True))
    assert one.scalings() == [(0, False), (0, True), (1, False), (1, True)]


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
    one.until(lambda: one.scalings() == [(0, False), (1, False), (0, True)])
    assert one.status == "Running"
    assert set(one.engine.running) == {"it.pod-1.sandbox.0", "it.pod-1.queue-proxy.0", "it.pod-1.app.0"}
    statuses = [(event.pod, event.status) for event in read_events(one.run.events) if isinstance(event, PodStatus)]
    assert SCALED_TO_ZERO not in [status for _, status in statuses]
    assert {pod for pod, _ in statuses} == {"pod-0", "pod-1"}


def test_a_pod_that_is_not_ready_any_more_is_probed_again(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait in the activator then, and the policy knows."""
    one = begin(pod=PROBED_OFTEN)
    monkeypatch.setattr(prober, "ask", lambda *_: Answer("failure", "refused"))
    one.until(lambda: len(one.activator.published) == 3)
    assert [each.pods[0].ready for each in one.activator.published] == [False, True, False]
    assert one.scaled._scaling._scaling.ready == [1, 0]  # type: ignore[attr-defined]


def test_an_app_that_nobody_may_look_at_is_ready_once_it_runs(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen at once, it is never looked at: queue-proxy alone decides whether the pod is ready, as in a cluster."""
    one = begin()
    one.wish(0)
    one.until(lambda: one.status == SCALED_TO_ZERO)
    monkeypatch.setattr(
        prober, "ask", lambda handler, *_: Answer("success" if isinstance(handler, HttpGetSpec) else "error")
    )
    one.wish(1)
    one.until(lambda: one.scaled._scaling._scaling.ready[-1:] == [1])  # type: ignore[attr-defined]
    assert one.scaled.view.ready == "1/2"


def test_where_only_the_kubelet_knows_the_activator_waits_for_it(begin: Begin) -> None:
    """A readiness probe by exec, or a startup probe: the activator's own probe proves nothing."""
    one = begin(pod="app: {startupProbe: {exec: {command: [check]}}}")
    assert [each.pods for each in one.activator.published] == [(Endpoint("127.0.0.1", ready=True, pod="pod-0"),)]
    one.wish(0)
    one.until(lambda: one.status == SCALED_TO_ZERO)
    one.wish(1)
    one.turn()
    assert one.activator.published[-1].pods == ()
    one.until(lambda: one.activator.published[-1].pods != ())


def test_requests_go_to_the_activator(begin: Begin) -> None:
    """The load generator gets its port, not the pod's."""
    assert begin().scaled.entrance == ("127.0.0.1", FakeActivator.port)


def test_the_rule_is_the_scenarios() -> None:
    """Knative's names and defaults, in seconds."""
    text = "name: a\nquestion: b\npod: {{containerConcurrency: 3, autoscaling: {}}}\n"
    assert rule_of(read_scenario(text.format("{}"), "a").pod) == ScalingRule(concurrency=3)
    keys = "{window: 6s, scaleDownDelay: 4s, scaleToZeroPodRetentionPeriod: 1m, scaleToZeroGracePeriod: 500ms, \
enableScaleToZero: false}"
    wanted = ScalingRule(6.0, 4.0, 60.0, 0.5, to_zero=False, concurrency=3)
    assert rule_of(read_scenario(text.format(keys), "a").pod) == wanted


def test_every_key_reaches_the_autoscaler() -> None:
    """In Knative's own numbers; one pod at most has an activator that never leaves."""
    text = "name: a\nquestion: b\npod: {{containerConcurrency: 3, autoscaling: {}}}\n"
    keys = "{minScale: 1, maxScale: 9, initialScale: 2, activationScale: 3, metric: rps, target: 50, \
targetUtilizationPercentage: 80, targetBurstCapacity: 0, panicWindowPercentage: 50, panicThresholdPercentage: 150, \
maxScaleUpRate: 4, maxScaleDownRate: 3, window: 20s}"
    asked = rule_of(read_scenario(text.format(keys), "a").pod).settings
    assert asked == Settings(
        metric="rps",
        target=40.0,
        total=50.0,
        target_burst_capacity=0.0,
        panic_threshold=1.5,
        max_scale_up_rate=4.0,
        max_scale_down_rate=3.0,
        activation_scale=3,
        initial_scale=2,
        min_scale=1,
        max_scale=9,
        stable_window_s=20.0,
        panic_window_s=10.0,
    )
    several = rule_of(read_scenario(text.format("{maxScale: 2}"), "a").pod).settings
    assert (several.target, several.total, several.target_burst_capacity) == (3 * 0.7, 3.0, 211.0)
    assert rule_of(read_scenario(text.format("{}"), "a").pod).settings.target_burst_capacity == float("inf")


def test_a_time_scale_divides_every_time_of_the_autoscaler() -> None:
    """Its settings, its own constants, and what is asked and reported; averages and targets stay."""
    text = (
        "name: a\nquestion: b\ntimeScale: 10\npod: {autoscaling: {window: 60s, scaleDownDelay: 20s, maxScale: 3}}\n"
    )
    spec = read_scenario(text, "a")
    usual, fast = (rule_of(spec.pod, scale).settings for scale in (1.0, spec.time_scale))
    assert fast == replace(
        usual,
        stable_window_s=6.0,
        panic_window_s=0.6,
        scale_down_delay_s=2.0,
        grace_s=3.0,
        progress_deadline_s=60.0,
    )
    scaling = Scaling(rule_of(spec.pod, spec.time_scale), 0.0)
    assert scaling.next_at() == pytest.approx(0.2)
    scaling.readiness(0.1, 1)
    for tenth in range(2, 10):
        scaling.record(tenth / 10, 200.0)
        scaling.step(tenth / 10)
    assert scaling.pods == 3
    queue_proxy = pod_template(spec.pod, time_scale=spec.time_scale).container("queue-proxy")
    assert queue_proxy.env["EMU_REPORT_SECONDS"] == "0.1"
    assert "EMU_REPORT_SECONDS" not in pod_template(spec.pod).container("queue-proxy").env


def several(begin: Begin, engine: FakeEngine | None = None, number: int = 3, pod: str = "") -> Scaled:
    """A revision with so many pods, all ready and known to the activator."""
    one = begin(engine or Addressed(), pod=pod, keys=f"maxScale: 9, initialScale: {number}")
    one.until(lambda: len(one.ready) == number)
    return one


def test_the_load_waits_until_the_activator_found_the_pods(begin: Begin) -> None:
    """A ready pod is not reached yet: the first request would wait for the activator's probe."""
    one = begin()
    one.until(lambda: one.scaled.ready_pods == 1)
    one.activator.reached = False
    waited_for = one.scaled.coming
    one.activator.reached = True
    assert (waited_for, one.scaled.coming) == (True, False)


def test_pods_are_made_to_the_number_that_is_wanted(begin: Begin) -> None:
    """The run waits for all of the initial scale; the activator knows each as ready once it is."""
    one = begin(Addressed(), keys="maxScale: 9, initialScale: 3", ready="0/2")
    waited_for = [one.scaled.coming]
    one.until(lambda: len(one.ready) == 3)
    assert [*waited_for, one.scaled.coming] == [True, False]
    assert one.ready == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]
    known = one.scaled._scaling._scaling.ready  # type: ignore[attr-defined]
    assert known == sorted(known) and known[-1] == 3
    one.wish(5)
    one.until(lambda: len(one.ready) == 5)
    assert len([name for name in one.engine.running if name.endswith(".app.0")]) == 5
    assert one.scalings() == []  # from and to zero alone


def test_fewer_pods_are_the_oldest(begin: Begin) -> None:
    """The younger ones end as a pod does that is scaled down, and have left the endpoints by then."""
    one = several(begin)
    one.wish(1)
    one.until(lambda: len([name for name in one.engine.running if name.endswith(".sandbox.0")]) == 1)
    assert one.ready == ["10.0.0.0"]
    assert [pod.address for pod in one.activator.published[-1].pods] == ["10.0.0.0"]
    stops = [event for event in read_events(one.run.events) if isinstance(event, ContainerStopping)]
    assert {(stop.pod, stop.why) for stop in stops} == {("pod-1", SCALE_DOWN), ("pod-2", SCALE_DOWN)}
    assert one.scaled.view == PodView("2/2", "Running", 0)
    assert one.scalings() == []


def test_a_pod_that_is_not_ready_goes_first(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is the oldest."""
    one = several(begin, number=2, pod=PROBED_OFTEN)

    def ask(_: object, target: Target, __: float) -> Answer:
        return Answer("failure", "refused") if target.address == "10.0.0.0" else Answer("success")

    monkeypatch.setattr(prober, "ask", ask)
    one.until(lambda: one.ready == ["10.0.0.1"])
    one.wish(1)
    one.until(lambda: len([name for name in one.engine.running if name.endswith(".sandbox.0")]) == 1)
    assert "it.pod-1.app.0" in one.engine.running
    assert one.ready == ["10.0.0.1"]


def test_a_pod_for_which_the_node_has_no_room_is_pending_until_another_one_is_gone(begin: Begin) -> None:
    """It has no address and no container, the activator does not hear of it, and the autoscaler counts it as not
    ready. With room it is started as any other.
    """
    one = begin(Addressed(), keys="maxScale: 3", room=2)
    one.wish(3)
    one.until(lambda: one.scaled.ready_pods == 2 and one.status == "Pending")
    assert one.scaled.view == PodView("0/2", "Pending", 0)
    assert not one.scaled.coming  # nothing of it comes by itself
    assert [pod.address for pod in one.activator.published[-1].pods] == ["10.0.0.0", "10.0.0.1"]
    events = [event for event in read_events(one.run.events) if isinstance(event, KubeletEvent)]
    (refused,) = [event for event in events if event.reason == "FailedScheduling"]
    assert (refused.pod, refused.type) == ("pod-2", "Warning")
    assert "1 Insufficient memory" in refused.message
    first = one.scaled._live[0]
    one.scaled._live.remove(first)  # as if it had been evicted: its room is free once it is gone
    one.scaled._ending.append(first.worker)
    first.worker.begin_stop(hooks=True)
    one.until(lambda: one.ready == ["10.0.0.1", "10.0.0.2"])
    placed = [event for event in read_events(one.run.events) if isinstance(event, KubeletEvent)]
    assert [event.pod for event in placed if event.reason == "Scheduled"] == ["pod-2"]


def test_a_pod_without_a_node_is_the_first_to_go(begin: Begin) -> None:
    """It is gone at once, and no other is asked to end."""
    one = begin(Addressed(), keys="maxScale: 3", room=2)
    one.wish(3)
    one.until(lambda: one.scaled.ready_pods == 2 and one.status == "Pending")
    one.wish(2)
    one.until(lambda: len(one.made) == 2)
    assert one.scaled.ready_pods == 2
    assert [worker.pod for worker in one.made] == ["pod-0", "pod-1"]
    statuses = [event for event in read_events(one.run.events) if isinstance(event, PodStatus)]
    shown = [event.status for event in statuses if event.pod == "pod-2"]
    assert shown == ["Pending", "Terminating"]


def test_a_pod_that_was_preempted_ends_and_another_one_waits_in_its_place(begin: Begin) -> None:
    """No further request goes to it; its stop and the record say what it was for."""
    one = begin(Addressed(), keys="maxScale: 3", room=2)
    one.wish(2)
    one.until(lambda: one.scaled.ready_pods == 2)
    one.scheduler.add("other", {"memory": 1}, 10)
    verdict = one.scheduler.attempt("other", now())
    assert verdict is not None
    assert verdict.victims == ("pod-1",)
    victim = next(worker for worker in one.made if worker.pod == "pod-1")
    victim.binding.preempt("other", 10)
    assert victim.ending
    one.until(lambda: [worker.pod for worker in one.made] == ["pod-0", "pod-2"])
    assert one.status == "Pending"
    assert one.ready == ["10.0.0.0"]
    events = list(read_events(one.run.events))
    (preempted,) = [event for event in events if isinstance(event, PodPreempted)]
    assert (preempted.pod, preempted.priority, preempted.by, preempted.by_priority) == ("pod-1", 0, "other", 10)
    said = [event.message for event in events if isinstance(event, KubeletEvent) and event.reason == "Preempted"]
    assert said == [preempted.message] == ["Preempted by pod other on node node"]
    stops = {event.why for event in events if isinstance(event, ContainerStopping) and event.pod == "pod-1"}
    assert stops == {PREEMPTED}
    assert Room() == one.scheduler.attempt("other", now() + 10)


def test_zero_is_reached_when_the_last_pod_was_preempted_as_zero_was_decided(begin: Begin) -> None:
    """None takes its place, and it is the last one: the record has the scale-down's end, too."""
    one = begin()
    (worker,) = one.made
    worker.binding.preempt("other", 10)
    one.wish(0)
    one.until(lambda: one.status == SCALED_TO_ZERO)
    assert one.scalings() == [(0, False), (0, True)]
    assert one.count == 1


def test_zero_is_reached_when_the_last_pod_is_gone(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several, each takes its own time; the record has one scale-down, and one way back with as many pods."""
    monkeypatch.setattr(ending, "_SIGNALLED_WITHIN_S", 0.1)  # this engine sends no signal
    one = several(begin, AddressedStubborn())
    one.wish(0)
    one.until(lambda: sum(what.startswith("stop") for what, _ in one.engine.calls) == 6)
    for number in (0, 1, 2):
        assert one.scalings() == [(0, False)]
        for name in ("queue-proxy", "app"):
            one.engine.end(f"it.pod-{number}.{name}.0", 0)
        gone = f"it.pod-{number}.sandbox.0"
        one.until(lambda: gone not in one.engine.running)  # noqa: B023  it is called at once
    one.until(lambda: one.status == SCALED_TO_ZERO)
    one.wish(2)
    one.until(lambda: len(one.ready) == 2)
    assert [pod.start for pod in one.activator.published[-1].pods] == ["warm-disk"] * 2
    one.activator.says.append(ActivatorReport("ready", time.monotonic(), waiting=3))
    one.until(lambda: one.scalings()[-1] == (2, True))
    assert one.scalings() == [(0, False), (0, True), (2, False), (2, True)]


def test_initial_scale_zero_waits_for_a_request(begin: Begin) -> None:
    """There is no pod, and nothing is waited for."""
    one = begin(Addressed(), keys="initialScale: 0", ready="0/0")
    assert (one.status, one.scaled.coming, one.count) == (SCALED_TO_ZERO, False, 0)
    one.wish(1)
    one.until(lambda: one.scaled.view.ready == "2/2")
    assert one.scalings() == [(1, False)]


def test_each_verdict_is_an_event(begin: Begin) -> None:
    """With what went in, and its sentence."""
    one = begin()
    rule = ScalingRule(max_scale=4, concurrency=10, burst_capacity=20)
    scaling = Scaling(rule, 100.0)
    scaling.readiness(101.0, 1)
    scaling.report(101.5, 60.0)
    scaling.step(102.0)
    judged = scaling.verdicts()
    assert (judged[-1].before, judged[-1].pods) == (1, 4)
    one.scaled._scaling._scaling.judged = judged  # type: ignore[attr-defined]
    one.turn()
    events = [event for event in read_events(one.run.events) if isinstance(event, ScaleDecided)]
    assert len(events) == len(judged)
    last = events[-1]
    assert (last.revision, last.t, last.before, last.pods, last.ready, last.desired) == (
        "app-00001",
        102.0,
        1,
        4,
        1,
        9,
    )
    assert (last.metric, last.stable, last.panic, last.target) == ("concurrency", 60.0, 60.0, 7.0)
    assert (last.panicking, last.panic_until, last.mode, last.excess_burst_capacity) == (True, 162.0, "Proxy", -70)
    assert last.why == "wanted 9 = ceil(60 / 7), in panic until 62 s, cut to 4 by max-scale"
    assert ScaleDecided(t=1.0).why == ""  # whatever is added, older records read


def test_rps_comes_from_the_activator_too() -> None:
    """Where that is the metric, a report's requests per second count."""
    scaling = Scaling(ScalingRule(max_scale=10, metric="rps", target=10, utilization_percentage=100), 0.0)
    scaling.readiness(1.0, 1)
    for t in range(1, 3):
        scaling.report(float(t), 1.0, 35.0)
    scaling.step(2.0)
    assert scaling.pods == 4


def test_clients_reach_the_ready_pods_while_the_activator_is_not_in_the_path(begin: Begin) -> None:
    """Else there are none but the activator; a pod that is to end is no longer among them."""
    one = several(begin)
    assert one.scaled.open_pods == ()
    one.scaled._scaling._scaling.proxied = False  # type: ignore[misc]
    assert [(pod.address, pod.pod) for pod in one.scaled.open_pods] == [
        ("10.0.0.0", "pod-0"),
        ("10.0.0.1", "pod-1"),
        ("10.0.0.2", "pod-2"),
    ]
    assert one.scaled.ready_pods == 3
    one.wish(1)
    one.turn()
    assert [pod.pod for pod in one.scaled.open_pods] == ["pod-0"]
    assert one.scaled.ready_pods == 1


def test_a_start_holds_up_nobody(begin: Begin) -> None:
    """With one processor, pods start one after the other. Meanwhile the loop goes on, the other pods are served, and
    one whose turn has not come may go again without ever having had a container.
    """
    engine = Held()
    one = begin(engine)
    one.wish(3)
    one.until(lambda: len(one.made) == 3)
    for _ in range(5):
        one.turn()
    assert one.ready == ["10.0.0.0"] and [worker.address for worker in one.made] == ["10.0.0.0", "", ""]
    one.wish(2)
    one.until(lambda: len(one.made) == 2)
    engine.let_go.set()
    one.until(lambda: len(one.ready) == 2)
    assert one.ready == ["10.0.0.0", "10.0.0.1"]
    assert not [
        event
        for event in read_events(one.run.events)
        if getattr(event, "pod", "") == "pod-2" and event.kind == "container-created"
    ]


def test_a_pod_that_is_starting_is_ended_when_it_has_started(begin: Begin) -> None:
    """What it was given to do is done first; then its containers are asked to end like any other's."""
    engine = Held()
    one = begin(engine)
    one.wish(2)
    one.until(engine.begun.is_set)
    threading.Timer(0.2, engine.let_go.set).start()
    one.wish(1)
    one.until(lambda: len(one.made) == 1)
    exited = [event for event in read_events(one.run.events) if isinstance(event, ContainerExited)]
    assert {event.container for event in exited if event.pod == "pod-1"} >= {"queue-proxy", "app"}


def test_an_engine_that_goes_away_while_a_pod_starts_is_noticed(begin: Begin) -> None:
    """By the loop, as ever; the pod can then be ended all the same."""
    engine = Held()
    one = begin(engine)
    one.wish(2)
    one.until(lambda: len(one.made) == 2)
    engine.gone = EngineGone("it went away")
    engine.let_go.set()
    with pytest.raises(EngineGone):
        one.until(lambda: len(one.ready) == 2)
    one.node.settle(list(one.made)[1])
