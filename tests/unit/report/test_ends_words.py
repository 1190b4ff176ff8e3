"""How containers ended, in words: what a preStop hook took is not the container's own, and each kill has its name."""

from __future__ import annotations

from pathlib import Path

from emu.report.summary import summarize
from emu.report.topics.ends import stop_words
from emu.study.study import read_study
from tests.fakes import MIB, FakeRun


def _run(path: Path) -> FakeRun:
    run = FakeRun(path, name="stopped")
    run.start("app", memory_max=64 * MIB)
    run.advance(1.0)
    return run


def test_a_hook_that_used_up_the_grace_period_is_named(tmp_path: Path) -> None:
    """SIGTERM comes after the hook, and SIGKILL two seconds after that: the app itself had only those."""
    run = _run(tmp_path / "run")
    run.stop("app", "pod", 4.0)
    run.advance(5.0)
    run.signal("app", 15)
    run.advance(7.0)
    run.signal("app", 9)
    run.exit("app", 137, asked=True)
    summary = summarize(read_study(run.finish()))
    assert summary["verdict"]["headline"].startswith(
        "app was asked to stop at 1.0 s: its preStop hook took 4.0 s of 4.0 s of grace, and it did not end on "
        "SIGTERM: SIGKILL came 2.0 s after that (exit code 137)"
    )


def test_an_app_that_ends_on_sigterm_after_its_hook_is_not_called_slow(tmp_path: Path) -> None:
    """What the hook took is not the app's."""
    run = _run(tmp_path / "run")
    run.stop("app", "pod", 30.0)
    run.advance(4.0)
    run.signal("app", 15)
    run.advance(4.1)
    run.exit("app", 0, asked=True)
    study = read_study(run.finish())
    assert stop_words(study.instances[-1]) == (
        "app was asked to stop at 1.0 s: its preStop hook took 3.0 s of 30.0 s of grace, and it exited 100 ms after "
        "SIGTERM (exit code 0)."
    )


def test_a_probe_kill_names_the_hook_too(tmp_path: Path) -> None:
    """A failed probe runs the hook before SIGTERM."""
    run = _run(tmp_path / "run")
    run.stop("app", "liveness", 3.0)
    run.advance(2.0)
    run.signal("app", 15)
    run.advance(4.0)
    run.signal("app", 9)
    run.exit("app", 137, killed_for="liveness")
    headline = summarize(read_study(run.finish()))["verdict"]["headline"]
    assert headline == (
        "app was killed for its failing liveness probe at 4.0 s: its preStop hook took 1.0 s, and SIGKILL came 2.0 s "
        "after SIGTERM, which did not end it (exit code 137)"
    )


def test_several_kills_are_in_order_and_each_names_its_container(tmp_path: Path) -> None:
    """The one that is killed again last is still the first, and which process was whose is said."""
    run = FakeRun(tmp_path / "run", name="two")
    run.start("app", memory_max=64 * MIB).values.update(anon=60 * MIB)
    run.start("shipper", memory_max=32 * MIB).values.update(anon=30 * MIB)
    run.advance(1.0)
    run.oom("shipper")
    run.advance(2.0)
    run.oom("app")
    run.start("shipper", memory_max=32 * MIB).values.update(anon=30 * MIB)
    run.advance(3.0)
    run.oom("shipper")
    verdict = summarize(read_study(run.finish()))["verdict"]
    assert "; app was OOM-killed too, at its own limit of 64 MiB" in verdict["headline"]
    said = [text.split(",")[0] for text in verdict["sentences"] if text.startswith("The process killed in ")]
    assert said == ["The process killed in shipper", "The process killed in app"]
