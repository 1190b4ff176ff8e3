"""The kubelet's part, with an engine that is a list: what is probed, killed, restarted, logged and thawed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from cgroups import freeze
from cgroups.errors import DeadlineMissed
from cgroups.group import Cgroup
from emu.kubelet.node import Node
from emu.kubelet.template import ContainerTemplate, PodProbe, PodTemplate
from emu.kubelet.worker import PodWorker
from emu.policy.lifecycle import BackOffRule
from emu.policy.probing import ProbeRule
from emu.record.events import (
    ContainerExited,
    ContainerReady,
    ContainerStopping,
    DockerEvent,
    Event,
    EventLog,
    KubeletEvent,
    Note,
    PodStatus,
    read_events,
)
from emu.record.rundir import RunDir
from emu.runtime.docker import EngineGone, Executed
from emu.scenario.reading import read_scenario
from emu.serving.template import pod_template
from emu.spec import ExecSpec
from tests.fakes import FakeEngine, FakePodCgroup, fake_pod

DEADLINE_S = 120.0
EXEC = "exec: {command: [check]}"


class LivePodCgroup(FakePodCgroup):
    """Each container's cgroup has processes, unless a test says otherwise."""

    def container_path(self, container_id: str) -> Path:
        """A folder with what the kernel says of a cgroup that lives."""
        path = super().container_path(container_id)
        if not path.is_dir():
            path.mkdir()
            (path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
        return path


class Going:
    """A supervised pod of one sidecar, `agent`, beside an app and a queue-proxy that nobody can connect to."""

    def __init__(self, folder: Path, agent: str, pod: str, engine: FakeEngine, *, hold_frozen: bool) -> None:
        text = f"name: it\nquestion: What?\npod: {{{pod}sidecars: [{{name: agent, {agent}}}]}}\n"
        self.engine = engine
        self.run = RunDir(folder / "run")
        self.run.create()
        self.log = EventLog(self.run.events)
        self.cgroup = LivePodCgroup(folder)
        template = pod_template(read_scenario(text, "it").pod)
        self.pod = fake_pod(template, engine, self.cgroup, self.log)
        self.pod.address = "127.0.0.1"
        self.node = Node(engine, self.log, self.run, "it")
        self.worker = self.node.admit(self.pod, hold_frozen=hold_frozen)

    def turn_until(self, condition: Callable[[], bool]) -> None:
        """Let it work until something is so."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, [event.to_line() for event in read_events(self.run.events)]
            self.node.turn(0.01)

    def turn_for(self, seconds: float) -> None:
        """Let it work for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.node.turn(0.01)

    def events(self, kind: type[Event], container: str = "agent") -> list[Event]:
        """What is on record."""
        found = [event for event in read_events(self.run.events) if isinstance(event, kind)]
        return [event for event in found if getattr(event, "container", container) == container]

    def messages(self, reason: str) -> list[str]:
        """The messages of the agent's events of one reason."""
        found = (event for event in self.events(KubeletEvent) if isinstance(event, KubeletEvent))
        return [event.message for event in found if event.reason == reason]

    def freeze(self, name: str) -> Path:
        """Make its cgroup's files say that it is frozen, until it is unpaused."""
        path = self.cgroup.container_path(name)
        path.mkdir(exist_ok=True)
        (path / "cgroup.freeze").write_text("1\n")
        (path / "cgroup.events").write_text("populated 1\nfrozen 1\n")
        self.engine.unpaused = lambda _: _write(path / "cgroup.events", "populated 1\nfrozen 0\n")
        return path


def _write(path: Path, text: str) -> None:
    path.write_text(text)


Start = Callable[..., Going]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a pod; ended with the test."""
    going: list[Going] = []

    def begin(agent: str, pod: str = "", engine: FakeEngine | None = None, *, hold_frozen: bool = True) -> Going:
        one = Going(tmp_path, agent, pod, engine or FakeEngine(), hold_frozen=hold_frozen)
        going.append(one)
        one.node.__enter__()
        one.worker.start()
        return one

    yield begin
    for one in going:
        one.node.stop()
        one.node.__exit__(None, None, None)
        one.log.close()


def failing(_: Sequence[str]) -> Executed:
    """A check that fails."""
    return Executed(1, "not well")


def test_a_failing_liveness_probe_ends_and_restarts(start: Start) -> None:
    """Unhealthy as often as the threshold, Killing, an end that is on record with its cause, and a new instance."""
    engine = FakeEngine()
    engine.executed = failing
    going = start(f"livenessProbe: {{{EXEC}, failureThreshold: 2, periodSeconds: 1}}", engine=engine)
    going.turn_until(lambda: engine.running.get("it.pod.agent.1", False))
    assert going.messages("Unhealthy")[:2] == ["Liveness probe failed: not well"] * 2
    assert going.messages("Killing") == ["Container agent failed liveness probe, will be restarted"]
    exited = going.events(ContainerExited)[0]
    assert isinstance(exited, ContainerExited)
    assert (exited.killed_for, exited.asked) == ("liveness", False)


def test_a_container_without_a_process_is_not_killed_for_its_probe(start: Start) -> None:
    """It died of something else, of which a busy engine reports seconds later: that is the cause on record."""
    engine = FakeEngine()
    asked: list[str] = []

    def dead(command: Sequence[str]) -> Executed:
        asked.append("?")
        _write(going.cgroup.container_path("it.pod.agent.0") / "cgroup.events", "populated 0\nfrozen 0\n")
        return failing(command)

    engine.executed = dead
    going = start(f"livenessProbe: {{{EXEC}, failureThreshold: 1, periodSeconds: 1}}", engine=engine)
    going.turn_until(lambda: len(asked) >= 2)
    assert going.messages("Unhealthy") == going.messages("Killing") == []
    engine.end("it.pod.agent.0", 137)
    going.turn_until(lambda: bool(going.events(ContainerExited)))
    exited = going.events(ContainerExited)[0]
    assert isinstance(exited, ContainerExited)
    assert (exited.exit_code, exited.killed_for) == (137, None)


def test_the_probes_grace_period_goes_before_the_pods(start: Start) -> None:
    """terminationGracePeriodSeconds of the probe; its own is what the engine gets."""
    engine = FakeEngine()
    engine.executed = failing
    probe = f"livenessProbe: {{{EXEC}, failureThreshold: 1, terminationGracePeriodSeconds: 7}}"
    going = start(probe, "terminationGracePeriodSeconds: 90, ", engine)
    going.turn_until(lambda: bool(going.events(ContainerExited)))
    assert ("stop 7", "it.pod.agent.0") in engine.calls


def test_never_means_never(start: Start) -> None:
    """With restartPolicy Never a probe still kills, and the event promises nothing."""
    engine = FakeEngine()
    engine.executed = failing
    going = start(f"startupProbe: {{{EXEC}, failureThreshold: 1}}", "restartPolicy: Never, ", engine)
    going.turn_until(lambda: bool(going.events(ContainerExited)))
    going.turn_for(0.2)
    assert going.messages("Killing") == ["Container agent failed startup probe"]
    assert "it.pod.agent.1" not in engine.running


def test_readiness_comes_and_goes_and_kills_nothing(start: Start) -> None:
    """READY follows the probe, both ways."""
    engine = FakeEngine()
    answers = iter([1, 0, 0, 1])
    engine.executed = lambda _: Executed(next(answers, 1), "")
    going = start(f"readinessProbe: {{{EXEC}, failureThreshold: 1, periodSeconds: 1}}", engine=engine)
    going.turn_until(lambda: len(going.events(ContainerReady)) >= 2)
    assert [getattr(event, "ready", None) for event in going.events(ContainerReady)] == [True, False]
    assert going.events(ContainerStopping) == []
    views = [event.ready for event in read_events(going.run.events) if isinstance(event, PodStatus)]
    assert {"0/3", "1/3"} <= set(views)


def test_what_is_frozen_is_not_asked(start: Start) -> None:
    """However long: no probe, no event, no kill."""
    engine = FakeEngine()
    engine.executed = failing
    going = start(
        f"livenessProbe: {{{EXEC}, failureThreshold: 1, periodSeconds: 1, initialDelaySeconds: 1}}", engine=engine
    )
    going.freeze("it.pod.agent.0")
    going.turn_for(2.5)
    assert (going.messages("Unhealthy"), going.messages("Killing")) == ([], [])
    assert ("execute", "it.pod.agent.0") not in engine.calls


def test_an_answer_from_a_container_that_froze_meanwhile_counts_for_nothing(start: Start) -> None:
    """It was asked while it ran, and froze before it could answer."""
    engine = FakeEngine()
    going: list[Going] = []

    def freezes(_: Sequence[str]) -> Executed:
        going[0].freeze("it.pod.agent.0")
        return Executed(None, "")

    engine.executed = freezes
    going.append(start(f"livenessProbe: {{{EXEC}, failureThreshold: 1, initialDelaySeconds: 1}}", engine=engine))
    going[0].turn_until(lambda: ("execute", "it.pod.agent.0") in engine.calls)
    going[0].turn_for(0.3)
    assert (going[0].messages("Unhealthy"), going[0].messages("Killing")) == ([], [])


def test_without_the_hold_a_frozen_container_is_killed(start: Start) -> None:
    """For those who study what a freezer does to probes that do not know of it."""
    engine = FakeEngine()
    engine.executed = lambda _: Executed(None, "")
    going = start(
        f"livenessProbe: {{{EXEC}, failureThreshold: 1, initialDelaySeconds: 1}}", engine=engine, hold_frozen=False
    )
    path = going.freeze("it.pod.agent.0")
    going.turn_until(lambda: bool(going.messages("Killing")))
    going.turn_until(lambda: bool(going.events(ContainerExited)))
    assert (path / "cgroup.freeze").read_text().strip() == "0"


def test_nobody_waits_for_the_readiness_of_what_stands_still(start: Start) -> None:
    """The others are waited for."""
    going = start("readinessProbe: {tcpSocket: {port: 9}}")
    assert going.worker.coming
    for name in ("it.pod.queue-proxy.0", "it.pod.app.0"):
        going.freeze(name)
    assert going.worker.coming
    going.freeze("it.pod.agent.0")
    assert not going.worker.coming


def test_a_frozen_container_is_thawed_before_its_end(start: Start) -> None:
    """Docker's pause and the kernel's own file are undone first; then its hook, then SIGTERM."""
    engine = FakeEngine()
    going = start("lifecycle: {preStop: {exec: {command: [bye]}}}", engine=engine)
    path = going.freeze("it.pod.agent.0")
    going.worker.begin_stop(hooks=True)
    going.turn_until(lambda: bool(going.events(ContainerExited)))
    assert (path / "cgroup.freeze").read_text().strip() == "0"
    mine = [what for what, ident in engine.calls if ident == "it.pod.agent.0"]
    assert [what.split()[0] for what in mine] == ["unpause", "execute", "stop"]


def test_what_cannot_be_thawed_is_ended_all_the_same(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL reaches a frozen process too; that it was not thawed is on record."""

    def stuck(_: Cgroup) -> float:
        raise DeadlineMissed("it did not thaw", "its ancestor is frozen", "thaw that")

    monkeypatch.setattr(freeze, "thaw", stuck)
    going = start("livenessProbe: {tcpSocket: {port: 9}}")
    going.freeze("it.pod.agent.0")
    going.worker.begin_stop(hooks=True)
    going.turn_until(lambda: bool(going.events(ContainerExited)))
    notes = [event.what for event in read_events(going.run.events) if isinstance(event, Note)]
    assert "agent could not be thawed before its stop" in notes


def test_a_pod_that_is_to_end_is_terminating(start: Start) -> None:
    """Killing for each container, Terminating in the pod's line, and nothing is restarted."""
    going = start("lifecycle: {preStop: {exec: {command: [bye]}}}")
    going.turn_for(0.05)
    going.worker.begin_stop(hooks=True)
    going.turn_until(lambda: len(going.engine.running) == 0)
    going.turn_for(0.1)
    assert going.messages("Killing") == ["Stopping container agent"]
    assert "Terminating" in [event.status for event in read_events(going.run.events) if isinstance(event, PodStatus)]
    assert "it.pod.agent.1" not in going.engine.exit_codes


def test_the_end_of_the_run_has_no_hooks_and_no_events(start: Start) -> None:
    """What was asked has been answered, so nobody waits for the pod: SIGTERM, and SIGKILL at once."""
    going = start("lifecycle: {preStop: {exec: {command: [bye]}}}")
    going.node.stop()
    assert ("execute", "it.pod.agent.0") not in going.engine.calls
    assert ("stop 0", "it.pod.agent.0") in going.engine.calls
    assert going.messages("Killing") == []


def test_hooks_begin_when_those_without_one_have_their_sigterm(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is slow to signal queue-proxy: the agent's hook waits for that, not for queue-proxy's end."""
    going = start("lifecycle: {preStop: {exec: {command: [bye]}}}")
    ends, stop = threading.Event(), going.engine.stop

    def slow(container_id: str, grace_s: int) -> None:
        if container_id == "it.pod.queue-proxy.0":
            ends.wait(DEADLINE_S)
        stop(container_id, grace_s)

    monkeypatch.setattr(going.engine, "stop", slow)
    going.worker.begin_stop(hooks=True)
    going.turn_for(0.2)
    assert ("execute", "it.pod.agent.0") not in going.engine.calls
    going.engine.emit("kill", "it.pod.queue-proxy.0")
    going.turn_until(lambda: "it.pod.agent.0" not in going.engine.running)
    assert ("execute", "it.pod.agent.0") in going.engine.calls
    assert "it.pod.queue-proxy.0" in going.engine.running
    ends.set()


def test_a_hook_that_fails_is_reported_and_holds_nothing_up(start: Start) -> None:
    """FailedPreStopHook, then SIGTERM all the same."""
    engine = FakeEngine()
    engine.executed = failing
    going = start("lifecycle: {preStop: {exec: {command: [bye]}}}", engine=engine)
    going.worker.begin_stop(hooks=True)
    going.turn_until(lambda: bool(going.messages("FailedPreStopHook")) and "it.pod.agent.0" not in engine.running)
    assert "exit code 1: not well" in going.messages("FailedPreStopHook")[0]


def test_an_interrupt_waits_for_no_grace_period(start: Start) -> None:
    """A hook that sleeps ends at once, and what had five minutes to end is stopped again, with two seconds."""
    going = start("lifecycle: {preStop: {sleep: {seconds: 300}}}")
    going.worker.begin_stop(hooks=True)
    going.turn_for(0.05)
    assert "it.pod.agent.0" in going.engine.running
    going.worker.hurry()
    going.turn_until(lambda: "it.pod.agent.0" not in going.engine.running)
    assert ("stop 2", "it.pod.agent.0") in going.engine.calls


def test_an_engine_whose_events_end_is_gone(start: Start) -> None:
    """Without them nothing is known of the containers: the next turn says so, and the end does not wait for them."""
    going = start("image: emu/app")
    going.engine.close()
    with pytest.raises(EngineGone, match="went away"):
        going.turn_for(DEADLINE_S)
    going.node.stop()
    assert not [call for call, _ in going.engine.calls if call.startswith("stop")]


def test_a_pod_before_this_one_may_still_be_reported(start: Start) -> None:
    """Its pause container was removed just before, which says nothing of the engine."""
    going = start("image: emu/app")
    before, now = going.pod.open(), going.pod.open(attempt=1)
    going.engine.emit("kill", before.id)
    going.turn_until(lambda: bool(going.events(DockerEvent)))
    going.engine.emit("kill", now.id)
    with pytest.raises(EngineGone):
        going.turn_for(DEADLINE_S)


def test_an_engine_that_ends_the_pause_container_is_going(start: Start) -> None:
    """It ends all containers then: none of them is restarted for it."""
    going = start("image: emu/app")
    sandbox = going.pod.open()
    going.engine.emit("kill", sandbox.id)
    going.engine.end("it.pod.agent.0", 143)
    with pytest.raises(EngineGone, match="went away"):
        going.turn_for(DEADLINE_S)
    assert "it.pod.agent.1" not in going.engine.running


class Neighbours:
    """Two pods of one plain container each under one node; `job` is in both."""

    def __init__(self, folder: Path, engine: FakeEngine) -> None:
        self.run = RunDir(folder / "run")
        self.run.create()
        self.log = EventLog(self.run.events)
        self.engine = engine
        self.node = Node(engine, self.log, self.run, "run")
        self.exits: list[tuple[str, str]] = []
        self.workers = {name: self._admit(folder / name, name) for name in ("one", "two")}

    def _admit(self, folder: Path, name: str) -> PodWorker:
        folder.mkdir()
        probe = PodProbe(ExecSpec(command=("check",)), ProbeRule(period_s=1, failure_threshold=1), 1.0)
        job = ContainerTemplate(name="job", image="batch:1", probes={"readiness": probe})
        template = PodTemplate(containers=(job,), back_off=BackOffRule(0.0, 0.0))
        pod = fake_pod(template, self.engine, LivePodCgroup(folder), self.log, name)
        return self.node.admit(pod, on_exit=lambda instance, _: self.exits.append((instance.pod, instance.container)))

    def turn_until(self, condition: Callable[[], bool]) -> None:
        """Let the node work until something is so."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, [event.to_line() for event in read_events(self.run.events)]
            self.node.turn(0.01)


@pytest.fixture
def neighbours(tmp_path: Path) -> Iterator[Callable[[FakeEngine], Neighbours]]:
    """Start two pods; their node is left with the test."""
    made: list[Neighbours] = []

    def begin(engine: FakeEngine) -> Neighbours:
        both = Neighbours(tmp_path, engine)
        made.append(both)
        both.node.__enter__()
        for worker in both.workers.values():
            worker.start()
        return both

    yield begin
    for both in made:
        both.node.__exit__(None, None, None)
        both.log.close()


def test_what_happens_to_a_pod_is_its_own(neighbours: Callable[[FakeEngine], Neighbours]) -> None:
    """Two pods with a container of one name: each has its own answers, ends and restarts."""
    both = neighbours(FakeEngine())
    one, two = both.workers["one"], both.workers["two"]
    both.turn_until(lambda: one.states["job"].ready and two.states["job"].ready)
    both.engine.end("it.one.job.0", 1)
    both.turn_until(lambda: one.states["job"].restarts == 1 and one.states["job"].ready)
    assert both.exits == [("one", "job")]
    assert (two.states["job"].restarts, two.view.ready) == (0, "1/1")
    assert both.engine.running["it.two.job.0"]
    both.node.dismiss(two)
    both.engine.end("it.two.job.0", 1)
    both.turn_until(lambda: any(event.id == "it.two.job.0" for event in read_docker(both.run)))
    assert both.exits == [("one", "job")]
    both.node.stop()


def read_docker(run: RunDir) -> list[DockerEvent]:
    """The engine's events on record."""
    return [event for event in read_events(run.events) if isinstance(event, DockerEvent)]


def test_all_pods_are_stopped_at_once(neighbours: Callable[[FakeEngine], Neighbours]) -> None:
    """No pod waits for the end of another: here each ends only once all have been asked to."""

    class Together(FakeEngine):
        def __init__(self) -> None:
            super().__init__()
            self.all_asked = threading.Barrier(2)

        def stop(self, container_id: str, grace_s: int) -> None:
            self.all_asked.wait(DEADLINE_S)
            super().stop(container_id, grace_s)

    both = neighbours(Together())
    both.node.stop()
    assert all(worker.over for worker in both.workers.values())
    assert {name for what, name in both.engine.calls if what.startswith("stop")} == {"it.one.job.0", "it.two.job.0"}


def test_a_wait_ends_when_somebody_has_news(neighbours: Callable[[FakeEngine], Neighbours]) -> None:
    """`wake`, from any thread, before or during the wait."""
    both = neighbours(FakeEngine())
    for worker in list(both.workers.values()):
        both.node.dismiss(worker)
    both.node.wake()
    both.node.turn(10 * DEADLINE_S)
    threading.Timer(0.05, both.node.wake).start()
    both.node.turn(10 * DEADLINE_S)
