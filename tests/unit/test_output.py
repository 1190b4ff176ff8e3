"""What emu prints is text: no markup, no control characters; and streams that fail end in a word and a status."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from emu.errors import EXIT_BAD_INPUT, EXIT_READER_GONE
from emu.machine import output
from emu.run.screen import MemoryNow, Now, Screen

ROOT = Path(__file__).resolve().parents[2]
EVIL = "\x1b[31mred\x1b]0;title\x07\r\x9b2J\u202eabc[bold]x[/]\udcff"
SHOWN = "\\x1b[31mred\\x1b]0;title\\x07\\x0d\\x9b2J\\u202eabc[bold]x[/]\\udcff"


def emu(*words: str, stdout: int | None = subprocess.PIPE, **options: object) -> subprocess.CompletedProcess[str]:
    """A run of the real command."""
    argv = [sys.executable, "-m", "emu", *words]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        argv, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=240, **options
    )


def test_control_characters_are_written_out() -> None:
    """Whatever a terminal would obey is shown instead; a newline and a tab stay."""
    assert output.printable(EVIL) == SHOWN
    assert output.printable("a\n\tb ✗ é 日本") == "a\n\tb ✗ é 日本"


def test_json_keeps_what_it_escapes() -> None:
    """JSON on a terminal has no control character either, and says the same when it is read."""
    text = output.to_json({"a": EVIL}, indent=2)
    assert output.printable(text) == text
    assert json.loads(text) == {"a": EVIL}


def test_a_console_prints_text_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither markup nor an escape sequence in a name comes to anything, in lines as in tables."""
    with Screen() as screen:
        screen.title(EVIL, f": {EVIL}")
        screen.step(EVIL)
        screen.event(EVIL)
        screen.console.print(EVIL)
        row = MemoryNow(EVIL, EVIL, 1, 1, 1, 1, 1, 1, 1, None, 0)
        screen.show(Now(1.0, EVIL, EVIL, EVIL, 0, 1.0, errors={EVIL: 1}, memory=(row,)))
    printed = capsys.readouterr().out
    assert printed.count("\\x1b[31mred\\x1b]0;title") == 10
    assert printed.count("abc[bold]x[/]\\udcff") == 10
    assert output.printable(printed) == printed


def test_all_that_is_printed_goes_through_one_door() -> None:
    """No command prints by click or makes a console of rich's by itself."""
    for path in (ROOT / "emu").rglob("*.py"):
        if path.name == "output.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                called = ast.unparse(node.func)
                assert called not in ("click.echo", "click.secho", "Console"), f"{path}:{node.lineno}"


def test_an_error_shows_escapes_of_a_name(tmp_path: Path) -> None:
    """A file's or an option's name cannot turn the terminal red."""
    for words in (("show", EVIL[:-1]), ("run", f"./{EVIL[:-1]}.yaml"), (EVIL[:-1],), ("run", f"--{EVIL[:-1]}")):
        done = emu(*words, cwd=tmp_path)
        assert done.returncode == EXIT_BAD_INPUT
        assert "\\x1b" in done.stderr
        assert output.printable(done.stderr) == done.stderr


@pytest.mark.parametrize("words", [("scenarios",), ("scenarios", "--json"), ("doctor", "--json")])
def test_a_full_standard_output_is_one_error(words: tuple[str, ...]) -> None:
    """What cannot be written is reported once, with status 2 and without a traceback."""
    with Path("/dev/full").open("w") as full:
        done = emu(*words, stdout=full.fileno())
    assert done.returncode == EXIT_BAD_INPUT
    assert done.stderr.startswith("emu: standard output cannot be written\n  why: No space left on device\n")
    assert "Traceback" not in done.stderr


def test_a_reader_that_went_away_ends_it_as_sigpipe_does() -> None:
    """`emu scenarios | head -1` is no error to report."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = emu("scenarios", "--json", stdout=write_end)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (EXIT_READER_GONE, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_do_no_harm(closed: str, tmp_path: Path) -> None:
    """With descriptors closed nothing else gets their numbers, and a command ends as it would."""
    done = subprocess.run(
        ["sh", "-c", f'"$1" -m emu scenarios --json {closed}', "sh", sys.executable],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_lasting_console_outlives_its_stream() -> None:
    """A run goes on when its screen cannot be written any more, and the rest is not printed."""
    code = (
        "from emu.run.screen import Screen\n"
        "with Screen() as screen:\n"
        "    screen.step('a'); screen.step('b'); screen.title('c', 'd')\n"
        "import sys; sys.exit(7)"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=240
        )
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.parametrize(
    ("encoding", "words", "shown"),
    [
        ("latin-1", ("explain", "no-such-\u65e5"), "no-such-\\u65e5"),
        ("ascii", ("show", str(ROOT / "tests/fixtures/runs/app-oom")), "\\u2713"),
    ],
)
def test_a_terminal_without_a_sign_gets_it_written_out(encoding: str, words: tuple[str, ...], shown: str) -> None:
    """Once it was a traceback: `show` has a check mark, and files of users any letter."""
    done = emu(*words, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert shown in done.stdout + done.stderr
    assert "unexpected" not in done.stderr
