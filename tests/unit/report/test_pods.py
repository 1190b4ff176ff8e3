"""Runs of several pods: each has its figures, rows and panels, and no sentence leaves open whose a container is."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from emu.policy.expectations import parse_expectation
from emu.record.events import EventLog, ScaleDecided
from emu.report.journal import entries
from emu.report.page.figures import run_figure
from emu.report.page.render import render_html
from emu.report.summary import summarize
from emu.report.text import print_story
from emu.report.topics.memory import MEMORY
from emu.report.topics.topic import Listing, View
from emu.study.model.study import Study
from emu.study.pods import lanes, named, of_pods, workload, workloads
from emu.study.study import read_study
from tests import fake_runs
from tests.fakes import MIB, POD_NAME, FakeRun

REPLICAS = [f"{fake_runs.REPLICAS}-{suffix}" for suffix in ("aaaaa", "bbbbb", "ccccc")]


def _shown(study: Study, summary: dict[str, Any]) -> list[list[str]]:
    out = io.StringIO()
    print_story(study, summary, Console(file=out, width=400))
    return [line.split() for line in out.getvalue().splitlines()]


def _panels(study: Study) -> list[str]:
    figure = run_figure(study, summarize(study))
    return [panel["label"] for panel in figure.layout["meta"]["panels"]]


def test_pods_of_a_revision_are_one_workload() -> None:
    """Kubernetes' name of a pod says whose it is; any other pod is its own."""
    assert workload("app-00001-deployment-5d8f9c7b6d-x7k2p") == "app-00001"
    assert workload("victim") == "victim"
    assert workloads(fake_runs.study_of("replicas")) == {"app-00001": REPLICAS}
    assert list(workloads(fake_runs.study_of("neighbours"))) == [POD_NAME, "bystander"]


def test_each_pod_has_its_own_figures() -> None:
    """`pods.<name>` has what is known of it and of its containers, and an expectation may name it."""
    study = fake_runs.study_of("neighbours")
    expected = {
        f"pods.{POD_NAME}.containers.app.oom_kills": "== 1",
        "pods.bystander.containers.app.oom_kills": "== 0",
        "pods.bystander.restarts": "== 0",
        "pods.bystander.status": "Running",
        "pods.bystander.memory_peak_bytes": "== 47Mi",
        "oom_kills.0.pod": POD_NAME,
    }
    summary = summarize(study, [parse_expectation(name, text) for name, text in expected.items()])
    assert [one for one in summary["expectations"] if not one["met"]] == []
    assert list(summary["containers"]) == [f"{POD_NAME}/app", f"{POD_NAME}/queue-proxy", "bystander/app"]
    assert (summary["pod"]["oom_kills"], summary["pod"]["restarts"], summary["pod"]["status"]) == (1, 1, None)


def test_figures_of_a_revision_are_over_its_pods() -> None:
    """Peaks are the largest of any pod, kills and restarts all of them; a pod that comes later is no restart."""
    summary = summarize(fake_runs.study_of("replicas"))
    app = summary["containers"]["app"]
    assert (app["oom_kills"], app["restarts"], app["memory_peak_bytes"]) == (1, 1, 252 * MIB)
    assert [one["pod"] for one in app["exits"]] == [REPLICAS[1]]
    each = {name: pod["containers"]["app"] for name, pod in summary["pods"].items()}
    assert [(pod["oom_kills"], pod["restarts"]) for pod in each.values()] == [(0, 0), (1, 1), (0, 0)]
    assert app["cpu_s"] == sum(pod["cpu_s"] for pod in each.values())
    assert (summary["pods"][REPLICAS[0]]["status"], summary["pods"][REPLICAS[0]]["age_s"]) == ("ScaledToZero", None)


def test_each_workload_has_its_own_panels_of_requests() -> None:
    """Those to one pod are not drawn with those to another; where it is not known who got which, all are together."""
    titles = _panels(fake_runs.study_of("neighbours"))
    for pod in (POD_NAME, "bystander"):
        for panel in ("requests in flight to", "requests per second to", "latency of requests to"):
            assert len([one for one in titles if one.startswith(f"{panel} {pod}")]) == 1
    older = [one for one in _panels(fake_runs.study_of("replicas")) if "request" in one or "latency" in one]
    assert [one.split(" ·")[0] for one in older] == [
        "requests in flight", "requests per second by status, in steps of 50 ms",
        "latency, a dot for each request where it ended",
    ]  # fmt: skip


def test_a_pod_that_is_gone_while_others_stay_was_scaled_down(tmp_path: Path) -> None:
    """kubectl lists it no more; emu's word says that its service was not scaled to zero, in every place."""
    run = fake_runs.replicas(tmp_path / "run")
    began = read_study(run).origin
    EventLog(run.events).append(ScaleDecided(t=began + 3.1, revision="app-00001", before=2, pods=1))
    study = read_study(run)
    pods = summarize(study)["pods"]
    assert (pods[REPLICAS[0]]["status"], pods[REPLICAS[0]]["ready"]) == ("ScaledDown", "0/0")
    assert pods[REPLICAS[0]]["containers"]["app"]["state"]["reason"] == "ScaledDown"
    page = render_html(study, summarize(study), library="plotly.js")
    assert "Completed (scaled down)" in page
    assert "scaled to zero" not in page.lower()


def test_words_name_the_workload_where_there_are_several() -> None:
    """In the headline, the sentences and the journal; in a run with one workload a container's name is enough."""
    study = fake_runs.study_of("neighbours")
    verdict = summarize(study)["verdict"]
    assert verdict["headline"].startswith(f"{POD_NAME}/app was OOM-killed")
    assert "bystander/app used" in verdict["headline"]
    assert f"{POD_NAME}/app was restarted once." in verdict["sentences"]
    reported = [entry.text for entry in entries(study)]
    assert "pod bystander is 1/1 Running, 0 restarts" in reported
    assert any(text.startswith(f"OOM kill: {POD_NAME}/app") for text in reported)
    assert summarize(fake_runs.study_of("replicas"))["verdict"]["headline"].startswith("app was OOM-killed")


def test_the_journal_names_the_pod_of_each_instance() -> None:
    """Also where all pods are of one revision."""
    reported = [entry.text for entry in entries(fake_runs.study_of("replicas"))]
    assert next(text for text in reported if text.startswith("OOM kill: ")).startswith(f"OOM kill: {REPLICAS[1]}/app")
    assert f"{REPLICAS[2]}/app (instance 0) is ready" in reported


def test_the_terminal_lists_pods_as_kubectl_does() -> None:
    """A row for each pod, with its containers below."""
    study = fake_runs.study_of("replicas")
    rows = _shown(study, summarize(study))
    assert [row[1:4] for row in rows if row[:1] == [REPLICAS[0]]] == [["0/0", "ScaledToZero", "0"]]
    assert [row[1:4] for row in rows if row[:1] == [REPLICAS[1]]] == [["2/2", "Running", "1"]]
    assert [row[1] for row in rows if row[:1] == ["app"] and row[1] in ("yes", "no")] == ["no", "yes", "yes"]


def test_the_pages_peaks_have_a_row_for_the_pods_of_each_workload() -> None:
    """As on the terminal: one row for all of them would be no pod's. What there was none of has no column."""
    study = fake_runs.study_of("neighbours")
    view = View(named(study), named(study, by_pod=True), summarize(study))
    totals = next(part for part in MEMORY.parts(view) if isinstance(part, Listing) and part.place == "page")
    heads = [column.head for column in totals.columns]
    rows = {str(row[0]): dict(zip(heads, row, strict=True)) for row in totals.rows}
    assert [*rows][-2:] == [f"pod {POD_NAME}", "pod bystander"]
    assert {name: (row["peak"], row["OOM kills"]) for name, row in rows.items() if name.startswith("pod ")} == {
        f"pod {POD_NAME}": (265 * MIB, 1),
        "pod bystander": (47 * MIB, 0),
    }
    assert "page cache peak" in heads and "swap written" not in heads


def test_pods_at_the_same_time_have_their_own_panels() -> None:
    """Those that came one after another share theirs."""
    assert [(lane.name, list(lane.pods)) for lane in lanes(fake_runs.study_of("replicas"))] == [
        ("aaaaa, ccccc", [REPLICAS[0], REPLICAS[2]]),
        ("bbbbb", [REPLICAS[1]]),
    ]
    titles = _panels(fake_runs.study_of("replicas"))
    for part in ("app of aaaaa, ccccc · peak 30 MiB", "app of bbbbb · peak 252 MiB · 1 OOM kill", "pod bbbbb"):
        assert sum(title.startswith(part) for title in titles) == 1, titles
    titles = _panels(fake_runs.study_of("neighbours"))
    assert sum(title.startswith("bystander/app · peak 47 MiB") for title in titles) == 1, titles


def test_of_many_pods_the_killed_ones_are_drawn(tmp_path: Path) -> None:
    """In small panels, up to a number; the page says how many are left out, and still lists them all."""
    run = FakeRun(tmp_path / "run", pod=f"{fake_runs.REPLICAS}-p0000")
    pods = [run, *(run.beside(f"{fake_runs.REPLICAS}-p{number:04}") for number in range(1, 12))]
    for pod in pods:
        pod.start("app", memory_max=64 * MIB)
        pod.live["app"].values["anon"] = 20 * MIB
        pod.status("1/1", "Running")
    run.advance(1.0)
    pods[-1].oom("app")
    run.advance(2.0)
    study = read_study(run.finish())
    figure = run_figure(study, summarize(study))
    titles = [panel["label"] for panel in figure.layout["meta"]["panels"]]
    assert sum(title.startswith("app of") for title in titles) == 8
    assert any(title.startswith("app of p0011") for title in titles)
    assert any("12 pods" in said for said in figure.missing)
    page = render_html(study, summarize(study), library="plotly.js")
    assert all(pod.name in page for pod in pods)


def test_a_pod_by_itself_is_what_its_own_record_says() -> None:
    """Nothing of the other pods is left in it, and words about it name no pod."""
    study = of_pods(fake_runs.study_of("neighbours"), {"bystander"})
    assert (study.kills, study.memory_marks, [one.pod for one in study.pods]) == ([], [], ["bystander"])
    assert named(study) is study


def test_each_pod_has_its_own_requests() -> None:
    """Sent, answered and in flight; those of other pods are in no figure of it."""
    summary = summarize(fake_runs.study_of("plain_killed"))
    greedy, quiet = (summary["pods"][name]["requests"] for name in ("greedy", "quiet"))
    assert (greedy["sent"], greedy["answered"], greedy["errors"]) == (6, 1, {"closed": 3, "refused": 2})
    assert (quiet["sent"], quiet["answered"], quiet["reasons"]) == (30, 30, {})
    assert (greedy["in_flight_peak"], quiet["in_flight_peak"]) == (3, 1)
    assert summary["oom_kills"][0]["in_flight"] == 3
    assert summary["requests"]["sent"] == 36


def test_what_became_of_a_plain_container_is_the_reason() -> None:
    """As of queue-proxy: closed as it was OOM-killed, refused while it was down, and a 500 is its own."""
    study = fake_runs.study_of("plain_killed")
    summary = summarize(study)
    assert summary["pods"]["greedy"]["requests"]["reasons"] == {
        "500": {"app": 1},
        "closed": {"container-oom-killed": 3},
        "refused": {"container-restarting": 2},
    }
    said = " ".join(summary["verdict"]["sentences"])
    assert "3 were closed without a byte of answer as greedy/hoarder was OOM-killed" in said
    assert "2 were refused a connection while greedy/hoarder was down or starting again" in said
    reported = [entry.text for entry in entries(study)]
    assert any("3 requests were closed without a byte of answer as greedy/hoarder was" in text for text in reported)
    assert {(one["pod"], one["container"]) for one in summary["requests"]["failures"]} == {
        ("greedy", "greedy/hoarder")
    }


def test_an_unanswered_request_has_its_own_pods_queue_proxy_to_blame(tmp_path: Path) -> None:
    """Not that of another pod which was killed at the same time."""
    run = FakeRun(tmp_path / "run", pod="blue")
    other = run.beside("green")
    for pod in (run, other):
        pod.start("queue-proxy", memory_max=64 * MIB)
        pod.start("app", memory_max=64 * MIB)
    run.requests(4, 0.5, 0.9, done_s=2.01, status=None, error="closed", to="blue", container="queue-proxy")
    run.requests(2, 0.5, 0.9, done_s=2.02, status=None, error="closed", to="green", container="queue-proxy")
    run.advance(2.0)
    run.oom("queue-proxy")
    run.advance(4.0)
    summary = summarize(read_study(run.finish()))
    reasons = {name: pod["requests"]["reasons"]["closed"] for name, pod in summary["pods"].items()}
    assert reasons == {"blue": {"queue-proxy-oom-killed": 4}, "green": {"not-recorded": 2}}
    assert "as blue/queue-proxy was OOM-killed" in " ".join(summary["verdict"]["sentences"])


def test_a_record_of_several_pods_that_names_none_leaves_it_open() -> None:
    """As they were recorded once: the run's figures are as they were, a pod's own are null."""
    study = fake_runs.study_of("replicas")
    summary = summarize(study)
    assert summary["requests"]["sent"] == 40
    assert {pod["requests"]["sent"] for pod in summary["pods"].values()} == {None}


def test_tables_have_a_row_for_each_pod() -> None:
    """By name: of memory, and of requests."""
    study = fake_runs.study_of("plain_killed")
    summary = summarize(study)
    rows = [row for row in _shown(study, summary) if row[:1] == ["pod"]]
    assert [row[1] for row in rows if "MiB" in row] == ["greedy", "quiet"]
    assert [row[1:4] for row in rows if row[2] in ("6", "30")] == [["greedy", "6", "1"], ["quiet", "30", "30"]]
    page = render_html(study, summary, library="plotly.js")
    assert page.count("pod greedy") >= 2 and ">pod<" not in page


def test_requests_that_reached_no_pod_are_drawn_with_those_of_whom_they_asked(tmp_path: Path) -> None:
    """By the revision that was drawn for them, else by their phase; never as if they were another pod's."""
    run = fake_runs.neighbours(tmp_path / "run")
    study = read_study(run)
    assert study.requests is not None
    first = study.requests[0]
    kept = replace(first, pod="", reached="none", status=504, ports=(1, 2), revision="bystander")
    study.requests = [kept if one is first else one for one in study.requests]
    summary = summarize(study)
    traces = run_figure(study, summary).data
    dots = [trace for trace in traces if (trace.get("meta") or {}).get("kind") == "latency"]
    drawn = {trace["yaxis"]: trace for trace in dots if "504" in "".join(trace["text"])}
    [axis] = drawn
    panels = run_figure(study, summary).layout["meta"]["panels"]
    assert next(panel["label"] for panel in panels if panel["axis"] == axis).startswith(
        "latency of requests to bystander"
    )
