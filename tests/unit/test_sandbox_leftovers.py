"""Guests without an owner are found by pid and start time, and nothing else ever is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from emu.sandbox.uml.keeper import KERNEL
from emu.sandbox.uml.leftovers import GuestState, Mark, boot_id, leftovers, mark, sweep

DEAD = Mark(os.getpid(), 1)
"""Our own pid with another start time: somebody who had it before us."""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands in for a keeper."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def note(tmp_path: Path, owner: Mark, keeper: Mark, boot: str | None = None) -> Path:
    """A guest's scratch directory as it is while the guest runs."""
    scratch = tmp_path / "g1"
    scratch.mkdir()
    GuestState(str(scratch), owner, keeper, boot_id() if boot is None else boot).save()
    return scratch


def test_a_mark_knows_its_process_from_a_later_one() -> None:
    """A pid alone is not enough: numbers are given away again."""
    assert mark(os.getpid()).alive()
    assert not DEAD.alive()


def test_a_guest_with_an_owner_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """As long as its `emu` lives it is left alone."""
    note(tmp_path, mark(os.getpid()), mark(sleeper.pid))
    assert leftovers(tmp_path) == []


def test_a_guest_without_one_is_swept(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """Its keeper is ended, and its directory removed."""
    scratch = note(tmp_path, DEAD, mark(sleeper.pid))
    (found,) = sweep(tmp_path)
    assert (found.scratch, found.pids) == (scratch, (sleeper.pid,))
    assert sleeper.wait(120) < 0 and not scratch.exists()


def test_a_pid_that_went_to_somebody_else_is_spared(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """A process with a noted pid and another start time is not ended."""
    note(tmp_path, DEAD, Mark(sleeper.pid, 1))
    (found,) = sweep(tmp_path)
    assert found.pids == () and sleeper.poll() is None


def test_notes_of_another_boot(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """After a reboot only the directory is left, whatever now has the numbers."""
    note(tmp_path, mark(os.getpid()), mark(sleeper.pid), boot="another")
    (found,) = sweep(tmp_path)
    assert found.pids == () and sleeper.poll() is None


def test_a_directory_just_made_belongs_to_its_maker(tmp_path: Path) -> None:
    """A guest that is about to be noted is not taken for a leftover; an old one without a note is."""
    scratch = tmp_path / "g2"
    scratch.mkdir()
    assert leftovers(tmp_path) == []
    os.utime(scratch, (0, 0))
    assert [leftover.scratch for leftover in leftovers(tmp_path)] == [scratch]


_WORKER = """
import os, sys, time
if sys.argv[1]:
    os.chroot(sys.argv[1])
os.chdir(sys.argv[2])
os.rmdir(sys.argv[2])
print("there", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root directory")
@pytest.mark.parametrize("jailed", [False, True])
def test_a_guest_of_another_root_directory_is_left_alone(jailed: bool, tmp_path: Path) -> None:
    """`emu clean` in a chroot sees the processes of the whole machine, whose paths mean other places than its own:
    one whose folder is not there is no stray.
    """
    scratch = tmp_path / "guests" / "g1"
    scratch.mkdir(parents=True)
    root, seen = (str(tmp_path), "/guests/g1") if jailed else ("", str(scratch))
    words = [sys.executable, "-c", _WORKER, root, seen, "umid=guest", "x"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as guest:
        try:
            assert guest.stdout is not None
            assert guest.stdout.readline() == "there\n"
            found = [pid for leftover in leftovers(tmp_path / "guests") for pid in leftover.pids]
            assert found == ([] if jailed else [guest.pid])
        finally:
            guest.kill()


def test_no_directory_no_leftovers(tmp_path: Path) -> None:
    """Where no guest ever ran there is nothing."""
    assert leftovers(tmp_path / "none") == []


@pytest.mark.parametrize("works_there", [True, False])
def test_what_outlives_its_kernel_is_its_session_s(tmp_path: Path, works_there: bool) -> None:
    """The guest's processes have no command line of the kernel's: its session and their folder say whose they are.
    Who works elsewhere is spared, whatever session has the number now.
    """
    scratch = note(tmp_path, DEAD, DEAD)
    leader = subprocess.Popen(
        ["sh", "-c", "(sleep 300 >/dev/null & echo $!); read wait"],
        cwd=scratch if works_there else tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert leader.stdout is not None
    member = int(leader.stdout.readline())
    (scratch / KERNEL).write_text(json.dumps(asdict(mark(leader.pid))))
    leader.communicate()
    left = mark(member)
    try:
        (found,) = sweep(tmp_path)
        assert found.pids == ((member,) if works_there else ())
        assert left.alive() is not works_there
        assert not scratch.exists()
    finally:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
