"""Files that are there for their size alone."""

from __future__ import annotations

import os
from pathlib import Path

_STEP = 1 << 20


def random_file(path: Path, size: int) -> Path:
    """Make a file of so many bytes, which do not compress and are like no other's."""
    with path.open("wb") as file:
        for at in range(0, size, _STEP):
            file.write(os.urandom(min(_STEP, size - at)))
    return path


def shares(size: int, parts: int) -> list[int]:
    """A size in so many parts, which differ by a byte at most."""
    return [(number + 1) * size // parts - number * size // parts for number in range(parts)]
