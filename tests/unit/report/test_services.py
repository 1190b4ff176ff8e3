"""What a service's autoscaler decided, and what became of its pods: read, counted, worded and drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from emu.cli.why import why
from emu.errors import EmuError
from emu.messages import SANDBOX
from emu.policy.printing import PENDING, TERMINATING
from emu.record.events import (
    SCALE_DOWN,
    Event,
    EventLog,
    MetricRead,
    PodLoad,
    RequestsHeld,
    RequestsWaited,
    RunBegan,
    ScaleDecided,
    TrafficSplit,
)
from emu.record.rundir import RunDir
from emu.report.page.canvas import Canvas
from emu.report.pods_at import HEADS, rows_at
from emu.report.summary import summarize
from emu.report.topics.pods import PODS
from emu.report.topics.preemptions import PREEMPTIONS
from emu.report.topics.rollouts import rollout_log, rollout_words
from emu.report.topics.services import SERVICES
from emu.report.topics.topic import Drawing, Listing, View
from emu.report.why import as_data, decision_at, decision_lines, lines_at, preemption_lines, rollout_lines
from emu.report.words import in_columns
from emu.study.model.instances import Instance, PodEvent, Stop
from emu.study.model.requests import PhaseSpan, Request
from emu.study.model.services import Service
from emu.study.model.study import Happening, Study
from emu.study.pods import pending
from emu.study.services import _life, rollouts, services

ONE, OTHER = "app-00001-deployment-abc-aaaaa", "app-00001-deployment-abc-bbbbb"
BEGAN = 100.0


def decided(t: float, before: int, pods: int, *, panicking: bool = False, mode: str = "Proxy") -> ScaleDecided:
    """A decision for a concurrency of 4 against a target of 2."""
    return ScaleDecided(
        t=BEGAN + t, revision="app-00001", before=before, pods=pods, ready=1, mode=mode, active="active",
        activators=2, why=f"wanted {pods} = ceil(4 / 2)", metric="concurrency", stable=4.0, panic=5.0, target=2.0,
        stable_pods=2.0, panic_pods=3.0, least=0.0, most=1000.0, panicking=panicking,
        panic_until=BEGAN + t + 6.0 if panicking else None, desired=pods, excess_burst_capacity=-1,
    )  # fmt: skip


EVENTS: list[Event] = [
    ScaleDecided(t=BEGAN, revision="app-00001", before=1, pods=1, active="activating", why="initial scale"),
    decided(2.0, 1, 2, panicking=True),
    decided(4.0, 2, 2, mode="Serve"),
    decided(6.0, 2, 1),
    RequestsHeld(t=BEGAN + 1.0, outcome="forwarded", waited_s=[0.5]),
    RequestsWaited(t=BEGAN + 3.0, who="activator", since=BEGAN + 2.5, at=[100_000], waited=[200_000]),
    RequestsWaited(t=BEGAN + 3.0, who="queue-proxy", since=BEGAN + 2.5, at=[100_000], waited=[200_000]),
    PodLoad(t=BEGAN + 3.0, pod=ONE, most=3),
    PodLoad(t=BEGAN + 4.0, pod=OTHER, most=4),
]


def life(pod: str, made: float, stop: Stop | None = None, exited: float | None = None) -> list[Instance]:
    """Its one container, which is created, and may be stopped."""
    return [
        Instance("app", 0, pod=pod, created_s=made, started_s=made + 0.2, stop=stop, exited_s=exited,
                 asked=exited is not None)
    ]  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """The first pod stays; the second is made at 2 s, ready at 3 s, to end from 6 s on and gone at 7 s."""
    made = Study(RunDir(tmp_path), origin=BEGAN, duration_s=10.0)
    made.instances = [
        *life(ONE, 0.0),
        *life(OTHER, 2.0, Stop(asked_s=6.0, why=SCALE_DOWN, grace_s=30.0), exited=7.0),
    ]
    for t, pod, ready in ((1.0, ONE, "1/1"), (2.5, OTHER, "0/1"), (3.0, OTHER, "1/1"), (6.5, OTHER, "0/1")):
        made.pod_statuses.append(Happening(t, "pod-status", "pod", "Running", {"ready": ready, "restarts": 0}, pod))
    made.requests = [
        Request(number, "it", t, t, t + 1, t + 1, 200, None, pod=ONE, reached="pod")
        for number, t in enumerate((4.1, 4.2, 5.9))
    ]
    made.services = services(made, EVENTS)
    made.phases = [PhaseSpan("quiet", 0.0, 0.5, 0.5), PhaseSpan("busy", 0.5, 8.0, 10.0)]
    return made


def only(study: Study) -> Service:
    """The one service."""
    (service,) = study.services
    return service


def test_a_pod_is_starting_then_ready_then_terminating(study: Study) -> None:
    """Each moment has every pod in one state; one that is gone in none."""
    service = only(study)
    at = {t: {state: n for state, n in service.states_at(t).items() if n} for t in (0.5, 2.2, 5.0, 6.2, 8.0)}
    assert at == {
        0.5: {"starting": 1},
        2.2: {"starting": 1, "ready": 1},
        5.0: {"ready": 2},
        6.2: {"ready": 1, "terminating": 1},
        8.0: {"ready": 1},
    }


def pend(study: Study, begin_s: float, placed_s: float | None, end_s: float | None) -> None:
    """A third pod has no node at first: it gets one, or is removed without."""
    third = ONE.replace(ONE[-5:], "zzzzz")

    def shows(t: float, status: str) -> None:
        study.pod_statuses.append(Happening(t, "pod-status", "pod", status, {"ready": "0/1", "restarts": 0}, third))

    shows(begin_s, PENDING)
    why = "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 Nothing helps."
    study.pod_events.append(PodEvent("Warning", "FailedScheduling", "", why, begin_s, begin_s, 1, third))
    if placed_s is not None:
        study.instances += life(third, placed_s)
    if end_s is not None:
        shows(end_s, TERMINATING)
    study.services = services(study, EVENTS)


def test_a_pod_without_a_node_is_pending_until_it_has_one(study: Study) -> None:
    """Its time on the node counts from then; READY and STATUS are kubectl's, and its age counts from its making."""
    pend(study, 4.0, 8.0, None)
    assert [only(study).states_at(t)["pending"] for t in (3.9, 4.0, 7.9, 8.1)] == [0, 1, 1, 0]
    assert rows_at(study, 7.0)[-1][1:] == ("0/1", "Pending", "0", "3s")
    figures = SERVICES.figures(study)["services"]["app"]
    assert (figures["pods_pending_max"], figures["pending_s"], figures["pods_started"]) == (1, 4.0, 3)
    assert figures["pod_seconds"] == 15.0 + 2.0


def test_a_record_without_the_schedulers_words_is_reported_without_them(study: Study) -> None:
    """As of a run whose record lost the line."""
    pend(study, 4.0, None, 6.0)
    study.pod_events.clear()
    summary = SERVICES.figures(study)
    assert summary["services"]["app"]["pods_pending_max"] == 1
    assert "no room" not in SERVICES.headline(study, summary)[0]
    assert "Of app, 1 pod at most was Pending, for 2.0 s in all." in SERVICES.sentences(study, summary)


def test_pods_without_a_node_are_listed_as_kubectl_would(study: Study) -> None:
    """At the run's end too, though they have no container and no figures."""
    pend(study, 4.0, None, None)
    assert [name[-5:] for name, _ in pending(study)] == ["zzzzz"]
    parts = PODS.more(View(study, study, summarize(study)))
    listing = next(part for part in parts if isinstance(part, Listing))
    assert [str(cell) for cell in listing.rows[-1][1:]] == ["0/1", "Pending", "0", "", "6s"]


def test_a_pod_that_never_had_a_node_is_gone_when_it_is_removed(study: Study) -> None:
    """It was not started and cost nothing; headline and sentence give the scheduler's words."""
    pend(study, 4.0, None, 6.0)
    assert [only(study).states_at(t)["pending"] for t in (4.0, 5.9, 6.0)] == [1, 1, 0]
    assert len(rows_at(study, 5.0)) == len(rows_at(study, 6.5)) + 1
    summary = SERVICES.figures(study)
    figures = summary["services"]["app"]
    assert (figures["pending_s"], figures["pods_started"], figures["pod_seconds"]) == (2.0, 2, 15.0)
    assert "no room (0/1 nodes are available: 1 Insufficient memory)" in SERVICES.headline(study, summary)[0]
    assert "1 pod at most was Pending, for 2.0 s in all: 0/1 nodes" in SERVICES.sentences(study, summary)[1]
    summary["services"]["app"] |= {"pods_ready_max": 0, "pods_desired_max": 2}
    assert SERVICES.headline(study, summary)[0].startswith("app had none of the 2 pods that the autoscaler wanted")
    summary["services"]["app"] |= {"pods_desired_max": 1}
    assert "1 pod at most was Pending, for 2.0 s in all: 0/1 nodes" in SERVICES.sentences(study, summary)[0]


def test_the_summary_counts_pods_decisions_and_what_they_cost(study: Study) -> None:
    """Names that a scenario may expect; only the activator's waits are a service's, cold ones by themselves."""
    one = {
        "class": "kpa",
        "metric": "concurrency",
        "target": 2.0,
        "unit": None,
        "pods_ready_max": 2,
        "pods_desired_max": 2,
        "pods_final": 1,
        "first_scale_up_s": 2.0,
        "reaction_s": 1.5,
        "pods_started": 2,
        "pods_pending_max": 0,
        "pending_s": 0.0,
        "pending_why": None,
        "panics": 1,
        "cold_requests": 1,
        "requests": 3,
        "direct_requests": 3,
        "max_concurrency_per_pod": 4,
        "pod_seconds": 15.0,
        "idle_pod_seconds": pytest.approx(3.1 + 0.1),
        "memory_requested_gib_seconds": None,
        "memory_gib_seconds": None,
        "memory_used_gib_seconds": None,
        "cold_waits_ms": {
            "n": 1,
            "p50": pytest.approx(500),
            "p90": pytest.approx(500),
            "p99": pytest.approx(500),
            "max": pytest.approx(500),
        },
        "decisions": {"count": 3, "changes": 2},
    }
    assert SERVICES.figures(study)["services"] == {
        "app": {**one, "revisions": {"app-00001": {**one, "requests_sent": None}}, "rollouts": []}
    }


def test_what_is_requested_counts_while_a_pod_is_on_the_node(study: Study) -> None:
    """The first pod for 10 s, the second for 5; not known where one's is not on record."""
    for pod, request in ((ONE, 1 << 30), (OTHER, None)):
        study.instances.append(Instance(SANDBOX, 0, pod=pod, created_s=0.0, pod_memory_request=request))
    assert SERVICES.figures(study)["services"]["app"]["memory_requested_gib_seconds"] is None
    study.instances[-1] = replace(study.instances[-1], created_s=2.0, pod_memory_request=1 << 30)
    assert SERVICES.figures(study)["services"]["app"]["memory_requested_gib_seconds"] == 15.0


def test_requests_wait_in_the_activator_from_when_to_when(study: Study) -> None:
    """As the activator noted it, those of a queue-proxy left out."""
    assert [(round(t, 6), n) for t, n in only(study).waiting] == [(0.5, 1), (1.0, 0), (2.4, 1), (2.6, 0)]


def test_every_decision_has_its_line(study: Study) -> None:
    """In order, with the sentence; the number only once where it did not change."""
    head, *lines = decision_lines(only(study))
    assert head.split() == ["AT", "PODS", "READY", "PANIC", "PATH", "WHY"]
    assert [line.split()[0] for line in lines] == ["0.000", "2.000", "4.000", "6.000"]
    assert "1 to 2" in lines[1] and lines[1].endswith("wanted 2 = ceil(4 / 2)")
    assert "pods" in lines[2] and "activator" in lines[1]


def test_a_panic_lasts_beyond_what_comes_of_pods_alone(study: Study) -> None:
    """A pod that becomes ready changes the path and not the panic: in the lines, and for other programs."""
    ready = ScaleDecided(t=BEGAN + 3.0, revision="app-00001", before=2, pods=2, ready=2, active="active", why="it")
    (service,) = services(study, [*EVENTS[:2], ready, *EVENTS[2:]])
    assert [one["panicking"] for one in as_data(service)] == [False, True, True, False, False]
    assert [one["panicking"] for one in as_data(service, 3.5)] == [True]
    assert ["yes" in line for line in decision_lines(service)] == [False, False, True, True, False, False]


def test_a_moment_has_the_decision_in_force(study: Study) -> None:
    """The last one until then, with what went into it, and the pods that there were."""
    service = only(study)
    assert decision_at(service, 5.9) == service.decisions[2]
    text = "\n".join(lines_at(service, 2.55))
    assert "was to have 2 pods; there were: 1 starting, 1 ready" in text
    assert "decided at 2.000 s" in text and "until 8.000 s" in text and "1 request in the activator" in text
    assert lines_at(service, -1.0) == ["at -1 s nothing had been decided for app yet"]


def test_pods_are_listed_as_kubectl_would_have(study: Study) -> None:
    """Each that was there then, with what it last showed; one that is gone is not listed."""
    assert rows_at(study, 2.2) == [(ONE, "1/1", "Running", "0", "2s"), (OTHER, "-", "Pending", "0", "0s")]
    assert [row[:2] for row in rows_at(study, 6.9)] == [(ONE, "1/1"), (OTHER, "0/1")]
    assert [row[0] for row in rows_at(study, 10.0)] == [ONE]
    assert rows_at(study, -1.0) == []
    assert in_columns([HEADS, *rows_at(study, 10.0)])[0].split() == list(HEADS)


def test_the_picture_has_pods_and_the_metric(study: Study) -> None:
    """A panel of each, with a band for the panic and one for each stretch with the activator in the path."""
    canvas = Canvas(study.duration_s)
    SERVICES.panels(Drawing(canvas, study, study, {}, ()))
    figure = canvas.finish()
    drawn = {trace["name"]: trace["y"] for trace in figure.data}
    assert drawn["wanted"] == [1, 2, 2, 1, 1]
    assert max(drawn["ready"]) == 2 and max(drawn["terminating"]) == 1
    assert drawn["target"] == [2.0, 2.0]
    (cold,) = [trace for trace in figure.data if trace["name"] == "cold request"]
    assert (cold["x"], cold["text"]) == ([0.5], ["1 cold request, waited 500 ms"])
    assert [(one["x0"], one["x1"]) for one in figure.layout["shapes"]] == [(2.0, 4.0), (0.0, 4.0), (6.0, 10.0)]


def test_syncs_of_a_horizontal_pod_autoscaler_have_metric_and_samples(study: Study) -> None:
    """In the lines, in the inputs of one sync, in the picture; times are since the run began."""
    samples = {ONE: (0.2, BEGAN + 4.0, 15.0)}
    study.services = services(
        study,
        [
            ScaleDecided(t=BEGAN, revision="app-00001", before=1, pods=1, why="initial scale", autoscaler="hpa"),
            MetricRead(t=BEGAN + 5.0, revision="app-00001", name="cpu", unit="%", target=80.0, value=160.0,
                       proposed=2, why="2 = ceil(2 * 1 ready)", samples=samples),
            ScaleDecided(t=BEGAN + 5.0, revision="app-00001", before=1, pods=2, ready=1, why="to 2", metric="cpu",
                         unit="%", target=80.0, value=160.0, autoscaler="hpa", able="ReadyForNewScale",
                         proposals=[(BEGAN + 5.0, 2)]),
        ],
    )  # fmt: skip
    service = only(study)
    lines = decision_lines(service)
    assert lines[0].split() == ["AT", "PODS", "READY", "METRIC", "WHY"]
    assert lines[2].split() == ["5.000", "s", "1", "to", "2", "1", "160", "%", "to", "2"]
    text = "\n".join(lines_at(service, 6.0))
    assert f"{ONE}: 200m, taken at 4.000 s, over 15.0 s" in text and "2 at 5.0 s" in text
    canvas = Canvas(study.duration_s)
    SERVICES.panels(Drawing(canvas, study, study, {}, ()))
    drawn = {trace["name"]: trace["y"] for trace in canvas.finish().data}
    assert (drawn["cpu at a sync"], drawn["target"]) == ([160.0], [80.0, 80.0])
    (_, lag) = SERVICES.sentences(study, {"services": SERVICES.figures(study)["services"]})
    assert lag == (
        "It first wanted more pods 4.5 s after phase busy began: its sample of cpu was 1.0 s old and a mean over the "
        "15.0 s before."
    )
    figures = SERVICES.figures(study)["services"]["app"]
    assert (figures["class"], figures["unit"], figures["target"], figures["first_scale_up_s"]) == ("hpa", "%", 80, 5)
    assert figures["decisions"] == {"count": 1, "changes": 1}


def test_one_pod_at_most_has_no_panel_and_no_table(study: Study) -> None:
    """What scale to zero reports of it is enough."""
    study.services = services(study, EVENTS[:1])
    canvas = Canvas(study.duration_s)
    SERVICES.panels(Drawing(canvas, study, study, {}, ()))
    assert (canvas.finish().data, SERVICES.listing(study)) == ([], None)


def test_the_command_lists_them_or_says_why_there_are_none(tmp_path: Path) -> None:
    """From a run directory alone; --json has the event's own names on the run's clock."""
    run = RunDir(tmp_path / "run")
    run.create()
    log = EventLog(run.events)
    log.append(RunBegan(t=BEGAN, run_id="it", scenario="it", where="here", wall_time="", machine={}))
    for event in EVENTS:
        log.append(event)
    log.close()
    assert "app (app-00001): concurrency, 2 in a pod" in said(str(run.path))
    assert "decided at 4.000 s" in said(str(run.path), "--at", "5s")
    lines = said(str(run.path), "--json", "--service", "app").splitlines()
    assert [json.loads(line)["t"] for line in lines] == [0.0, 2.0, 4.0, 6.0]
    with pytest.raises(EmuError, match="no service 'other'"):
        said(str(run.path), "--service", "other")
    with pytest.raises(EmuError, match="--at is no time"):
        said(str(run.path), "--at", "soon")
    empty = RunDir(tmp_path / "empty")
    empty.create()
    empty.events.write_text("")
    with pytest.raises(EmuError, match="no decisions of an autoscaler"):
        said(str(empty.path))


def said(*words: str) -> str:
    """What `emu why` printed."""
    return CliRunner().invoke(why, words, catch_exceptions=False).stdout


def test_a_rollout_is_on_record_from_when_it_was_asked_for(tmp_path: Path) -> None:
    """It names who it waited for; one that did not come about has no end, and traffic at the beginning is none."""
    old, new = [("a-00001", 100, "")], [("a-00002", 100, "")]
    found = rollouts(
        [
            TrafficSplit(t=BEGAN, service="a", traffic=old, reached=True),
            TrafficSplit(t=BEGAN + 1.0, service="a", traffic=new, reached=False, waits_for=["a-00002"]),
            TrafficSplit(t=BEGAN + 2.0, service="b", traffic=new, reached=True),
            TrafficSplit(t=BEGAN + 3.0, service="a", traffic=new, reached=True),
            TrafficSplit(t=BEGAN + 4.0, service="a", traffic=old, reached=False),
        ],
        BEGAN,
    )
    assert [(one.asked_s, one.moved_s, one.waits_for) for one in found] == [(1.0, 3.0, ("a-00002",)), (4.0, None, ())]
    study = Study(RunDir(tmp_path), rollouts=found)
    assert next(iter(SERVICES.sentences(study, {"services": {}}))) == (
        "A rollout of a waited 2.0 s for a-00002 to be ready, until 3.000 s: 100 % to a-00002."
    )


def test_a_gradual_rollout_is_on_record_step_by_step(tmp_path: Path) -> None:
    """It has moved when its last step has; `emu why` lists all of them."""
    old, new = [("a-00001", 100, "")], [("a-00002", 100, "")]
    half = [("a-00001", 50, ""), ("a-00002", 50, "")]
    events: list[Event] = [
        TrafficSplit(t=BEGAN, service="a", traffic=old, reached=True),
        TrafficSplit(t=BEGAN + 1.0, service="a", traffic=new, reached=False),
        TrafficSplit(t=BEGAN + 1.0, service="a", traffic=half, reached=True, toward=new, why="the first"),
    ]
    (begun,) = rollouts(events, BEGAN)
    assert (begun.moved_s, len(begun.steps)) == (None, 1)
    events.append(TrafficSplit(t=BEGAN + 2.0, service="a", traffic=new, reached=True, why="the last"))
    (found,) = rollouts(events, BEGAN)
    assert (found.moved_s, [step.why for step in found.steps]) == (2.0, ["the first", "the last"])
    unfinished = "and was not done at the last of them, at 1.000 s: 50 % to a-00001, 50 % to a-00002."
    assert rollout_words(begun).endswith(unfinished)
    assert rollout_words(found) == (
        "A rollout of a, asked for at 1.000 s, moved traffic in 2 steps from 1.000 s to the last at 2.000 s: "
        "100 % to a-00002."
    )
    assert [line.split()[0] for line in rollout_lines([found])] == ["route", "AT", "1.000", "1.000", "2.000"]
    assert [entry.time_s for entry in rollout_log(Study(RunDir(tmp_path), rollouts=[found]))] == [1.0, 1.0, 2.0]


def test_the_revisions_of_a_service_are_counted_together_and_each(study: Study) -> None:
    """Those that were wanted at one time are added up; the journal names each one's decisions."""
    assert [entry.text[:12] for entry in SERVICES.log(study)] == ["from 1 to 2 ", "from 2 to 1 "]
    later = [decided(3.0, 0, 3), decided(5.0, 3, 1)]
    other = [replace(one, service="app", revision="app-00002") for one in later]
    study.services = services(study, [*EVENTS, *other])
    app = SERVICES.figures(study)["services"]["app"]
    assert (app["pods_desired_max"], app["pods_final"]) == (5, 2)
    assert [one["pods_desired_max"] for one in app["revisions"].values()] == [2, 3]
    named = [entry.text.partition(":")[0] for entry in SERVICES.log(study)]
    assert named == ["app-00001", "app-00001", "app-00002"]


def test_a_pod_that_waits_for_its_turn_to_start_is_there(study: Study) -> None:
    """As kubectl shows it: ContainerCreating. If it goes before its turn came, it was never more than starting."""
    creating = Happening(3.0, "pod", "", "ContainerCreating", {"ready": "0/2", "restarts": 0}, pod=OTHER)
    gone = replace(creating, t=4.0, text=TERMINATING)
    instances = [one for one in study.instances if one.pod != OTHER]
    waits = replace(study, instances=instances, pod_statuses=[creating, gone])
    life = _life(waits, OTHER)
    assert [life.state_at(t) for t in (2.9, 3.0, 4.0)] == [None, "starting", None]
    assert (OTHER, "0/2", "ContainerCreating", "0", "0s") in rows_at(waits, 3.5)


def test_a_preemption_names_both_pods_and_how_long_it_took(study: Study) -> None:
    """In the figures, the headline, the words, the table and the journal."""
    detail = {"priority": 0, "by": "web-00001-deployment-aaaaaaaaa-bbbbb", "by_priority": 10}
    said = "Preempted by pod web-00001-deployment-aaaaaaaaa-bbbbb on node node"
    study.preemptions.append(Happening(5.0, "preemption", "pod", said, detail, ONE))
    study.pod_events.append(PodEvent("Normal", "Scheduled", "", "", 7.5, 7.5, 1, str(detail["by"])))
    figures = PREEMPTIONS.figures(study)
    assert figures["preemptions"] == [
        {"time_s": 5.0, "pod": ONE, "message": said, **detail, "by_scheduled_after_s": 2.5}
    ]
    assert PREEMPTIONS.headline(study, figures) == [
        "the scheduler removed 1 pod of app-00001 (priority 0) to make room for web-00001 (priority 10)"
    ]
    (words,) = PREEMPTIONS.sentences(study, figures)
    assert words.endswith(f"removed {ONE} (priority 0). {detail['by']} got the node 2.5 s later, once it had ended.")
    listing = PREEMPTIONS.listing(study)
    assert listing is not None
    assert listing.rows == (("5.0 s", ONE, 0, detail["by"], 10, "2.5 s"),)
    assert preemption_lines(study.preemptions)[-1].split()[-4:] == [ONE, "0", detail["by"], "10"]
    assert [entry.text for entry in PREEMPTIONS.log(study)] == [f"{ONE} (priority 0): {said}"]


def test_preemptions_for_one_pod_are_reported_together(study: Study) -> None:
    """Victims of several services, removed one after the other: the wait counts from the first."""
    web = "web-00001-deployment-aaaaaaaaa-bbbbb"
    other = "job-00001-deployment-aaaaaaaaa-ccccc"
    for t, pod, priority in ((5.0, ONE, 0), (6.0, other, 3)):
        detail = {"priority": priority, "by": web, "by_priority": 10}
        study.preemptions.append(Happening(t, "preemption", "pod", "Preempted", detail, pod))
    study.pod_events.append(PodEvent("Normal", "Scheduled", "", "", 7.5, 7.5, 1, web))
    figures = PREEMPTIONS.figures(study)
    assert PREEMPTIONS.headline(study, figures) == [
        "the scheduler removed 1 pod of app-00001 (priority 0) and 1 pod of job-00001 (priority 3) to make room for "
        "web-00001 (priority 10)"
    ]
    (words,) = PREEMPTIONS.sentences(study, figures)
    assert words.endswith(f"{web} got the node 2.5 s later, once they had ended.")


def test_a_pod_that_lost_its_room_to_another_one_is_said_to_have_preempted_twice(study: Study) -> None:
    """The wait counts from the first time, as the sentence does, and of a run that ended before there is none."""
    detail = {"priority": 0, "by": "web-00001-deployment-aaaaaaaaa-bbbbb", "by_priority": 10}
    for at, pod in ((5.0, ONE), (5.001, OTHER), (9.0, "app-00001-deployment-aaaaaaaaa-third")):
        study.preemptions.append(Happening(at, "preemption", "pod", "said", detail, pod))
    (words,) = PREEMPTIONS.sentences(study, PREEMPTIONS.figures(study))
    went = f"{ONE} (priority 0), {OTHER} (priority 0) and app-00001-deployment-aaaaaaaaa-third (priority 0) at 9.0 s"
    room = f"At 5.0 s the node had no room for {detail['by']} (priority 10), and the scheduler removed {went}."
    assert words == f"{room} {detail['by']} never got the node."
    study.pod_events.append(PodEvent("Normal", "Scheduled", "", "", 12.0, 12.0, 1, str(detail["by"])))
    (words,) = PREEMPTIONS.sentences(study, PREEMPTIONS.figures(study))
    assert words.endswith(f" {detail['by']} got the node 7.0 s later, once they had ended.")


def test_a_pod_with_an_init_container_is_gone_when_its_others_have_ended(study: Study) -> None:
    """The init container ended by itself, long before; the pod costs nothing any more from then on."""
    first = Instance("init", 0, pod=OTHER, role="init", created_s=2.0, started_s=2.1, exited_s=2.2)
    with_init = replace(study, instances=[*study.instances, first])
    assert _life(with_init, OTHER).gone_s == 7.0
