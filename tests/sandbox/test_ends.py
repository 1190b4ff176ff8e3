"""How guests end: in order, by a signal, by a panic, by force; each leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from emu.sandbox.keeper import session_members
from emu.sandbox.leftovers import guests_dir, leftovers, sweep
from emu.sandbox.uml import Guest, SandboxError
from tests.sandbox.conftest import DEADLINE_S, Kept, wait_until

MEMORY = 2**30


def start(*argv: str) -> subprocess.Popen[bytes]:
    """`emu sandbox run` as a process of its own, in a process group of its own."""
    code = "import sys; from emu.cli import main; main(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, "sandbox", "run", "-q", "--memory", "1Gi", "--", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kept_by(process: subprocess.Popen[bytes]) -> Kept:
    """The guest of an `emu sandbox run`."""
    owner = f'"owner": {{"pid": {process.pid},'
    return Kept(next(path.parent for path in guests_dir().glob("*/state.json") if owner in path.read_text()))


def kept(guest: Guest) -> Kept:
    """A guest of this process."""
    assert guest.scratch is not None
    return Kept(guest.scratch)


def test_images_stay_and_containers_and_volumes_go() -> None:
    """Images are there again in the next guest; containers and volumes end with theirs."""
    with Guest(memory_bytes=MEMORY) as guest:
        assert guest.run(["sh", "-c", "echo x > /tmp/x; tar -C /tmp -c x | docker import - kept:1"], stdin=None) == 0
        assert guest.run(["docker", "create", "--name", "left", "-v", "left:/left", "kept:1", "/x"], stdin=None) == 0
    with Guest(memory_bytes=MEMORY) as guest:
        assert guest.run(["docker", "image", "inspect", "kept:1"], stdin=None, stdout=os.open(os.devnull, 1)) == 0
        assert guest.run(["sh", "-c", 'test -z "$(docker ps -aq)$(docker volume ls -q)"'], stdin=None) == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_the_command(number: int, status: int) -> None:
    """Ctrl-C and SIGTERM are the command's: it cleans up, and its status is ours."""
    name = signal.Signals(number).name.removeprefix("SIG")
    process = start("sh", "-c", f"trap 'echo cleaned; exit {status}' {name}; echo started; sleep 300 & wait")
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (status, b"cleaned\n"), err


def test_a_third_interrupt_ends_the_guest() -> None:
    """A command that ignores Ctrl-C does not keep us."""
    process = start("sh", "-c", "trap '' INT; echo started; while :; do sleep 1; done")
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    there = kept_by(process)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            continue
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    wait_until(there.gone, "the guest to be gone")


def test_killing_emu_leaves_nothing() -> None:
    """After kill -9 of `emu` its guest ends by itself, down to the last helper process and file."""
    process = start("sh", "-c", "echo started; sleep 300")
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    there = kept_by(process)
    assert len(there.processes()) > 2
    process.kill()
    process.communicate()
    wait_until(there.gone, "the guest to be gone")
    assert leftovers() == []


def test_what_outlives_its_keeper_is_swept() -> None:
    """With both `emu` and the keeper killed, the processes and the directory left are found and removed."""
    process = start("sh", "-c", "echo started; sleep 300")
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    there = kept_by(process)
    assert leftovers() == []  # its owner lives
    process.send_signal(signal.SIGSTOP)  # so that the keeper's end cannot be noticed
    os.kill(there.keeper, signal.SIGKILL)
    process.kill()
    process.communicate()
    (found,) = sweep()
    assert found.scratch == there.scratch
    wait_until(there.gone, "the guest to be gone")


def test_a_panic_is_told_with_its_console() -> None:
    """A guest whose kernel panics is reported at once, with its last words."""
    with pytest.raises(SandboxError) as caught, Guest(memory_bytes=MEMORY) as guest:
        there = kept(guest)
        guest.run(["sh", "-c", "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger"], stdin=None)
    assert caught.value.what == "the guest's kernel panicked"
    assert "Kernel panic - not syncing: sysrq triggered crash" in caught.value.why
    assert there.gone()


def test_a_hanging_guest_is_told() -> None:
    """A guest that no longer answers is given up after a while."""
    with pytest.raises(SandboxError) as caught, Guest(memory_bytes=MEMORY, hang_s=5) as guest:
        there = kept(guest)
        for pid in session_members(there.kernel):
            os.kill(pid, signal.SIGSTOP)
        guest.run(["true"], stdin=None)
    assert caught.value.what == "the guest hangs"
    assert there.gone()


def test_a_boot_that_takes_too_long() -> None:
    """A guest that is not ready by its deadline is ended, and its console shown."""
    with pytest.raises(SandboxError) as caught, Guest(memory_bytes=MEMORY, boot_deadline_s=1):
        pass
    assert caught.value.what == "the guest did not come up"
    assert "console" in caught.value.why
    assert leftovers() == [] and not any(guests_dir().iterdir())


def test_a_damaged_disk(cache: Path) -> None:
    """A disk beyond repair is said to be so, and what drops it."""
    path = cache / "docker-1.ext4"
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(2**30)
    try:
        with pytest.raises(SandboxError) as caught, Guest(memory_bytes=MEMORY):
            pass
        assert "damaged" in caught.value.why and "emu sandbox reset" in caught.value.fix
    finally:
        path.unlink()
