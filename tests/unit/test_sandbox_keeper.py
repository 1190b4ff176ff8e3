"""What keeps a guest: what its kernel may write, and which of its processes were killed."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emu.sandbox.uml import keeper

NARROWED = """
import os, sys
from emu.sandbox.uml import keeper
inside, outside, file = sys.argv[1:]
assert keeper.narrow([inside, file, os.devnull])
os.mkdir(f"{inside}/a"); os.mkdir(f"{inside}/b")
open(f"{inside}/a/x", "w").write("x"); os.rename(f"{inside}/a/x", f"{inside}/b/x"); os.remove(f"{inside}/b/x")
open(file, "r+").write("new"); open(os.devnull, "w").write("x")
print(open(f"{outside}/kept").read())
refused = 0
for attempt in (
    lambda: open(f"{outside}/kept", "w"), lambda: open(f"{outside}/new", "w"), lambda: os.remove(f"{outside}/kept"),
    lambda: os.mkdir(f"{outside}/d"), lambda: os.rename(f"{outside}/kept", f"{outside}/k"),
    lambda: os.symlink("x", f"{outside}/s"), lambda: os.rename(f"{inside}/b", f"{outside}/b"),
):
    try:
        attempt()
    except OSError:
        refused += 1
print(refused)
"""


@pytest.mark.skipif(ctypes.CDLL(None).syscall(444, None, 0, 1) < 2, reason="no Landlock that takes renames")
def test_it_writes_nowhere_else(tmp_path: Path) -> None:
    """Inside everything goes, and what is named is written; outside all is read, and nothing is changed."""
    inside, outside, file = tmp_path / "inside", tmp_path / "outside", tmp_path / "file"
    for folder in (inside, outside):
        folder.mkdir()
    (outside / "kept").write_text("kept")
    file.write_text("old")
    words = [sys.executable, "-c", NARROWED, str(inside), str(outside), str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["kept", "7"], done.stderr
    assert [path.name for path in outside.iterdir()] == ["kept"] and file.read_text() == "new"


def test_a_child_that_was_killed_and_not_reaped() -> None:
    """It is found, and one that lives or was reaped is not."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    try:
        assert pid not in keeper.zombies(os.getpid())
        os.kill(pid, 9)
        deadline = time.monotonic() + 120
        while pid not in keeper.zombies(os.getpid()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.waitpid(pid, 0)
    assert pid not in keeper.zombies(os.getpid())
