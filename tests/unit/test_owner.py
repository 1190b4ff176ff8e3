"""Whose a thing is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from emu.machine import owner as owners
from emu.machine.owner import lives, owner


def test_a_process_is_known_while_it_lives() -> None:
    """Ours lives; one that has ended does not, waited for or not."""
    assert lives(owner())
    with subprocess.Popen(["sleep", "infinity"]) as process:
        its = owners._of(process.pid)
        assert lives(its)
        process.kill()
        process.wait()
    assert not lives(its)


@pytest.mark.parametrize("words", ["", "1", "x:1:2", "1:0:00000000", owner().replace(":", "0:", 1)])
def test_words_that_name_no_process_name_nobody(words: str) -> None:
    """An empty label, another boot's, another start's."""
    assert not lives(words)


def test_an_owner_of_an_earlier_version_is_known() -> None:
    """Its words did not end in a namespace."""
    assert lives(owner().rpartition(":")[0])


def test_one_that_proc_hides_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's, where /proc is mounted with hidepid: only kill(2) says that it is there."""

    def not_allowed(_pid: int, _number: int) -> None:
        raise PermissionError

    its = owners._of(os.getppid())
    monkeypatch.setattr(owners, "fields", lambda _pid: None)
    monkeypatch.setattr(owners, "start_time", lambda _pid: None)
    assert not lives(its)
    monkeypatch.setattr("os.kill", not_allowed)
    assert lives(its)


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace of pids is root's to make")
def test_owners_are_known_across_namespaces_of_pids(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first one each is known, dead or alive. From a container with pids of its own, which sees the same
    cgroups and perhaps the same engine, nobody of the machine around it is taken for dead.
    """
    code = "import sys; from emu.machine.owner import lives, owner; print(owner(), lives(sys.argv[1])); input()"
    words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-uc", code, owner()]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as inner:
        assert inner.stdout is not None
        its, sees_ours = inner.stdout.readline().split()
        assert its.startswith("1:")
        assert sees_ours == "True"
        monkeypatch.setattr(owners, "FIRST", owners._namespace())  # a test may run in a container
        assert lives(its)
        assert not lives(its.replace("1:", "2:", 1))
        inner.communicate("\n")
    assert not lives(its)
    monkeypatch.setattr(owners, "FIRST", 0)
    assert lives(its)
