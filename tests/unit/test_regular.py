"""Only regular files are opened by a name from outside, and only so much of them is read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emu.files import regular


def test_pipes_devices_sockets_and_folders_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is waited for."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for name in ("pipe", "socket", "/dev/zero", "/dev/tty", ".", "none", "a" * 5000, "a\0b"):
            with pytest.raises(OSError):
                regular.read_regular(Path(name), 10)


def test_no_more_is_read_than_asked(tmp_path: Path) -> None:
    """A larger file is an error, not a part of it."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert regular.read_regular(path, 10) == b"x" * 10
    with pytest.raises(OSError, match="more than 9 bytes"):
        regular.read_regular(path, 9)


def test_an_overlong_line_costs_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows it is read as ever."""
    monkeypatch.setattr(regular, "LONGEST_LINE", 8)
    path = tmp_path / "file"
    path.write_bytes(b"a\n" + b"b" * 50 + b"\nc\nd")
    assert list(regular.read_lines(path)) == [b"a\n", b"b" * 8, b"c\n", b"d"]


def test_a_hole_of_a_terabyte_is_passed_over(tmp_path: Path) -> None:
    """A file that lost its blocks has one; reading its zeros would take an hour."""
    path = tmp_path / "file"
    path.write_bytes(b"a\nb")
    os.truncate(path, 1 << 40)
    with path.open("ab") as file:
        file.write(b"\nc\n")
    lines = list(regular.read_lines(path))
    assert (lines[0], lines[-1]) == (b"a\n", b"c\n")
    os.truncate(path, 1 << 41)
    assert len(list(regular.read_lines(path))) < 6


def test_standard_input_that_does_not_block_is_read_to_its_end() -> None:
    """Another process that has the same pipe may have made it so; what comes later is waited for."""
    code = "from pathlib import Path; from emu.files.named import read_text; print(1, flush=True); "
    code += "print(read_text(Path('-')))"
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    with os.fdopen(theirs, "wb", buffering=0) as pipe, os.fdopen(ours, "rb") as end:
        words = [sys.executable, "-c", code]
        reader = subprocess.Popen(words, stdin=end, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert reader.stdout is not None
        reader.stdout.readline()
        wait_until_asleep(reader.pid)
        pipe.write(b"first ")
        pipe.write(b"second")
    assert reader.communicate()[0] == "first second\n"


def wait_until_asleep(pid: int) -> None:
    """Until it waits for something, or has ended."""
    deadline = time.monotonic() + 120
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "SZ":
        assert time.monotonic() < deadline
        time.sleep(0.01)
