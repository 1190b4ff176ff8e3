"""A run with variants: its summary, its words, its page and its table, from made-up runs."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from emu.policy.expectations import parse_expectation, show_figure
from emu.record.rundir import RunDir
from emu.report.compare.compare import compare
from emu.report.compare.figure import comparison_figure, waits_of
from emu.report.compare.page import _chip
from emu.report.compare.rows import Row, _charged, rows_of
from emu.report.compare.words import kills_words, scaled_headline, words
from emu.report.finish import RunReport, finish, look, render
from emu.study.study import read_study
from tests import fake_runs
from tests.fakes import MIB, FakeRun

SCENARIO = """\
name: idle
load: {phases: [{name: fill, warmUp: true}, {name: trace}]}
expect:
  requests.by_status.200: "== requests.sent"
  variants.small.load.pod.memory_held_gib_seconds: "<= 0.5 * variants.large.load.pod.memory_held_gib_seconds"
variants: {large: {}, small: {}, later: {}}
"""


def played(path: Path, anon: int, takes_s: float) -> None:
    """A run of a variant: a warm-up, then two bursts with an idle stretch between them."""
    run = FakeRun(path, name=path.name)
    run.start("app", memory_max=256 * MIB)
    run.live["app"].values.update(anon=anon)
    run.phase("fill", 0.5, 1.0)
    run.requests(1, 0.5, 0.6, phase="fill", takes_s=0.3)
    run.phase("trace", 1.0, 5.0)
    run.requests(2, 1.0, 1.2, phase="trace", takes_s=takes_s)
    run.requests(2, 4.0, 4.2, phase="trace", takes_s=takes_s)
    run.advance(6.0)
    run.finish()
    (path / "scenario.yaml").write_text("name: x\nload: {phases: [{name: fill, warmUp: true}, {name: trace}]}\n")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """Two of three variants played: large and quick, small and slow."""
    top = RunDir(tmp_path / "run")
    top.variants.mkdir(parents=True)
    top.scenario.write_text(SCENARIO)
    played(top.variants / "large", 100 * MIB, 0.02)
    played(top.variants / "small", 10 * MIB, 0.4)
    return top


def without_later(run: RunDir) -> RunDir:
    """The same, as if there had been only two."""
    run.scenario.write_text(SCENARIO.replace(", later: {}", ""))
    return run


def test_the_summary_has_each_variants_own(run: RunDir) -> None:
    """Any figure of a variant is under its name, and the comparisons are judged."""
    summary = finish(without_later(run)).summary
    assert summary["variants"]["small"] == json.loads(run.variant("small").summary.read_text())
    assert [one["met"] for one in summary["expectations"]] == [True]
    assert summary["met"] is True
    assert json.loads(run.summary.read_text()) == summary


def test_a_variant_that_was_not_played_is_null(run: RunDir) -> None:
    """The run was interrupted before it: what is there stays readable, and nothing is met."""
    summary = finish(run).summary
    assert summary["variants"]["later"] is None
    assert (summary["met"], summary["ended"], summary["interrupted"]) == (False, True, True)
    assert "later" in " ".join(summary["verdict"]["sentences"])
    assert "interrupted" in run.report.read_text()


def test_a_variant_that_was_cut_off_was_not_interrupted(run: RunDir) -> None:
    """Somebody killed the run: it did not end, and the row of that variant says so."""
    summaries: dict[str, Any] = dict(look(run).summary["variants"])
    summaries["small"] = {**summaries["small"], "ended": False}
    summary = compare(summaries, [], "idle")
    assert (summary["met"], summary["ended"], summary["interrupted"]) == (False, False, False)
    assert [row.state for row in rows_of(summaries)] == ["played", "cut off", "not played"]
    assert summary["verdict"]["headline"] == "1 of 3 variants was played to the end"
    assert summary["verdict"]["sentences"][-2:] == ["Begun, and not played to the end: small.", "Not begun: later."]


def test_what_nobody_expected_anything_of_is_not_as_expected(run: RunDir) -> None:
    """Neither of the whole nor of a variant: the page says so, as that of a single run does."""
    summaries: dict[str, Any] = dict(look(without_later(run)).summary["variants"])
    bare = {name: {**one, "expectations": []} for name, one in summaries.items()}
    assert "no expectations" in _chip(compare(bare, [], "x"))
    expects = {
        **bare,
        "small": {**bare["small"], "expectations": [{"met": True, "what": "a", "wanted": "", "got": 1}]},
    }
    assert "✓ as expected" in _chip(compare(expects, [], "x"))


def test_one_variant_that_disappoints_is_enough(run: RunDir) -> None:
    """What was expected of each holds for the whole, and the words say whose it was."""
    summaries: dict[str, Any] = dict(look(without_later(run)).summary["variants"])
    bad = {"what": "requests.sent", "wanted": "== 9", "got": 5, "met": False}
    summaries["small"] = {**summaries["small"], "met": False, "expectations": [bad]}
    summary = compare(summaries, [], "idle")
    assert summary["met"] is False
    assert "small: requests.sent was not == 9." in summary["verdict"]["sentences"]


def test_costs_are_those_of_the_load(run: RunDir) -> None:
    """GiB-seconds from the end of the warm-up to the end of the trace; requests of the warm-up are not counted."""
    large, small = rows_of(look(without_later(run)).summary["variants"])
    assert large.held_gib_s == pytest.approx(4.0 * 100 / 1024, rel=0.05)
    assert small.held_gib_s == pytest.approx(4.0 * 10 / 1024, rel=0.05)
    assert (large.sent, large.woken) == (4, 1)
    assert large.woken_p50_ms == pytest.approx(20.0, abs=1.0)
    assert small.woken_p50_ms == pytest.approx(400.0, abs=1.0)


def test_the_headline_names_who_held_least(run: RunDir) -> None:
    """And by how much, beside the one that held most."""
    words = look(without_later(run)).summary["verdict"]
    assert words["headline"].startswith("small held ")
    assert "90 % less than large" in words["headline"]
    assert "20 ms with large and 400 ms with small" in words["sentences"][0]


def test_what_is_alike_is_called_alike(run: RunDir) -> None:
    """A difference within the noise is no finding."""
    large = look(run).summary["variants"]["large"]
    assert compare({"a": large, "b": large}, [], "x")["verdict"]["headline"].startswith("All variants held about")


def test_a_kill_comes_first(run: RunDir) -> None:
    """Which variants lived matters more than what they cost."""
    summaries: dict[str, Any] = dict(look(without_later(run)).summary["variants"])
    summaries["small"] = {**summaries["small"], "pod": {**summaries["small"]["pod"], "oom_kills": 2}}
    headline = compare(summaries, [], "x")["verdict"]["headline"]
    assert headline == "OOM kills: none with large and 2 with small"
    for kill_s, when in ((0.5, "500 ms before"), (3.5, "2.5 s after")):
        summaries["small"]["oom_kills"] = [{"time_s": kill_s, "level": "container"}]
        headline = compare(summaries, [], "x")["verdict"]["headline"]
        assert headline == f"OOM kills: none with large and 2 with small ({when} the load began)"


def test_who_died_for_the_node_is_the_headline() -> None:
    """In order of time: whom the kubelet evicted, and whom the kernel killed when the node was full. A kill at a
    container's own limit made no room, and is reported all the same.
    """
    kill = {"pod": "b", "container": "web", "level": "node", "child": True, "time_s": 2.0}
    names = ("emu", "where", "wall_time", "machine", "failed", "interrupted")
    common = {
        **dict.fromkeys(names),
        "duration_s": 1.0,
        "time_scale": 1,
        "ended": True,
        "expectations": [],
        "met": True,
    }
    slow = common | {"evictions": [{"pod": "a", "time_s": 1.0}], "oom_kills": [kill]}
    fast = common | {"evictions": [], "oom_kills": [kill | {"child": False}, kill | {"pod": "c", "child": False}]}
    quiet = common | {"evictions": [], "oom_kills": [kill | {"level": "container"}]}
    headline = compare({"slow": slow, "fast": fast, "quiet": quiet}, [], "x")["verdict"]["headline"]
    assert headline == (
        "slow: the kubelet evicted a, and the kernel OOM-killed a child process of b/web; "
        "fast: the kernel OOM-killed b/web, then c/web; quiet: nothing had to make room"
    )
    quiet["oom_kills"] = [kill | {"level": "container", "limit_bytes": 64 * MIB}]
    headline = compare({"fast": fast, "quiet": quiet}, [], "x")["verdict"]["headline"]
    assert headline.endswith("c/web; quiet: a child process of web was OOM-killed at its own limit of 64 MiB")
    quiet |= {"pod": {"oom_kills": 1}}
    verdict = compare({"slow": slow, "quiet": quiet}, [], "x")["verdict"]
    assert any(text.startswith("OOM kills: 1 of a child process with quiet") for text in verdict["sentences"])
    slow |= {"oom_kills": [*slow["oom_kills"], quiet["oom_kills"][0]], "pod": {"oom_kills": 2}}
    verdict = compare({"slow": slow, "quiet": quiet}, [], "x")["verdict"]
    assert verdict["headline"] == (
        "slow: the kubelet evicted a, and the kernel OOM-killed a child process of b/web, and a child process of web "
        "was OOM-killed at its own limit of 64 MiB; quiet: a child process of web was OOM-killed at its own limit of "
        "64 MiB"
    )
    assert any(text.startswith("OOM kills: 2 ") for text in verdict["sentences"])


def test_who_kept_its_page_cache_on_a_full_node_is_named_with_what_its_read_took() -> None:
    """Of the read whose bytes from disk differ most; nothing where they are alike."""

    def variant(after: tuple[float, int]) -> dict[str, Any]:
        reads = (("first", (2.0, 64 * MIB)), ("after", after))
        names = ("emu", "where", "wall_time", "machine", "failed", "interrupted")
        of = {"pod": "web", "container": "app"}
        return {
            **dict.fromkeys(names), "duration_s": 1.0, "time_scale": 1, "ended": True, "expectations": [],
            "met": True, "reclaim": [{**of, "reclaimed_bytes": 40 * MIB}],
            "page_cache": {"reads": [
                {**of, "file": "data", "phase": phase, "took_s": took_s, "disk_read_bytes": size}
                for phase, (took_s, size) in reads
            ]},
        }  # fmt: skip

    none, low = variant((1.5, 40 * MIB)), variant((0.05, 0))
    verdict = compare({"none": none, "low": low}, [], "x")["verdict"]
    assert verdict["headline"].startswith("none: the kernel reclaimed 40 MiB")
    said = "In after web/app read data in 1.5 s (40 MiB from disk) with none and 50 ms (from memory) with low."
    assert verdict["sentences"][0] == said
    assert said not in compare({"none": none, "low": none}, [], "x")["verdict"]["sentences"]


def test_who_died_at_whose_limit_is_the_headline(run: RunDir) -> None:
    """Where the variants differ in that; a variant in which nobody died says so."""
    summaries: dict[str, Any] = dict(look(without_later(run)).summary["variants"])
    kill = {"time_s": 3.5, "pod": "p", "container": "app", "level": "container", "limit_bytes": 72 * MIB}
    of_pod = [kill | {"container": one, "level": "pod", "limit_bytes": 96 * MIB} for one in ("queue-proxy", "app")]
    for name, kills in (("large", [kill]), ("small", of_pod)):
        summaries[name] = {**summaries[name], "pod": {**summaries[name]["pod"], "oom_kills": 1}, "oom_kills": kills}
    verdict = compare(summaries, [], "x")["verdict"]
    assert verdict["headline"] == (
        "large: app was OOM-killed at its own limit of 72 MiB; "
        "small: queue-proxy was OOM-killed at the pod's limit of 96 MiB, then app"
    )
    assert verdict["sentences"][0].startswith("OOM kills: 1 with large")
    summaries["small"]["oom_kills"] = [kill | {"limit_bytes": 64 * MIB}]
    assert compare(summaries, [], "x")["verdict"]["headline"].startswith("OOM kills: 1 with large")


def test_without_idleness_all_answers_are_drawn(run: RunDir) -> None:
    """The picture compares first answers after idleness if there are any, else the median and the longest of all."""
    rows = rows_of(look(run).summary["variants"])
    first = waits_of(rows)
    every = waits_of([replace(row, woken_p50_ms=None, woken_max_ms=None) for row in rows])
    assert (first.what, every.what) == ("first answer after idleness", "answer")
    assert set(first.by_name) == set(every.by_name) == {"large", "small"}
    assert every.by_name["small"] == (rows[1].latency["p50"], rows[1].latency["max"])


def test_the_page_compares_and_links(run: RunDir) -> None:
    """One picture, a row for each variant, and the way to each one's own report, all of it offline."""
    finish(run)
    page = run.report.read_text()
    assert 'href="variants/large/report.html"' in page
    assert 'href="variants/later/report.html"' not in page
    assert "first answer after idleness" in page
    assert "http://" not in page.split("<script")[0]
    assert run.variant("large").report.exists()


def test_the_terminal_has_a_row_for_each(run: RunDir) -> None:
    """With what was held and what was waited."""
    text = io.StringIO()
    reported = look(run)
    render(reported, Console(file=text, width=200))
    lines = text.getvalue().splitlines()
    assert any(line.startswith("large") and "GiB·s" in line and "20 ms" in line for line in lines)
    assert any(line.startswith("later") and "not played" in line for line in lines)
    assert isinstance(reported, RunReport)
    assert not run.summary.exists()


def test_a_run_copied_without_its_scenario_is_still_read(run: RunDir) -> None:
    """The folders name the variants then."""
    run.scenario.unlink()
    assert list(finish(run).summary["variants"]) == ["large", "small"]


def test_a_name_of_all_variants_is_no_comparison() -> None:
    """Lines of `expect` that belong to each are not judged on the whole."""
    expectation = parse_expectation("requests.sent", "== 1")
    assert compare({}, [expectation], "x")["expectations"] == []


def test_kills_of_child_processes_are_called_that() -> None:
    """A variant whose container lived on is not compared as if it had been killed, too."""
    rows = [Row("one", oom_kills=2, spared=True), Row("group", oom_kills=1), Row("all", oom_kills=1, spared=True)]
    said = [kills_words(row) for row in rows]
    assert said == ["2 of child processes with one", "1 with group", "1 of a child process with all"]
    said = [kills_words(row, mixed=True) for row in rows]
    assert said[0].startswith("2 of child processes") and said[1] == "1 of the whole container with group"
    assert kills_words(Row("both", oom_kills=2, some_spared=True), mixed=True) == "2 with both"


def scaled(name: str, pods: int = 2, p90: float | None = None, idle_s: float = 6.0) -> Row:
    """A variant of a service."""
    return Row(name, pods_wanted=pods, idle_pod_s=idle_s, latency={"n": 50, "p90": p90})


def test_variants_of_a_service_are_compared_by_what_they_differ_in() -> None:
    """How many pods there were; else how soon another class of autoscaler wanted more; else how long requests took,
    if that is far apart; else how long pods stayed.
    """
    assert (
        scaled_headline([scaled("a"), scaled("b", pods=1)])
        == "Pods that the autoscaler wanted: 2 with a and 1 with b"
    )
    classes = [
        replace(scaled("a", p90=300.0), scaled_by="kpa", reaction_s=0.84),
        replace(scaled("b", p90=620.0), scaled_by="hpa", reaction_s=3.3),
    ]
    assert scaled_headline(classes) == "The autoscaler first wanted more pods after 840 ms with a and 3.3 s with b"
    slow = [scaled("a", p90=300.0), scaled("b", p90=620.0)]
    assert scaled_headline(slow) == "90 % of the answers came within 300 ms with a and 620 ms with b"
    long = [scaled("a", p90=300.0), scaled("b", p90=310.0, idle_s=20.0)]
    assert (
        scaled_headline(long) == "After the last request all pods together stayed for 6.0 s with a and 20.0 s with b"
    )
    spread = [
        replace(scaled("a"), panics=1, direct=0, sent=150),
        replace(scaled("b"), panics=1, direct=120, sent=126),
    ]
    assert (
        scaled_headline(spread)
        == "Requests that went to a pod past the activator: none of 150 with a and 120 of 126 "
        "with b; all variants had 2 pods at most, and panicked once"
    )
    assert scaled_headline([scaled("a"), scaled("b")]) == ""
    assert scaled_headline([scaled("a"), Row("b")]) == "" == scaled_headline([])


def test_a_null_that_was_expected_is_not_called_unmeasured() -> None:
    """It does not apply: a rollout that waited for nobody."""
    assert (show_figure("waited_for", None, met=True), show_figure("waited_for", None)) == ("null", "not measured")


def test_of_variants_with_several_pods_the_picture_shows_all_pods_together(tmp_path: Path) -> None:
    """What the node held: the first pod alone would hold too little, and nothing once it is gone."""
    study = read_study(fake_runs.ALL["replicas"](tmp_path / "run"))
    node = replace(study.pod_timelines[0], memory_current=[7 * MIB for _ in study.pod_timelines[0].t])
    rows = [Row(name, begin_s=0.5, end_s=2.0, held_gib_s=held, latency={"p50": 9.0, "max": 10.0, "n": 2})
            for name, held in (("less", 0.4), ("more", 0.5))]  # fmt: skip
    figure = comparison_figure(rows, {row.name: replace(study, node=node) for row in rows})
    assert [set(trace["y"]) for trace in figure.data if "yaxis" not in trace] == [{7.0}, {7.0}]
    assert figure.layout["yaxis"]["title"]["text"] == "memory.current of all pods"
    sides = {trace["name"]: trace["textposition"] for trace in figure.data if "text" in trace}
    assert sides == {"less": "middle left", "more": "middle right"}
    ticks = [tick for tick in figure.layout["yaxis2"]["tickvals"] if 9 * 0.7 < tick < 10 * 1.4]
    assert len(ticks) > 1
    old = comparison_figure(rows, {row.name: replace(study, node=None) for row in rows})
    assert old.layout["yaxis"]["title"]["text"] == "the pod's memory.current"


def test_variants_with_an_init_container_are_compared_by_who_is_charged() -> None:
    """An init container's page cache is the pod's once it is gone; what the app read again is the app's."""
    gone = {"ready": True, "state": {"reason": "Completed"}, "file_end_bytes": 19 << 20}
    app = {"ready": True, "state": {"reason": None}, "file_end_bytes": 181 << 20}
    summary = {"containers": {"download": gone, "app": app}, "pod": {"file_end_bytes": 200 << 20}}
    charged = _charged(summary)
    assert charged == "181 MiB to app and 19 MiB to the pod alone"
    assert _charged({"containers": {"app": app}, "pod": {"file_end_bytes": 200 << 20}}) is None
    rows = [Row("small", charged=charged), Row("large", charged="200 MiB to the pod alone")]
    assert (
        words(rows)[0] == f"Page cache charged at the end: {charged} with small; 200 MiB to the pod alone with large"
    )
    assert "charged" not in words([Row("small", charged=charged), Row("like", charged=charged)])[0]
    assert "charged" not in words([Row("small", charged=charged), Row("without one")])[0]
