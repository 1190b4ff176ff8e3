"""The verdict in words: right, readable, and with no number that the study does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emu.report.story import Story
from emu.report.summary import summarize
from emu.report.topics.churn import fault_costs
from emu.report.words import all_of, count, listed, of_limit, share
from emu.study.study import read_study
from emu.units import often
from tests import fake_runs
from tests.fakes import MIB, FakeRun


def story_of(name: str) -> Story:
    """A made-up run's story."""
    verdict = summarize(fake_runs.study_of(name))["verdict"]
    return Story(verdict["headline"], verdict["sentences"])


HEADLINES = {
    "oom": "queue-proxy was OOM-killed twice, first 2.1 s after the first request: its own limit of 64 MiB was "
    "reached while 800 requests were waiting for an answer; app used 38 of 256 MiB; 96 % of 1,560 requests were "
    "closed without a byte of answer and 50 were refused a connection",
    "pod_level": "queue-proxy was OOM-killed 1.5 s after the first request: the pod's limit of 128 MiB was reached "
    "while 1 request was waiting for an answer; app used 102 of 256 MiB",
    "host_level": "app was OOM-killed 2.0 s into the run: the machine itself had no memory left; "
    "queue-proxy used 13 of 64 MiB",
    "child_killed": "a child process of app was OOM-killed 2.0 s into the run: its own limit of 256 MiB was reached; "
    "the container lived on; queue-proxy used 13 of 64 MiB",
    "docker_kill": "queue-proxy was ended by SIGKILL from outside at 2.0 s (exit code 137), not by the kernel's OOM "
    "killer: memory.events shows no oom_kill; all 20 requests were answered",
    "page_cache": "Nothing was OOM-killed: app read 512 MiB of files under a limit of 64 MiB, 256 MiB of it again "
    "after the page cache had dropped it; both requests were answered",
    "stalled": "Nothing was OOM-killed: queue-proxy stalled 7.5 s after the first request with 720 requests in "
    "flight, alive but thrashing: 1.5 million refaults of files that it has mapped in 20.0 s at its limit of 32 MiB; "
    "none of 720 requests was answered",
    "swap": "Nothing was OOM-killed: app lives on swap under a limit of 64 MiB: 180 MiB out, 40 MiB in, 150 MiB "
    "there at the peak; all 10 requests were answered",
    "refused": "Nothing was OOM-killed: 90 % of 3,000 requests were answered 503 at once; "
    "queue-proxy peaked at 21 of 64 MiB",
    "probe_killed": "app was killed for its failing liveness probe (connection refused) twice, first at 3.5 s: it "
    "did not end on SIGTERM, so SIGKILL came after 2.0 s of grace (exit code 137)",
    "asked_to_end": "app was asked to stop at 1.0 s and did not: SIGKILL came after 5.0 s of grace (exit code 137); "
    "all 100 requests were answered",
    "cut_off": "As far as it was recorded, nothing was OOM-killed: queue-proxy peaked at 33.9 of 64 MiB; "
    "none of 99 requests was answered",
    "engine_lost": "The run could not continue after 2.5 s: the Docker engine went away. As far as it was recorded, "
    "nothing was OOM-killed: queue-proxy peaked at 13 of 64 MiB; all 20 requests were answered",
}


@pytest.mark.parametrize("name", HEADLINES)
def test_each_story_has_its_headline(name: str) -> None:
    """What a person would repeat aloud."""
    assert story_of(name).headline == HEADLINES[name]


def test_of_a_run_that_was_cut_off_only_the_record_has_ended(tmp_path: Path) -> None:
    """Its requests may have been answered after that."""
    sentences = summarize(read_study(fake_runs.ALL["cut_off"](tmp_path / "run")))["verdict"]["sentences"]
    assert "All 99 requests had no answer when the record ended." in sentences


def test_a_run_that_was_cut_off_before_its_first_sample_claims_nothing(tmp_path: Path) -> None:
    """Of kills, that is: what was recorded besides is said."""
    run = fake_runs.cut_off(tmp_path / "run")
    (run.path / "samples.raw.zst").unlink()
    headline = summarize(read_study(run))["verdict"]["headline"]
    assert headline.startswith("Whether a process was killed was not recorded: none of 99 requests")


def test_thrashing_is_not_called_harmless() -> None:
    """A stalled container touches its limit all the time and is not killed: that is no churn without danger."""
    assert "not danger" not in " ".join(story_of("stalled").sentences)


def test_what_a_page_fault_cost_is_said_of_phases_with_and_without_room() -> None:
    """Only beside each other, where there were many, and not of a phase in which nothing was answered."""

    def phase(name: str, faults: int, cpu_s: float, swapped: int, answered: int = 1) -> dict[str, Any]:
        figures = {"page_faults": faults, "cpu_s": cpu_s, "swap_io_write_bytes": swapped, "zswap_out_bytes": 0}
        return {"containers": {name: figures}, "requests": {"answered": answered}}

    room, swaps = phase("room", 40_000, 0.2, 0), phase("swaps", 40_000, 1.0, 64 * MIB)
    few, killed = phase("few", 100, 0.2, 0), phase("killed", 40_000, 2.0, 64 * MIB, 0)
    assert fault_costs({"phases": {"a": room, "b": swaps, "c": few, "d": killed}}) == [
        "Processor time of a page fault: 5 us in room (40,000 faults), and 25 us in swaps (40,000 faults), where "
        "pages had to be swapped out to make room: whoever needs a page does that work itself."
    ]
    assert fault_costs({"phases": {"a": room, "d": killed}}) == []


SENTENCES = {
    "oom": [
        "Docker's own OOMKilled flag said false for 1 of 2 kills: it races with the exit, so it proves nothing.",
        "queue-proxy was restarted twice with a back-off of 1.0 s (CrashLoopBackOff).",
        "Of 1,560 requests, 10 were answered 200, 1,500 were closed without a byte of answer as queue-proxy was "
        "OOM-killed and 50 were refused a connection while queue-proxy was down or starting again.",
    ],
    "pod_level": [
        "app made the allocation that failed, and queue_proxy was killed for it.",
        "The kernel prefers the process with the higher oom_score_adj: queue-proxy has 999, app 900.",
    ],
    "page_cache": [
        "app: 65,536 pages of page cache (256 MiB) had to be read again; its page cache peaked at 49 of 64 MiB.",
        "The kernel reclaims page cache when memory is short: it caused no OOM in app.",
        "app touched its limit of 64 MiB 1,500 times (memory.events max) and the kernel made room each time by "
        "dropping page cache: with oom 0 nothing is killed for that; it costs time.",
    ],
    "stalled": [
        "The kernel finds a mapped page of queue-proxy to drop each time, so no process is killed; only a liveness "
        "probe or less traffic would end this.",
    ],
    "probe_killed": ["app was restarted once with a back-off of 10.0 s (CrashLoopBackOff)."],
    "asked_to_end": ["queue-proxy was asked to stop at 1.0 s and exited 2.0 s later (exit code 0)."],
    "rate_limited": ["queue-proxy held 63 MiB of anonymous memory and 1 MiB of kernel memory then."],
    "unseen": ["Known from memory.events and the exit code 137; the kernel's log has no line of it."],
    "group_killed": ["The kernel killed 3 processes of app together (memory.oom.group)."],
}


@pytest.mark.parametrize("name", SENTENCES)
def test_the_sentences_support_it(name: str) -> None:
    """Restarts, what clients saw, what page cache did, and who witnessed."""
    reported = story_of(name).sentences
    assert [words for words in SENTENCES[name] if words not in reported] == []


@pytest.mark.parametrize("name", fake_runs.ALL)
def test_sentences_are_sentences(name: str) -> None:
    """Each ends once, has no gap where a figure was missing, and is said once."""
    story = story_of(name)
    assert not story.headline.endswith(".")
    assert len(set(story.sentences)) == len(story.sentences)
    for words in story.sentences:
        assert words.endswith(".")
        assert not words.endswith("..")
        assert not {"None", "-"} & set(words.split())


def test_an_engine_that_goes_is_no_crash_of_its_containers(tmp_path: Path) -> None:
    """What it ended on its way out is reported as that, in numbers too; a kill before that is reported as ever."""
    run = fake_runs.ALL["engine_lost"](tmp_path / "run")
    summary = summarize(read_study(run))
    reported = " ".join(summary["verdict"]["sentences"])
    assert "The Docker engine went away: the stream of its events ended." in reported
    assert "queue-proxy ended because the engine ended it on its way out." in reported
    assert "ended by itself" not in reported
    assert [one["with_engine"] for one in summary["containers"]["queue-proxy"]["exits"]] == [True]
    assert (summary["met"], summary["failed"]["time_s"]) == (False, 2.5)


def test_an_exit_by_another_signal_is_named(tmp_path: Path) -> None:
    """143 is SIGTERM; a plain code is the process's own end."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.start("queue-proxy")
    run.advance(1.0)
    run.exit("app", 143)
    run.exit("queue-proxy", 1)
    verdict = summarize(read_study(run.finish()))["verdict"]
    assert verdict["headline"] == "app was ended by SIGTERM at 1.0 s (exit code 143); queue-proxy ended too"
    assert "queue-proxy ended by itself at 1.0 s with exit code 1." in verdict["sentences"]


def test_an_end_with_a_failure_comes_before_one_without(tmp_path: Path) -> None:
    """A helper that is through has exit code 0, and is not what a person would ask about."""
    run = FakeRun(tmp_path / "run")
    run.start("helper")
    run.start("app")
    run.advance(1.0)
    run.exit("helper", 0)
    run.advance(2.0)
    run.exit("app", 1)
    verdict = summarize(read_study(run.finish()))["verdict"]
    assert verdict["headline"] == "app ended by itself at 2.0 s with exit code 1; helper ended too"
    assert "helper ended by itself at 1.0 s with exit code 0." in verdict["sentences"]


def test_a_container_at_its_limit_comes_before_requests_that_failed(tmp_path: Path) -> None:
    """It may be why; one that is far from its limit is not."""
    for used, first in ((62, "app peaked at 62 of 64 MiB"), (10, "both requests were answered 500 at once")):
        run = FakeRun(tmp_path / f"run{used}")
        run.start("app", memory_max=64 * MIB).values.update(anon=used * MIB)
        run.sample()
        run.requests(2, 0.2, 0.3, status=500)
        run.advance(1.0)
        assert summarize(read_study(run.finish()))["verdict"]["headline"].startswith(
            f"Nothing was OOM-killed: {first}; "
        )


def test_who_was_killed_for_want_of_swap_and_who_lived_by_it(tmp_path: Path) -> None:
    """Three pods need twice their limit: the headline has all three, also what came after the first kill."""
    run = FakeRun(tmp_path / "run", pod="none")
    pods = {"none": run, "little": run.beside("little"), "enough": run.beside("enough")}
    for (name, pod), swap in zip(pods.items(), (0, 32 * MIB, 160 * MIB), strict=True):
        pod.start("app", memory_max=64 * MIB, swap_max=swap).values.update(anon=12 * MIB)
        assert pod.name == name
    run.advance(1.0)
    run.live["app"].values.update(anon=64 * MIB)
    run.oom("app")
    run.advance(2.0)
    pods["little"].live["app"].values.update(anon=64 * MIB, swap=32 * MIB)
    pods["little"].oom("app")
    run.advance(3.0)
    pods["enough"].live["app"].values.update(anon=63 * MIB, swap=70 * MIB)
    run.advance(4.0)
    headline = summarize(read_study(run.finish()))["verdict"]["headline"]
    assert headline == (
        "none/app was OOM-killed 1.0 s into the run: its own limit of 64 MiB was reached; "
        "little/app was OOM-killed too, at its own limit of 64 MiB, "
        "with its swap limit (memory.swap.max) of 32 MiB used up; "
        "enough/app filled its limit of 64 MiB later and was not OOM-killed, with up to 70 MiB in swap"
    )


def test_a_kill_at_a_pod_s_limit_has_the_swap_limits_of_its_containers(tmp_path: Path) -> None:
    """A pod has none of its own; what an init container was allowed counts no more once that has ended. With requests
    of its own a later kill is timed from the first one.
    """
    run = FakeRun(tmp_path / "run", pod="a")
    other = run.beside("b")
    other.start("download", swap_max=64 * MIB)
    other.exit("download", 0)
    for pod in (run, other):
        pod.start("app", memory_max=64 * MIB, swap_max=32 * MIB).values.update(anon=12 * MIB)
    run.requests(1, 0.5, 0.6, takes_s=0.1, to="a")
    run.advance(1.0)
    run.live["app"].values.update(anon=64 * MIB, swap=8 * MIB)
    run.oom("app", level="pod")
    run.requests(1, 1.5, 1.6, takes_s=0.1, to="b")
    run.advance(3.5)
    other.live["app"].values.update(anon=64 * MIB, swap=32 * MIB)
    other.oom("app", level="pod")
    run.advance(4.0)
    study = read_study(run.finish())
    assert [(kill.swap_left, kill.swap_limit_bytes) for kill in study.kills] == [
        ("some", 32 * MIB),
        ("limit", 32 * MIB),
    ]
    headline = summarize(study)["verdict"]["headline"]
    assert "; b/app was OOM-killed too 2.0 s after its first request, at its pod's limit" in headline
    assert headline.count("with its swap limit (memory.swap.max) of 32 MiB used up") == 1


def test_without_counters_nothing_is_claimed(tmp_path: Path) -> None:
    """Exit 137 where memory.events was never read: the story says that the cause is not known."""
    directory = fake_runs.docker_kill(tmp_path / "run")
    directory.samples.unlink()
    headline = summarize(read_study(directory))["verdict"]["headline"]
    assert "; memory.events was not recorded, so why is not known" in headline


def test_words_for_numbers() -> None:
    """Singular and plural, sizes beside their limit, and shares that are never rounded to all or nothing."""
    assert [count(1, "page"), count(2, "page"), count(3000, "process", "processes")] == [
        "1 page",
        "2 pages",
        "3,000 processes",
    ]
    assert [often(1), often(2), often(1500)] == ["once", "twice", "1,500 times"]
    assert [all_of(1), all_of(2), all_of(3)] == ["the one request", "both requests", "all 3 requests"]
    assert [listed([]), listed(["a"]), listed(["a", "b", "c"])] == ["", "a", "a, b and c"]
    assert [of_limit(21 * MIB, 64 * MIB), of_limit(1024, 64 * MIB), of_limit(MIB, None)] == [
        "21 of 64 MiB",
        "1 KiB of 64 MiB",
        "1 MiB",
    ]
    assert [share(1, 1000), share(999, 1000), share(1000, 1000), share(0, 5)] == [
        "under 1 %",
        "over 99 %",
        "100 %",
        "0 %",
    ]


def test_what_a_sidecar_adds_is_reported(tmp_path: Path) -> None:
    """How much later than the others it was ready, and what it held of the pod's memory."""
    run = FakeRun(tmp_path / "run", name="sidecar")
    for name in ("sandbox", "queue-proxy", "app"):
        run.start(name, memory_max=None if name == "sandbox" else 64 * MIB)
    run.advance(2.0)
    run.start("istio-proxy", memory_max=128 * MIB)
    run.advance(4.0, {"istio-proxy": {"anon": 50 * MIB}})
    summary = summarize(read_study(run.finish()))
    assert summary["containers"]["app"]["startup_s"] == pytest.approx(0.01)
    assert summary["pod"]["startup_s"] == pytest.approx(2.01)
    reported = " ".join(summary["verdict"]["sentences"])
    assert (
        "istio-proxy was ready 2.0 s after queue-proxy and app, which became ready 10 ms after the pod was made."
        in reported
    )
    assert "istio-proxy peaked at 50 of 128 MiB" in reported


def test_a_pod_that_was_never_ready_took_no_time_to_start(tmp_path: Path) -> None:
    """Null, not a number."""
    run = FakeRun(tmp_path / "run", name="sidecar")
    run.start("queue-proxy")
    run.start("app", ready=False)
    run.advance(1.0)
    summary = summarize(read_study(run.finish()))
    assert summary["pod"]["startup_s"] is None
    assert summary["containers"]["app"]["startup_s"] is None
    assert summary["containers"]["queue-proxy"]["startup_s"] is not None
