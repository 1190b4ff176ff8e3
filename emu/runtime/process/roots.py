"""Our images as folders: what a container's process finds as its root, on a file system with a disk below it.

The files are those of the Docker images, made from the same root file system and the same sources, so that the same
programs run in either. One folder serves queue-proxy, the app and the pause container, as Docker's images share their
lowest layer; an app that is to share nothing gets a copy (`ProcessRuntime.flatten`). A folder is named by a digest of
what it was made from, and never changed once it is there. What takes long is done once (`base-…`), and each state of
emu's own sources has a folder of links to it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from emu.errors import EmuError
from emu.machine import command
from emu.machine.paths import images_dir
from emu.runtime import images
from emu.runtime.api import USER
from emu.runtime.filler import random_file
from emu.runtime.process.launch import tool

HOME = Path("/var/lib/emu")
"""Roots and volumes. In the sandbox it is on the image disk, which lasts."""
_RECIPE = 3
"""Counts up when the way of making a root changes, so that they are made again. The first had emu's own umask; of the
next the files may be empty where their machine was killed."""
_CODE = "usr/local/lib/emu"
_EXECUTABLE_BYTES = 32 << 20
"""As in the queue-proxy image, for `footprint`."""
_MOUNT_POINTS = ("proc", "sys", "data", "dev/shm", "tmp", "run/emu/freezer", "var/run/emu/freezer")
_DEADLINE_S = 900.0
_UNUSED_S = 7 * 86400.0
"""A root that no run has asked for so long is of sources that are no more."""
_FIX = "see whether there is room below /var/lib/emu, on a file system that takes device files and links"


def ensure(artifacts: images.Artifacts, progress: images.Progress, home: Path = HOME) -> Path:
    """The folder with today's sources; makes what is missing, and removes what no run has asked for in a week.
    EmuError where it cannot.
    """
    sources = images.source_files()
    digest = images.digest_of(f"{_RECIPE}:{artifacts.key}", sources)
    root = home / "roots" / digest[:16]
    base = home / "roots" / f"base-{_RECIPE}-{artifacts.key}"
    if root.is_dir():
        _use(root, base)
        return root
    if not base.is_dir():
        progress("unpacking the root file system that processes run in")
        with _made(base) as scratch:
            _unpack(artifacts, scratch)
    _use(base)  # its time goes over to what is linked to it
    progress("preparing the programs that processes run")
    with _made(root) as scratch:
        _run([tool("cp"), "-al", "--", f"{base}/.", str(scratch)], f"cannot link the files of {base}")
        _add_sources(sources, scratch)
    _use(root)
    for folder in unused(home, time.time()):
        shutil.rmtree(folder, ignore_errors=True)
    return root


def _use(*folders: Path) -> None:
    for folder in folders:
        with suppress(FileNotFoundError):
            os.utime(folder)


def unused(home: Path, now_s: float) -> list[Path]:
    """The roots, and beginnings of roots, that no run has asked for in a week; `now_s` is the time of day."""
    found = []
    for folder in sorted((home / "roots").iterdir()):
        with suppress(FileNotFoundError):  # another run was faster
            if folder.stat().st_mtime < now_s - _UNUSED_S:
                found.append(folder)
    return found


@contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """A folder that is there under its name only once it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        # A sandbox may be killed any time: its disk would have the name, and files without what is in them.
        _run([tool("sync"), "-f", str(scratch)], f"cannot write {folder} to its disk")
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():  # another run was faster
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unpack(artifacts: images.Artifacts, folder: Path) -> None:
    words = [tool("tar"), "-x", "--numeric-owner", "-f", str(artifacts.rootfs), "-C", str(folder)]
    _run(words, "cannot unpack the root file system that processes run in")
    for library in folder.glob("usr/lib/python3*"):
        _open_to_all(library)  # an earlier version compiled it under emu's own umask
    for name in ("passwd", "group"):
        _open_to_all(Path(shutil.copy(images_dir() / "base" / name, folder / "etc" / name)))
    _make_folder(folder, str(Path(_CODE).parent))
    shutil.copytree(artifacts.site_packages, folder / _CODE)
    for link in (folder / "var/run", folder / "tmp"):
        if link.is_symlink():  # an absolute one would lead out of the root while it is prepared
            link.unlink()
    for place in _MOUNT_POINTS:
        _make_folder(folder, place)
    random_file(folder / _CODE / "executable", _EXECUTABLE_BYTES)
    _compile(folder)
    _open_to_all(folder / _CODE)


def _add_sources(sources: Mapping[str, Path], folder: Path) -> None:
    for name, path in sources.items():
        target = folder / _CODE / name
        if path.is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    _compile(folder, "emu")
    _open_to_all(folder / _CODE / "emu")


def _make_folder(root: Path, path: str) -> None:
    """One that any user may enter, whatever our umask is."""
    place = root
    for part in path.split("/"):
        place = place / part
        with suppress(FileExistsError):
            place.mkdir()
            place.chmod(0o755)


def _open_to_all(folder: Path) -> None:
    """Let any user read it: its files have the modes of emu's own, which a strict umask made."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _compile(folder: Path, below: str = "") -> None:
    """Byte code is made once, by the Python that will read it, as in the images."""
    words = [tool("chroot"), str(folder), "/usr/bin/python3", "-m", "compileall", "-q"]
    words += ["--invalidation-mode", "unchecked-hash", f"/{_CODE}/{below}"]
    _run(words, "cannot compile what processes run")


def copy(source: Path, target: Path) -> None:
    """A root of its own: no file is shared, so that its pages in the page cache are not shared."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _run([tool("cp"), "-a", "--reflink=never", "--", str(source), str(target)], f"cannot copy {source}")


def archive(folder: Path, file: Path) -> None:
    """Write a root's files into a tar archive."""
    _run([tool("tar"), "-c", "--numeric-owner", "-f", str(file), "-C", str(folder), "."], f"cannot archive {folder}")


def unpack(file: Path, folder: Path) -> None:
    """The files of an archive in a folder, which is there only once it is whole."""
    with _made(folder) as scratch:
        words = [tool("tar"), "-x", "--numeric-owner", "-f", str(file), "-C", str(scratch)]
        _run(words, f"cannot unpack {file}")


def make_volume(folder: Path) -> None:
    """An empty folder that a container's processes may write to."""
    folder.mkdir(parents=True)
    os.chown(folder, USER, USER)


def make_mount_point(root: Path, path: str) -> None:
    """See that a root has a folder at this path. A root that lacks it gets an empty one, which does no harm: that is
    all that is ever changed in it. EmuError.
    """
    place = root
    for part in path.strip("/").split("/"):
        place = place / part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise EmuError(
                f"nothing can be mounted at {path}",
                f"{'/' + str(place.relative_to(root))} is a link or a file in emu's image",
                "choose another mountPath, for example /mnt/models",
            )
    _make_folder(root, path.strip("/"))


def _run(words: list[str], what: str) -> None:
    command.run(words, what=what, fix=_FIX, timeout_s=_DEADLINE_S)
