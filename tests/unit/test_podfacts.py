"""What phases of the load wait for, as the run itself sees it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cgroups import parse
from emu.kubelet.pod import Instance
from emu.policy.lifecycle import ContainerState, PodView
from emu.run.podfacts import PodWitness, kills_counted
from emu.serving.template import pod_template
from emu.spec import PodSpec


class Stage:
    """A pod of an app and a queue-proxy whose cgroups are folders, and who runs in it."""

    def __init__(self, folder: Path, *, oom_group: bool = True) -> None:
        self.folder = folder
        self.oom_group = oom_group
        self.template = pod_template(PodSpec())
        self.witness = PodWitness()
        self.states = {"queue-proxy": ContainerState("running"), "app": ContainerState("running")}
        self.instances: dict[str, Any] = {}
        self.starts("app", 0)

    def starts(self, name: str, attempt: int, kills: int = 0) -> None:
        """A new instance, and the kills that its own counter shows."""
        path = self.folder / f"{name}.{attempt}"
        self.instances[name] = Instance("pod", name, attempt, "id", name, path, oom_group=self.oom_group)
        self.counts(name, attempt, kills)

    def counts(self, name: str, attempt: int, kills: int) -> None:
        """memory.events of an instance."""
        path = self.folder / f"{name}.{attempt}"
        path.mkdir(exist_ok=True)
        (path / "memory.events").write_text(f"low 0\nhigh 0\nmax 9\noom 1\noom_kill {kills}\n")

    def kills(self, name: str = "app") -> int:
        """How many the witness knows of."""
        workload: Any = SimpleNamespace(
            template=self.template,
            instance=self.instances.get,
            states=self.states,
            view=PodView("1/2", "CrashLoopBackOff", 1),
            ready_pods=0,
        )
        facts = self.witness.facts(workload)
        assert (facts.ready, facts.status) == ("1/2", "CrashLoopBackOff")
        return facts.oom_kills.get(name, 0)


def test_a_container_that_was_killed_counts_once(tmp_path: Path) -> None:
    """Whether its counter was seen before its cgroup went, or only its exit; each instance's kill is one more."""
    stage = Stage(tmp_path)
    assert stage.kills() == 0
    stage.counts("app", 0, 3)  # memory.oom.group counts each process
    assert stage.kills() == 1
    stage.witness.saw_exit(stage.instances["app"], ContainerState("back-off", restarts=0, last_reason="OOMKilled"))
    assert stage.kills() == 1
    stage.starts("app", 1)
    stage.witness.saw_exit(stage.instances["app"], ContainerState("back-off", restarts=1, last_reason="OOMKilled"))
    assert stage.kills() == 2
    assert stage.kills("queue-proxy") == 0


def test_children_count_by_themselves(tmp_path: Path) -> None:
    """Where a kill takes one process and the container lives on."""
    stage = Stage(tmp_path, oom_group=False)
    stage.counts("app", 0, 2)
    assert stage.kills() == 2


@pytest.mark.parametrize("reason", ["Error", "Completed"])
def test_another_end_is_an_exit_and_no_kill(tmp_path: Path, reason: str) -> None:
    """It counts as an exit alone."""
    stage = Stage(tmp_path)
    stage.witness.saw_exit(stage.instances["app"], ContainerState("terminated", last_reason=reason))
    workload: Any = SimpleNamespace(
        template=stage.template,
        instance=stage.instances.get,
        states=stage.states,
        view=PodView("1/2", "Error", 0),
        ready_pods=0,
    )
    facts = stage.witness.facts(workload)
    assert (facts.exits, facts.oom_kills.get("app", 0)) == ({"app": 1}, 0)


def test_a_group_kill_is_one_kill() -> None:
    """memory.events counts each process of it, and the first one twice; without memory.oom.group each is a kill."""
    events = parse.parse_events("low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 1\n")
    assert (kills_counted(events, oom_group=True), kills_counted(events, oom_group=False)) == (1, 2)
    assert kills_counted(parse.parse_events("oom_kill 0\n"), oom_group=True) == 0
