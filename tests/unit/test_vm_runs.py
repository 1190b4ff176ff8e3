"""A run in the virtual machine: its signals, its progress, what is said of it, and what a killed one leaves."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emu.sandbox.qemu import image as disks
from emu.sandbox.qemu import leftovers, runs
from emu.sandbox.qemu.guest import Machine
from emu.sandbox.qemu.listener import GuestError, Listener
from emu.sandbox.qemu.watch import Watch
from tests.unit.test_qemu import FakeGuest


class Signals:
    """A watch whose signals are this test's, with the far end of the guest's control port."""

    def __init__(self, *, quiet_s: float = 100.0) -> None:
        self.far, near = socket.socketpair()
        self._read, self.write = os.pipe()
        self.ready: list[tuple[str, float]] = []
        self.felt = 0
        self.watch = Watch(
            near,
            self._read,
            on_ready=lambda kernel, after_s: self.ready.append((kernel, after_s)),
            pulse=lambda: self.felt,
            quiet_s=quiet_s,
        )

    def send(self, *numbers: int) -> None:
        """As if this process got these signals."""
        os.write(self.write, bytes(numbers))


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[FakeGuest]:
    """A fake guest, ended afterwards."""
    fake = FakeGuest(tmp_path)
    yield fake
    fake.close()


def listen(guest: FakeGuest, signals: Signals) -> int:
    """What a run comes to."""
    return Listener(guest.process, guest.near, 120.0, None, guest.scratch, signals.watch).serve().status


def test_a_signal_reaches_the_job(guest: FakeGuest) -> None:
    """Which ends in order and says with what; the terminal's size is none of its business."""
    signals = Signals()
    guest.say("emu.status", "30.0 ready 6.1.0\n")
    signals.send(signal.SIGWINCH)
    signals.watch.heed(running=True)
    signals.send(signal.SIGINT)
    signals.watch.heed(running=True)
    guest.say("emu.status", "40.0 exit 130\n")
    assert listen(guest, signals) == 130
    assert signals.far.recv(100) == b"TERM\n"
    assert signals.ready[0][0] == "6.1.0"


def test_the_third_signal_ends_the_guest_at_once(guest: FakeGuest) -> None:
    """A job that does not end is not waited for."""
    signals = Signals()
    guest.say("emu.status", "30.0 ready 6.1.0\n")
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
        signals.send(number)
        signals.watch.heed(running=True)
    assert listen(guest, signals) == 128 + signal.SIGTERM


def test_an_interrupted_boot_is_given_up(guest: FakeGuest) -> None:
    """There is no job yet that could end in order."""
    signals = Signals()
    signals.send(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        listen(guest, signals)


def test_a_run_without_progress_is_given_up(guest: FakeGuest) -> None:
    """It says nothing and leaves no sign in its directory."""
    guest.say("emu.status", "30.0 ready 6.1.0\n")
    with pytest.raises(GuestError, match="makes no progress"):
        listen(guest, Signals(quiet_s=0.1))


def test_a_silent_run_that_goes_on_is_not() -> None:
    """Its pulse is another than before."""
    signals = Signals(quiet_s=0.0)
    signals.felt = 1
    assert not signals.watch.stalled()
    assert signals.watch.stalled()


def test_what_a_killed_run_leaves_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder, the machine that works in it, and a disk that was half made; not what a living run has."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    home = leftovers.scratch_home()
    left, living = home / "run-killed", home / "run-living"
    left.mkdir(parents=True)
    living.mkdir()
    half = disks.cache_directory() / "root" / "key.making"
    half.mkdir(parents=True)
    program = tmp_path / "qemu-system-x86_64"
    program.symlink_to(shutil.which("sleep") or "/bin/sleep")
    machines = [subprocess.Popen([str(program), "600"], cwd=folder) for folder in (left, living)]
    other = subprocess.Popen([sys.executable, "-c", "input()"], cwd=left, stdin=subprocess.PIPE)
    try:
        with disks.locked(living):
            assert leftovers.sweep() == ["run-killed", "key.making"]
        assert machines[0].wait(120) == -signal.SIGKILL
        assert machines[1].poll() is None and living.exists()
        assert other.poll() is None
        assert not left.exists() and not half.exists()
    finally:
        for process in (*machines, other):
            process.kill()
            process.wait()


def test_without_a_virtual_machine_there_is_nothing_to_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is made for it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert leftovers.sweep() == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_booted_is_said() -> None:
    """Its size, and whether it is emulated."""
    said = runs.booting(Machine(3 * 2**30, 4, 0), emulated=True)
    assert "4 CPUs, 3 GiB of memory, no swap, emulated" in said
    assert "2 GiB of swap, with KVM" in runs.booting(Machine(), emulated=False)


def test_what_the_guest_needs_of_python_is_not_what_tests_need() -> None:
    """Only what emu imports."""
    wanted = disks.program_requirements(Path(__file__).resolve().parents[2])
    assert any(one.startswith("psutil") for one in wanted)
    assert not any("pytest" in one or "extra" in one for one in wanted)
