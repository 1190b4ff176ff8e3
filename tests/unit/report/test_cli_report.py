"""`emu show`, `emu journal`, `emu report`: which run a word means, and what is printed where."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from emu.cli.report import find_run, journal, report, show
from emu.errors import EmuError
from emu.report.journal import entries
from emu.report.text import Table
from emu.report.topics.sparkline import KILL_MARK, SPARKS, sparkline
from emu.study.study import read_study
from tests import fake_runs, fakes

GROUP = click.Group("emu", commands={"show": show, "journal": journal, "report": report})


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three runs in ./runs, as `emu run` leaves them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for index, name in enumerate(("swap", "page_cache", "oom")):
        fake_runs.ALL[name](tmp_path / "runs" / f"2026010{index + 1}T000000Z-{name}")
    return tmp_path / "runs"


def output(*words: str) -> str:
    """What a command printed on standard output; it must have succeeded."""
    result = CliRunner().invoke(GROUP, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_the_newest_run_is_the_default(runs: Path) -> None:
    """Without a name: the one whose name begins with the latest time."""
    assert find_run(None).path == runs / "20260103T000000Z-oom"


def test_a_run_is_named_by_part_of_its_name_or_by_its_path(runs: Path) -> None:
    """As container ids are."""
    assert find_run("swap").path == runs / "20260101T000000Z-swap"
    assert find_run(str(runs / "20260102T000000Z-page_cache")).path.name == "20260102T000000Z-page_cache"


@pytest.mark.parametrize(
    ("word", "part"),
    [("2026", "matches 3 runs"), ("pagecache", "similar: 20260102"), (".", "is not a run directory")],
)
def test_a_word_that_names_no_run_is_refused_with_near_ones(runs: Path, word: str, part: str) -> None:
    """None or several: an error that helps to go on."""
    with pytest.raises(EmuError) as wrong:
        find_run(word)
    assert part in str(wrong.value)
    assert wrong.value.exit_status == 2


def test_no_run_at_all_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was run yet, the way to a first run is named."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmuError, match="there is no run to show"):
        find_run(None)


def test_run_names_complete(runs: Path) -> None:
    """Tab completes names in ./runs, the newest first."""
    complete = ShellComplete(GROUP, {}, "emu", "_EMU_COMPLETE")
    names = [item.value for item in complete.get_completions(["show"], "000000Z")]
    assert [name.split("-")[1] for name in names] == ["oom", "page_cache", "swap"]


def test_show_prints_the_story(runs: Path) -> None:
    """Headline, expectations with their mark, memory against limits, clients, kills with the kernel's line."""
    (runs / "20260103T000000Z-oom" / "scenario.yaml").write_text(
        'expect:\n  oom_kills.count: "2"\n  containers.app.oom_kills: "3"\n'
    )
    text = output("show", "oom")
    assert text.startswith("queue-proxy was OOM-killed twice")
    assert "✓" in text
    assert "✗" in text
    assert "63 of 64 MiB" in text
    assert "closed: 1,500, refused: 50" in text
    assert "Memory cgroup out of memory: Killed process 4002 (queue_proxy)" in text
    assert "OOMKilled (exit code 137)" in text


@pytest.mark.parametrize("name", fake_runs.ALL)
def test_every_run_can_be_shown(name: str, tmp_path: Path) -> None:
    """Whatever was recorded, `emu show` and `emu journal` print it."""
    directory = fake_runs.ALL[name](tmp_path / "run").path
    assert output("show", str(directory))
    assert output("journal", str(directory), "--all")


def test_show_json_is_the_summary_alone(runs: Path) -> None:
    """One document on standard output: it can be piped."""
    assert json.loads(output("show", "oom", "--json"))["containers"]["queue-proxy"]["oom_kills"] == 2


def test_the_journal_is_in_order_of_time(runs: Path) -> None:
    """Every selection is ordered, and each line is one JSON object with --json."""
    for words in ((), ("--oom",), ("--kernel",), ("--all",)):
        reported = [json.loads(line) for line in output("journal", "oom", *words, "--json").splitlines()]
        times = [entry["time_s"] for entry in reported if entry["time_s"] is not None]
        assert times == sorted(times)
        assert times


def test_the_journal_selects(runs: Path) -> None:
    """--oom is the kernel's OOM blocks, --kernel all its lines, the default what a person should know of."""
    oom = output("journal", "oom", "--oom")
    assert "Tasks state" in oom
    assert "\n\n" in oom
    assert "emu:" not in oom
    notable = output("journal", "oom")
    assert "ended with exit code 137: OOMKilled, Docker's OOMKilled false" in notable
    assert "Tasks state" not in notable
    assert "memory.events of queue-proxy: oom_kill +1" in notable


def test_the_journal_has_what_containers_printed(tmp_path: Path) -> None:
    """--all: a container's own output stands at the end of its instance."""
    directory = fake_runs.docker_kill(tmp_path / "run")
    directory.new_log(fakes.POD_NAME, "queue-proxy", 0).write_text("listening\nbye\n")
    reported = [entry for entry in entries(read_study(directory), "all") if entry.source == "queue-proxy.0"]
    assert [(entry.time_s, entry.text) for entry in reported] == [(None, "listening"), (None, "bye")]


def test_report_is_remade(runs: Path, tmp_path: Path) -> None:
    """summary.json and the page come from the record alone, as often as wanted."""
    page = tmp_path / "page.html"
    assert output("report", "swap", "--out", str(page)).strip() == str(page)
    assert page.read_text().lower().startswith("<!doctype html>")
    assert json.loads((runs / "20260101T000000Z-swap" / "summary.json").read_text())["scenario"] == "swap"


def test_a_sparkline_shows_growth_kills_and_gaps(tmp_path: Path) -> None:
    """It rises with memory, has a cross at each kill, and a gap while the container was away."""
    study = read_study(fake_runs.oom(tmp_path / "run"))
    line = sparkline(study, study.timelines_of("queue-proxy"), study.kills_of("queue-proxy"))
    assert len(line) == SPARKS
    assert line.count(KILL_MARK) == 2
    assert " " in line
    assert line[0] < line[10]


def test_a_table_is_as_wide_as_it_needs() -> None:
    """Columns line up, are never cut, and those with nothing to see can be left out."""
    table = Table("NAME", "SWAP", "TOTAL")
    table.row("a-very-long-name-that-stays-whole", "0 B", "1 MiB")
    table.row("b", None, "2 MiB")
    lines = table.without("-", "0 B").text().plain.splitlines()
    assert lines == [
        "NAME                                TOTAL",
        "a-very-long-name-that-stays-whole   1 MiB",
        "b                                   2 MiB",
    ]


def test_a_run_of_another_user_is_not_called_missing(open_folder: Path, as_ordinary_user: None) -> None:
    """It is there; what lacks is the permission."""
    closed = open_folder / "run"
    closed.mkdir(mode=0)
    with pytest.raises(EmuError, match="cannot be read") as caught:
        find_run(str(closed))
    assert "no access" in caught.value.why
