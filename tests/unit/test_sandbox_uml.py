"""How a guest is put together, short of booting it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.sandbox.uml import disk, shape
from emu.sandbox.uml.guest import Guest, boot_failure
from emu.sandbox.uml.keeper import KERNEL
from emu.sandbox.uml.leftovers import mark
from emu.sandbox.uml.parts import Parts

PARTS = Parts(*map(Path, ("/k/linux.uml", "/k/modules", "/d", "/i", "/j", "/m", "/c", "/cc")))


def command_line(*, swap: bool) -> list[str]:
    """The words for a guest of 3 GiB."""
    scratch = Path("/a b/g1")
    return shape.kernel_command_line(PARTS, memory_bytes=3 * 2**30, swap=swap, scratch=scratch, line_in=7, line_out=9)


def test_the_kernels_command_line() -> None:
    """Memory in MiB, a hostfs root, two disks, one serial line on our descriptors, and a quoted scratch path."""
    words = command_line(swap=True)
    assert words[0] == "/k/linux.uml"
    assert {"mem=3072M", "rootfstype=hostfs", "rootflags=/", "ubda=docker.ext4", "ubdb=swap.img"} <= set(words)
    assert "ssl0=fd:7,fd:9" in words
    assert 'init="/a b/g1/init.sh"' in words


def test_a_guest_without_swap() -> None:
    """Swap of 0 bytes is no swap disk."""
    assert not any(word.startswith("ubdb=") for word in command_line(swap=False))


def test_shared_directories_once_each(tmp_path: Path) -> None:
    """None twice, none below another, and links resolved."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "link").symlink_to(inner)
    assert shape.shared_directories([inner, tmp_path / "a", tmp_path / "link"]) == [tmp_path / "a"]


def test_the_systems_directories_are_not_shared() -> None:
    """They are seen in the guest anyway; writing to them through a guest would change this machine."""
    assert shape.shared_directories([Path("/"), Path("/usr"), Path("/etc")]) == []


def test_sharing_a_file_is_refused(tmp_path: Path) -> None:
    """Only directories can be mounted through."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(EmuError, match="not a directory"):
        shape.shared_directories([file])


def test_every_guest_sees_what_emu_needs(tmp_path: Path) -> None:
    """The project and the Python it runs on, which it may not write unless a share has them."""
    shown = shape.programs([tmp_path])
    assert any((share / "emu" / "__main__.py").exists() for share in shown)
    assert any(Path(sys.prefix).resolve().is_relative_to(share) for share in shown)
    assert shape.programs([Path("/")]) == []


def test_the_environment_of_a_guest() -> None:
    """The caller's, without what points at this machine's own engine or buses; the guest's programs first."""
    env = shape.guest_environment(
        {"PATH": "/bin", "HOME": "/home/u", "DOCKER_HOST": "x", "TMPDIR": "/y", "MINE": "1"}
    )
    assert env["PATH"].split(":")[:2] == ["/run/emu/bin", "/bin"] and "/usr/sbin" in env["PATH"]
    assert (env["HOME"], env["MINE"], env["EMU_SANDBOX"]) == ("/home/u", "1", "uml")
    assert not {"DOCKER_HOST", "TMPDIR"} & set(env)


def test_memory_needs_room(tmp_path: Path) -> None:
    """The first directory with room for all of the guest's memory; an error that names each one otherwise."""
    assert shape.memory_directory(1, [Path("/no/such"), tmp_path]) == tmp_path
    with pytest.raises(EmuError) as caught:
        shape.memory_directory(2**60, [tmp_path])
    assert str(tmp_path) in caught.value.why and "free" in caught.value.why
    assert "--memory" in caught.value.fix


@pytest.mark.parametrize(("memory", "swap"), [(2**26, 0), (3 * 2**30, 2**46)])
def test_a_guest_that_could_not_boot(memory: int, swap: int) -> None:
    """Memory below what the kernel needs, or more swap than it could note in it: nothing is started."""
    with pytest.raises(EmuError, match="the sandbox cannot boot") as caught, Guest(memory, swap):
        pass
    assert "sandbox.swap" in caught.value.fix


def test_memory_needs_a_writable_place(as_ordinary_user: None) -> None:
    """A directory that we cannot write to is named as such."""
    with pytest.raises(EmuError, match="not writable"):
        shape.memory_directory(1, [Path("/")])


@pytest.mark.parametrize("in_use", [True, False])
def test_a_disk_that_another_has_open_is_never_called_damaged(tmp_path: Path, in_use: bool) -> None:
    """Whatever the guest found: the advice to drop it would take it from under whoever uses it."""
    path = tmp_path / "docker-1.ext4"
    path.touch()
    with path.open() as file, subprocess.Popen(["sleep", "600"], stdin=file if in_use else None) as other:
        file.close()
        why, fix = boot_failure("the image disk is damaged beyond automatic repair", path, None)
        other.kill()
    assert (f"in use by pid {other.pid}" in why) is in_use
    assert ("damaged" in why) is not in_use
    assert ("emu sandbox reset" in fix) is not in_use


def test_a_guest_that_ends_is_not_the_other_user_of_its_disk(tmp_path: Path) -> None:
    """Its kernel may be gone already while a process of its session still has the disk open."""
    path = tmp_path / "docker-1.ext4"
    path.touch()
    with path.open() as file:
        start = f"subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL, pass_fds=[{file.fileno()}])"
        kernel = subprocess.Popen(
            [sys.executable, "-c", f"import subprocess; input(); print({start}.pid)"],
            start_new_session=True,
            pass_fds=[file.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    (tmp_path / KERNEL).write_text(json.dumps(asdict(mark(kernel.pid))))
    member = int(kernel.communicate("\n")[0])
    try:
        assert disk.users(path) == [member]
        why, _fix = boot_failure("dockerd ended", path, tmp_path)
        (tmp_path / KERNEL).unlink()
        strange, _fix = boot_failure("dockerd ended", path, tmp_path)
    finally:
        os.kill(member, signal.SIGKILL)
    assert why == "dockerd ended"
    assert f"in use by pid {member}" in strange
