"""What is said of requests: by outcome, with how many, and never the load generator's lateness as the pod's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from emu.report.page.header import header
from emu.report.summary import summarize
from emu.report.text import print_story
from emu.report.topics.requests import bound_headline
from emu.study.model.study import RecorderCost
from emu.study.study import read_study
from tests.fakes import FakeRun


def run_of(path: Path) -> FakeRun:
    """A run of an app, with requests to be added."""
    run = FakeRun(path)
    run.start("app")
    return run


def words_of(run: FakeRun, until_s: float = 20.0) -> tuple[str, str]:
    """The headline, and the sentences as one text."""
    run.advance(until_s)
    verdict = summarize(read_study(run.finish()))["verdict"]
    return verdict["headline"], " ".join(verdict["sentences"])


@pytest.mark.parametrize(
    ("groups", "headline"),
    [
        ([(1, 500)], "the one request was answered 500 at once"),
        ([(2, 500)], "both requests were answered 500 at once"),
        ([(9, 500)], "all 9 requests were answered 500 at once"),
        ([(1, 500), (3, 200)], "1 of 4 requests was answered 500 at once"),
        ([(2, 500), (2, 200)], "2 of 4 requests were answered 500 at once"),
        ([(1, 200)], "the one request was answered"),
    ],
)
def test_failures_are_counted_in_whole_sentences(
    tmp_path: Path, groups: list[tuple[int, int]], headline: str
) -> None:
    """One is one, all are all, and a share is of several."""
    run = run_of(tmp_path / "run")
    for number, status in groups:
        run.requests(number, 1.0, 2.0, status=status)
    said, peak = words_of(run)[0].removeprefix("Nothing was OOM-killed: ").split("; ")
    assert headline in (said, peak), "what failed comes first, what went well last"


def test_a_headline_counts_each_way_in_which_requests_failed(tmp_path: Path) -> None:
    """Errors are failures as much as a status is, and what is rare is not left out without a word."""
    run = run_of(tmp_path / "run")
    run.requests(20, 1.0, 2.0, takes_s=0.5)
    run.requests(9, 1.0, 2.0, takes_s=0.5, status=502)
    for number, error in ((4, "timeout"), (1, "reset"), (1, "closed")):
        run.requests(number, 1.0, 2.0, status=None, error=error)  # type: ignore[arg-type]  # one of the literals
    assert words_of(run)[0].startswith(
        "Nothing was OOM-killed: 9 of 35 requests were answered 502, 4 were given up by the client (timeout), 1 "
        "was reset and 1 failed in other ways; app"
    )


@pytest.mark.parametrize(
    ("failed", "well", "heading"),
    [
        (0, 5, "Nothing was OOM-killed"),
        (1, 4, "Nothing was OOM-killed, but 1 of 5 requests failed"),
        (5, 0, "Nothing was OOM-killed, but all 5 requests failed"),
    ],
)
def test_the_page_s_heading_says_that_requests_failed(tmp_path: Path, failed: int, well: int, heading: str) -> None:
    """That nothing was OOM-killed would read as if all was well."""
    run = run_of(tmp_path / "run")
    run.requests(failed, 1.0, 2.0, status=502)
    run.requests(well, 1.0, 2.0)
    run.advance(9.0)
    study = read_study(run.finish())
    assert f"<h1>{heading}</h1>" in header(study, summarize(study)).replace("\xa0", " ")


@pytest.mark.parametrize("killed_for", [None, "liveness"])
def test_the_headline_of_an_end_has_what_requests_saw(tmp_path: Path, killed_for: str | None) -> None:
    """An exit code alone does not say whether anybody noticed."""
    run = run_of(tmp_path / "run")
    run.requests(3, 1.0, 2.0)
    run.requests(2, 1.0, 2.0, takes_s=0.5, status=502)
    run.advance(3.0)
    run.exit("app", 1, killed_for=killed_for)
    assert words_of(run)[0].endswith("; 2 of 5 requests were answered 502")


def test_success_is_not_mixed_with_refusals(tmp_path: Path) -> None:
    """Half of the answers were refusals given at once: both are reported, each with how many they are."""
    run = run_of(tmp_path / "run")
    run.requests(100, 1.0, 2.0, takes_s=3.0)
    run.requests(20, 1.0, 2.0, takes_s=3.5)
    run.requests(300, 1.0, 2.0, takes_s=0.001, status=503)
    said = words_of(run)[1]
    assert "Half of the 120 successful answers came within 3.0 s, 99 % within 3.5 s." in said
    assert "The 300 answers with 503 took 1 ms (median and longest)." in said


def test_a_few_values_have_no_percentile(tmp_path: Path) -> None:
    """Twelve have a median and a longest, and no 99 %."""
    run = run_of(tmp_path / "run")
    run.requests(11, 1.0, 2.0, takes_s=0.1)
    run.requests(1, 2.0, 3.0, takes_s=7.0)
    assert "The 12 answers took 100 ms in the median, 7.0 s at most." in words_of(run)[1]


def test_the_load_generators_lateness_is_its_own(tmp_path: Path) -> None:
    """It is said, in words and in the table, and the pod's answers are as quick as they were."""
    run = run_of(tmp_path / "run")
    run.requests(10, 1.0, 2.0, takes_s=0.05, late_s=2.5)
    run.requests(90, 2.0, 6.0, takes_s=0.05)
    run.advance(8.0)
    study = read_study(run.finish())
    summary = summarize(study)
    said = " ".join(summary["verdict"]["sentences"])
    assert "This machine sent 90 of 100 requests in time" in said
    assert "the load generator sent the others up to 2.5 s late" in said
    assert summary["requests"]["latency_ms"]["max"] == pytest.approx(50, abs=0.01)
    console = Console(width=200, record=True, file=(tmp_path / "said").open("w"))
    print_story(study, summary, console)
    assert "10 (at most 2.5 s)" in console.export_text()


def test_one_late_request_is_singular(tmp_path: Path) -> None:
    """Of two requests the other one."""
    run = run_of(tmp_path / "run")
    run.requests(1, 1.0, 2.0, late_s=0.6)
    run.requests(1, 2.0, 3.0)
    assert "in time: the load generator sent the other one 600 ms late." in words_of(run)[1]


def test_who_is_in_time_hears_nothing_of_it(tmp_path: Path) -> None:
    """A few milliseconds are every machine's."""
    run = run_of(tmp_path / "run")
    run.requests(100, 1.0, 6.0, late_s=0.02)
    assert "late" not in words_of(run)[1]


WAITED = "2 OOM kills of queue-proxy"


def test_a_machine_too_slow_for_a_scenario_is_called_that(tmp_path: Path) -> None:
    """What a phase waited for did not come, and the machine did not bring the requests that were to cause it."""
    run = run_of(tmp_path / "run")
    run.phase("steady", 1.0, 11.0, until=WAITED, met=False, unsent=600)
    run.requests(300, 1.0, 11.0, phase="steady", late_s=4.0)
    run.requests(100, 1.0, 2.0, phase="steady")
    headline, said = words_of(run)
    assert "This machine sent" not in said, "it would be reported twice, with other figures"
    assert headline.startswith(
        "This machine is too slow for the scenario: it sent 100 of 1,000 requests in time and 600 not at all, and "
        f"after 10.0 s phase steady ended before what it waited for ({WAITED}). Nothing was OOM-killed"
    )


def test_what_did_not_come_in_time_is_said(tmp_path: Path) -> None:
    """Where the requests were all sent, the machine is not to blame."""
    run = run_of(tmp_path / "run")
    run.phase("steady", 1.0, 11.0, until=WAITED, met=False)
    run.requests(100, 1.0, 11.0, phase="steady")
    assert words_of(run)[0].startswith(
        f"After 10.0 s phase steady ended before what it waited for ({WAITED}). Nothing was OOM-killed"
    )


@pytest.mark.parametrize(("until", "met"), [(WAITED, True), (None, None)])
def test_what_came_is_not_mentioned(tmp_path: Path, until: str | None, met: bool | None) -> None:
    """Nor a phase that waits for nothing."""
    run = run_of(tmp_path / "run")
    run.phase("steady", 1.0, 11.0, until=until, met=met)
    run.requests(100, 1.0, 11.0, phase="steady")
    assert words_of(run)[0].startswith("Nothing was OOM-killed")


def test_a_kill_as_the_run_ends_is_called_that(tmp_path: Path) -> None:
    """It counts, for it happened; but no request was waiting for what it took away."""
    run = run_of(tmp_path / "run")
    run.requests(3, 1.0, 2.0)
    run.advance(5.0)
    run.stop("app", "run", 2.0)
    run.now = 5.5
    run.oom("app")
    headline, said = words_of(run, 6.0)
    assert headline.startswith("app was OOM-killed as the run ended it")
    assert "The OOM kill came while the run was stopping app" in said


def test_a_busy_machine_is_named_where_something_did_not_come(tmp_path: Path) -> None:
    """All requests were sent in time, but who looked at the pod hardly came to it."""
    run = run_of(tmp_path / "run")
    run.phase("steady", 1.0, 11.0, until=WAITED, met=False)
    run.requests(100, 1.0, 11.0, phase="steady")
    run.advance(12.0)
    study = read_study(run.finish())
    study.recorder = RecorderCost(0.01, 1000, 340, 5.0, 1)
    assert bound_headline(study) == (
        f"After 10.0 s phase steady ended before what it waited for ({WAITED}); "
        "this machine was busy: 34 % of the samples were late. "
    )


def test_a_machine_that_took_few_samples_was_busy(tmp_path: Path) -> None:
    """Each cost so much that the recorder took them seldom: none of them was late then."""
    run = run_of(tmp_path / "run")
    run.phase("steady", 1.0, 11.0, until=WAITED, met=False)
    run.requests(100, 1.0, 11.0, phase="steady")
    run.advance(12.0)
    study = read_study(run.finish())
    wanted = int(study.duration_s / 0.01)
    study.recorder = RecorderCost(0.01, wanted // 5, 0, 5.0, 1)
    said = f"; this machine was busy: it took {wanted // 5:,} samples of each cgroup, and {wanted:,} were wanted. "
    assert bound_headline(study).endswith(said)
    study.recorder = RecorderCost(0.01, wanted // 2, 0, 5.0, 1)
    assert "busy" not in bound_headline(study)
    study.recorder = RecorderCost(0.0, wanted // 5, 0, 5.0, 1)  # of a damaged record
    assert "busy" not in bound_headline(study)


def test_few_samples_of_several_pods_say_nothing_of_the_machine(tmp_path: Path) -> None:
    """The recorder takes no more of the processor for them: its samples are further apart."""
    run = run_of(tmp_path / "run")
    run.phase("steady", 1.0, 11.0, until=WAITED, met=False)
    run.requests(100, 1.0, 11.0, phase="steady")
    run.advance(12.0)
    study = read_study(run.finish())
    study.recorder = RecorderCost(0.01, int(study.duration_s * 20), 0, 5.0, 1)
    assert "busy" in bound_headline(study)
    other = [replace(one, pod="other") for one in study.instances]
    assert "busy" not in bound_headline(replace(study, instances=[*study.instances, *other]))
