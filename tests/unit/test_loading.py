"""What a run makes of its load generator."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.helpers import load as loading
from emu.helpers.helper import Helper
from emu.messages import LoadPlan
from emu.record.events import EventLog
from emu.record.rundir import RunDir

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
    plan = LoadPlan(host="127.0.0.1", port=1, phases=())
    with loading.RunLoad(plan, run, EventLog(run.events)) as load, pytest.raises(EmuError, match="generator hangs"):
        while load.running:
            load.hear()
            time.sleep(0.01)
