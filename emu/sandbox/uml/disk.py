"""The sandbox's disks: sparse files. Image disks (ext4, Docker's) are kept between runs; swap lives with its guest.

Only one guest may have an image disk mounted, and a mounted disk cannot be copied whole. So there are several: a
sandbox takes the first that is not locked. A new one starts as a copy of an idle one, images and all; where every
other is in use it starts empty, and images are built on it once. The lock is inherited by the guest's processes:
the kernel drops it when the last of them is gone, however they ended.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from emu.errors import EmuError
from emu.machine import command, paths
from emu.machine.paths import cache_dir, own_cache_dir
from emu.sandbox.uml.locks import locked
from emu.sandbox.uml.parts import Parts
from emu.units import format_bytes

DISK_BYTES = 16 * 2**30
"""Size of an image disk; it is sparse, so the host holds only what is in it."""
MAX_DISKS = 8
_LEAST_FREE_BYTES = 2 * 2**30


@dataclass(frozen=True)
class ImageDisk:
    """A locked image disk. `lock_fd` is to be inherited by every process that has the disk open."""

    number: int
    path: Path
    lock_fd: int
    fresh: bool
    """Made just now, without images on it."""

    def release(self) -> None:
        """Drop our hold; the lock goes with its last holder."""
        os.close(self.lock_fd)


def room_bytes() -> int:
    """What may be written in a sandbox at most."""
    return paths.room_bytes(DISK_BYTES)


def _paths(directory: Path, number: int) -> tuple[Path, Path]:
    return directory / f"docker-{number}.ext4", directory / f"docker-{number}.lock"


def _lock(path: Path) -> int | None:
    """A locked descriptor with our pid noted in the file, or None if someone else holds it."""
    fd = locked(path)
    if fd is None:
        return None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def holder(path: Path) -> str:
    """Who noted themselves in a lock file: `pid 123`, or `another process`."""
    with contextlib.suppress(OSError, ValueError):
        return f"pid {int(path.read_text())}"
    return "another process"


def users(path: Path) -> list[int]:
    """Every process that we may look at and that has a file open, by pid; whatever its lock says."""
    try:
        there = path.stat()
    except OSError:
        return []
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if any(_is(fd, there, path.name) for fd in folder.iterdir()):
                found.append(int(folder.parent.name))
    return found


def _is(fd: Path, there: os.stat_result, name: str) -> bool:
    try:
        if fd.readlink().name != name:  # first, as a stat may hang where a file system does
            return False
        return os.path.samestat(fd.stat(), there)
    except OSError:
        return False


def take(parts: Parts, say: Callable[[str], None], directory: Path | None = None) -> ImageDisk:
    """Lock the first image disk that is free, making it if it is not there yet.

    `say` is called when another sandbox has the usual disk. EmuError if the directory cannot be used, is short of
    space, or every disk is in use.
    """
    directory = directory or own_cache_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for number in range(1, MAX_DISKS + 1):
            path, lock_path = _paths(directory, number)
            lock_fd = _lock(lock_path)
            if lock_fd is None:
                continue
            if users(path):  # its lock was lost (removed by hand), and a guest has it mounted all the same
                os.close(lock_fd)
                continue
            try:
                fresh = not path.exists() and not _make(parts, directory, path)
            except BaseException:
                os.close(lock_fd)
                raise
            if number > 1:
                first = holder(_paths(directory, 1)[1])
                empty = ", which is new and empty: images are built on it once" if fresh else ""
                say(f"image disk 1 is in use by {first}; using image disk {number}{empty}")
            return ImageDisk(number, path, lock_fd, fresh)
    except OSError as wrong:
        raise EmuError(
            f"cannot use {directory} for the sandbox's disks",
            os.strerror(wrong.errno or 0),
            "make it writable, or set XDG_CACHE_HOME to a directory that is",
        ) from wrong
    raise EmuError(
        "no image disk is free",
        f"{MAX_DISKS} sandboxes run at once",
        "wait for one to end; emu clean removes what killed runs left behind",
    )


def _make(parts: Parts, directory: Path, path: Path) -> bool:
    """Make a disk under a temporary name and rename it when whole. True: it came with another's images."""
    free = shutil.disk_usage(directory).free
    if free < _LEAST_FREE_BYTES:
        raise EmuError(
            f"cannot make an image disk in {directory}",
            f"only {format_bytes(free)} are free there; {format_bytes(_LEAST_FREE_BYTES)} are needed",
            "free some space, or set XDG_CACHE_HOME to a directory on a larger file system",
        )
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        copied = _copy_idle(parts, directory, unfinished)
        if not copied:
            _format(parts, unfinished)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return copied


def _copy_idle(parts: Parts, directory: Path, target: Path) -> bool:
    """Copy another disk that no guest has mounted, if there is one."""
    for number in range(1, MAX_DISKS + 1):
        source, lock_path = _paths(directory, number)
        if not source.exists():
            continue
        lock_fd = _lock(lock_path)
        if lock_fd is None:
            continue
        if users(source):
            os.close(lock_fd)
            continue
        try:
            command.run(
                [str(parts.copy), "--reflink=auto", "--sparse=always", str(source), str(target)],
                what=f"cannot copy the image disk {source}",
                fix="free some space, or drop the disks: emu sandbox reset",
            )
        finally:
            os.close(lock_fd)
        return True
    return False


def _format(parts: Parts, path: Path) -> None:
    make_sparse(path, DISK_BYTES)
    command.run(
        [str(parts.mkfs), "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", str(path)],
        what=f"cannot make an ext4 file system in {path}",
        fix="check that the disk has space and that e2fsprogs is installed",
        timeout_s=120,
    )


def make_sparse(path: Path, size_bytes: int) -> None:
    """A file of a size that takes no space until it is written to. EmuError where none so large can be."""
    try:
        with path.open("wb") as file:
            file.truncate(size_bytes)
    except OSError as error:
        raise EmuError(
            f"cannot make a disk of {format_bytes(size_bytes)} in {path.parent}",
            error.strerror or str(error),
            "use less: sandbox.swap in a scenario, --swap of emu sandbox",
        ) from error


def existing(directory: Path | None = None) -> Iterator[Path]:
    """Every image disk, and every unfinished one, that is there."""
    directory = directory or cache_dir()
    yield from sorted(directory.glob("docker-*.ext4"))
    yield from sorted(directory.glob("docker-*.tmp"))


def reset(directory: Path | None = None) -> list[Path]:
    """Remove every image disk; return those removed. EmuError, before anything is removed, if one is in use."""
    directory = directory or own_cache_dir()
    locks: list[int] = []
    try:
        for lock_path in directory.glob("docker-*.lock"):
            lock_fd = _lock(lock_path)
            if lock_fd is None:
                raise EmuError(
                    f"cannot remove the image disk {lock_path.with_suffix('.ext4')}",
                    f"a sandbox uses it ({holder(lock_path)})",
                    "wait for that sandbox to end, or stop it",
                )
            locks.append(lock_fd)
        removed = list(existing(directory))
        for path in removed:
            if pids := users(path):
                raise EmuError(
                    f"cannot remove the image disk {path}",
                    f"it is open in a process ({', '.join(f'pid {pid}' for pid in pids)})",
                    "wait for it to end, or stop it; emu clean removes what killed runs left behind",
                )
        for path in removed:
            path.unlink(missing_ok=True)
        return removed
    finally:
        for lock_fd in locks:
            os.close(lock_fd)
