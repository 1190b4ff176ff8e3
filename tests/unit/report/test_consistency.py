"""A run says the same everywhere; and the check of that finds what does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emu.record.rundir import RunDir
from emu.report.finish import finish
from emu.study.timelines import read_timelines
from tests import fake_runs, recount
from tests.consistency import disagreements


@pytest.mark.parametrize("name", sorted(fake_runs.ALL))
def test_a_run_says_the_same_everywhere(name: str, tmp_path: Path) -> None:
    """summary.json, the words, the tables, the journal, the export, the page; and all of it counted again."""
    run = fake_runs.ALL[name](tmp_path / "run")
    finish(run)
    assert disagreements(run) == []


def _summary(change: Callable[[dict[str, Any]], None]) -> Callable[[RunDir], None]:
    def apply(run: RunDir) -> None:
        summary = json.loads(run.summary.read_text())
        change(summary)
        run.summary.write_text(json.dumps(summary))

    return apply


def _page(old: str, new: str) -> Callable[[RunDir], None]:
    def apply(run: RunDir) -> None:
        page = run.report.read_text()
        assert old in page
        run.report.write_text(page.replace(old, new))

    return apply


TAMPERED = {
    "a peak": (_summary(lambda one: one["containers"]["app"].update(anon_peak_bytes=1)), "app.anon_peak_bytes"),
    "a counter": (_summary(lambda one: one["pod"]["memory_events"].update(max=9)), "pod.memory_events.max"),
    "requests": (_summary(lambda one: one["requests"].update(answered=7)), "requests.answered"),
    "a latency": (_summary(lambda one: one["requests"]["latency_ms"].update(p99=1.0)), "requests.latency_ms.p99"),
    "a kill": (_summary(lambda one: one["oom_kills"].pop()), "oom_kills"),
    "what it held": (_summary(lambda one: one["oom_kills"][0].update(anon_rss_bytes=1)), "kernel's log"),
    "an exit": (_summary(lambda one: one["containers"]["queue-proxy"]["exits"][0].update(exit_code=1)), "exits"),
    "the headline": (_summary(lambda one: one["verdict"].update(headline="All is well")), "another headline"),
    "words": (
        _summary(lambda one: one["verdict"]["sentences"].append("app peaked at 255 of 256 MiB.")), "in words"
    ),
    "the tree": (_page('<td class="n charged">', '<td class="n charged">1'), "in the tree is charged"),
    "the page's headline": (_page("OOM-killed", "well"), "report.html has another headline"),
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was reported, to be copied."""
    run = fake_runs.oom(tmp_path_factory.mktemp("finished") / "run")
    finish(run)
    return run.path


@pytest.mark.parametrize("name", TAMPERED)
def test_what_differs_is_found(name: str, finished: Path, tmp_path: Path) -> None:
    """Each figure changed in one place alone."""
    run = RunDir(shutil.copytree(finished, tmp_path / "run"))
    change, words = TAMPERED[name]
    change(run)
    assert any(words in line for line in disagreements(run))


def test_what_was_read_as_a_cgroup_went_is_no_reading(tmp_path: Path) -> None:
    """memory.stat was read, the next file was not: neither the study nor what counts again takes that sample."""
    path = tmp_path / "samples.raw"
    stats = [f"pgfault {count}\nanon 0" for count in (7, 8)]
    texts = [f"F 1 {len(stat)}\n{stat}\n" for stat in stats]
    path.write_text(
        f"S 1000000000 tick\nD 1 web/app 0 memory.stat /x/memory.stat\n{texts[0]}E\n"
        f"S 1100000000 tick\n{texts[1]}G 1\nE\n"
    )
    (life,) = recount._lives(path.read_bytes(), {})
    (line,) = read_timelines(path, 0.0).timelines.values()
    assert (life.last["pgfault"], line.pgfault) == (7, [7])
