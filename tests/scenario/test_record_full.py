"""The disk of the record: full in the middle of a run, full at its end, too small to begin with, read-only."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emu.record.events import Damage, RunEnded, RunFailed, read_events
from emu.record.rundir import RESERVE_BYTES, RunDir
from emu.record.samples import read_samples
from emu.runtime.docker import Engine
from tests import fake_runs
from tests.scenario.support import DEADLINE_S, EMU, Going, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="faults")]
SCENARIO = """
name: record-full
question: What is left of a run whose disk becomes full?
pod: {{runtime: process}}
load:
  settle: {settle}
  phases: [{{name: few, type: constant, rate: 20, count: 40, duration: 3s}}]
expect:
  requests.by_status.200: "== requests.sent"
"""
FULL = "the record can no longer be written"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, leave: int = 0) -> None:
    """Take all the room but `leave` bytes."""
    with (place / "others").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(file.tell() - leave)


def test_a_disk_that_becomes_full_ends_the_run_in_order(
    engine: Engine, scenario_file: Callable[[str], str], small_disk: Path
) -> None:
    """Exit status 2 and one error; what was recorded reads well, its last words are in it, and nothing is left. Every
    answer that came is on record: the load generator writes when there is room again.
    """
    run = Going(engine, scenario_file(SCENARIO.format(settle="1h")), small_disk / "run")
    try:
        run.until_answered(40)
        fill(small_disk)
        said, _ = run.process.communicate(timeout=DEADLINE_S)
    finally:
        run.process.kill()
    assert run.process.returncode == 2, said
    assert "Traceback" not in said
    assert said.count(f"emu: {FULL}") == 1
    assert "No space left on device" in said
    kinds = [type(event) for event in read_events(run.run.events)]
    assert kinds.count(RunFailed) == kinds.count(RunEnded) == 1
    assert not run.run.reserve.exists()
    summary = json.loads(run.run.summary.read_text())
    assert (summary["failed"]["what"], summary["met"]) == (FULL, False)
    assert summary["requests"]["by_status"] == {"200": summary["requests"]["sent"]}
    assert "</html>" in run.run.report.read_text()
    damage = Damage()
    sampled = [sample.t for sample in read_samples(run.run.samples, damage)]
    assert sampled
    assert damage == Damage()
    assert leftovers(engine) == []


def test_a_report_that_finds_no_room_is_not_left_half(small_disk: Path) -> None:
    """One error that says what to do, and no half summary or page; both are made once there is room."""
    run = fake_runs.oom(small_disk / "run")
    run.release()
    fill(small_disk, leave=1 << 20)  # enough for the summary, and not for the page
    done = subprocess.run([*EMU, "report", str(run.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"cannot write {run.report}" in done.stderr
    assert f"emu report {run.path}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not run.report.exists()
    assert [path.name for path in run.path.iterdir() if path.name.endswith("unfinished")] == []
    (small_disk / "others").unlink()
    subprocess.run([*EMU, "report", str(run.path)], capture_output=True, check=True)
    assert len(json.loads(run.summary.read_text())["oom_kills"]) == 2
    assert "</html>" in run.report.read_text()


def test_without_room_nothing_begins(scenario_file: Callable[[str], str], engine: Engine, small_disk: Path) -> None:
    """A full disk and a read-only one: one error with what to do, exit status 2, no directory, no container."""
    fill(small_disk, leave=RESERVE_BYTES // 2)
    for options, why in (((), "No space left on device"), (("-o", "remount,ro"), "Read-only file system")):
        if options:
            subprocess.run(["mount", *options, str(small_disk)], check=True)
        out = RunDir(small_disk / "run")
        words = ["run", scenario_file(SCENARIO.format(settle="0s")), "--on", "host", "--out", str(out.path)]
        done = subprocess.run([*EMU, *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 2
        assert why in done.stderr
        assert "--out DIR" in done.stderr
        assert "Traceback" not in done.stderr
        assert not out.path.exists()
        assert leftovers(engine) == []
