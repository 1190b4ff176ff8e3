"""What was not foreseen: one line, a file with the traceback, a status."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from emu.cli import scenarios
from emu.cli.main import main
from emu.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_READER_GONE, EmuError
from emu.machine import toplevel
from emu.machine.output import ReaderGone


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "emu" / "tracebacks"


def raising(error: BaseException) -> Callable[[], object]:
    """A command that fails so."""

    def command() -> object:
        raise error

    return command


def test_a_folder_that_was_removed_under_the_shell_is_named_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is relative to it cannot be found, and no traceback helps there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert toplevel.run(lambda: main(["show"], standalone_mode=False)) == EXIT_BAD_INPUT
    assert capsys.readouterr().err.startswith("emu: there is no current directory\n  why: it was removed")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (IndexError("list index\nout of range"), "emu: unexpected IndexError: list index out of range: this is"),
        (AssertionError(), "emu: unexpected AssertionError: this is a bug in emu"),
        (RecursionError("x" * 5000), "emu: unexpected RecursionError: xxx"),
        (OSError(errno.EROFS, "Read-only file system", "/cache/x"), "emu: /cache/x: Read-only file system; check"),
        (MemoryError(), "emu: out of memory; traceback in"),
    ],
)  # fmt: skip
def test_an_unforeseen_error_is_one_line_that_names_a_file(
    error: Exception, line: str, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody sees a traceback, and nobody loses one: it is in the file that the line names, for its owner's eyes."""
    assert toplevel.run(raising(error)) == EXIT_BAD_INPUT
    printed = capsys.readouterr().err
    assert printed.startswith(line)
    assert printed.count("\n") == 1
    assert len(printed) < 800
    (kept,) = cache.iterdir()
    assert str(kept) in printed
    assert "Traceback (most recent call last)" in kept.read_text() and type(error).__name__ in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (OSError(errno.EMFILE, "Too many open files", "/x"), "ulimit -n"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
    ],
)
def test_a_limit_of_the_shell_is_no_bug(
    error: BaseException, fix: str, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files, processes and threads: which limit it is, and how to raise it; no traceback is kept."""
    assert toplevel.run(raising(error)) == EXIT_BAD_INPUT
    said = capsys.readouterr().err
    assert fix in said and "report" not in said
    assert not cache.exists()


def test_where_the_cache_takes_no_file_another_folder_does(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cache that cannot be written is no second error."""
    cache.parent.parent.mkdir()
    cache.parent.write_text("no folder")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert toplevel.run(raising(KeyError("a"))) == EXIT_BAD_INPUT
    found = re.search(r"traceback in (\S+)", capsys.readouterr().err)
    assert found is not None and Path(found[1]).parent == tmp_path


def test_where_no_folder_takes_one_the_place_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a disk that is full or read-only the line still says where it happened."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert toplevel.run(raising(KeyError("a"))) == EXIT_BAD_INPUT
    assert re.search(r"at \S+test_toplevel\.py:\d+ \(no file", capsys.readouterr().err)


def test_old_tracebacks_go(cache: Path) -> None:
    """There are never many."""
    for number in range(toplevel.MOST_KEPT + 5):
        assert toplevel.run(raising(KeyError(number))) == EXIT_BAD_INPUT
    assert len(list(cache.iterdir())) == toplevel.MOST_KEPT


def test_secrets_of_the_command_line_are_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that is sent with a report names the command, without the values of its secrets."""
    monkeypatch.setattr("sys.argv", ["emu", "run", "--set", "pod.app.env.API_TOKEN=hunter2", "load.seed=5"])
    toplevel.run(raising(KeyError("a")))
    (kept,) = cache.iterdir()
    assert "hunter2" not in kept.read_text()
    assert "load.seed=5" in kept.read_text()


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (EmuError("a", "b", "c"), EXIT_BAD_INPUT, "emu: a\n  why: b\n  fix: c\n"),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, "emu: interrupted\n"),
        (ReaderGone(), EXIT_READER_GONE, ""),
        (SystemExit(3), 3, ""),
        (SystemExit(), 0, ""),
    ],
)
def test_what_was_foreseen_has_its_own_status(
    error: BaseException, status: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors for people, interrupts and exits are as before."""
    assert toplevel.run(raising(error)) == status
    assert capsys.readouterr().err == printed


def test_every_command_ends_there(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """The whole command line stands below it."""

    def broken() -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(scenarios, "builtin_scenarios", broken)
    done = CliRunner().invoke(main, ["scenarios"])
    assert done.exit_code == EXIT_BAD_INPUT
    assert "ZeroDivisionError: oh: this is a bug in emu" in done.stderr
    assert len(list(cache.iterdir())) == 1
