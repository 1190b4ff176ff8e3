"""`pod.freezer` as people write it, and `emu freezer` as they call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emu.errors import EmuError
from emu.helpers import freezer
from emu.helpers.freezer_seen import FreezerSeen
from emu.messages import FREEZER_METHODS, FREEZER_MODES
from emu.record.events import ContainerPaused, ContainerResumed, EventLog, FreezerFailed, MemoryReclaimed
from emu.scenario.reading import read_scenario, resolve
from emu.spec import FreezerSpec

ROOT = Path(__file__).resolve().parents[2]
HEAD = "name: cold\nquestion: Is it?\npod:\n  freezer:\n"


def read(text: str) -> FreezerSpec | None:
    """The freezer of a scenario."""
    return read_scenario(HEAD + text, "cold.yaml").pod.freezer


def test_a_freezer_needs_nothing_said() -> None:
    """An empty mapping is one with every default; no key is no freezer."""
    assert read("    {}\n") == FreezerSpec()
    assert read_scenario("name: warm\nquestion: Is it?\n", "warm.yaml").pod.freezer is None


def test_steps_of_reclaim_are_read_in_their_one_form() -> None:
    """all, a share, a size; resolved, they read the same."""
    text = "    reclaim:\n      - { amount: 50%, after: 5s }\n      - { amount: 64Mi }\n      - after: 1m\n"
    found = read(text)
    assert found is not None
    assert [(step.amount, step.after) for step in found.reclaim] == [("50%", 5), (str(64 << 20), 0), ("all", 60)]
    spec = read_scenario(HEAD + text, "cold.yaml")
    assert read_scenario(resolve(spec), "again.yaml") == spec


def test_what_is_read_ahead_goes_with_what_is_reclaimed() -> None:
    """Nothing unless asked for; what the last wake touched, or an amount."""
    for said, kept in (("touched", "touched"), ("25 %", "25%"), ("16Mi", str(16 << 20))):
        found = read(f"    reclaim: [{{ after: 1s }}]\n    prefetch: {said}\n")
        assert found is not None
        assert found.prefetch == kept
    assert FreezerSpec().prefetch == "none"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    reclaim: [{ amount: half }]\n", "is not an amount of memory"),
        ("    reclaim: [{ amount: 0% }]\n", "above 0 %"),
        ("    prefetch: some\n", "write all, a size (64Mi), or a share (50%); or none, or touched"),
        ("    prefetch: touched\n", "there is no reclaimed memory to prefetch"),
        ("    method: criu\n", "docker"),
        ("    mode: istio\n", "knative"),
        ("    grace: soon\n", "is not a duration"),
        ("    endpoint: x\n", "endpoint"),
    ],
)
def test_what_cannot_be_is_reported_with_its_place(text: str, words: str) -> None:
    """File, line and the value found, before anything starts."""
    with pytest.raises(EmuError) as wrong:
        read(text)
    assert words in str(wrong.value)
    assert "cold.yaml:5:" in str(wrong.value)


def test_the_spec_and_the_daemon_know_the_same_words() -> None:
    """Methods and modes are spelt in the models for editors, and once for all processes."""
    properties = FreezerSpec.model_json_schema(by_alias=True)["properties"]
    assert tuple(properties["method"]["enum"]) == FREEZER_METHODS
    assert tuple(properties["mode"]["enum"]) == FREEZER_MODES


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (["--pods", "nowhere.json", "--method", "cgroup"], "cannot read the freezer's pods from nowhere.json"),
        (["--pods", "pods.json", "--method", "cgroup", "--reclaim", "much"], "'much' is not a reclaim step"),
        (
            ["--pods", "pods.json", "--method", "cgroup", "--prefetch", "all"],
            "there is no reclaimed memory to prefetch",
        ),
        (
            ["--pods", "pods.json", "--method", "cgroup", "--reclaim", "all", "--prefetch", "some"],
            "'some' is not a valid --prefetch value",
        ),
        (["--pods", "pods.json", "--method", "cgroup", "--listen", "nowhere"], "cannot listen on nowhere"),
        (["--pods", "pods.json", "--method", "cgroup", "--listen", "unix:/no/such/place"], "cannot listen on unix:"),
    ],
)
def test_bad_words_end_emu_freezer_with_2(words: list[str], reported: str, tmp_path: Path) -> None:
    """One error, with a way out, and nothing listens."""
    (tmp_path / "pods.json").write_text(json.dumps({"pods": []}))
    done = subprocess.run(
        [sys.executable, "-m", "emu", "freezer", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 2
    assert reported in done.stderr
    assert "fix:" in done.stderr


def test_the_folders_of_runs_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose they are is not theirs to say; without any there is nothing."""
    monkeypatch.setattr(freezer, "HOME", tmp_path / "freezer")
    assert freezer.folders() == []
    for name in ("a", "b"):
        (tmp_path / "freezer" / name).mkdir(parents=True)
    assert [path.name for path in freezer.folders()] == ["a", "b"]


PHASE = "load:\n  phases:\n    - {{ name: idle, type: pause, duration: 5m, until: {{ {until} }} }}\n"


def test_a_phase_waits_for_the_freezer() -> None:
    """For what it does; for memory only where it reclaims some."""
    spec = read_scenario(
        f"{HEAD}    reclaim: [{{ after: 1s }}]\n{PHASE.format(until='reclaimed: true')}", "cold.yaml"
    )
    (phase,) = spec.load.phases
    assert phase.until is not None
    assert (phase.until.reclaimed, phase.until.frozen) == (True, None)
    with pytest.raises(EmuError, match="waits for memory to be reclaimed, and none ever is"):
        read_scenario(f"{HEAD}    grace: 1s\n{PHASE.format(until='reclaimed: true')}", "cold.yaml")
    with pytest.raises(EmuError, match="no freezer is there to wait for"):
        read_scenario(f"name: warm\nquestion: Is it?\n{PHASE.format(until='frozen: true')}", "warm.yaml")


def test_what_the_daemon_has_done_is_read_on(tmp_path: Path) -> None:
    """Memory is reclaimed when each step was carried out, or failed, since each container was frozen; a line counts
    when it is whole.
    """
    events = tmp_path / "events.jsonl"
    log = EventLog(events)
    app, cache = ({"pod": "p", "container": name, "attempt": 0, "id": name} for name in ("app", "cache"))
    took = {"method": "cgroup", "took_s": 0.1, "engine_s": None, "kernel_s": 0.1}

    def reclaimed(one: dict[str, Any]) -> None:
        log.append(MemoryReclaimed(t=1.0, **one, wanted_bytes=1, before={}, after={}, took_s=0.1))

    seen = FreezerSeen(events, steps=2)
    log.append(ContainerPaused(t=0.5, **app, **took))
    assert not seen.reclaimed()
    reclaimed(app)
    assert not seen.reclaimed()
    log.append(FreezerFailed(t=2.0, pod="p", action="reclaim", container="app", why="EBUSY"))
    assert seen.reclaimed()
    log.append(ContainerPaused(t=2.5, **cache, **took))
    assert not seen.reclaimed()
    reclaimed(cache)
    reclaimed(cache)
    assert seen.reclaimed()
    log.append(ContainerResumed(t=3.0, **app, **took))
    log.append(ContainerResumed(t=3.0, **cache, **took))
    assert not seen.reclaimed()
    log.append(ContainerPaused(t=4.0, **app, **took))
    reclaimed(app)
    line = events.read_bytes().splitlines(keepends=True)[-1]
    with events.open("ab") as file:
        file.write(line[:20])
        file.flush()
        assert not seen.reclaimed()
        file.write(line[20:])
    assert seen.reclaimed()
