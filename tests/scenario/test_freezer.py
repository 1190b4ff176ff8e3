"""Pods that are frozen while idle, as a user runs them: what Docker shows, and what goes wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emu.record.events import ContainerPaused, read_events
from emu.runtime.docker import Engine
from tests.scenario.support import DEADLINE_S, EMU, Finished, Going, await_nothing_left, eventually, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="daemons")]
FREEZER = (Path(__file__).resolve().parents[2] / "scenarios" / "freezer.yaml").read_text(encoding="utf-8")
EmuRun = Callable[..., Finished]
PROCESS = ("pod.runtime=process", "pod.freezer.method=cgroup")


def test_clean_thaws_and_removes_what_a_killed_run_left_frozen(
    going: Callable[[str], Going], engine: Engine, scenario_file: Callable[[str], str]
) -> None:
    """After kill -9 `emu clean` finds every container, volume and cgroup, frozen ones too, and what was recorded
    reads well. (Without Docker, frozen by the kernel: test_process.py.)
    """
    run = going(scenario_file(FREEZER))
    run.until("sending requests")
    app = run.container("app")
    for _ in eventually():
        paused = [event for event in read_events(run.run.events) if isinstance(event, ContainerPaused)]
        if paused:
            break
    run.process.kill()
    run.process.wait()
    for _ in eventually():
        if not [left for left in leftovers(engine) if "emu.record.recorder" in left or "emu.daemon.load" in left]:
            break
    assert engine.state(app).phase in ("paused", "running")
    assert len(leftovers(engine)) >= 4  # two containers and the pause container at least, and the pod's cgroup
    done = subprocess.run([*EMU, "clean"], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert "removed container" in done.stdout
    assert "removed freezer" in done.stdout
    await_nothing_left(engine)
    shown, again = (
        subprocess.run([*EMU, *words], capture_output=True, text=True, timeout=DEADLINE_S, check=True).stdout
        for words in (("show", str(run.run.path), "--json"), ("clean",))
    )
    assert json.loads(shown)["ended"] is False
    assert again == "nothing to remove\n"


def test_knatives_habits(emu_run: EmuRun) -> None:
    """Each request that comes alone is resumed for, and each end is a pause at once, also of one that still starts:
    it gets on only while somebody asks, and answers 502 until it listens.
    """
    seldom = ("load.phases.wake.rate=0.25", "load.phases.wake.count=3")  # a pause and a resume are over by then
    knative = ("pod.freezer.mode=knative", "pod.freezer.grace=null", "pod.readyTimeout=5s")
    done = emu_run("freezer", *PROCESS, *knative, *seldom)
    requests = done.summary["requests"]
    assert requests["answered"] == requests["sent"]
    assert set(requests["by_status"]) <= {"200", "502"}
    assert done.summary["freezer"]["pauses"] >= requests["sent"] - 1
    assert done.summary["freezer"]["served_frozen"] == 0
