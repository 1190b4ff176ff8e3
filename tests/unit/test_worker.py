"""One pod's worker, driven by facts alone: nobody waits, and no thread brings them."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.kubelet import prober
from emu.kubelet.facts import EngineLost, Fact, HookFailed, ProbeAnswered
from emu.kubelet.prober import Answer
from emu.kubelet.template import ContainerTemplate, PodProbe, PodTemplate
from emu.kubelet.worker import PodWorker
from emu.policy.kubelet.environment import KeyRef
from emu.policy.lifecycle import BackOffRule
from emu.policy.probing import ProbeRule
from emu.record.events import ContainerExited, ContainerStopping, EventLog, KubeletEvent, read_events
from emu.runtime.api import EngineGone, RuntimeEvent
from emu.serving.readiness import is_pod_ready
from emu.spec import ExecSpec, HttpGetSpec, TcpSocketSpec
from tests.fakes import FakeEngine, FakePodCgroup, fake_pod

LIVENESS = PodProbe(ExecSpec(command=("check",)), ProbeRule(initial_delay_s=3600, failure_threshold=1), 1.0)


class Working:
    """A worker of a pod of two plain containers, one of which has a liveness probe that is not due."""

    def __init__(self, folder: Path, pre_stop: HttpGetSpec | None = None) -> None:
        self.engine = FakeEngine()
        self.events = folder / "events.jsonl"
        self.log = EventLog(self.events)
        self.facts: list[Fact] = []
        self.exits: list[str] = []
        job = ContainerTemplate(name="job", image="batch:1", probes={"liveness": LIVENESS})
        probes = {"liveness": LIVENESS}  # of the one with a hook, too
        other = ContainerTemplate(name="other", image="batch:1", pre_stop=pre_stop, probes=probes if pre_stop else {})
        template = PodTemplate(containers=(job, other), back_off=BackOffRule(0.0, 0.0))
        pod = fake_pod(template, self.engine, FakePodCgroup(folder), self.log)
        self.worker = PodWorker(
            pod, self.engine, self.log, self.facts.append,
            on_start=lambda _: None, on_exit=lambda one, _: self.exits.append(one.container), on_event=lambda _: None,
            hold_frozen=True,
        )  # fmt: skip
        self.worker.start()

    def ends(self, container: str, attempt: int, exit_code: int = 1) -> None:
        """The engine says that an instance ended."""
        ident = f"it.pod.{container}.{attempt}"
        self.engine.end(ident, exit_code)
        self.worker.take(RuntimeEvent("die", ident, {}, 0))

    def recorded(self, reason: str) -> list[str]:
        """The messages of the kubelet's events of one reason."""
        every = (event for event in read_events(self.events) if isinstance(event, KubeletEvent))
        return [event.message for event in every if event.reason == reason]


@pytest.fixture
def working(tmp_path: Path) -> Iterator[Working]:
    """Its containers have been started."""
    made = Working(tmp_path)
    yield made
    made.log.close()


def test_an_end_is_acted_on_when_it_is_due(working: Working) -> None:
    """A fact changes the state at once; the next instance comes with `act`, its number one more."""
    working.ends("job", 0)
    assert working.worker.states["job"].phase == "back-off"
    assert (working.exits, working.worker.view.ready) == (["job"], "1/2")
    working.worker.act()
    assert working.worker.instances["job"].id == "it.pod.job.1"
    assert working.engine.running == {"it.pod.sandbox.0": True, "it.pod.other.0": True, "it.pod.job.1": True}


def test_a_container_without_its_secret_is_not_made(tmp_path: Path) -> None:
    """It waits for good, with the kubelet's reason and event; the others run."""
    log, engine = EventLog(tmp_path / "events.jsonl"), FakeEngine()
    needs = ContainerTemplate(name="needs", image="batch:1", env={"KEY": KeyRef("Secret", "db", "key")})
    template = PodTemplate(containers=(needs, ContainerTemplate(name="other", image="batch:1")))
    worker = PodWorker(
        fake_pod(template, engine, FakePodCgroup(tmp_path), log), engine, log, lambda _: None,
        on_start=lambda _: None, on_exit=lambda *_: None, on_event=lambda _: None, hold_frozen=True,
    )  # fmt: skip
    worker.start()
    assert engine.running == {"it.pod.sandbox.0": True, "it.pod.other.0": True}
    assert (worker.view.status, worker.view.restarts) == ("CreateContainerConfigError", 0)
    assert worker.states["needs"].phase == "refused" and not worker.coming
    worker.act()
    log.close()
    events = [one for one in read_events(tmp_path / "events.jsonl") if isinstance(one, KubeletEvent)]
    said = [(one.reason, one.message) for one in events if one.container == "needs"]
    assert said == [
        ("Pulled", 'Container image "batch:1" already present on machine'),
        ("Failed", 'Error: secret "db" not found'),
    ]


class _Unstartable(FakeEngine):
    """As Docker: what it cannot start has exit code 127."""

    def start(self, container_id: str) -> None:
        if "tool" in container_id:
            self.exit_codes[container_id] = 127
            raise EmuError("tool was not started", "no such program", "")
        super().start(container_id)


def test_a_container_that_could_not_be_started_ends_as_with_containerd(tmp_path: Path) -> None:
    """StartError and exit code 128, and it is tried again."""
    log, engine = EventLog(tmp_path / "events.jsonl"), _Unstartable()
    template = PodTemplate(containers=(ContainerTemplate(name="tool", image="batch:1"),))
    worker = PodWorker(
        fake_pod(template, engine, FakePodCgroup(tmp_path), log), engine, log, lambda _: None,
        on_start=lambda _: None, on_exit=lambda *_: None, on_event=lambda _: None, hold_frozen=True,
    )  # fmt: skip
    worker.start()
    log.close()
    tool = worker.states["tool"]
    assert (tool.phase, tool.last_reason, tool.last_exit_code) == ("back-off", "StartError", 128)
    exits = [one.exit_code for one in read_events(tmp_path / "events.jsonl") if isinstance(one, ContainerExited)]
    assert exits == [128]


def test_an_answer_about_an_instance_that_is_gone_counts_for_nothing(working: Working) -> None:
    """The instance after it is not killed for it; for its own it is."""
    old = working.worker.instances["job"]
    working.ends("job", 0)
    working.worker.act()
    failed = Answer("failure", "not well")
    working.worker.take(ProbeAnswered(old, "liveness", LIVENESS, failed))
    assert working.recorded("Unhealthy") == working.recorded("Killing") == []
    working.worker.take(ProbeAnswered(working.worker.instances["job"], "liveness", LIVENESS, failed))
    assert working.recorded("Unhealthy") == ["Liveness probe failed: not well"]
    assert working.recorded("Killing") == ["Container job failed liveness probe, will be restarted"]
    working.worker.join()
    assert ("stop 30", "it.pod.job.1") in working.engine.calls


@pytest.mark.parametrize("run_is_over", [False, True])
def test_a_hook_that_the_end_of_the_run_cuts_off_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_is_over: bool
) -> None:
    """A hook that fails is a fact, unless nobody waits for hooks any more: then what it asked was killed under it."""
    working = Working(tmp_path, pre_stop=HttpGetSpec(path="/wait-for-drain"))

    def cut_off(*given: object) -> None:
        if run_is_over:
            working.worker.hurry()
        raise EmuError("PreStopHook failed", "EOF", "")

    monkeypatch.setattr(prober, "run_hook", cut_off)
    working.worker.begin_stop(hooks=True)
    working.worker.take(RuntimeEvent("kill", "it.pod.job.0", {}, 0))  # what hooks wait for
    working.worker.join()
    working.log.close()
    failed = [fact.container for fact in working.facts if isinstance(fact, HookFailed)]
    assert failed == ([] if run_is_over else ["other"])


def test_a_hook_before_a_restart_that_the_end_of_the_run_cuts_off_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was under way for a failed probe when the run ended the pod, and with it what the hook asked."""
    working = Working(tmp_path, pre_stop=HttpGetSpec(path="/wait-for-drain"))

    def cut_off(*given: object) -> None:
        working.worker.begin_stop(hooks=False)
        raise EmuError("PreStopHook failed", "EOF", "")

    monkeypatch.setattr(prober, "run_hook", cut_off)
    old = working.worker.instances["other"]
    working.worker.take(ProbeAnswered(old, "liveness", LIVENESS, Answer("failure", "not well")))
    working.worker.join()
    working.log.close()
    assert [fact for fact in working.facts if isinstance(fact, HookFailed)] == []
    assert [one.why for one in read_events(tmp_path / "events.jsonl") if isinstance(one, ContainerStopping)][
        -1
    ] == "run"


def test_a_pod_that_ends_starts_nothing(working: Working) -> None:
    """Whatever was due: what ended stays ended, and a failed hook is on record."""
    working.worker.begin_stop(hooks=True)
    working.worker.take(HookFailed("job", "PreStopHook failed: it did"))
    for name in ("job", "other"):
        working.ends(name, 0, 0)
    working.worker.act()
    working.worker.join()
    assert working.worker.over and not working.worker.runs
    assert working.recorded("FailedPreStopHook") == ["PreStopHook failed: it did"]
    assert (len(working.engine.made), working.exits) == (3, [])


def test_an_evicted_pod_has_failed_and_stays_so(working: Working) -> None:
    """Its containers end within the eviction's grace and are not started again; kubectl shows how they ended, and
    before that the reason.
    """
    working.worker.evict("The node was low on resource: memory. ", 1)
    assert working.worker.evicted and working.worker.runs
    assert working.worker.view.status == "Evicted"
    working.worker.evict("again", 1)
    assert working.recorded("Evicted") == ["The node was low on resource: memory. "]
    working.worker.join()
    assert ("stop 2", "it.pod.job.0") in working.engine.calls
    for name in ("job", "other"):
        working.ends(name, 0, 0)
    working.worker.act()
    assert (working.worker.view.status, working.worker.view.restarts) == ("Completed", 0)
    assert (len(working.engine.made), working.exits) == (3, ["job", "other"])


def test_a_lost_engine_is_raised(working: Working) -> None:
    """It is nothing that a worker could act on; so is a pause container that is being stopped."""
    with pytest.raises(EngineGone):
        working.worker.take(EngineLost(EngineGone("it died")))
    with pytest.raises(EngineGone):
        working.worker.take(RuntimeEvent("kill", "it.pod.sandbox.0", {}, 0))


def test_a_container_without_probes_is_ready_once_it_has_been_started(tmp_path: Path) -> None:
    """And not while the runtime starts it: a client's request would be refused then."""
    seen: list[bool] = []

    class Slow(FakeEngine):
        """Meanwhile others look at the pod."""

        def start(self, container_id: str) -> None:
            if worker is not None:
                seen.append(is_pod_ready(template, worker.states))
            super().start(container_id)

    look = PodProbe(ExecSpec(command=("check",)), ProbeRule(initial_delay_s=3600), 1.0, ours=True)
    only = ContainerTemplate(name="job", image="batch:1", probes={"readiness": look})
    template = PodTemplate(containers=(only,), back_off=BackOffRule(0.0, 0.0))
    engine, worker = Slow(), None
    log = EventLog(tmp_path / "events.jsonl")
    pod = fake_pod(template, engine, FakePodCgroup(tmp_path), log)
    worker = PodWorker(
        pod, engine, log, lambda _: None, on_start=lambda _: None, on_exit=lambda *_: None,
        on_event=lambda _: None, hold_frozen=True,
    )  # fmt: skip
    worker.start()
    assert is_pod_ready(template, worker.states)
    engine.end("it.pod.job.0", 1)
    worker.take(RuntimeEvent("die", "it.pod.job.0", {}, 0))
    worker.act()
    assert is_pod_ready(template, worker.states)
    log.close()
    assert seen and not any(seen)


def test_a_pod_that_prints_something_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be ready now, also where the next look is far, and so may a container that asks the one that printed;
    once all are, nobody wants to know what they print.
    """
    clock = [100.0]
    outcomes = iter((Answer("failure"), Answer("success")))
    monkeypatch.setattr("emu.kubelet.probes.now", lambda: clock[0])
    monkeypatch.setattr(prober, "ask", lambda *_: next(outcomes))
    facts: queue.Queue[Fact] = queue.Queue()
    log, engine = EventLog(tmp_path / "events.jsonl"), FakeEngine()
    listens = PodProbe(TcpSocketSpec(), ProbeRule(eager_s=0.1), 1.0, ours=True)
    app = ContainerTemplate(name="app", image="batch:1")
    proxy = ContainerTemplate(name="proxy", image="batch:1", probes={"readiness": listens})
    worker = PodWorker(
        fake_pod(PodTemplate(containers=(proxy, app)), engine, FakePodCgroup(tmp_path), log), engine, log, facts.put,
        on_start=lambda _: None, on_exit=lambda *_: None, on_event=lambda _: None, hold_frozen=True,
    )  # fmt: skip
    worker.start()
    clock[0] = 108.0
    worker.act()
    worker.take(facts.get(timeout=120))
    assert worker.due_at() == pytest.approx(108.8)
    clock[0] = 108.3
    for _ in range(1000):
        worker.heard(worker.instances["app"])
    worker.take(facts.get(timeout=120))
    assert worker.due_at() == pytest.approx(108.3) and facts.empty()
    worker.act()
    worker.take(facts.get(timeout=120))
    worker.heard(worker.instances["app"])
    assert worker.states["proxy"].ready and facts.empty()
    log.close()
