"""Starts in the study: stages from three witnesses, figures of a temperature, and what is reported of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from emu.record.events import ContainerResumed, StartMeasured
from emu.report.journal import entries
from emu.report.page.render import render_html
from emu.report.summary import summarize
from emu.report.text import print_story
from emu.report.topics.starts import STARTS, compared
from emu.study.study import read_study
from tests.fakes import MIB, ORIGIN, POD_NAME, FakeRun

NONE = dict.fromkeys(("pgfault", "pgmajfault", "swap_in_pages", "io_read_bytes", "io_write_bytes"), 0)


def logged(run: FakeRun, container: str, attempt: int, *lines: dict[str, Any]) -> None:
    """What a container printed; times are seconds of the run."""
    path = run.run.new_log(POD_NAME, container, attempt)
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        for line in lines:
            moved = {name: ORIGIN + value if name in ("t", "began") else value for name, value in line.items()}
            file.write(json.dumps(moved, separators=(",", ":")) + "\n")


def start(run: FakeRun, trial: int, wanted: str, arrived: float, first_byte: float | None, **facts: Any) -> None:
    """A trial; its stamps are seconds of the run."""
    stamps = [(name, ORIGIN + t) for name, t in facts.pop("stamps", [])]
    found = facts.pop("temperature", wanted)
    after = {**NONE, **facts.pop("after", {})}
    answered = first_byte is not None
    run.event(
        StartMeasured(
            t=ORIGIN + (arrived + 9.0 if first_byte is None else first_byte + 0.01),
            trial=trial,
            wanted=wanted,
            temperature=found,
            attempt=facts.pop("attempt", 0),
            arrived=ORIGIN + arrived,
            stamps=stamps,
            first_byte=None if first_byte is None else ORIGIN + first_byte,
            status=200 if answered else 503,
            error=None,
            before=facts.pop("before", dict(NONE)),
            after=after,
            held_bytes=facts.pop("held", 0),
            held_swap_bytes=facts.pop("held_swap", 0),
            image_bytes=facts.pop("image_bytes", None),
            image_cached_after_bytes=facts.pop("image_cached_after", None),
        )
    )


def made_up(path: Path) -> FakeRun:
    """A start from the disk, one of a frozen pod, one that failed, and one that was warmer than was wanted."""
    run = FakeRun(path, name="cold-starts")
    run.start("app", memory_max=256 * MIB)
    run.advance(1.0)
    logged(
        run, "app", 0,
        {"t": 2.6, "who": "app", "event": "start"}, {"t": 2.8, "who": "app", "event": "listening"},
    )  # fmt: skip
    stamps = [
        ("sandbox", 1.5),
        ("queue-proxy", 2.0),
        ("create", 2.1),
        ("start", 2.5),
        ("readiness", 3.0),
        ("forward", 3.01),
    ]
    start(run, 0, "warm-disk", 1.0, 3.1, stamps=stamps, after={"pgmajfault": 12, "io_read_bytes": 18 * MIB})
    run.event(
        ContainerResumed(
            t=ORIGIN + 5.3,
            container="app",
            attempt=0,
            id="id",
            method="docker",
            took_s=0.2,
            engine_s=0.1,
            kernel_s=0.05,
        )
    )
    logged(run, "queue-proxy", 0, {"t": 5.32, "who": "queue-proxy", "event": "resumed", "began": 5.06})
    before, after = {**NONE, "pgmajfault": 12, "swap_in_pages": 5}, {"pgmajfault": 30, "swap_in_pages": 261}
    held = {"held": 2 * MIB, "held_swap": 14 * MIB}
    start(run, 1, "warm-swap", 5.0, 5.5, stamps=[("forward", 5.02)], before=before, after=after, **held)
    start(run, 2, "cold", 6.0, None)
    start(run, 3, "warm-memory", 7.0, 7.01, temperature="warm-cpu")
    run.advance(8.0)
    return run


@pytest.fixture
def summary(tmp_path: Path) -> dict[str, Any]:
    """What summary.json says of it."""
    return summarize(read_study(made_up(tmp_path / "run").finish()))


def test_a_start_s_stages_add_up(summary: dict[str, Any]) -> None:
    """The activator's stamps and the app's log on one clock, from the arrival to the first byte."""
    stages = summary["starts"]["temperatures"]["warm-disk"]["stages_ms"]
    assert stages == pytest.approx(
        {
            "sandbox": 500, "queue-proxy": 500, "create": 100, "start": 400, "process": 100, "listen": 200,
            "readiness": 200, "forward": 10, "first byte": 90,
        }
    )  # fmt: skip
    assert sum(stages.values()) == pytest.approx(
        summary["starts"]["temperatures"]["warm-disk"]["first_byte_ms"]["p50"]
    )


def test_a_thaw_s_stages_are_the_daemon_s_and_queue_proxy_s(summary: dict[str, Any]) -> None:
    """Decision, the way to the daemon, engine, kernel, the way back, first byte."""
    stages = summary["starts"]["temperatures"]["warm-swap"]["stages_ms"]
    assert stages == pytest.approx(
        {"forward": 20, "decision": 40, "rpc": 40, "engine": 150, "kernel": 50, "reply": 20, "first byte": 180}
    )


def test_what_a_start_cost_is_the_rise_of_its_counters(summary: dict[str, Any]) -> None:
    """Faults and bytes since the request came, in bytes where the kernel counts pages."""
    swap = summary["starts"]["temperatures"]["warm-swap"]
    assert (swap["major_faults"], swap["swap_in_bytes"]) == (18, 256 * 4096)
    assert (swap["held_bytes"], swap["held_swap_bytes"]) == (2 * MIB, 14 * MIB)
    assert summary["starts"]["temperatures"]["warm-disk"]["io_read_bytes"] == 18 * MIB


def test_failed_and_mistaken_starts_are_counted_and_not_measured(summary: dict[str, Any]) -> None:
    """A refused request has no time to an answer; a pod at another temperature has that one's, which nobody asked."""
    starts = summary["starts"]
    assert (starts["trials"], starts["failed"], starts["mistaken"]) == (4, 1, 1)
    cold, memory = starts["temperatures"]["cold"], starts["temperatures"]["warm-memory"]
    assert (cold["trials"], cold["answered"], cold["first_byte_ms"]["p50"]) == (1, 0, None)
    assert (memory["answered"], memory["held_bytes"], memory["stages_ms"]) == (0, None, {})


def test_temperatures_go_from_cold_to_warm(summary: dict[str, Any]) -> None:
    """Whatever the order in which they were tried."""
    assert list(summary["starts"]["temperatures"]) == ["cold", "warm-disk", "warm-swap", "warm-memory"]


def test_the_story_says_so(summary: dict[str, Any]) -> None:
    """The headline has each temperature's time; what failed is reported."""
    assert "the first byte comes after 2.1 s warm-disk, 500 ms warm-swap" in summary["verdict"]["headline"]
    assert "1 start failed." in summary["verdict"]["sentences"]
    assert "1 start found the pod at another temperature than was prepared." in summary["verdict"]["sentences"]


def test_a_run_without_starts_has_none(tmp_path: Path) -> None:
    """null, no table, no section."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(1.0)
    study = read_study(run.finish())
    summary = summarize(study)
    assert summary["starts"] is None
    assert "<h2>Starts</h2>" not in render_html(study, summary)


def test_terminal_and_page_show_every_temperature(tmp_path: Path) -> None:
    """A row each, and on the page the stages, a dot for each trial, memory against latency."""
    study = read_study(made_up(tmp_path / "run").finish())
    summary = summarize(study)
    console = Console(width=200, record=True, file=(tmp_path / "said").open("w"))
    print_story(study, summary, console)
    said, page = console.export_text(), render_html(study, summary)
    for name in summary["starts"]["temperatures"]:
        assert f"\n{name} " in said
        assert f">{name}<" in page
    assert "engine 150 ms" in said
    assert "warm-swap, engine: 150 ms" in page
    assert page.count("trial ") == 2


def test_the_journal_has_each_request_and_its_answer(tmp_path: Path) -> None:
    """In order of time; one without an answer has none."""
    reported = [entry.text for entry in entries(read_study(made_up(tmp_path / "run").finish()))]
    assert reported.index("a request came to a warm-disk pod") < reported.index(
        "the first byte of its answer came after 2.1 s, status 200"
    )
    assert sum("came to a" in text for text in reported) == 4
    assert sum("first byte of its answer" in text for text in reported) == 3


def test_restarts_are_not_counted_where_emu_ended_a_container(tmp_path: Path) -> None:
    """Each trial has its own instances; none of them was restarted."""
    run = FakeRun(tmp_path / "run")
    for _ in range(3):
        run.start("app")
        run.advance(run.now + 1.0)
        run.exit("app", 137, asked=True)
    summary = summarize(read_study(run.finish()))
    assert (summary["containers"]["app"]["restarts"], summary["pod"]["restarts"]) == (0, 0)
    assert summary["containers"]["app"]["exits"] == []


def test_an_image_that_was_loaded_is_in_the_page_cache(tmp_path: Path) -> None:
    """Its size, and how much of it was in the page cache afterwards; variants are compared by start and image."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    size = 80 * MIB
    start(run, 0, "cold", 1.0, 4.0, stamps=[("image", 2.5)], image_bytes=size, image_cached_after=size)
    start(run, 1, "warm-disk", 6.0, 7.0, image_bytes=size)
    run.finish()
    starts = summarize(read_study(run.run))["starts"]
    cold, disk = starts["temperatures"]["cold"], starts["temperatures"]["warm-disk"]
    assert (cold["image_bytes"], cold["image_cached_after_bytes"]) == (size, size)
    assert (disk["image_bytes"], disk["image_cached_after_bytes"]) == (size, None)
    said = " ".join(STARTS.sentences(read_study(run.run), {"starts": starts}))
    assert "The app's image has 80 MiB of files; after it was loaded 80 MiB of them were in the page cache." in said
    assert compared([("small", starts), ("large", starts)]) == [
        "The first byte of a cold start came after 3.0 s with small (1.5 s for the image of 80 MiB) and 3.0 s with "
        "large (1.5 s for the image of 80 MiB)",
        "The first byte of a warm-disk start came after 1.0 s with small and 1.0 s with large",
        "Of the image's files so much was in the page cache once it was loaded: 80 of 80 MiB with small and 80 of "
        "80 MiB with large",
    ]
    assert compared([("small", starts), ("other", None)]) == []
