"""What a run makes of its load generator."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.helpers import load as loading
from emu.helpers.helper import Helper
from emu.policy.loadplan import LoadPlan
from emu.record.events import EventLog, Note, now, read_events
from emu.record.rundir import RunDir

NOTHING = LoadPlan(host="127.0.0.1", port=1, phases=())
DEADLINE_S = 120.0
SILENT = "import time; time.sleep(600)"


def test_one_that_hangs_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs and says nothing: an error after a while, instead of a wait without end."""
    (tmp_path / "silent_load.py").write_text(SILENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    start = Helper.start
    monkeypatch.setattr(Helper, "start", lambda self, _module, _words, **more: start(self, "silent_load", [], **more))
    monkeypatch.setattr(loading, "HANG_S", 0.2)
    run = RunDir(tmp_path / "run")
    run.create()
    with loading.RunLoad(run, EventLog(run.events)) as load, pytest.raises(EmuError, match="generator hangs"):
        load.begin(NOTHING)
        while load.running:
            load.hear()
            time.sleep(0.01)


def test_it_is_there_before_its_plan(tmp_path: Path) -> None:
    """It waits for the plan, however long that takes, and its clock starts then."""
    run = RunDir(tmp_path / "run")
    run.create()
    with loading.RunLoad(run, EventLog(run.events)) as load:
        assert load.running
        assert not run.load_plan.exists()
        began = now()
        load.begin(NOTHING)
        deadline = now() + DEADLINE_S
        while load.running and now() < deadline:
            load.hear()
            time.sleep(0.01)
        load.hear()
        load.check()
        assert load.begin_at is not None and load.begin_at >= began


def test_one_that_never_gets_a_plan_ends_with_its_run(tmp_path: Path) -> None:
    """An error while the pods start: nothing was sent, and nothing is recorded of a load."""
    run = RunDir(tmp_path / "run")
    run.create()
    with loading.RunLoad(run, EventLog(run.events)) as load:
        assert load.running
    assert not load.running
    assert load.begin_at is None
    assert not run.requests.exists()


def test_a_phase_without_a_sample_is_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that hangs: which figures may be another phase's, in words."""
    (tmp_path / "hasty_load.py").write_text(
        'print(\'{"unsampled":"again","waited_s":10.0}\'); print(\'{"unsampled":"","waited_s":0.0}\')'
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    start = Helper.start
    monkeypatch.setattr(Helper, "start", lambda self, _module, _words, **more: start(self, "hasty_load", [], **more))
    run = RunDir(tmp_path / "run")
    run.create()
    with loading.RunLoad(run, EventLog(run.events)) as load:
        deadline = now() + DEADLINE_S
        while load.running and now() < deadline:
            time.sleep(0.01)
    notes = [event for event in read_events(run.events) if isinstance(event, Note)]
    assert [(one.what, one.level) for one in notes] == [
        ("no sample was taken before phase again", "warning"),
        ("no sample was taken at the end of the load", "warning"),
    ]
    assert notes[0].why.startswith("the recorder did not answer in 10.0 s")
