"""Containers, their ends and the pod's events, in the words of `kubectl describe pod`."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from emu.report.describe import State, describe
from emu.report.journal import entries
from emu.report.page.render import render_html
from emu.report.summary import summarize
from emu.report.text import print_story
from emu.report.topics.containers import container_figures
from emu.study.study import read_study
from tests import fake_runs
from tests.fakes import MIB, FakeRun


def test_a_container_that_runs() -> None:
    """Running at the end of the run, whose own stop is no part of the story; before it, nothing."""
    reported = describe(fake_runs.study_of("page_cache"), "app")
    assert reported is not None
    assert (reported.state.state, reported.state.reason, reported.last_state) == ("Running", None, None)
    assert (reported.ready, reported.restart_count) == (True, 0)


def test_a_container_that_waits() -> None:
    """CrashLoopBackOff, with the exit before as its last state."""
    reported = describe(fake_runs.study_of("probe_killed"), "app")
    assert reported is not None and reported.last_state is not None
    assert reported.state == State("Waiting", "CrashLoopBackOff")
    assert (reported.last_state.state, reported.last_state.reason, reported.last_state.exit_code) == (
        "Terminated",
        "Error",
        137,
    )
    assert (reported.ready, reported.restart_count) == (False, 1)


def test_a_container_that_was_restarted() -> None:
    """Running again; the last state keeps why it died."""
    reported = describe(fake_runs.study_of("oom"), "queue-proxy")
    assert reported is not None and reported.last_state is not None
    assert (reported.state.state, reported.last_state.reason, reported.restart_count) == ("Running", "OOMKilled", 2)


def test_a_container_that_ended_with_its_pod() -> None:
    """Terminated, as kubectl would show in the moment before the pod is gone."""
    study = fake_runs.study_of("asked_to_end")
    states = [describe(study, name) for name in ("queue-proxy", "app")]
    assert [(reported.state.reason, reported.state.exit_code) for reported in states if reported] == [
        ("Completed", 0),
        ("Error", 137),
    ]


def test_an_init_container_is_ready_once_it_has_completed() -> None:
    """As the kubelet has it: ready with exit code 0, not while it runs and not after a failure. What waits behind it
    says PodInitializing.
    """
    study = fake_runs.study_of("swap")
    app = next(one for one in study.instances if one.container == "app")
    for exit_code, ready in ((0, True), (3, False)):
        study.instances = [replace(app, role="init", exit_code=exit_code, exited_s=2.0, asked=False, ready=None)]
        known = describe(study, "app")
        assert known is not None and (known.state.state, known.ready) == ("Terminated", ready)
        assert container_figures(study, "app")["ready"] is ready
    study.instances += [replace(app, container="next", started_s=None, exited_s=None, exit_code=None)]
    waits = describe(study, "next")
    assert waits is not None and waits.state == State("Waiting", "PodInitializing")


def test_a_container_that_never_was() -> None:
    """No instance, no state."""
    assert describe(fake_runs.study_of("oom"), "sidecar") is None


def test_readiness_is_the_last_answer_before_the_end() -> None:
    """A probe that fails while the pod drains does not make a pod unready that was ready."""
    assert summarize(fake_runs.study_of("asked_to_end"))["containers"]["app"]["ready"] is True


def test_the_summary_has_stops_back_offs_and_events() -> None:
    """With the figures that an expectation may name."""
    app = summarize(fake_runs.study_of("probe_killed"))["containers"]["app"]
    assert [(stop["why"], stop["grace_s"], stop["exit_code"]) for stop in app["stops"]] == [
        ("liveness", 2.0, 137)
    ] * 2
    for stop in app["stops"]:
        assert stop["asked_s"] <= stop["sigterm_s"] < stop["sigkill_s"]
        assert stop["took_s"] == 2.0
    assert [entry["killed_for"] for entry in app["exits"]] == ["liveness", "liveness"]
    assert [wait["delay_s"] for wait in app["back_offs"]] == [10.0]
    assert app["events"] == {"BackOff": 1, "Killing": 2, "Unhealthy": 6}


def test_the_end_of_the_run_is_no_stop() -> None:
    """What emu itself ends when all is over is not reported."""
    assert all(not one["stops"] for one in summarize(fake_runs.study_of("oom"))["containers"].values())


def test_a_stop_without_sigkill_says_so(tmp_path: Path) -> None:
    """null, not a time; and a container that had ended before its SIGTERM has none of either."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(1.0)
    run.stop("app", "pod", 30.0)
    run.advance(2.0)
    run.exit("app", 0, asked=True)
    stop = summarize(read_study(run.finish()))["containers"]["app"]["stops"][0]
    assert (stop["sigterm_s"], stop["sigkill_s"], stop["took_s"]) == (None, None, 1.0)


def test_events_that_read_the_same_are_one() -> None:
    """With a count, its first and its last time, as the API server keeps them."""
    study = fake_runs.study_of("probe_killed")
    event = study.pod_events[0]
    assert (event.reason, event.count, event.first_s < event.last_s) == ("Unhealthy", 6, True)
    assert summarize(study)["pod"]["events"][0]["message"] == event.message


def test_all_of_it_is_reported(tmp_path: Path) -> None:
    """On the terminal, in the page and in the journal."""
    study = fake_runs.study_of("probe_killed")
    summary = summarize(study)
    console = Console(record=True, width=300, quiet=False, file=(tmp_path / "out").open("w"))
    print_story(study, summary, console)
    terminal = console.export_text()
    page = html.unescape(render_html(study, summary))
    journal = "\n".join(entry.to_text() for entry in entries(study))
    for words in ("connection refused", "Container app failed liveness probe, will be restarted"):
        assert words in terminal and words in page and words in journal
    for words in ("CrashLoopBackOff", "(x6 to "):
        assert words in terminal
    for words in ("Stops", "liveness probe failed", "Last State"):
        assert words in page


def test_a_probes_kill_under_way_as_the_run_ends(tmp_path: Path) -> None:
    """It stood ready until the run ended it: State, READY and the pod's line say the same."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.advance(1.0)
    run.status("1/1", "Running")
    run.stop("app", "liveness", 30.0)
    run.exit("app", 137, asked=True)
    summary = summarize(read_study(run.finish()))
    app = summary["containers"]["app"]
    assert (app["state"]["state"], app["ready"], app["last_state"]) == ("Running", True, None)
    headline = summary["verdict"]["headline"]
    assert headline.startswith("app failed its liveness probe at ")
    assert "and SIGKILL was due 30.0 s after the probe failed (its grace period)" in headline
