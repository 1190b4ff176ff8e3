"""summary.json: its names, what each is measured from, and what is null."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emu.policy.expectations import parse_expectation
from emu.record.events import Owner
from emu.report.summary import recorded_expectations, summarize, write_summary
from emu.study.measures import Window, percentile, says_something
from emu.study.model.freezes import Freeze, FreezerUse
from emu.study.model.requests import Request
from emu.study.model.timeline import Column, Timeline
from emu.study.requests import after_idle
from emu.study.study import read_study
from tests import fake_runs
from tests.fakes import MIB, PAGE, FakeRun


def summary_of(name: str) -> dict[str, Any]:
    """A made-up run's summary."""
    return summarize(fake_runs.study_of(name))


@pytest.mark.parametrize("name", fake_runs.ALL)
def test_requests_add_up(name: str) -> None:
    """Each request that was sent was either answered or has an error, for the run and for each phase."""
    summary = summary_of(name)
    parts = [summary["requests"], *(phase["requests"] for phase in summary["phases"].values())]
    for requests in (part for part in parts if part["sent"] is not None):
        assert requests["sent"] == requests["answered"] + sum(requests["errors"].values())
        assert requests["answered"] == sum(requests["by_status"].values())


@pytest.mark.parametrize("name", fake_runs.ALL)
def test_a_summary_is_json_without_nan(name: str, tmp_path: Path) -> None:
    """It can be written and read back by any tool, and says the same then."""
    study = read_study(fake_runs.ALL[name](tmp_path / "run"))
    summary = summarize(study)
    json.dumps(summary, allow_nan=False)
    write_summary(study.run, summary)
    assert json.loads(study.run.summary.read_text()) == summary


def test_the_names_that_others_build_on() -> None:
    """The contract: these names are there, for every container."""
    summary = summary_of("oom")
    assert {"scenario", "met", "expectations", "where", "machine", "containers", "pod", "requests"} <= summary.keys()
    assert {"oom_kills", "freezes", "recorder", "phases", "verdict"} <= summary.keys()
    names = "oom_kills restarts exits memory_peak_bytes anon_peak_bytes file_peak_bytes swap_peak_bytes io_read_bytes"
    for container in ("queue-proxy", "app"):
        assert {*names.split(), "io_write_bytes", "memory_events"} <= summary["containers"][container].keys()
    kill = "time_s container level invoker victim pid anon_rss_bytes file_rss_bytes evidence"
    assert set(kill.split()) <= summary["oom_kills"][0].keys()
    assert summary["recorder"].keys() >= {"interval_s", "samples", "late", "cpu_s"}


def test_a_container_is_counted_over_its_instances() -> None:
    """Kills, restarts, exits and counters are of all instances; the end of the run is no finding."""
    figures = summary_of("oom")["containers"]["queue-proxy"]
    assert (figures["oom_kills"], figures["restarts"], figures["final_reason"]) == (2, 2, "OOMKilled")
    assert [(one["exit_code"], one["reason"]) for one in figures["exits"]] == [(137, "OOMKilled")] * 2
    assert figures["memory_events"]["oom_kill"] == 2
    assert figures["anon_peak_bytes"] == 55 * MIB
    assert figures["ready"] is True


def test_how_a_container_stands_at_its_end(tmp_path: Path) -> None:
    """A process's memory is gone before its cgroup is: the end is just before a kill, or when the load was over."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.start("queue-proxy", memory_max=64 * MIB)
    run.phase("load", 0.0, 1.0)
    run.advance(1.0, {"app": {"anon": 10 * MIB}, "queue-proxy": {"anon": 60 * MIB}})
    run.oom("queue-proxy", exit_code=None)
    for moves in ({"queue-proxy": {"anon": 0.0}}, {"app": {"anon": 0.0}}):
        run.advance(run.now + 0.1, moves)
    containers = summarize(read_study(run.finish()))["containers"]
    assert containers["queue-proxy"]["anon_end_bytes"] == 60 * MIB
    assert containers["app"]["anon_end_bytes"] == 10 * MIB


def test_page_cache_figures() -> None:
    """Reading 256 MiB twice under 64 MiB reads 512 MiB, the second pass from the disk again."""
    summary = summary_of("page_cache")
    app, phases = summary["containers"]["app"], summary["phases"]
    assert app["io_read_bytes"] == app["disk_read_bytes"] == 512 * MIB
    assert app["swap_io_read_bytes"] == 0
    assert app["refault_bytes"] == 256 * MIB
    assert app["memory_events"] == {"low": 0, "high": 0, "max": 1500, "oom": 0, "oom_kill": 0, "oom_group_kill": 0}
    first, again = (phases[name]["containers"]["app"] for name in ("first", "again"))
    assert first["io_read_bytes"] == pytest.approx(256 * MIB, rel=0.01)
    assert again["io_read_bytes"] == pytest.approx(256 * MIB, rel=0.01)
    assert (first["refault_bytes"], again["refault_bytes"]) == (0, 256 * MIB)
    assert (first["memory_events"]["max"], again["memory_events"]["max"]) == (600, 900)
    assert summary["containers"]["queue-proxy"]["io_read_bytes"] == 0


def test_phases_share_out_what_the_run_counted() -> None:
    """A counter's rise before, within and between phases is counted once."""
    summary = summary_of("page_cache")
    parts = sum(phase["containers"]["app"]["io_read_bytes"] for phase in summary["phases"].values())
    assert parts == summary["containers"]["app"]["io_read_bytes"]


def test_a_sample_that_was_read_late_is_no_bound_of_a_phase(tmp_path: Path) -> None:
    """On a busy machine a sample begun before a phase may have been read within it, and 30 of its 70 be lost."""
    study = read_study(fake_runs.page_cache(tmp_path / "run"))
    read: Column = [100, 100, 130, 170, 170]
    line = Timeline(Owner("", "app", 0), t=[0.8, 0.9, 1.0, 1.3, 1.4])
    assert Window(study, until_s=1.1).rise([(line, read)]) == 100
    assert Window(study, begin_s=1.1).rise([(line, read)]) == 70
    line.until = [0.81, 0.91, 1.2, 1.31, 1.41]
    assert Window(study, until_s=1.1).rise([(line, read)]) == 100


def test_a_sample_known_to_have_been_read_bounds_a_phase_exactly(tmp_path: Path) -> None:
    """The one between two phases: what came before it is the first one's, all else the second one's."""
    study = read_study(fake_runs.page_cache(tmp_path / "run"))
    read: Column = [100, 130, 170]
    line = Timeline(Owner("", "app", 0), t=[0.9, 1.0, 1.3], until=[0.91, 1.05, 1.31])
    assert Window(study, until_s=1.1).rise([(line, read)]) == 130
    assert Window(study, begin_s=1.1).rise([(line, read)]) == 40


def test_swap_traffic_is_counted_apart_from_files() -> None:
    """The device's role distinguishes swap from files; both are in io_*_bytes."""
    app = summary_of("swap")["containers"]["app"]
    assert (app["swap_io_write_bytes"], app["swap_io_read_bytes"]) == (180 * MIB, 40 * MIB)
    assert (app["disk_write_bytes"], app["io_write_bytes"]) == (0, 180 * MIB)
    assert app["swap_peak_bytes"] == 150 * MIB
    assert app["swap_refault_bytes"] == 40 * MIB // PAGE * PAGE


def test_no_io_stat_is_null(tmp_path: Path) -> None:
    """Where io.stat was absent nothing is claimed of io, not even 0."""
    directory = fake_runs.page_cache(tmp_path / "run")
    fake_runs.rewrite_samples(directory.path, b" io.stat ", b" io.none ")
    app = summarize(read_study(directory))["containers"]["app"]
    assert [app[name] for name in ("io_read_bytes", "disk_read_bytes", "swap_io_write_bytes")] == [None] * 3


def test_no_counters_and_no_log_is_no_zero(tmp_path: Path) -> None:
    """Where neither memory.events nor the kernel's log was recorded, how many OOM kills is not known."""
    directory = fake_runs.docker_kill(tmp_path / "run")
    directory.samples.unlink()
    assert summarize(read_study(directory))["containers"]["queue-proxy"]["oom_kills"] is None


def test_latency_counts_from_when_a_request_was_begun(tmp_path: Path) -> None:
    """Of those that were answered. What the load generator was late is none of it, and has figures of its own."""
    run = FakeRun(tmp_path / "run")
    for milliseconds in range(1, 101):
        run.requests(1, 1.0, 1.1, takes_s=milliseconds / 1000, late_s=0.3 if milliseconds > 90 else 0.02)
    run.requests(5, 1.0, 1.1, takes_s=9.0, status=None, error="closed", late_s=0.02)
    run.advance(10.0)
    requests = summarize(read_study(run.finish()))["requests"]
    wanted = {"n": 100, "p50": 50.5, "p90": 90.1, "p99": 99.01, "max": 100}
    assert requests["latency_ms"] == pytest.approx(wanted, abs=0.01)
    assert requests["late"] == 10
    assert (requests["lateness_ms"]["n"], requests["lateness_ms"]["max"]) == (105, pytest.approx(300, abs=0.01))


def test_a_record_without_begins_counts_from_when_requests_were_due(tmp_path: Path) -> None:
    """As older versions wrote it: nobody knows how late the load generator was."""
    run = FakeRun(tmp_path / "run")
    run.requests(2, 1.0, 1.1, takes_s=0.2, late_s=0.3)
    run.advance(2.0)
    directory = run.finish()
    lines = directory.requests.read_text().splitlines()
    records = [{name: value for name, value in json.loads(line).items() if name != "begun"} for line in lines]
    directory.requests.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    requests = summarize(read_study(directory))["requests"]
    assert requests["latency_ms"]["max"] == pytest.approx(500, abs=0.01)
    assert (requests["late"], requests["lateness_ms"]["n"]) == (None, 0)


def test_each_outcome_has_its_own_latency(tmp_path: Path) -> None:
    """Refusals given at once say nothing of how long answers take, nor do errors; success comes first."""
    run = FakeRun(tmp_path / "run")
    run.requests(3, 1.0, 1.1, takes_s=2.0)
    run.requests(1, 1.0, 1.1, takes_s=2.5, status=204)
    run.requests(9, 1.0, 1.1, takes_s=0.001, status=503)
    run.requests(2, 1.0, 1.1, takes_s=0.4, status=None, error="closed")
    run.advance(5.0)
    by_outcome = summarize(read_study(run.finish()))["requests"]["latency_ms_by_outcome"]
    assert list(by_outcome) == ["2xx", "503", "closed"]
    assert [one["n"] for one in by_outcome.values()] == [4, 9, 2]
    assert [one["p50"] for one in by_outcome.values()] == pytest.approx([2000, 1, 400], abs=0.01)


def test_who_wakes_a_pod_is_who_found_it_asleep(tmp_path: Path) -> None:
    """The first request after a short gap that a policy left alone is none of them."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    for t, took in ((1.0, 0.1), (3.0, 0.026), (9.0, 7.5)):
        run.requests(1, t, t + 0.1, takes_s=took)
    run.advance(18.0)
    study = read_study(run.finish())
    idle = summarize(study)["requests"]["after_idle"]
    assert (idle["sent"], idle["asleep"]) == (2, None)
    study.freezer = FreezerUse()
    study.freezes = [Freeze("app", 0, 5.0, 16.0)]
    idle = summarize(study)["requests"]["after_idle"]
    assert (idle["sent"], idle["asleep"]["sent"]) == (2, 1)
    assert idle["asleep"]["latency_ms"]["p50"] == pytest.approx(7500, abs=0.01)


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.5), (0.9, 3.7), (0.25, 1.75), (0.0, 1.0), (1.0, 4.0)])
def test_percentiles_lie_between_the_nearest_two(share: float, value: float) -> None:
    """Of 1, 2, 3, 4, as NumPy and R count; the median of two is their mean, and of one it is that one."""
    assert percentile([1.0, 2.0, 3.0, 4.0], share) == pytest.approx(value)
    assert percentile([1.0, 2.0], 0.5) == 1.5
    assert percentile([7.0], share) == 7.0
    assert percentile([], share) is None


@pytest.mark.parametrize(
    ("name", "n", "says"),
    [
        ("p99", 99, False),
        ("p99", 100, True),
        ("p90", 9, False),
        ("p90", 10, True),
        ("p50", 1, False),
        ("max", 1, True),
    ],
)
def test_a_percentile_of_too_few_says_nothing(name: str, n: int, says: bool) -> None:
    """It would be the longest under another name."""
    assert says_something(name, n) is says


def test_met_is_that_all_came_true(tmp_path: Path) -> None:
    """Each expectation is reported with what was wanted and got; one unmet makes the run unmet."""
    study = read_study(fake_runs.oom(tmp_path / "run"))
    good = parse_expectation("containers.queue-proxy.oom_kills", ">= 1")
    bad = parse_expectation("containers.app.oom_kills", ">= 1")
    assert summarize(study, [good])["met"] is True
    summary = summarize(study, [good, bad])
    assert summary["met"] is False
    assert summary["expectations"] == [
        {"what": "containers.queue-proxy.oom_kills", "wanted": ">= 1", "got": 2, "met": True},
        {"what": "containers.app.oom_kills", "wanted": ">= 1", "got": 0, "met": False},
    ]


def test_a_run_that_was_cut_off_meets_nothing(tmp_path: Path) -> None:
    """No kill in half a run is no proof: `met` needs an end in order."""
    study = read_study(fake_runs.cut_off(tmp_path / "run"))
    assert summarize(study, [parse_expectation("oom_kills.count", "0")])["met"] is False


def test_expectations_come_from_the_runs_own_scenario(tmp_path: Path) -> None:
    """A remade report checks what the recorded scenario expected; without a scenario nothing was."""
    directory = fake_runs.oom(tmp_path / "run")
    assert recorded_expectations(directory) == []
    directory.scenario.write_text('name: x\nexpect:\n  oom_kills.count: ">= 1"\n  nonsense.at.all: "1"\n')
    assert [one.name for one in recorded_expectations(directory)] == ["oom_kills.count"]
    directory.scenario.write_text("name: [")
    assert recorded_expectations(directory) == []


def test_memory_held_is_size_times_time(tmp_path: Path) -> None:
    """512 MiB for four seconds are 2 GiB-seconds; swap is counted by itself, and without samples there is neither."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.live["app"].values.update(anon=512 * MIB, swap=256 * MIB)
    run.sample()
    run.advance(run.now + 4.0)
    study = read_study(run.finish())
    app = summarize(study)["containers"]["app"]
    assert app["memory_held_gib_seconds"] == pytest.approx(2.0, rel=0.02)
    assert app["swap_held_gib_seconds"] == pytest.approx(1.0, rel=0.02)
    assert Window(study, 1.0, 2.0).held(study.timelines_of("app"), "memory_current") == pytest.approx(0.5, rel=0.02)
    assert Window(study).held([], "memory_current") is None


def test_what_warmed_up_is_no_load(tmp_path: Path) -> None:
    """`load` begins with the first phase that is no warm-up; a run of nothing else has none."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    for name, begin_s in (("fill", 1.0), ("trace", 3.0)):
        run.phase(name, begin_s, begin_s + 2.0)
        run.requests(2, begin_s, begin_s + 0.1, phase=name, takes_s=0.05)
    run.advance(6.0)
    study = read_study(run.finish())
    whole, load = (summarize(study, warm_up=names)["load"] for names in ((), {"fill"}))
    assert (whole["begin_s"], whole["end_s"], whole["requests"]["sent"]) == (1.0, 5.0, 4)
    assert (load["begin_s"], load["end_s"], load["requests"]["sent"]) == (3.0, 5.0, 2)
    assert load["requests"]["after_idle"]["sent"] == 1
    assert summarize(study, warm_up={"fill", "trace"})["load"] is None


def test_the_first_after_idleness_finds_nothing_under_way() -> None:
    """Neither when it was due nor in the second before; the first of all is none, and an unanswered one ends it."""

    def one(number: int, due_s: float, done_s: float | None) -> Request:
        return Request(number, "p", due_s, due_s, None, done_s, 200, None)

    due = [(0.0, 0.1), (0.5, 0.6), (1.7, 4.0), (3.0, 3.1), (5.0, 5.1), (5.0, 5.2), (5.9, None), (9.0, 9.1)]
    requests = [one(number, *times) for number, times in enumerate(due)]
    assert [request.id for request in after_idle(requests)] == [2, 4]


def test_a_peak_is_at_least_what_the_log_says_at_a_kill(tmp_path: Path) -> None:
    """Between two samples memory may have grown: the kernel's statistics of the moment count too, in its phase."""
    run = FakeRun(tmp_path / "run")
    app = run.start("app", memory_max=64 * MIB)
    run.phase("before", 0.0, 1.0)
    run.phase("load", 1.0, 2.0)
    run.advance(1.5, {"app": {"anon": 40 * MIB}})
    app.values["anon"] = 63 * MIB
    run.oom("app", seen=False)
    run.advance(2.0)
    summary = summarize(read_study(run.finish()))
    assert summary["oom_kills"][0]["held"]["anon"] == 63 * MIB
    assert summary["containers"]["app"]["anon_peak_bytes"] == 63 * MIB
    phases = summary["phases"]
    assert phases["load"]["containers"]["app"]["anon_peak_bytes"] == 63 * MIB
    assert phases["before"]["containers"]["app"]["anon_peak_bytes"] < 40 * MIB


def test_phases_that_overlap_have_all_that_happened_in_them(tmp_path: Path) -> None:
    """One that goes on while the next has begun is not over with that."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.phase("steady", 1.0, 9.0)
    run.phase("beside", 1.0, 3.0)
    run.phase("after", 10.0, 12.0)
    run.requests(4, 2.0, 6.0, takes_s=3.0, phase="steady")
    run.advance(20.0)
    phases = summarize(read_study(run.finish()))["phases"]
    assert phases["steady"]["requests"]["in_flight_peak"] == 3
    assert phases["steady"]["containers"]["app"]["memory_peak_bytes"] is not None
    assert phases["beside"]["end_s"] < phases["after"]["begin_s"]
