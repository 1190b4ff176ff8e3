"""Folders in which something is made that takes its place once it is whole.

A folder's name says whose it is, so that what a killed process left is known from what another one makes just now.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emu.machine.owner import lives, owner

PREFIX = ".unfinished-"


@contextmanager
def unfinished(place: Path) -> Iterator[Path]:
    """A new folder in `place` for this user alone; what is left in it goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{owner().replace(':', '-')}-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(lock: Path, on_wait: Callable[[], object]) -> Iterator[None]:
    """Within it no other process holds the lock's file, which is made; `on_wait` is called where one does before."""
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        # The lock goes with it. Its file stays: removed, whoever waits would hold another lock than who comes next.
        os.close(fd)


def left_in(place: Path) -> list[Path]:
    """The folders there whose makers are gone."""
    return [folder for folder in sorted(place.glob(f"{PREFIX}*-*-*-*")) if not lives(_owner(folder.name))]


def _owner(name: str) -> str:
    return name.removeprefix(PREFIX).rpartition("-")[0].replace("-", ":")
