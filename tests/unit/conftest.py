"""What is the same for every user: root may read and write anything, so tests of permission step down first."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("emu", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("emu")

_NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may write to; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_ordinary_user(request: pytest.FixtureRequest) -> Iterator[None]:
    """Not root while the test runs."""
    before = os.geteuid()
    if before == 0:
        os.setresuid(_NOBODY, _NOBODY, 0)
    yield
    if before == 0:
        os.setresuid(0, 0, 0)
