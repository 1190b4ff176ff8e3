"""What one guest does: commands and their streams, and what its kernel offers."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.sandbox.uml import disk
from emu.sandbox.uml.guest import Guest
from tests.sandbox.conftest import Shared, wait_until


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Shared]:
    """One guest for the whole module; its shared directory lies below /tmp."""
    said: list[str] = []
    directory = tmp_path_factory.mktemp("shared")
    with Guest(memory_bytes=2**30, shares=[directory], say=said.append) as guest:
        yield Shared(guest, said, directory)


def test_it_says_what_it_does(box: Shared) -> None:
    """The boot is logged: what boots, and that Docker is ready."""
    assert "User-Mode Linux" in box.said[0]
    assert "Docker" in box.said[-1] and "ready" in box.said[-1]


@pytest.mark.parametrize(
    ("script", "status"), [("true", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_status_is_the_commands_own(box: Shared, script: str, status: int) -> None:
    """An exit status passes through; a signal n is 128+n."""
    assert box.sh(script).status == status


def test_a_command_that_is_not_there(box: Shared) -> None:
    """As in a shell: 127, and a message that names it."""
    ended = box.run("no-such-program")
    assert (ended.status, ended.out) == (127, b"")
    assert b"no-such-program" in ended.err


def test_streams_stay_apart(box: Shared) -> None:
    """Standard output and standard error arrive each on its own."""
    ended = box.sh("echo out; echo err >&2; echo more")
    assert (ended.out, ended.err) == (b"out\nmore\n", b"err\n")


def test_bytes_arrive_as_they_left(box: Shared) -> None:
    """Five megabytes of every byte value go in and come back unchanged."""
    data = os.urandom(5_000_000)
    source = box.directory / "random"
    source.write_bytes(data)
    with source.open("rb") as file:
        assert box.sh("cat", stdin=file.fileno()).out == data
    assert box.sh(f"cat {source} >&2").err == data


def test_no_input_is_an_empty_input(box: Shared) -> None:
    """A command that reads its input gets its end, not a wait."""
    assert box.sh("cat | wc -c").out.strip() == b"0"


def test_unread_input_holds_nothing_up(box: Shared) -> None:
    """A command may end with megabytes of its input unread."""
    with (box.directory / "zeros").open("wb+") as file:
        file.truncate(3_000_000)
        assert box.sh("exit 5", stdin=file.fileno()).status == 5
    assert box.sh("echo still here").out == b"still here\n"


def test_a_reader_that_leaves(box: Shared) -> None:
    """Whoever reads our output and stops makes the command stop, as with any pipe."""
    read_end, write_end = os.pipe()
    reader = threading.Thread(target=lambda: (os.read(read_end, 10), os.close(read_end)))
    reader.start()
    status = box.guest.run(["yes"], stdin=None, stdout=write_end, stderr=2)
    reader.join()
    os.close(write_end)
    assert status == 128 + 13  # SIGPIPE


def test_a_terminal_is_a_terminal_there(box: Shared) -> None:
    """Where our streams are a terminal, the command has one, of the same size."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    status = box.guest.run(
        ["sh", "-c", "test -t 1 && test -t 2 && stty size <&1"], stdin=None, stdout=slave, stderr=slave
    )
    assert status == 0
    assert os.read(master, 100) == b"33 101\r\n"
    for fd in (master, slave):
        os.close(fd)


def test_cgroups(box: Shared) -> None:
    """cgroup v2 with the memory controller, handed on by the root, which itself holds no process of emu's."""
    assert {"cpu", "io", "memory", "pids"} <= set(
        box.sh("cat /sys/fs/cgroup/cgroup.subtree_control").out.decode().split()
    )
    assert box.sh("cat /proc/self/cgroup").out == b"0::/user.slice\n"
    made = box.sh(
        "mkdir /sys/fs/cgroup/t && echo 32M > /sys/fs/cgroup/t/memory.max && cat /sys/fs/cgroup/t/memory.max"
    )
    assert made.out == b"33554432\n"


def test_swap_is_on(box: Shared) -> None:
    """The guest has swap of its own."""
    assert b"ubdb" in box.sh("cat /proc/swaps").out


def test_open_files(box: Shared) -> None:
    """Commands may have many files open."""
    assert int(box.sh("ulimit -n").out) >= 65536


def test_docker_is_ready(box: Shared) -> None:
    """The engine answers at once, with cgroup v2, the cgroupfs driver and overlay2."""
    ended = box.sh("docker info --format '{{.CgroupVersion}} {{.CgroupDriver}} {{.Driver}} {{.SwapLimit}}'")
    assert ended.out == b"2 cgroupfs overlay2 true\n"


def test_a_container_runs(box: Shared) -> None:
    """A container of a just imported image runs under its limit, with the journald log driver."""
    static = "/tmp/i && mkdir -p /tmp/i/bin && cp --parents $(ldd /bin/sh | grep -o '/[^ ]*') /bin/sh /bin/cat /tmp/i"
    assert box.sh(f"mkdir -p {static} && tar -C /tmp/i -c . | docker import - t:1").status == 0
    limits = "--memory 32m --memory-swap 64m --log-driver journald"
    ended = box.sh(
        f"docker run --rm --name runs {limits} t:1 cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.swap.max"
    )
    assert (ended.status, ended.out) == (0, b"33554432\n33554432\n"), ended.err
    wait_until(lambda: b"33554432" in box.sh("journalctl -q CONTAINER_NAME=runs").out, "the container's log")


def test_the_kernels_log(box: Shared) -> None:
    """`journalctl -k -o json` prints what the guest's kernel said, an object a line."""
    box.sh("echo '<3>a mark of this test' > /dev/kmsg")

    def messages() -> list[str]:
        lines = box.sh("journalctl -k -o json --no-pager").out.splitlines()
        return [json.loads(line).get("MESSAGE", "") for line in lines]

    wait_until(lambda: "a mark of this test" in messages(), "the journal to have read what the kernel logged")
    assert any("Linux version" in message for message in messages())


WRITE_TO_THE_END = """
import os, sys
fd, written = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 0
try:
    while True:
        written += os.write(fd, bytes(100_000))
except OSError as error:
    print(written, error.errno)
"""


def test_a_full_disk_of_the_host_is_reported_in_the_guest(box: Shared) -> None:
    """At once, and with what was written until then in place: a run's record hears of it as on a host."""
    small = box.directory / "small"
    small.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk takes the right to mount one; run it as root: {error}")
    try:
        ended = box.run(sys.executable, "-c", WRITE_TO_THE_END, str(small / "file"))
        there = (small / "file").stat().st_size
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)
    assert ended.out.decode().split() == [str(there), str(errno.ENOSPC)], ended.err
    assert 0 < there <= 1 << 20


def test_shared_directories_are_written_through(box: Shared) -> None:
    """A shared directory is at the same path, and what is written there is here at once, before the writer ends."""
    seen: list[bool] = []
    file = box.directory / "from-guest"

    def watch() -> None:
        try:
            wait_until(file.exists, "the file")
            seen.append(True)
        finally:
            (box.directory / "go").touch()

    watcher = threading.Thread(target=watch)
    watcher.start()
    ended = box.sh(f"exec 3>{file}; echo here >&3; while ! [ -e {box.directory}/go ]; do sleep 0.1; done")
    watcher.join()
    assert ended.status == 0 and seen and file.read_text() == "here\n"


def test_the_rest_of_the_host_is_safe(box: Shared) -> None:
    """What a guest writes elsewhere is gone with it."""
    place = Path("/usr/share/emu-sandbox-test")
    assert box.sh(f"touch {place} /etc/docker/x /var/tmp/emu-sandbox-test && rm /etc/passwd").status == 0
    assert not place.exists() and Path("/etc/passwd").exists() and not Path("/etc/docker/x").exists()


def test_a_second_sandbox(box: Shared) -> None:
    """While one runs a second takes a disk of its own, and says so."""
    said: list[str] = []
    with Guest(memory_bytes=2**30, say=said.append) as guest:
        assert guest.run(["true"], stdin=None) == 0
        with pytest.raises(EmuError, match="cannot remove the image disk"):
            disk.reset()
    assert any("image disk 1 is in use by pid" in line and "using image disk 2" in line for line in said)


def test_what_is_not_shared_is_not_written(box: Shared) -> None:
    """Not even by root in the guest that mounts this machine's files for itself: the modules are read-only, all
    else is out of reach, and what is shared can be written, made, renamed and removed.
    """
    outside = box.directory.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    script = f"""
        mkdir /tmp/host && mount -t hostfs -o / hostfs /tmp/host || exit 9
        cat /tmp/host{outside}/kept
        rm -f /tmp/host{outside}/kept; echo x > /tmp/host{outside}/kept; echo x > /tmp/host{outside}/new
        mv /tmp/host{outside} /tmp/host{outside}-moved
        echo x > /tmp/host{box.guest.scratch}/state.json
        touch /lib/modules/x
        mkdir -p {box.directory}/one/two && echo y > {box.directory}/one/file &&
            mv {box.directory}/one/file {box.directory}/one/two/ && cat {box.directory}/one/two/file &&
            rm -r {box.directory}/one
        umount /tmp/host
    """
    ended = box.sh(script)
    assert (ended.status, ended.out) == (0, b"kept" + b"y\n"), ended.err
    assert b"/lib/modules/x': Read-only file system" in ended.err
    if ctypes.CDLL(None).syscall(444, None, 0, 1) < 2:
        pytest.skip("this machine's kernel has no Landlock, or one that would break renames")
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("kept", "kept")]
    assert box.guest.scratch is not None and "keeper" in (box.guest.scratch / "state.json").read_text()
