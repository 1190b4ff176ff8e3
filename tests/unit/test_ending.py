"""How a run ends, and what of that is on record."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from cgroups.errors import CgroupGone
from emu.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, EmuError
from emu.record.events import Event, EventLog, Note, RunEnded, RunFailed, read_events
from emu.record.rundir import RunDir
from emu.run.ending import Ending, cut_short
from emu.run.screen import Screen

LOST = EmuError("the engine went away", "nobody answers", "start it")


class Case:
    """A run of nothing, in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.run = RunDir(folder / "run")
        self.run.create()
        self.end = Ending(self.run, EventLog(self.run.events), Screen(quiet=True))

    def play(self, error: BaseException | None = None, undoing: BaseException | None = None) -> list[Event]:
        """Let it end so, and so while things are undone; what is on record then."""
        with self.end:
            with self.end.early():
                self.end.begun = True
                if error is not None:
                    raise error
            if undoing is not None:
                raise undoing
        self.end.write()
        return list(read_events(self.run.events))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A run that is about to end."""
    return Case(tmp_path)


def test_a_run_to_plan_ends_with_one_word(case: Case) -> None:
    """It ended, and nothing else is said."""
    assert [type(event) for event in case.play()] == [RunEnded]
    assert case.end.status == EXIT_OK


def test_an_interrupt_is_no_failure(case: Case) -> None:
    """It is noted, and the end knows it."""
    note, end = case.play(KeyboardInterrupt())
    assert isinstance(note, Note) and isinstance(end, RunEnded) and end.interrupted
    assert case.end.status == EXIT_INTERRUPTED


def test_an_error_after_an_interrupt_is_its_consequence(case: Case) -> None:
    """Ctrl-C reaches a child that has not left the terminal's process group yet: the run was interrupted."""
    with case.end, case.end.early(lambda: True):
        case.end.begun = True
        raise LOST
    case.end.write()
    note, end = read_events(case.run.events)
    assert isinstance(note, Note) and isinstance(end, RunEnded) and end.interrupted
    assert case.end.status == EXIT_INTERRUPTED


@pytest.mark.parametrize(("error", "undoing"), [(LOST, None), (LOST, EmuError("and", "so", "on")), (None, LOST)])
def test_what_is_lost_on_the_way_or_while_undoing_is_reported_once(
    case: Case, error: EmuError | None, undoing: EmuError | None
) -> None:
    """The first of what was lost, with how to mend it; the run ends in order all the same."""
    failed, end = case.play(error, undoing)
    assert isinstance(failed, RunFailed) and isinstance(end, RunEnded)
    assert (failed.what, failed.why, failed.fix) == (LOST.what, LOST.why, LOST.fix)
    assert case.end.status == EXIT_BAD_INPUT


def test_a_file_that_finds_no_room_is_a_record_that_cannot_be_written(case: Case) -> None:
    """The room set aside is given up for its last words."""
    failed, _ = case.play(OSError(errno.ENOSPC, "No space left on device", "load-plan.json"))
    assert isinstance(failed, RunFailed)
    assert "load-plan.json" in failed.why
    assert not case.run.reserve.exists()


@pytest.mark.parametrize("undone", [False, True])
@pytest.mark.parametrize(
    ("error", "why", "fix"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), "/x: No such file", "traceback in"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x/y"), "/x/y: Not a directory", "traceback in"),
        (OSError(errno.EMFILE, "Too many open files"), "a process may have", "ulimit -n"),
        (CgroupGone("cannot read memory.max", "the cgroup was removed", "leave it alone"), "was removed", "leave it"),
        (TypeError("no such thing"), "unexpected TypeError: no such thing: this is a bug in emu", "traceback in"),
        (AssertionError(), "unexpected AssertionError", "report it"),
    ],
)
def test_what_nobody_foresaw_ends_a_run_in_order(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str, fix: str, undone: bool
) -> None:
    """Whether it happens on the way or while things are undone: it is on record, and what was recorded is studied."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    failed, end = case.play(None, error) if undone else case.play(error)
    assert isinstance(failed, RunFailed) and isinstance(end, RunEnded)
    assert why in failed.why and fix in failed.fix
    assert case.end.status == EXIT_BAD_INPUT


def test_a_run_that_something_else_ended_is_on_record_where_there_is_room(case: Case) -> None:
    """The room set aside is given up for it. Where even that is gone, the error itself is raised."""
    case.run.events.write_text("")
    cut_short(case.run, LOST)
    cut_short(case.run, EmuError("another", "end", "of it"))
    (failed,) = read_events(case.run.events)
    assert isinstance(failed, RunFailed) and failed.what == LOST.what
    assert not case.run.reserve.exists()
    for place in (case.run.path / "removed", Path("/dev/null")):
        with pytest.raises(EmuError) as caught:
            cut_short(RunDir(place), LOST)
        assert caught.value is LOST


@pytest.mark.parametrize("error", [KeyboardInterrupt(), LOST, OSError(errno.ENOSPC, "No space left on device")])
def test_before_the_first_event_there_is_no_run_to_end(case: Case, error: BaseException) -> None:
    """It goes on up, and nothing is written."""
    with pytest.raises(type(error)), case.end, case.end.early():
        raise error
    assert not case.run.begun()


def test_last_words_that_find_no_room_either_are_raised(tmp_path: Path) -> None:
    """Who started the run hears why it ended, for nobody can read it."""
    run = RunDir(tmp_path)
    end = Ending(run, EventLog(Path("/dev/full")), Screen(quiet=True))
    with end, end.early():
        end.begun = True
        raise LOST
    with pytest.raises(EmuError) as caught:
        end.write()
    assert caught.value is LOST
