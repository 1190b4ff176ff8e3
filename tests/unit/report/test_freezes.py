"""Freezes that a daemon reported: what was kept, given back and paid, and whether anyone was served frozen."""

from __future__ import annotations

import html
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pytest
from rich.console import Console

from emu.record.events import ContainerPaused, ContainerResumed, FreezerFailed, MemoryPrefetched, MemoryReclaimed
from emu.record.rundir import RunDir
from emu.report.page.render import render_html
from emu.report.summary import summarize
from emu.report.text import print_story
from emu.study.study import read_study
from tests.fakes import MIB, ORIGIN, POD_NAME, FakeRun, container_id


class _Who(TypedDict):
    container: str
    attempt: int
    id: str


APP: _Who = {"container": "app", "attempt": 0, "id": container_id("app", 0)}


@dataclass
class Story:
    """A run in which the app is frozen from 2 to 5 s, reclaimed meanwhile, and from 8 s on."""

    run: FakeRun

    def pause(self, took_s: float = 0.02) -> None:
        """The kernel has confirmed it."""
        self.run.event(
            ContainerPaused(t=self.run.t, **APP, method="cgroup", took_s=took_s, engine_s=None, kernel_s=0.001)
        )

    def resume(self, took_s: float = 0.03) -> None:
        """It runs again."""
        self.run.event(
            ContainerResumed(t=self.run.t, **APP, method="cgroup", took_s=took_s, engine_s=None, kernel_s=0.001)
        )

    def log(self, *lines: dict[str, Any]) -> None:
        """What queue-proxy printed."""
        path = self.run.run.new_log(POD_NAME, "queue-proxy", 0)
        path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines) + "torn")


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Up to 8 s."""
    run = FakeRun(tmp_path / "run")
    for name in ("queue-proxy", "app"):
        run.start(name, memory_max=256 * MIB)
    run.live["app"].values.update(anon=80 * MIB, file=32 * MIB)
    run.sample()
    run.requests(1, 0.5, 1.0)
    run.advance(2.0)
    story = Story(run)
    story.pause()
    run.advance(3.0)
    run.advance(3.2, {"app": {"anon": 10 * MIB, "file": 0, "swap": 70 * MIB, "swap_out": 70 * MIB}})
    before = {"current": 112 * MIB, "anon": 80 * MIB, "file": 32 * MIB, "swap": 0}
    after = {"current": 10 * MIB, "anon": 10 * MIB, "file": 0, "swap": 70 * MIB}
    run.event(
        MemoryReclaimed(
            t=run.t,
            **APP,
            wanted_bytes=112 * MIB,
            before=before,
            after=after,
            took_s=0.2,
            why="the machine's swap is full",
        )
    )
    run.requests(1, 4.9, 5.0, takes_s=0.6)
    run.advance(5.0)
    story.resume()
    run.advance(5.5, {"app": {"anon": 14 * MIB, "swap_in": 4 * MIB, "pgmajfault": 540}})
    run.advance(8.0)
    story.pause()
    run.advance(9.0)
    return story


def test_a_freeze_has_what_was_held_before_meanwhile_and_after(story: Story) -> None:
    """From the samples, at the moments that the daemon reported; costs from its own words."""
    summary = summarize(read_study(story.run.finish()))
    first, second = summary["freezes"]
    assert (first["frozen_at_s"], first["thawed_at_s"]) == (2.0, 5.0)
    assert (first["freeze_ms"], first["thaw_ms"], first["method"]) == (20.0, 30.0, "cgroup")
    held = {name: [first[f"{name}_{at}_bytes"] // MIB for at in ("before", "frozen", "after")] for name in HELD}
    assert held == {"anon": [80, 10, 14], "file": [32, 0, 0], "swap": [0, 70, 70]}
    assert first["reclaimed_bytes"] == 102 * MIB
    assert first["kept_why"] == "the machine's swap is full"
    assert first["wake_latency_ms"] == pytest.approx(600, abs=1)
    assert (first["wake_major_faults"], first["wake_swap_in_bytes"]) == (540, 4 * MIB)
    assert second["reclaimed_bytes"] is None
    assert second["wake_latency_ms"] is None


def test_what_a_resume_cut_short_gave_back_nothing_at_worst(story: Story) -> None:
    """It is looked at when the app runs again, and may hold more by then."""
    run = story.run
    before, after = {"current": 20 * MIB}, {"current": 31 * MIB}
    run.event(
        MemoryReclaimed(
            t=run.t,
            **APP,
            wanted_bytes=20 * MIB,
            before=before,
            after=after,
            took_s=0.2,
            why="the container was resumed before",
        )
    )
    run.advance(10.0)
    story.resume()
    freezes = summarize(read_study(run.finish()))["freezes"]
    assert [freeze["reclaimed_bytes"] for freeze in freezes] == [102 * MIB, 0]


HELD = ("anon", "file", "swap")


def test_a_freeze_that_nobody_ended_lasts_to_the_end(story: Story) -> None:
    """Of the container, which took its memory with it, or of the run."""
    done = read_study(story.run.finish())
    assert done.freezes[1].thawed_at_s == pytest.approx(9.0)
    assert done.freezes[1].memory.anon_frozen_bytes == 14 * MIB


def test_a_sample_that_was_read_when_the_container_had_ended_is_not_of_its_freeze(story: Story) -> None:
    """It has the time at which it was begun, and that was within the freeze; nothing is left to read after it."""
    run = story.run
    run.advance(9.05, {"app": {"anon": 0, "swap": 0}})
    run.now += 0.01
    story.resume(took_s=0.005)
    run.exit("app", 0, asked=True)
    frozen = read_study(run.finish()).freezes[1].memory
    assert (frozen.anon_frozen_bytes, frozen.swap_frozen_bytes) == (14 * MIB, 70 * MIB)


def test_a_run_that_was_cut_off_leaves_it_open(story: Story) -> None:
    """Still frozen at the last record."""
    done = read_study(story.run.cut())
    assert done.freezes[1].thawed_at_s is None
    assert done.freezes[1].memory.anon_after_bytes is None


def test_the_daemon_s_doings_are_counted(story: Story) -> None:
    """Pauses, resumes, failures, the time that the app stood still, percentiles."""
    story.run.event(FreezerFailed(t=story.run.t, action="resume", container="app", why="no engine"))
    freezer = summarize(read_study(story.run.finish()))["freezer"]
    assert (freezer["pauses"], freezer["resumes"], freezer["failed"]) == (2, 1, 1)
    assert freezer["frozen_s"] == pytest.approx(4.0)
    assert freezer["pause_ms"]["p50"] == 20.0
    assert freezer["reclaimed_bytes"] == 102 * MIB
    assert freezer["served_frozen"] is None


def test_a_run_without_a_freezer_has_no_such_figures(tmp_path: Path) -> None:
    """Null, not 0."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(1.0)
    assert summarize(read_study(run.finish()))["freezer"] is None


@pytest.mark.parametrize(
    ("spans", "served"),
    [
        ([(0.5, 1.9), (5.01, 7.9)], 0),
        ([(0.5, 2.1), (5.01, 7.9)], 1),
        ([(0.5, 1.9), (4.9, 7.9)], 1),
        ([(3.0, 3.0), (6.0, 8.5)], 2),
        ([(0.5, 6.0)], 1),
    ],
)
def test_requests_forwarded_to_a_frozen_app_are_found(
    story: Story, spans: list[tuple[float, float]], served: int
) -> None:
    """By queue-proxy's own log: each stretch in which it forwarded, against the daemon's times. One may end without
    the daemon's word, when it is killed after it has paused the app.
    """
    lines = [
        {"event": event, "forwarded": 3, "firstAt": ORIGIN + first, "lastAt": ORIGIN + last}
        for event, (first, last) in zip(("maybe-paused", "paused"), spans, strict=False)
    ]
    story.log({"event": "listening"}, *lines, {"event": "freezes-no-more", "forwarded": 0})
    assert summarize(read_study(story.run.finish()))["freezer"]["served_frozen"] == served


def test_another_pods_freezes_are_not_held_against_a_queue_proxy(story: Story) -> None:
    """Its app ran on while the other pod's was frozen."""
    line = {"event": "paused", "forwarded": 3, "firstAt": ORIGIN + 0.5, "lastAt": ORIGIN + 6.0}
    story.log({"event": "listening"}, line, {"event": "freezes-no-more", "forwarded": 0})
    run = story.run.finish()
    for path in run.container_logs("queue-proxy"):
        other = run.logs / "another-pod"
        other.mkdir(exist_ok=True)
        path.rename(other / path.name)
    assert summarize(read_study(run))["freezer"]["served_frozen"] == 0


def test_the_story_is_reported(story: Story) -> None:
    """In a sentence, in the table of the terminal, and on the page."""
    story.run.event(FreezerFailed(t=story.run.t, action="resume", container="app", why="no engine"))
    run: RunDir = story.run.finish()
    study = read_study(run)
    summary = summarize(study)
    said = " ".join(summary["verdict"]["sentences"])
    assert "app was frozen twice, 4.0 s of 9.0 s; pausing took 20 ms (median of 2) and resuming took 30 ms." in said
    assert "gave back up to 102 MiB, 70 MiB of it to swap" in said
    assert "it read 4 MiB back with 540 major faults" in said
    assert "Not all of it came back: the machine's swap is full." in said
    assert "1 freezer action failed, first: no engine." in said
    assert "app was frozen twice and gave back up to 102 MiB" in summary["verdict"]["headline"]
    out = io.StringIO()
    print_story(study, summary, Console(file=out, width=300))
    assert "FIRST ANSWER" in out.getvalue()
    assert "540" in out.getvalue()
    page = render_html(study, summary)
    assert "Not all was reclaimed: the machine's swap is full." in " ".join(html.unescape(page).split())


def test_what_was_read_ahead_is_reported_with_its_wake(story: Story) -> None:
    """How much, how long it held the resume up, and what followed; a run without it has no such column."""
    run = story.run
    run.now = 4.99
    run.event(
        MemoryPrefetched(
            t=run.t, **APP, swapped_bytes=70 * MIB, known_bytes=6 * MIB, prefetched_bytes=6 * MIB, took_s=0.012
        )
    )
    run.now = 9.0
    study = read_study(run.finish())
    summary = summarize(study)
    first, second = summary["freezes"]
    assert (first["wake_prefetched_bytes"], first["wake_prefetch_known_bytes"]) == (6 * MIB, 6 * MIB)
    assert first["wake_prefetch_ms"] == pytest.approx(12.0)
    assert second["wake_prefetched_bytes"] is None
    assert summary["freezer"]["prefetched_bytes"] == 6 * MIB
    said = " ".join(summary["verdict"]["sentences"])
    assert "Ahead of the last such resume 6 MiB were read back (6 MiB known from the wake before)" in said
    assert "held it up for 12 ms; 540 major faults followed" in said
    out = io.StringIO()
    print_story(study, summary, Console(file=out, width=300))
    assert "READ AHEAD" in out.getvalue()
    assert "read ahead" in render_html(study, summary)


def test_without_reading_ahead_there_is_no_word_of_it(story: Story) -> None:
    """Neither a column nor a sentence; the figure is null."""
    study = read_study(story.run.finish())
    summary = summarize(study)
    out = io.StringIO()
    print_story(study, summary, Console(file=out, width=300))
    assert "ahead" not in out.getvalue().lower()
    assert summary["freezer"]["prefetched_bytes"] is None


def test_thousands_of_freezes_take_few_lines(tmp_path: Path) -> None:
    """The table stops; all of them are in summary.json, and folded on the page."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    story = Story(run)
    for index in range(200):
        run.now = 1.0 + index * 0.01
        story.pause() if index % 2 == 0 else story.resume()
    run.advance(4.0)
    study = read_study(run.finish())
    summary = summarize(study)
    assert len(summary["freezes"]) == 100
    out = io.StringIO()
    print_story(study, summary, Console(file=out, width=300))
    assert "… and 88 more in summary.json" in out.getvalue()


@pytest.mark.parametrize("still", [True, False])
def test_a_kill_of_what_is_frozen_is_reported_as_that(tmp_path: Path, still: bool) -> None:
    """In the verdict and in numbers; one after the resume is as any other."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.advance(1.0, {"app": {"anon": 60 * MIB}})
    story = Story(run)
    story.pause()
    run.advance(2.0)
    if not still:
        story.resume()
    run.advance(3.0)
    run.oom("app")
    run.advance(4.0)
    summary = summarize(read_study(run.finish()))
    assert [kill["frozen"] for kill in summary["oom_kills"]] == [still]
    assert ("app was OOM-killed while frozen" in summary["verdict"]["headline"]) is still
    assert ("SIGKILL works on frozen processes" in " ".join(summary["verdict"]["sentences"])) is still
