"""What a run shows where standard output is no terminal: a log that reads well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from emu.kubelet.pod import Instance
from emu.kubelet.template import ContainerTemplate, PodTemplate
from emu.policy.lifecycle import ContainerState, PodView
from emu.record.events import now
from emu.run.screen import MemoryNow, Now, Screen
from emu.run.watch import Watch
from emu.run.workload import Workload

APP = MemoryNow("app", "ready", 20 << 20, 0, 0, 0, 0, 0, 24 << 20, 64 << 20, 0)
MOMENT = Now(elapsed_s=3.0, phase="load", ready="2/2", status="Running", restarts=0, age_s=3.0, memory=(APP,))


def test_a_line_where_something_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """The phase, the pod's status, a restart, a kill; figures that only grow are no news."""
    screen = Screen()
    moments = [
        MOMENT,
        replace(MOMENT, elapsed_s=4.0, sent=10),
        replace(MOMENT, elapsed_s=5.0, memory=(replace(APP, oom_kills=1),)),
        replace(MOMENT, elapsed_s=6.0, memory=(replace(APP, oom_kills=1, current=1 << 20),)),
        replace(MOMENT, elapsed_s=7.0, memory=(replace(APP, oom_kills=1),), restarts=1),
        replace(MOMENT, elapsed_s=8.0, phase="rest", memory=(replace(APP, oom_kills=1),), restarts=1),
    ]
    for moment in moments:
        screen.show(moment)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["3.0", "5.0", "7.0", "8.0"]
    assert "1 OOM-killed" in lines[1] and "1 restart" in lines[2] and "rest: 2/2 Running" in lines[3]
    assert max(len(line) for line in lines) < 120


def test_steps_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Each once, when it begins."""
    with Screen() as screen:
        screen.step("starting the pod")
        screen.done("ready")
    assert capsys.readouterr().out == "· starting the pod\n· ready\n"


class OnePod:
    """A workload of one pod, as `Watch` asks it."""

    def __init__(self, folder: Path, status: str, restarts: int, current: int) -> None:
        self.template = PodTemplate(containers=(ContainerTemplate(name="app", image="app:1"),))
        self.view = PodView("1/1" if status == "Running" else "0/1", status, restarts)
        self.states = {"app": ContainerState(phase="running", ready=status == "Running")}
        self.each_pod = (self,)
        folder.mkdir()
        (folder / "memory.current").write_text(f"{current}\n")
        self._folder = folder

    def instance(self, container: str) -> Instance:
        """Its only container's."""
        return Instance("pod", container, 0, "id", container, self._folder)


class Pods(OnePod):
    """A workload of several, the newest of which it looks like."""

    def __init__(self, folder: Path, pods: Sequence[OnePod]) -> None:
        super().__init__(folder, "ContainerCreating", 0, 0)
        self.each_pod = tuple(pods)  # type: ignore[assignment]


def test_pods_of_a_revision_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many are how, all restarts, and the container that holds most: the newest pod alone would mislead."""
    pods = [
        OnePod(tmp_path / "a", "Running", 2, 9 << 20),
        OnePod(tmp_path / "b", "Running", 1, 40 << 20),
        OnePod(tmp_path / "c", "ContainerCreating", 0, 0),
    ]
    watch = Watch({"it": cast(Workload, Pods(tmp_path / "all", pods))}, Screen(), now())
    watch.look("load", None)
    line = capsys.readouterr().out
    assert "load: 3 pods: 1/1 Running (2), 0/1 ContainerCreating (1), 3 restarts" in line
    assert line.endswith("; fullest app 40 MiB\n")
    watch = Watch({"it": cast(Workload, Pods(tmp_path / "two", pods[:2]))}, Screen(), now())
    watch.look("load", None)
    assert "load: 2 pods: 1/1 Running, 3 restarts" in capsys.readouterr().out
    both = {"old": Pods(tmp_path / "old", pods), "new": Pods(tmp_path / "new", pods[2:])}
    Watch(cast(dict[str, Workload], both), Screen(), now()).look("load", None)
    line = capsys.readouterr().out
    assert "4 pods: old 1/1 Running (2), 0/1 ContainerCreating (1), new 0/1 ContainerCreating, 3 restarts" in line
    assert "; fullest old/app 40 MiB; new/app 0 B" in line
