"""`emu run` of a scenario with variants: which are played, where each is recorded, and what stops it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, tzinfo
from pathlib import Path

import pytest
from click.testing import CliRunner

from emu.cli.main import main
from emu.cli.run import record
from emu.errors import EmuError
from emu.machine import toplevel
from emu.record.rundir import RunDir
from emu.run import play, story
from emu.runtime import images
from emu.sandbox.qemu import runs
from emu.sandbox.qemu.listener import GuestError
from emu.sandbox.uml import guest as uml
from emu.sandbox.uml.console import SandboxError
from emu.scenario.reading import read_scenario, resolve
from emu.spec import ScenarioSpec
from tests import fake_runs

TEXT = """\
name: two
question: Which?
variants:
  plain: {}
  grown: {pod.app.env.SIZE: large}
"""
Play = Callable[[ScenarioSpec, RunDir], int]


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Play], tuple[int, RunDir]]:
    """Record the scenario with a runner of the test's own; gives the exit status and the run."""
    top = RunDir(tmp_path / "run")
    top.create(variants=True)
    scenario = resolve(read_scenario(TEXT, "two.yaml"))

    def play(run: Play) -> tuple[int, RunDir]:
        monkeypatch.setattr(story, "run_scenario", lambda spec, run_dir, screen: run(spec, run_dir))
        result = CliRunner().invoke(record, ["--out", str(top.path)], input=scenario)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, top

    return play


def begun(run: RunDir) -> None:
    """Leave a first record."""
    run.events.write_text("{}\n")


def test_each_variant_is_recorded_in_a_run_directory_of_its_own(
    played: Callable[[Play], tuple[int, RunDir]],
) -> None:
    """In the order of the file, each as the scenario that it is."""
    seen = []

    def run(spec: ScenarioSpec, where: RunDir) -> int:
        assert where.logs.is_dir() and where.processes.is_dir()
        seen.append((spec.name, spec.pod.app.env, where.path.name))
        begun(where)
        return 0

    status, top = played(run)
    assert status == 0
    assert seen == [("two-plain", {}, "plain"), ("two-grown", {"SIZE": "large"}, "grown")]
    assert top.scenario.exists() and not top.events.exists()
    assert top.begun() and top.has_variants()


def test_an_interrupt_stops_those_that_are_left(played: Callable[[Play], tuple[int, RunDir]]) -> None:
    """What was recorded stays; the next ones are not begun."""

    def run(spec: ScenarioSpec, where: RunDir) -> int:
        begun(where)
        return 130

    status, top = played(run)
    assert status == 130
    assert [path.name for path in top.variants.iterdir()] == ["plain"]


def test_a_variant_that_never_began_leaves_no_folder(
    played: Callable[[Play], tuple[int, RunDir]], tmp_path: Path
) -> None:
    """As a run that never began; the variants before it keep theirs."""

    def run(spec: ScenarioSpec, where: RunDir) -> int:
        if spec.pod.app.env:
            raise EmuError("there is no image", "nobody made it", "make it")
        begun(where)
        return 0

    with pytest.raises(EmuError):
        played(run)
    assert [path.name for path in RunDir(tmp_path / "run").variants.iterdir()] == ["plain"]


def test_a_run_directory_is_made_once(tmp_path: Path) -> None:
    """Variants or not: a recorded run is never overwritten."""
    RunDir(tmp_path / "run").create(variants=True)
    assert not RunDir(tmp_path / "run").logs.exists()
    with pytest.raises(EmuError):
        RunDir(tmp_path / "run").create()


@pytest.mark.parametrize("how", ["the kernel", "the run's process"])
def test_a_sandbox_that_is_lost(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its kernel is killed, or the run's own process in it: what was recorded is studied, the error is on record, and
    the exit status is 2. No file holds the scenario meanwhile: it goes in by standard input.
    """
    out = tmp_path / "run"
    read: list[bytes] = []

    class LostGuest(nullcontext[None]):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__()

        def run(self, _argv: list[str], *, stdin: int, **_: object) -> int:
            read.append(os.read(stdin, 1 << 20))
            shutil.copytree(fake_runs.cut_off(tmp_path / "fake").path, out, dirs_exist_ok=True)
            if how == "the kernel":
                raise SandboxError("the guest ended by itself", "linux.uml was ended by SIGKILL", "run it again")
            return 137

    monkeypatch.setattr(uml, "Guest", LostGuest)
    monkeypatch.setattr(images, "prepare", lambda *_: None)
    monkeypatch.setattr(play, "choose", lambda *_: "sandbox")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as left:
        main(["run", "app-oom", "--out", str(out)])
    assert left.value.code == 2
    summary = json.loads(RunDir(out).summary.read_text())
    what = "the guest ended by itself" if how == "the kernel" else "the run ended early"
    assert summary["failed"]["what"] == what and what in capsys.readouterr().err
    assert RunDir(out).report.exists()
    assert b"name: app-oom" in read[0] and not list((tmp_path / "cache").rglob("*.yaml"))


@pytest.mark.parametrize("how", ["the guest", "the run's process"])
def test_a_virtual_machine_that_is_lost(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a sandbox that is lost; what goes in is the scenario, and how large the machine is."""
    out = tmp_path / "run"
    asked: list[runs.Run] = []

    def lost(run: runs.Run, *_: object) -> int:
        asked.append(run)
        shutil.copytree(fake_runs.cut_off(tmp_path / "fake").path, out, dirs_exist_ok=True)
        if how == "the guest":
            failure = GuestError("the virtual machine failed", "QEMU ended by itself; its console ended: …", "look")
            failure.cause = "QEMU ended by itself"
            raise failure
        return 137

    monkeypatch.setattr(runs, "record", lost)
    monkeypatch.setattr(play, "choose", lambda *_: "vm")
    with pytest.raises(SystemExit) as left:
        main(["run", "app-oom", "--out", str(out), "--set", "sandbox.swap=1Gi", "--json"])
    assert left.value.code == 2
    failed = json.loads(RunDir(out).summary.read_text())["failed"]
    what = "the virtual machine failed" if how == "the guest" else "the run ended early"
    assert failed["what"] == what and what in capsys.readouterr().err
    assert "console" not in failed["why"]
    assert (RunDir(out).processes / "console.log").exists() == (how == "the guest")
    assert "name: app-oom" in asked[0].scenario and asked[0].swap_bytes == 2**30 and asked[0].docker
    assert asked[0].argv[-1] == "--to-stderr"


def test_a_virtual_machine_that_does_not_boot_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was recorded: the exit status is that of an unmet requirement, and there is no directory."""

    def fails(*_: object) -> int:
        raise GuestError("the virtual machine failed", "it had not booted after 900 s", "allow more")

    monkeypatch.setattr(runs, "record", fails)
    monkeypatch.setattr(play, "choose", lambda *_: "vm")
    with pytest.raises(SystemExit) as left:
        main(["run", "app-oom", "--out", str(tmp_path / "run")])
    assert left.value.code == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("status", "leaves", "said"),
    [
        (129, 130, "emu: interrupted"),
        (143, 130, "emu: interrupted"),
        (137, 2, "emu: the run ended early"),
        (2, 2, ""),
    ],
)
def test_a_run_that_ends_in_its_guest_before_it_begins(
    status: int,
    leaves: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A signal may find its process there still starting: it ends then without a word of its own."""
    monkeypatch.setattr(runs, "record", lambda *_: status)
    monkeypatch.setattr(play, "choose", lambda *_: "vm")
    arguments = ["run", "app-oom", "--out", str(tmp_path / "run")]
    assert toplevel.run(lambda: main(arguments, standalone_mode=False)) == leaves
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_directory_that_cannot_be_made_is_found_before_anything_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run's images take minutes: they are not made for a run that has nowhere to go, nor is it kept if they
    cannot be made.
    """
    made: list[str] = []

    def fails(*_: object) -> None:
        made.append("images")
        raise EmuError("cannot make the base image's root file system", "no mirror answers", "apt-get update")

    monkeypatch.setattr(images, "prepare", fails)
    monkeypatch.setattr(play, "choose", lambda *_: "sandbox")
    (tmp_path / "file").touch()
    for out, tried in ((tmp_path / "file" / "run", []), (tmp_path / "run", ["images"])):
        with pytest.raises(SystemExit) as left:
            main(["run", "app-oom", "--out", str(out)])
        assert left.value.code == 2
        assert made == tried
        assert not out.exists()


def test_a_signal_while_the_images_are_made_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM in the minutes before the first boot: its directory goes, with the room that was set aside in it."""

    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr(images, "prepare", killed)
    monkeypatch.setattr(play, "choose", lambda *_: "sandbox")
    arguments = ["run", "app-oom", "--out", str(tmp_path / "run")]
    assert toplevel.run(lambda: main(arguments, standalone_mode=False)) == 130
    assert not (tmp_path / "run").exists()


def test_runs_that_begin_in_the_same_second_have_a_directory_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make run-scenario` twice at once, or a clock that is set back: neither is refused."""
    places: list[str] = []

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Stopped:
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=tz)

    def recorded(run: runs.Run, *_: object) -> int:
        places.append(run.directory.name)
        shutil.copytree(fake_runs.oom(tmp_path / f"fake{len(places)}").path, run.directory, dirs_exist_ok=True)
        return 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(play, "datetime", Stopped)
    monkeypatch.setattr(runs, "record", recorded)
    monkeypatch.setattr(play, "choose", lambda *_: "vm")
    for _ in range(3):
        CliRunner().invoke(main, ["run", "app-oom"])
    assert places == [f"20260102T030405Z-app-oom{rest}" for rest in ("", "-2", "-3")]


@pytest.mark.parametrize("instead", ["nothing", "a file", "a folder", "a record", "a link"])
def test_a_record_that_was_removed_meanwhile_is_an_error(
    instead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`rm -r runs` beside a run, whatever took its place: the run was played to its end, and there is nothing to
    report. What is there now is somebody else's, and stays as it is.
    """
    place, other = tmp_path / "run", tmp_path / "other"
    other.mkdir()

    def removed(run: runs.Run, *_: object) -> int:
        run.directory.rename(tmp_path / "away")
        if instead == "a file":
            place.write_text("mine")
        elif instead == "a link":
            place.symlink_to(other)
        elif instead != "nothing":
            place.mkdir()
        for folder in (other, place):
            if folder.is_dir():
                (folder / ("events.jsonl" if instead == "a record" else "mine")).write_text("{}")
        return 0

    monkeypatch.setattr(runs, "record", removed)
    monkeypatch.setattr(play, "choose", lambda *_: "vm")
    with pytest.raises(SystemExit) as left:
        main(["run", "app-oom", "--out", str(place)])
    assert left.value.code == 2
    assert "was removed, renamed or replaced" in capsys.readouterr().err
    assert place.exists() == (instead != "nothing")
    assert [len(list(folder.iterdir())) for folder in (other, place) if folder.is_dir()] in ([1], [1, 1])
