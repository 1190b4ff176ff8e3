"""Pods that are frozen while idle, as a user runs them: what Docker shows, and what goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from emu.record.events import ContainerPaused, Note, read_events
from emu.runtime.docker import Engine
from tests.scenario.support import DEADLINE_S, EMU, Finished, Going, await_nothing_left, eventually, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="daemons")]
FREEZER = (Path(__file__).resolve().parents[2] / "scenarios" / "freezer.yaml").read_text(encoding="utf-8")
EmuRun = Callable[..., Finished]


def until_paused(run: Going) -> str:
    """The id of a run's app once Docker says that it is paused."""
    app = run.container("app")
    for _ in eventually():
        if run.engine.state(app)["Status"] == "paused":
            return app
    raise AssertionError("it was never paused")


def daemon_of(run: Going) -> psutil.Process:
    """The run's freezer daemon."""
    children = psutil.Process(run.process.pid).children(recursive=True)
    return next(child for child in children if "freezer" in child.cmdline()[:4])


def test_docker_says_paused_and_a_killed_daemon_is_restarted(
    going: Callable[[str], Going], engine: Engine, scenario_file: Callable[[str], str]
) -> None:
    """`docker ps` shows it; the daemon dies while the pod is frozen, and every request is answered all the same."""
    patient = FREEZER.replace("grace: 500ms", "grace: 500ms\n    patience: 2m")
    run = going(scenario_file(patient.replace("settle: 5s", "settle: 1h")))
    run.until("sending requests")
    until_paused(run)
    os.kill(daemon_of(run).pid, signal.SIGKILL)
    run.until_answered(6)
    for _ in eventually():
        if any("the freezer daemon exited before the end of the run" in note.what for note in run.events(Note)):
            break
    summary = run.interrupted()
    assert summary["requests"]["by_status"] == {"200": 6}
    assert summary["freezer"]["served_frozen"] == 0
    assert "the freezer daemon exited before the end of the run" in run.run.events.read_text()
    assert leftovers(engine) == []


def test_clean_thaws_and_removes_what_a_killed_run_left_frozen(
    going: Callable[[str], Going], engine: Engine, scenario_file: Callable[[str], str]
) -> None:
    """Frozen containers too are gone after `emu clean`. (Without Docker, frozen by the kernel: test_process.py.)"""
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
    assert engine.state(app)["Status"] in ("paused", "running")
    done = subprocess.run([*EMU, "clean"], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert "removed container" in done.stdout
    assert "removed freezer" in done.stdout
    await_nothing_left(engine)


def test_without_swap_only_page_cache_comes_back(emu_run: EmuRun) -> None:
    """freezer-reclaim without swap: the verdict says what stayed and why."""
    done = emu_run("freezer-reclaim", "pod.runtime=process", "pod.app.memory.swapMax=0")
    freeze = done.summary["freezes"][-2]
    assert freeze["file_frozen_bytes"] <= 2**20
    assert freeze["anon_frozen_bytes"] >= 64 * 2**20
    assert "memory.swap.max is 0" in freeze["kept_why"]
    assert "memory.swap.max is 0" in " ".join(done.summary["verdict"]["sentences"])


def test_knatives_habits(emu_run: EmuRun) -> None:
    """Each request that comes alone is resumed for, and each end is a pause at once, also of one that still starts:
    it gets on only while somebody asks, and answers 502 until it listens.
    """
    seldom = ("load.phases.wake.rate=0.25", "load.phases.wake.count=3")  # a pause and a resume are over by then
    done = emu_run("freezer", "pod.freezer.mode=knative", "pod.freezer.grace=null", "pod.readyTimeout=5s", *seldom)
    requests = done.summary["requests"]
    assert requests["answered"] == requests["sent"]
    assert set(requests["by_status"]) <= {"200", "502"}
    assert done.summary["freezer"]["pauses"] >= requests["sent"] - 1
    assert done.summary["freezer"]["served_frozen"] == 0
