"""How guests end: in order, by a signal, by a panic, by force; each leaves nothing behind."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.sandbox.uml import disk, kernels, parts
from emu.sandbox.uml.console import SandboxError
from emu.sandbox.uml.guest import Guest
from emu.sandbox.uml.keeper import KERNEL
from emu.sandbox.uml.leftovers import guests_dir, leftovers, sweep
from emu.sandbox.uml.parts import find_parts
from tests.sandbox.conftest import DEADLINE_S, Kept, wait_until

MEMORY = 2**30
COMMAND = (sys.executable, "-m", "emu", "sandbox", "run", "-q", "--memory", "1Gi", "--no-docker")


def start(*argv: str) -> subprocess.Popen[bytes]:
    """`emu sandbox run` as a process of its own, in a process group of its own. SIGHUP ends it, also where these
    tests run under nohup: it would inherit that the signal is ignored.
    """
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        return subprocess.Popen(
            [*COMMAND, "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGHUP, before)


def await_started(process: subprocess.Popen[bytes]) -> None:
    """Wait until its command runs; where it never does, say why."""
    assert process.stdout is not None
    if process.stdout.readline() != b"started\n":
        pytest.fail(f"it never ran: {process.communicate()[1].decode()}")


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
    await_started(process)
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (status, b"cleaned\n"), err


def test_a_third_interrupt_ends_the_guest() -> None:
    """A command that ignores Ctrl-C does not keep us."""
    process = start("sh", "-c", "trap 'echo heard' INT; echo started; while :; do sleep 1; done")
    await_started(process)
    assert process.stdout is not None
    there = kept_by(process)
    for _ in range(2):  # one after the other: two that wait for a process become one
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"heard\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    wait_until(there.gone, "the guest to be gone")


def test_killing_emu_leaves_nothing() -> None:
    """After kill -9 of `emu` its guest ends by itself, down to the last helper process and file."""
    process = start("sh", "-c", "echo started; sleep 300")
    await_started(process)
    there = kept_by(process)
    assert len(there.processes()) > 2
    process.kill()
    process.communicate()
    wait_until(there.gone, "the guest to be gone")
    assert leftovers() == []


def test_what_outlives_its_keeper_is_swept() -> None:
    """With both `emu` and the keeper killed, the processes and the directory left are found and removed."""
    process = start("sh", "-c", "echo started; sleep 300")
    await_started(process)
    there = kept_by(process)
    assert leftovers() == []  # its owner lives
    process.send_signal(signal.SIGSTOP)  # so that the keeper's end cannot be noticed
    os.kill(there.keeper, signal.SIGKILL)
    process.kill()
    process.communicate()
    (found,) = sweep()
    assert found.scratch == there.scratch
    wait_until(there.gone, "the guest to be gone")


def test_what_lost_its_record_is_swept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of a kernel whose scratch directory is gone are found by the directory that they work in. Of the
    distribution's kernel: its I/O helpers outlive it, and a newer one has none.
    """
    monkeypatch.setenv(kernels.CHOICE, kernels.DISTRIBUTION)
    process = start("sh", "-c", "echo started; sleep 300")
    await_started(process)
    there = kept_by(process)
    process.send_signal(signal.SIGSTOP)
    os.kill(there.keeper, signal.SIGKILL)
    process.kill()
    process.communicate()
    shutil.rmtree(there.scratch)
    assert [found.scratch for found in sweep()] == [there.scratch]
    wait_until(there.gone, "the guest to be gone")


@pytest.mark.parametrize("victim", ["keeper", "kernel", "helper"])
def test_a_process_of_the_sandbox_that_is_killed(victim: str) -> None:
    """Whoever is killed, the keeper, the kernel or one of its I/O helpers: it is noticed, and nothing stays. The
    helpers are the distribution's kernel's: a newer one's are threads of its own.
    """
    kernel = kernels.DISTRIBUTION if victim == "helper" else kernels.AUTO
    with (
        pytest.raises(SandboxError) as caught,
        Guest(memory_bytes=MEMORY, docker=False, kernel=kernel) as guest,
    ):
        there = kept(guest)
        pids = {"keeper": there.keeper, "kernel": there.kernel}
        pids.update(("helper", pid) for pid in there.session() if pid != there.kernel and shares_memory(pid, there))
        threading.Timer(1, os.kill, (pids[victim], 9)).start()
        guest.run(
            ["sh", "-c", "while :; do dd if=/dev/zero of=/var/lib/emu/x bs=1M count=1 conv=fsync; done"],
            stdin=None,
            stdout=os.open(os.devnull, 1),
            stderr=os.open(os.devnull, 1),
        )
    assert caught.value.what == "the guest ended by itself"
    said = {"keeper": "keeps it was ended by SIGKILL", "kernel": "linux.uml was ended by SIGKILL"}
    assert said.get(victim, f"process {pids[victim]} of the guest's kernel was killed") in caught.value.cause
    wait_until(there.gone, "the guest to be gone")
    assert leftovers() == []


def test_a_guest_s_processes_die_with_their_kernel() -> None:
    """When the kernel is killed, and nobody is there to clean up, none of its processes runs on as the host's."""
    process = start("sh", "-c", "echo started; while :; do i=$((i+1)); [ $((i % 999)) = 0 ] && /bin/true; done")
    await_started(process)
    there = kept_by(process)
    helpers = {pid for pid in there.session() if shares_memory(pid, there)} - {there.kernel}
    assert len(there.session()) > len(helpers) + 1
    process.send_signal(signal.SIGSTOP)
    os.kill(there.keeper, signal.SIGSTOP)
    try:
        os.kill(there.kernel, signal.SIGKILL)
        wait_until(lambda: {*there.session()} <= helpers, "the guest's processes to be gone")
    finally:
        os.kill(there.keeper, signal.SIGCONT)
        process.send_signal(signal.SIGCONT)
    process.communicate(timeout=DEADLINE_S)
    wait_until(there.gone, "the guest to be gone")


def shares_memory(pid: int, guest: Kept) -> bool:
    """Whether a process is a thread of the kernel's own, and not a process of the guest's (kcmp, KCMP_VM)."""
    return ctypes.CDLL(None).syscall(312, guest.kernel, pid, 1, 0, 0) == 0


def test_a_closed_standard_output_does_not_cost_the_lock(cache: Path) -> None:
    """With descriptors 0 to 2 closed the image disk stays locked, and is neither taken nor dropped meanwhile."""
    ready = cache / "ready"
    process = subprocess.Popen(
        [
            "sh",
            "-c",
            'exec "$@" <&- >&- 2>&-',
            "sh",
            *COMMAND,
            "--share",
            str(cache),
            "--",
            "sh",
            "-c",
            f"echo >{ready}; sleep 300",
        ],
        start_new_session=True,
    )
    wait_until(ready.exists, "the command to run")
    ready.unlink()
    used = [path for path in disk.existing() if disk.users(path)]
    assert used == [cache / "docker-1.ext4"]
    (cache / "docker-1.lock").unlink()  # even then
    with pytest.raises(EmuError, match="it is open in a process"):
        disk.reset()
    taken = disk.take(find_parts(), lambda _text: None)
    taken.release()
    assert taken.number == 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_boots(number: int) -> None:
    """SIGTERM, or a terminal that is closed, ends a boot in order: 130, and nothing stays."""
    process = start("true")
    wait_until(lambda: list(guests_dir().glob(f"*/{KERNEL}")), "the guest to boot")
    (note,) = guests_dir().glob(f"*/{KERNEL}")
    os.kill(json.loads(note.read_text())["pid"], signal.SIGSTOP)  # so that it boots as long as this takes
    process.send_signal(number)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert not any(guests_dir().iterdir()) and leftovers() == []


def test_a_panic_is_reported_with_its_console() -> None:
    """A guest whose kernel panics is reported at once, with its last words."""
    with pytest.raises(SandboxError) as caught, Guest(memory_bytes=MEMORY, docker=False) as guest:
        there = kept(guest)
        guest.run(["sh", "-c", "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger"], stdin=None)
    assert caught.value.what == "the guest's kernel panicked"
    assert "Kernel panic - not syncing: sysrq triggered crash" in caught.value.why
    assert there.gone()


def test_a_hanging_guest_is_reported() -> None:
    """A guest that no longer answers is given up after a while."""
    with pytest.raises(SandboxError) as caught, Guest(memory_bytes=MEMORY, hang_s=10, docker=False) as guest:
        there = kept(guest)
        there.signal(signal.SIGSTOP)
        guest.run(["true"], stdin=None)
    assert caught.value.what == "the guest hangs"
    assert "its kernel is in state T" in caught.value.why
    assert "its kernel does not answer either" in caught.value.why
    assert there.gone()


def test_a_guest_whose_agent_hangs_says_what_its_kernel_does() -> None:
    """The agent alone stands still: the kernel is asked for its blocked tasks and its memory."""
    with pytest.raises(SandboxError) as caught, Guest(memory_bytes=MEMORY, hang_s=5, docker=False) as guest:
        there = kept(guest)
        guest.run(["sh", "-c", "sleep 1; kill -STOP $PPID; sleep 60"], stdin=None)
    assert caught.value.what == "the guest hangs"
    assert "its blocked tasks:" in caught.value.why
    assert "Mem-Info" in caught.value.why
    assert there.gone()


def test_a_command_that_makes_no_progress() -> None:
    """One without a word is given up though its guest answers; not while its pulse goes on."""
    beats = itertools.count()
    with pytest.raises(SandboxError) as caught, Guest(memory_bytes=MEMORY, docker=False) as guest:
        assert guest.run(["sleep", "3"], stdin=None, quiet_s=1, pulse=lambda: next(beats)) == 0
        guest.run(["sleep", "300"], stdin=None, quiet_s=1)
    assert caught.value.what == "the run makes no progress"
    assert next(beats) > 1


@pytest.fixture
def engine_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Puts a line of shell in the place of dockerd; the guest is to share `tmp_path`."""
    program, here = tmp_path / "dockerd", parts.which

    def does(script: str) -> None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(parts, "which", lambda name: program if name == "dockerd" else here(name))

    return does


def test_a_boot_that_takes_too_long(engine_does: Callable[[str], None], tmp_path: Path) -> None:
    """A guest that is not ready by its deadline is ended, and its console shown."""
    engine_does("exec sleep 600")
    with (
        pytest.raises(SandboxError) as caught,
        Guest(memory_bytes=MEMORY, shares=[tmp_path], boot_deadline_s=5),
    ):
        pass
    assert caught.value.what == "the guest did not boot"
    assert "it was not ready after 5 s" in caught.value.why and "console" in caught.value.why
    assert leftovers() == [] and not any(guests_dir().iterdir())


def test_an_engine_that_ends_at_its_start(engine_does: Callable[[str], None], tmp_path: Path) -> None:
    """Is seen long before the deadline, and the error has the engine's own last words."""
    engine_does("echo it speaks no more >&2\nexit 3")
    guest = Guest(memory_bytes=MEMORY, shares=[tmp_path], boot_deadline_s=10 * DEADLINE_S)
    with pytest.raises(SandboxError) as caught, guest:
        pass
    assert "dockerd ended" in caught.value.why
    assert "[dockerd.log] it speaks no more" in caught.value.why


def test_a_guest_has_one_processor() -> None:
    """Its kernel and all that it starts are on the same one, where this machine has several."""
    with Guest(memory_bytes=MEMORY, docker=False) as guest:
        there = kept(guest)

        def where() -> set[frozenset[int]]:
            found = set()
            for pid in there.session():
                with suppress(ProcessLookupError):
                    found.add(frozenset(os.sched_getaffinity(pid)))
            return found

        # Not at once: it may move to a processor that is less busy.
        wait_until(lambda: [len(one) for one in where()] == [1], "the guest to be on one processor")


def test_a_damaged_disk(cache: Path) -> None:
    """A disk beyond repair is said to be so, and what drops it."""
    path = cache / "docker-1.ext4"
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(2**30)
    try:
        with pytest.raises(SandboxError) as caught, Guest(memory_bytes=MEMORY, docker=False):
            pass
        assert "damaged" in caught.value.why and "emu sandbox reset" in caught.value.fix
    finally:
        path.unlink()
