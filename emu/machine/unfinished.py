"""Folders in which something is made that takes its place once it is whole.

A folder's name says whose it is, so that what a killed process left is known from what another one makes just now.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
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


def left_in(place: Path) -> list[Path]:
    """The folders there whose makers are gone."""
    return [folder for folder in sorted(place.glob(f"{PREFIX}*-*-*-*")) if not lives(_owner(folder.name))]


def _owner(name: str) -> str:
    return name.removeprefix(PREFIX).rpartition("-")[0].replace("-", ":")
