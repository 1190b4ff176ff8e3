"""A pod that is not there for a while: what is measured, reported and drawn of it."""

from __future__ import annotations

import html
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from emu.record.rundir import RunDir
from emu.report.compare.compare import compare
from emu.report.compare.text import print_comparison
from emu.report.describe import describe
from emu.report.journal import entries
from emu.report.page.figures import run_figure
from emu.report.page.render import render_html
from emu.report.summary import summarize
from emu.report.text import print_story
from emu.report.topics.scaling import SCALE_TO_ZERO
from emu.report.topics.topic import Listing, View
from emu.study.model.requests import Request
from emu.study.model.scaling import Absence, ScaleUse
from emu.study.model.study import Study
from emu.study.study import read_study
from tests import fake_runs
from tests.fakes import MIB, owner

Reported = tuple[Study, dict[str, Any]]


@pytest.fixture
def reported(tmp_path: Path) -> Reported:
    """The made-up run: to go at 3 s, gone at 4 s, wanted at 7 s, ready at 9 s; to go at 11 s, gone at 12 s."""
    study = read_study(fake_runs.scaled(tmp_path / "run"))
    return study, summarize(study)


def shown(reported: Reported) -> str:
    """What the terminal shows."""
    out = io.StringIO()
    print_story(*reported, Console(file=out, width=200))
    return out.getvalue()


def test_what_the_autoscaler_did_is_counted(reported: Reported) -> None:
    """Times of each absence, and how long requests waited; the last one is not over."""
    scaling = reported[1]["autoscaling"]
    assert (scaling["scale_downs"], scaling["scale_ups"]) == (2, 1)
    assert scaling["zero_s"] == pytest.approx(3.0 + 2.0, abs=0.05)
    assert scaling["removal_ms"]["max"] == pytest.approx(1000, abs=50)
    assert scaling["start_ms"]["p50"] == pytest.approx(2000, abs=50)
    assert scaling["held"]["forwarded"] == 2
    assert scaling["held"]["waited_ms"]["max"] == pytest.approx(2000)
    assert scaling["absences"][1]["ready_s"] is None


def test_the_headline_says_what_requests_waited(reported: Reported) -> None:
    """How many did, and the longest; of a single one its own time."""
    study, summary = reported
    assert "; 2 requests waited up to 2.0 s for a pod" in summary["verdict"]["headline"]
    held = {**summary["autoscaling"]["held"], "forwarded": 1}
    alone = {**summary, "autoscaling": {**summary["autoscaling"], "held": held}}
    assert "a request waited 2.0 s for a pod" in SCALE_TO_ZERO.headline(study, alone)
    full = {**alone, "services": {"web": {"pods_pending_max": 1}, "batch": {"pods_pending_max": 0}}}
    assert SCALE_TO_ZERO.headline(study, full)[-1] == "pods of web were Pending, as the node had no room"
    all_of_them = {**full, "services": {name: {"pods_pending_max": 1} for name in ("a", "b", "c")}}
    assert SCALE_TO_ZERO.headline(study, all_of_them)[-1].startswith("pods of a, b and c were Pending")


def test_requests_that_waited_in_vain_are_in_the_headline(reported: Reported) -> None:
    """Not just how long those waited that got a pod."""
    study, summary = reported
    held = {**summary["autoscaling"]["held"], "forwarded": 1, "abandoned": 5}
    vain = {**summary, "autoscaling": {**summary["autoscaling"], "held": held}}
    assert "1 of 6 requests that waited for a pod got one, after 2.0 s" in SCALE_TO_ZERO.headline(study, vain)
    said = "5 requests were given up by their clients while waiting in the activator for a pod."
    assert said in SCALE_TO_ZERO.sentences(study, vain)
    late = [Request(number, "load", 0.0, 0.0, None, 9.0, None, "unanswered") for number in range(2)]
    cut = SCALE_TO_ZERO.sentences(replace(study, requests=late), vain)
    assert "3 requests were given up by their clients while waiting in the activator for a pod." in cut
    assert "2 requests were still waiting in the activator for a pod when the run ended." in cut
    held |= {"forwarded": 0, "waited_ms": {**held["waited_ms"], "max": None}}
    nobody = {**summary, "autoscaling": {**summary["autoscaling"], "held": held}}
    assert "none of 5 requests that waited for a pod got one" in SCALE_TO_ZERO.headline(study, nobody)
    held["abandoned"] = 1
    assert "a request waited for a pod in vain" in SCALE_TO_ZERO.headline(study, nobody)


def test_what_is_said_of_requests_in_the_activator_is_said_once(reported: Reported) -> None:
    """Where each has its reason, the sentences on requests count them."""
    study, summary = reported
    held = {**summary["autoscaling"]["held"], "timed_out": 2, "abandoned": 1}
    vain = {**summary, "autoscaling": {**summary["autoscaling"], "held": held}}
    said = "2 requests got 504 and 1 request was given up by its client while waiting in the activator for a pod."
    assert said in SCALE_TO_ZERO.sentences(study, vain)
    reasons = ("activator-response-timeout", "activator-response-timeout", "activator-client-left")
    known = [Request(n, "load", 0.0, 0.0, None, 9.0, 504, None, reason=why) for n, why in enumerate(reasons)]
    said_again = SCALE_TO_ZERO.sentences(replace(study, requests=known), vain)
    assert not any("while waiting in the activator" in one for one in said_again)
    fewer = SCALE_TO_ZERO.sentences(replace(study, requests=known[1:]), vain)
    assert "2 requests got 504 while waiting in the activator for a pod." in fewer


def test_a_pod_that_nobody_asked_again_has_its_idle_time_in_the_headline(reported: Reported) -> None:
    """How long after its last request it was to go, and what its end took."""
    study = reported[0]
    assert study.scaling is not None and study.requests
    once = replace(study.scaling, absences=study.scaling.absences[:1])
    gone = replace(once, absences=(replace(once.absences[0], wanted_s=None, ready_s=None),))
    alone = replace(study, scaling=gone, requests=[Request(0, "load", 0.5, 0.5, 1.0, 1.0, 200, None)])
    (said,) = SCALE_TO_ZERO.headline(alone, summarize(alone))
    assert (
        said == "the pod was scaled to zero once, 2.0 s after its last request had ended, and gone 1.0 s after that"
    )
    silent = replace(alone, requests=None)
    assert SCALE_TO_ZERO.headline(silent, summarize(silent)) == ["the pod was scaled to zero once"]


def test_a_pod_that_did_not_come_back_is_not_said_to_be_back(reported: Reported) -> None:
    """It was wanted, and was not ready when the run ended."""
    study = reported[0]
    use = study.scaling
    assert use is not None
    late = replace(use, absences=(*use.absences[:1], replace(use.absences[1], wanted_s=14.0)))
    scaled = replace(study, scaling=late)
    assert SCALE_TO_ZERO.headline(scaled, summarize(scaled))[0] == (
        "the pod was scaled to zero twice and back once, and a new pod, wanted at 14.0 s, was not ready when the run "
        "ended"
    )
    rows = next(part for part in SCALE_TO_ZERO.parts(View(scaled, scaled, {})) if isinstance(part, Listing)).rows
    assert [row[3] for row in rows] == ["9.000 s", "not yet"]


def test_a_pod_that_was_never_away_is_not_said_to_have_been_for_0_s(reported: Reported) -> None:
    """It was on its way out when the run ended, or a new one was there before it had gone."""
    study, summary = reported
    assert study.scaling is not None
    for absence, words in (
        (Absence(11.0), "The pod was not gone yet when the run ended."),
        (Absence(3.0, 9.0, 7.0, 8.0), "The service had a new pod before its last one was gone."),
    ):
        scaled = replace(study, scaling=replace(study.scaling, absences=(absence,)))
        assert SCALE_TO_ZERO.sentences(scaled, summary)[0] == words


def test_a_run_without_it_has_none(tmp_path: Path) -> None:
    """Not zeros: nobody asked."""
    assert summarize(read_study(fake_runs.oom(tmp_path / "run")))["autoscaling"] is None


def test_a_pod_that_is_not_there_holds_nothing(reported: Reported) -> None:
    """Its figures are 0 from its end to the next one's begin, not unknown and not what they were before."""
    study, summary = reported
    pod = study.timelines[owner()]
    away = [i for i, t in enumerate(pod.t) if 4.1 < t < 6.9]
    assert away
    assert {pod.memory_current[i] for i in away} == {0}
    assert {pod.anon[i] for i in away} == {0}
    held = [(a, b, v) for a, b, v in zip(pod.t, pod.t[1:], pod.memory_current, strict=False)]
    assert all(value is not None for _, _, value in held)
    wanted = sum((b - a) * (v or 0) for a, b, v in held) / 2**30
    assert summary["pod"]["memory_held_gib_seconds"] == pytest.approx(wanted, rel=1e-4)
    whole = 46 * MIB * summary["duration_s"] / 2**30
    assert summary["pod"]["memory_held_gib_seconds"] < 0.8 * whole


def test_counters_go_on_in_the_next_cgroup(reported: Reported) -> None:
    """CPU time and faults of both pods together, though the second one's began at 0."""
    _, summary = reported
    assert summary["pod"]["cpu_s"] == pytest.approx(5.0)
    assert summary["pod"]["major_faults"] == 13
    assert summary["containers"]["app"]["cpu_s"] == pytest.approx(5.0)
    column = reported[0].timelines[owner()].cpu_usec
    assert column == sorted(value or 0 for value in column)


def test_a_new_pod_is_no_restart(reported: Reported) -> None:
    """Nor is its container's end a finding."""
    _, summary = reported
    for name in ("queue-proxy", "app"):
        assert summary["containers"][name]["restarts"] == 0
        assert summary["containers"][name]["exits"] == []
        assert [stop["why"] for stop in summary["containers"][name]["stops"]] == ["scale-down"] * 2


def test_a_container_of_no_pod_is_gone(reported: Reported) -> None:
    """In kubectl's columns, with a word of emu's."""
    found = describe(reported[0], "app")
    assert found is not None
    assert (found.state.state, found.state.reason, found.restart_count) == ("Gone", "ScaledToZero", 0)
    assert reported[1]["pod"]["status"] == "ScaledToZero"


def test_the_story_says_so(reported: Reported) -> None:
    """Headline, sentences, and a table."""
    text = shown(reported)
    assert "the pod was scaled to zero twice and back once" in text
    assert "There was no pod for 5.0 s of" in text
    assert "2 requests waited in the activator for a pod" in text
    assert "0/0     ScaledToZero" in text
    assert "REQUESTS THAT WAITED" in text


def test_the_journal_has_each_decision(reported: Reported) -> None:
    """In order of time, by who decided."""
    said = [
        (entry.source, entry.text) for entry in entries(reported[0]) if entry.source in ("autoscaler", "activator")
    ]
    assert [source for source, _ in said] == ["autoscaler"] * 3 + ["activator"] + ["autoscaler"] * 2
    assert said[3][1] == "the pod is ready: 2 requests that waited go to it"


def test_the_picture_marks_the_absences(reported: Reported) -> None:
    """A band in each container's panel, and no words of a restart or an exit."""
    study, summary = reported
    figure = run_figure(study, summary)
    words = [str(one.get("text")) for one in figure.layout["annotations"]]
    assert sum("scaled to zero" in word for word in words) == 4
    assert not any("not running" in word for word in words)
    assert not any((one.get("meta") or {}).get("kind") in ("restart", "exit") for one in figure.data)


def test_the_page_has_a_table_of_them(reported: Reported) -> None:
    """When to go, gone, wanted again and ready."""
    page = html.unescape(render_html(*reported))
    assert "<h2>Scale to zero</h2>" in page
    assert "requests that waited" in page
    assert "Completed (scaled to zero)" in page


def test_variants_are_compared_by_how_long_there_was_no_pod(reported: Reported, tmp_path: Path) -> None:
    """A column of its own, left out where no variant has it."""
    other = summarize(read_study(fake_runs.page_cache(tmp_path / "other")))
    for played, wanted in (({"remove": reported[1], "never": other}, True), ({"never": other}, False)):
        out = io.StringIO()
        print_comparison(compare(played, [], "x"), Console(file=out, width=250))
        assert ("NO POD" in out.getvalue()) == wanted


@pytest.mark.parametrize(
    ("absence", "wanted"),
    [
        (Absence(1.0), None),
        (Absence(1.0, 3.0), (3.0, 9.0)),
        (Absence(1.0, 3.0, 5.0, 6.0), (3.0, 5.0)),
        (Absence(1.0, 3.0, 2.0, 6.0), None),  # wanted before it was gone
    ],
)
def test_there_is_no_pod_from_its_end_until_one_is_wanted(
    absence: Absence, wanted: tuple[float, float] | None
) -> None:
    """Given a run of 9 s."""
    assert absence.zero_s(9.0) == wanted


@pytest.mark.parametrize(
    ("to_zero", "said"),
    [
        (True, ["The service was never idle for long enough to be scaled to zero."]),
        (None, ["The service was never scaled to zero."]),
        (False, []),
    ],
)
def test_one_that_is_not_to_be_scaled_to_zero_was_not_too_busy_for_it(
    to_zero: bool | None, said: list[str], tmp_path: Path
) -> None:
    """With minScale nothing is said of zero; without a word on it in the record only what is known."""
    study = Study(RunDir(tmp_path), duration_s=10.0, scaling=ScaleUse(to_zero=to_zero))
    assert SCALE_TO_ZERO.sentences(study, {**SCALE_TO_ZERO.figures(study), "duration_s": 10.0}) == said
