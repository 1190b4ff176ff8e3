"""The page of a run: what it shows agrees with the study and the summary, and nothing in it reaches out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from array import array
from dataclasses import replace
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from emu.policy.expectations import parse_expectation
from emu.record.rundir import RunDir
from emu.report.page.figures import Figure, run_figure
from emu.report.page.render import render_html
from emu.report.summary import summarize
from emu.report.text import expected_table
from emu.study.model.machine import KernelLine
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.study import read_study
from tests.fakes import MIB, FakeRun, owner

HOSTILE = "</script><script>alert('x')</script><img src=http://example.com/x onerror=alert(1)>\x1b[31m\u202e"


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """queue-proxy is killed twice at its own limit and restarted, with requests under way."""
    run = FakeRun(tmp_path_factory.mktemp("crash") / "run", interval_s=0.05)
    run.status("0/2", "ContainerCreating")
    run.start("app", memory_max=128 * MIB)
    run.start("queue-proxy", memory_max=64 * MIB)
    run.phase("flood", 1.0, 9.0)
    for attempt in range(2):
        begin = run.now
        run.requests(40, begin, begin + 3.5, takes_s=0.02)
        run.requests(5, begin + 3, begin + 3.9, done_s=begin + 4, status=None, error="reset")
        run.advance(
            begin + 4,
            {"queue-proxy": {"anon": 60 * MIB, "file": MIB}, "app": {"anon": 20 * MIB, "file": 5 * MIB, "read": MIB}},
        )
        run.count("queue-proxy", max=35)
        run.oom("queue-proxy", docker_flag=attempt == 1)
        run.back_off("queue-proxy", attempt + 1, 1.0)
        run.advance(run.now + 1)
        run.start("queue-proxy", memory_max=64 * MIB)
    run.advance(run.now + 1, {"queue-proxy": {"anon": 8 * MIB}})
    return read_study(run.finish())


def drawn(study: Study) -> Figure:
    """The picture with the study's own summary."""
    return run_figure(study, summarize(study))


def traces(figure: Figure, kind: str, of: str | None = None) -> list[dict[str, Any]]:
    """The traces of a kind."""
    found = [trace for trace in figure.data if trace.get("meta", {}).get("kind") == kind]
    return [trace for trace in found if of is None or trace["meta"].get("of") == of]


def without_scripts(page: str) -> str:
    """The page's HTML alone."""
    return re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)


def test_every_oom_kill_has_a_mark_and_a_row(crashed: Study) -> None:
    """Each kill of the study is a cross at its time, and a row with its evidence."""
    marks = sorted(t for trace in traces(drawn(crashed), "oom-kill") for t in trace["x"])
    assert marks == [kill.time_s for kill in crashed.kills]
    assert len(marks) == 2
    page = without_scripts(render_html(crashed, summarize(crashed)))
    for kill in crashed.kills:
        assert f"{kill.time_s:.3f} s" in page
        assert f"Killed process {kill.pid} " in page


def test_every_restart_has_a_mark(crashed: Study) -> None:
    """Each instance after the first is a triangle at its start."""
    marks = [t for trace in traces(drawn(crashed), "restart") for t in trace["x"]]
    assert marks == [entry.started_s for entry in crashed.instances if entry.attempt]


def test_peaks_in_the_picture_are_those_of_the_summary(crashed: Study) -> None:
    """The highest point of each drawn column is what summary.json says of it, to the byte."""
    summary = summarize(crashed)
    figure = run_figure(crashed, summary)
    for name in crashed.containers:
        for column, key in (("anon", "anon_peak_bytes"), ("page_cache", "file_peak_bytes")):
            trace = next(one for one in traces(figure, "stack", name) if one["meta"]["column"] == column)
            factor = traces(figure, "current", name)[0]["meta"]["factor"]
            assert max(trace["y"]) * factor == summary["containers"][name][key]


def test_a_restart_leaves_a_gap(crashed: Study) -> None:
    """Between two instances memory.current is broken and the areas stand at nothing."""
    figure = drawn(crashed)
    died, began = crashed.kills[0].time_s, crashed.instances_of("queue-proxy")[1].started_s
    assert began is not None
    line = traces(figure, "current", "queue-proxy")[0]
    ends = [t for t, value in zip(line["x"], line["y"], strict=True) if value is None]
    assert any(t <= began for t in ends)
    inside = [
        t for t, value in zip(line["x"], line["y"], strict=True) if value is not None and died + 0.1 < t < began
    ]
    assert not inside
    for trace in traces(figure, "stack", "queue-proxy"):
        last_before = max(i for i, t in enumerate(trace["x"]) if t < began - 0.01)
        assert trace["y"][last_before] == 0
        assert trace["y"][last_before + 1] == 0


def test_panels_share_one_time_axis_and_do_not_overlap(crashed: Study) -> None:
    """One x axis for all, so that a zoom of one zooms all; the panels' boxes follow each other downwards."""
    figure = drawn(crashed)
    assert {trace["xaxis"] for trace in figure.data} == {"x"}
    assert [name for name in figure.layout if name.startswith("xaxis")] == ["xaxis"]
    boxes = sorted(value["domain"] for name, value in figure.layout.items() if name.startswith("yaxis"))
    assert all(low[1] < high[0] for low, high in pairwise(boxes))
    assert all(value["fixedrange"] for name, value in figure.layout.items() if name.startswith("yaxis"))


def test_a_name_stands_once_in_the_legends(crashed: Study) -> None:
    """No panel repeats the legend of another."""
    named = [trace["name"] for trace in drawn(crashed).data if trace["showlegend"]]
    assert len(named) == len(set(named))


def test_memory_axes_are_in_binary_units(crashed: Study) -> None:
    """Ticks are powers of two of a binary unit, and the limit is named in Kubernetes' own."""
    figure = drawn(crashed)
    axis = figure.layout["yaxis"]
    assert axis["ticksuffix"] == " MiB"
    assert axis["dtick"] in [2.0**power for power in range(-10, 11)]
    assert any(note["text"] == "memory.max<br>64 MiB" for note in figure.layout["annotations"])


def test_rises_of_memory_events_are_all_in_the_strip(crashed: Study) -> None:
    """The ticks of a counter add up to its rises in the study."""
    figure = drawn(crashed)
    for counter in ("max", "oom"):
        rows = [
            trace
            for trace in traces(figure, "memory-events", "queue-proxy")
            if trace["name"].startswith(f"{counter}: ")
        ]
        own = [mark for mark in crashed.memory_marks if mark.label == "queue-proxy" and mark.local]
        assert sum(trace["meta"]["rise"] for trace in rows) == sum(mark.delta.get(counter, 0) for mark in own)


def test_bars_count_every_request(crashed: Study) -> None:
    """All requests are in the bars of how they ended, and each has its dot while there are few."""
    figure = drawn(crashed)
    assert crashed.requests is not None
    assert sum(sum(trace["customdata"]) for trace in traces(figure, "rate")) == len(crashed.requests)
    assert sum(len(trace["x"]) for trace in traces(figure, "latency")) == len(crashed.requests)


def test_swap_stands_on_top_and_says_why(tmp_path: Path) -> None:
    """Swap is the last of the stack, hatched, and the legend says that memory.current does not hold it."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB, swap_max=64 * MIB)
    run.advance(2, {"app": {"anon": 40 * MIB, "swap": 30 * MIB, "swap_out": 30 * MIB}})
    figure = drawn(read_study(run.finish()))
    stack = traces(figure, "stack", "app")
    assert stack[-1]["meta"]["column"] == "swap"
    assert "not part of memory.current" in stack[-1]["name"]
    assert "fillpattern" in stack[-1]
    assert [trace["name"] for trace in traces(figure, "io")] == ["swap write"]


def test_nothing_is_loaded_from_anywhere(crashed: Study) -> None:
    """No element of the page names a resource, and its policy forbids all but its own scripts."""
    page = render_html(crashed, summarize(crashed))
    body = without_scripts(page)
    assert not re.search(r"\b(src|href|action|srcset|poster)\s*=", body)
    assert not re.search(r"url\(|@import", body)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")


def test_the_policy_names_just_the_scripts_of_the_page(crashed: Study) -> None:
    """The hash of each script is in the policy: one that log text brought in would not run."""
    page = render_html(crashed, summarize(crashed))
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, flags=re.DOTALL)
    hashes = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert hashes == set(re.findall(r"'sha256-([^']+)'", page[: page.index("</head>")]))
    assert len(scripts) == 4


def test_plotly_is_there_once_or_beside_the_page(crashed: Study) -> None:
    """The script that weighs the most is inlined once; of pages that share it each names it, and one file has it."""
    page = render_html(crashed, summarize(crashed))
    assert len(re.findall(r"plotly\.js \([a-z -]+\) v", page)) == 1
    assert len(page) < 2 * 10**6
    sharing = render_html(crashed, summarize(crashed), library="../../plotly-basic.min.js")
    assert '<script src="../../plotly-basic.min.js"></script>' in sharing
    assert len(sharing) < len(page) - 10**6


def test_cpu_is_drawn(crashed: Study, tmp_path: Path) -> None:
    """Each container's and the pod's processors in use; over time they add up to the CPU time that was counted."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.advance(2, {"app": {"cpu_usec": 1_500_000}})
    study = read_study(run.finish())
    (drawn_cpu,) = traces(drawn(study), "cpu", "app")
    step = drawn_cpu["x"][1] - drawn_cpu["x"][0]
    assert sum(drawn_cpu["y"][:-1]) * step == pytest.approx(summarize(study)["containers"]["app"]["cpu_s"], rel=0.01)


def luminance(colour: str) -> float:
    """WCAG's relative luminance of #rrggbb."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_areas_that_touch_can_be_distinguished(crashed: Study, scheme: str) -> None:
    """Every area has 3:1 against the paper, a line of paper lies between any two of a stack, and anon and 5xx have
    3:1 against what touches them most.
    """
    css = (resources.files("emu.report") / "page" / "page.css").read_text()
    light, dark = css.split("prefers-color-scheme: dark")[0], css.split("prefers-color-scheme: dark")[1]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light if scheme == "light" else dark))
    areas = ("anon", "shmem", "kernel", "sock", "cache", "swap", "ok", "redirect", "client-error", "server-error")
    for name in (*areas, "no-answer"):
        assert contrast(colours[name], colours["paper"]) >= 3, name
    for name in ("kernel", "cache", "sock"):
        assert contrast(colours["anon"], colours[name]) >= 3, name
    assert contrast(colours["ok"], colours["server-error"]) >= 3
    for trace in traces(drawn(crashed), "stack"):
        assert trace["line"] == {"width": 1, "color": "var(--paper)"}


def test_the_verdict_is_short_and_its_figures_stand_under_it(crashed: Study) -> None:
    """The heading has a verdict alone, the chip is not part of it, and expectations that were met are one line."""
    expected = [parse_expectation("containers.queue-proxy.oom_kills", ">= 2")]
    page = without_scripts(render_html(crashed, summarize(crashed, expected)))
    (heading,) = re.findall(r"<h1>(.*?)</h1>", page)
    assert heading.startswith("queue-proxy was OOM-killed twice") and ":" not in heading
    assert '<p class="lead">its own limit of' in page
    assert re.search(r"<details><summary>✓ the expectation was met</summary>", page)
    unmet = [parse_expectation("containers.queue-proxy.oom_kills", "== 0"), *expected]
    page = without_scripts(render_html(crashed, summarize(crashed, unmet)))
    assert page.index("✗ not met") < page.index("✓ 1 more was met") < page.index("✓ met")


def test_hostile_text_stays_text(crashed: Study) -> None:
    """Log lines, names and YAML that hold HTML are shown, not obeyed."""
    study = replace_text(crashed)
    page = render_html(study, summarize(study), f"name: {HOSTILE}")
    assert HOSTILE not in page
    assert "<img" not in without_scripts(page)
    assert page.count("<script") == 4
    assert "&lt;/script&gt;" in without_scripts(page)
    assert "\x1b" not in page and "\u202e" not in page
    assert "alert(1)&gt;\\x1b[31m\\u202e" in page


def replace_text(study: Study) -> Study:
    """The study with hostile text wherever others may choose the words."""
    kills = [replace(kill, victim=HOSTILE, invoker=HOSTILE, log=(HOSTILE,)) for kill in study.kills]
    requests = [replace(request, phase=HOSTILE) for request in study.requests or []]
    lines = [KernelLine(1.0, 1, None, 3, HOSTILE, 1, True)]
    phases = [replace(phase, name=HOSTILE) for phase in study.phases]
    return replace(study, scenario=HOSTILE, kills=kills, requests=requests, kernel_lines=lines, phases=phases)


def test_the_page_holds_the_figure_as_json(crashed: Study) -> None:
    """What page.js reads is JSON, compressed, with every long column packed once and exact."""
    page = render_html(crashed, summarize(crashed))
    found = re.search(r'<script id="figure-data"[^>]*>(.*?)</script>', page, flags=re.DOTALL)
    assert found is not None
    packed = json.loads(zlib.decompress(base64.b64decode(found[1])))
    assert len({one["b"] for one in packed["arrays"]}) == len(packed["arrays"])
    wanted = {"kind": "stack", "of": "queue-proxy", "column": "anon"}
    number = next(one["y"]["$a"] for one in packed["data"] if one["meta"] == wanted)
    column = packed["arrays"][number]
    values = array("f" if column["k"] == "f4" else "d", base64.b64decode(column["b"]))
    original = next(one for one in drawn(crashed).data if one["meta"] == wanted)
    assert list(values) == original["y"]


@pytest.mark.parametrize("summary", [{}, None])
def test_a_run_with_nothing_renders(tmp_path: Path, summary: dict[str, Any] | None) -> None:
    """An empty study makes a page that says what is missing, without a picture or a script."""
    study = Study(RunDir(tmp_path))
    page = render_html(study, summarize(study) if summary is None else summary)
    assert "No samples of the control files were recorded" in page
    assert "No requests were recorded" in page
    assert "scenario.yaml is not in the run directory" in page
    assert "<script" not in page


def test_a_run_that_was_cut_off_says_so(tmp_path: Path) -> None:
    """Neither its end nor the recorder's report is there; the page still has its memory."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.advance(1, {"app": {"anon": 10 * MIB}})
    study = read_study(run.cut())
    page = render_html(study, summarize(study))
    assert "did not end in order" in page
    assert "The recorder left no report" in page
    assert traces(drawn(study), "current", "app")


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    """The verdict's place names the interrupt."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.advance(1)
    study = read_study(run.finish(interrupted=True))
    assert "The run was interrupted before its end" in render_html(study, summarize(study))


def test_kills_without_samples_are_marked(crashed: Study) -> None:
    """Where no sample survived, the container keeps its panel, and its kills their marks."""
    study = replace(crashed, timelines={})
    figure = drawn(study)
    assert sum(len(trace["x"]) for trace in traces(figure, "oom-kill")) == len(study.kills)
    assert any("no samples of queue-proxy" in note["text"] for note in figure.layout["annotations"])
    assert any("No samples" in said for said in figure.missing)


def test_a_long_run_is_thinned_without_losing_its_peak(tmp_path: Path) -> None:
    """Ten minutes at 10 ms: few points are drawn, the one sample that spiked among them, and the page says so."""
    count = 60_000
    line = Timeline(owner("app", 0), t=[i / 100 for i in range(count)])
    line.anon = [(i * 7919) % 5000 * 4096 for i in range(count)]
    line.anon[31_234] = 61 * MIB
    line.memory_current = list(line.anon)
    study = Study(RunDir(tmp_path), duration_s=600.0, timelines={line.owner: line})
    figure = drawn(study)
    trace = traces(figure, "stack", "app")[0]
    assert max(trace["y"]) == 61
    assert trace["x"][trace["y"].index(61)] == pytest.approx(312.34)
    assert len(trace["x"]) < 8000
    assert any("no peak is lost" in said for said in figure.reduced)


def test_marks_of_the_pod_are_its_own(crashed: Study) -> None:
    """memory.events of the pod counts its containers' too; the pod's strip shows none of those."""
    assert owner() in crashed.timelines
    assert not traces(drawn(crashed), "memory-events", "pod")


def test_words_never_cover_a_mark(tmp_path: Path) -> None:
    """In a crash loop no victim's name lies over the next cross; where there is no room it is left to the mouse."""
    run = FakeRun(tmp_path / "run")
    for _ in range(12):
        run.start("queue-proxy", memory_max=64 * MIB)
        run.advance(run.now + 1, {"queue-proxy": {"anon": 60 * MIB}})
        run.oom("queue-proxy")
    study = read_study(run.finish())
    figure = drawn(study)
    marks = [t for trace in traces(figure, "oom-kill") for t in trace["x"]]
    assert len(marks) == 12
    assert not [note for note in figure.layout["annotations"] if note["text"].startswith("OOM kill")]
    assert all("queue_proxy" in said for trace in traces(figure, "oom-kill") for said in trace["text"])


@pytest.mark.parametrize("how", ["cut", "interrupted", "failed"])
def test_what_a_cut_run_did_not_finish_testing_is_not_decided(tmp_path: Path, how: str) -> None:
    """No ✓ in summary.json, on the page and on the terminal; the run is not met all the same."""
    run = FakeRun(tmp_path / "run", name="cut")
    run.start("app", memory_max=64 * MIB)
    run.advance(1.0)
    if how == "failed":
        run.fail("the engine went away", "it was stopped")
    study = read_study(run.cut() if how == "cut" else run.finish(interrupted=how == "interrupted"))
    summary = summarize(study, [parse_expectation("containers.app.oom_kills", "== 0")])
    assert summary["met"] is False
    (one,) = summary["expectations"]
    assert (one["met"], one["got"], one["why"]) == (None, 0, "not decided: the run was cut off before its end")
    page = render_html(study, summary)
    assert "? not decided" in page
    assert "✓ met" not in page
    table = expected_table(summary["expectations"])
    assert table is not None
    assert "?" in table.plain
    assert "not decided" in table.plain
    assert "✓" not in table.plain
