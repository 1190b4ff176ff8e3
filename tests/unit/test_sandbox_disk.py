"""Image disks: one guest each, never half made."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.sandbox.uml import disk
from emu.sandbox.uml.parts import Parts

COPY = Path(shutil.which("cp") or "/bin/cp")


def parts(tmp_path: Path, script: str = 'for last; do :; done; echo made >"$last"') -> Parts:
    """Parts whose mkfs.ext4 is a line of shell that writes into the file it is given."""
    mkfs = tmp_path / "mkfs"
    mkfs.write_text(f"#!/bin/sh\n{script}\n")
    mkfs.chmod(0o755)
    nowhere = Path("/nowhere")
    return Parts(nowhere, nowhere, nowhere, nowhere, nowhere, mkfs, COPY, nowhere)


def test_the_first_disk_is_made_and_kept(tmp_path: Path) -> None:
    """Made when it is not there; found again afterwards, with nothing said."""
    said: list[str] = []
    first = disk.take(parts(tmp_path), said.append, tmp_path / "c")
    assert (first.number, first.fresh, first.path.read_text()) == (1, True, "made\n")
    first.release()
    again = disk.take(parts(tmp_path, "exit 1"), said.append, tmp_path / "c")
    assert (again.number, again.fresh, said) == (1, False, [])
    again.release()


def test_two_at_once_have_two_disks(tmp_path: Path) -> None:
    """The second takes a disk of its own, and says who has the first."""
    said: list[str] = []
    first = disk.take(parts(tmp_path), said.append, tmp_path / "c")
    second = disk.take(parts(tmp_path), said.append, tmp_path / "c")
    assert (first.number, second.number) == (1, 2)
    assert len(said) == 1
    assert f"image disk 1 is in use by pid {os.getpid()}" in said[0] and "image disk 2" in said[0]
    first.release()
    second.release()


def test_a_new_disk_starts_as_a_copy_of_an_idle_one(tmp_path: Path) -> None:
    """Images come along: an idle disk can be copied whole, a mounted one cannot."""
    directory = tmp_path / "c"
    taken = [disk.take(parts(tmp_path), lambda _text: None, directory) for _ in range(2)]
    taken[1].path.write_text("with images")
    taken[1].release()
    taken[0].path.unlink()
    taken[0].release()
    made = disk.take(parts(tmp_path), lambda _text: None, directory)
    assert (made.number, made.path.read_text(), made.fresh) == (1, "with images", False)
    made.release()


def test_a_half_made_disk_is_never_used(tmp_path: Path) -> None:
    """If making it fails nothing is left behind, its lock included."""
    with pytest.raises(EmuError, match="cannot make an ext4 file system"):
        disk.take(parts(tmp_path, "exit 1"), lambda _text: None, tmp_path / "c")
    assert list(disk.existing(tmp_path / "c")) == []
    disk.take(parts(tmp_path), lambda _text: None, tmp_path / "c").release()


def test_reset_drops_all(tmp_path: Path) -> None:
    """Every disk goes, and what an interrupted making left."""
    directory = tmp_path / "c"
    disk.take(parts(tmp_path), lambda _text: None, directory).release()
    (directory / "docker-1.99.tmp").touch()
    assert {path.name for path in disk.reset(directory)} == {"docker-1.ext4", "docker-1.99.tmp"}
    assert list(disk.existing(directory)) == [] and disk.reset(directory) == []


def test_reset_spares_a_disk_in_use(tmp_path: Path) -> None:
    """A disk that a sandbox has is not dropped, and whoever has it is named."""
    directory = tmp_path / "c"
    taken = disk.take(parts(tmp_path), lambda _text: None, directory)
    with pytest.raises(EmuError, match=f"pid {os.getpid()}"):
        disk.reset(directory)
    assert taken.path.exists()
    taken.release()


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """The error names the directory and the way out."""
    (tmp_path / "file").touch()
    with pytest.raises(EmuError) as caught:
        disk.take(parts(tmp_path), lambda _text: None, tmp_path / "file" / "c")
    assert "XDG_CACHE_HOME" in caught.value.fix


def test_the_lock_outlives_us_with_whoever_inherits_it(tmp_path: Path) -> None:
    """A guest's processes inherit the lock; it is free when the last of them is gone."""
    taken = disk.take(parts(tmp_path), lambda _text: None, tmp_path)
    inherited = os.dup(taken.lock_fd)
    taken.release()
    fd = os.open(tmp_path / "docker-1.lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(inherited)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
