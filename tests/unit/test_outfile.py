"""A path of the user's is written to as what it is."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from emu.cli.main import main
from emu.files import outfile
from tests import fake_runs


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    """Whoever has the old one open reads on in it; nothing else is left beside it."""
    path = tmp_path / "out"
    path.write_text("old")
    path.chmod(0o640)
    with path.open() as reader:
        outfile.write(path, "new")
        assert reader.read() == "old"
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path: Path, there: bool) -> None:
    """It stays a link, and what it leads to is written, be it there yet or not."""
    target, link = tmp_path / "a" / "target", tmp_path / "link"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    link.symlink_to(target)
    outfile.write(link, "new")
    assert link.is_symlink() and target.read_text() == "new" and not target.is_symlink()


def test_a_device_stays_one() -> None:
    """/dev/null takes it all, and is there afterwards."""
    before = Path("/dev/null").stat()
    outfile.write(Path("/dev/null"), "gone")
    after = Path("/dev/null").lstat()
    assert stat.S_ISCHR(after.st_mode) and (after.st_ino, after.st_rdev) == (before.st_ino, before.st_rdev)


def test_an_open_file_by_its_descriptor(tmp_path: Path) -> None:
    """/dev/fd/N is written into, not replaced: it is somebody's redirection."""
    with (tmp_path / "out").open("wb+") as file:
        outfile.write(Path(f"/dev/fd/{file.fileno()}"), "text")
        assert file.read() == b"text"


def test_a_pipe_stays_one(tmp_path: Path) -> None:
    """Its reader gets all of it; without a reader it is an error at once, not a wait."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device"):
        outfile.write(pipe, "x")
    got: list[str] = []
    text = "x" * 200_000
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    held = os.open(pipe, os.O_WRONLY)  # until then a reader finds the end of it

    def read() -> None:
        with os.fdopen(fd) as file:
            got.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    outfile.write(pipe, text)
    os.close(held)
    reader.join()
    assert got == [text] and stat.S_ISFIFO(pipe.lstat().st_mode)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("make", [Path.mkdir, _socket], ids=["directory", "socket"])
def test_what_cannot_be_written_stays(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A directory or a socket is refused, and is there afterwards."""
    path = tmp_path / "it"
    make(path)
    kind = stat.S_IFMT(path.lstat().st_mode)
    with pytest.raises(OSError, match=r"socket|directory"):
        outfile.write(path, "x")
    assert stat.S_IFMT(path.lstat().st_mode) == kind and [path.name for path in tmp_path.iterdir()] == ["it"]


@pytest.mark.parametrize("words", [["report"], ["export", "--to", "kperf-csv"]], ids=lambda words: words[0])
def test_the_commands_write_so(tmp_path: Path, words: list[str]) -> None:
    """`--out` of each command that has one: devices stay, links are followed, a pipe without a reader is an error."""
    run = fake_runs.oom(tmp_path / "run")
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "target")
    os.mkfifo(pipe)

    def play(out: Path) -> int:
        return CliRunner().invoke(main, [*words, str(run.path), "--out", str(out)]).exit_code

    assert (play(Path("/dev/null")), play(link), play(pipe)) == (0, 0, 2)
    assert Path("/dev/null").is_char_device() and link.is_symlink() and (tmp_path / "target").stat().st_size > 0
    assert pipe.is_fifo()
