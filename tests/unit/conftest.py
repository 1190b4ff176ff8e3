"""What is the same for every user: root may read and write anything, so tests of permission step down first."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from emu.errors import EmuError
from emu.record import rundir

settings.register_profile("emu", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("emu")

# Hypothesis tries numbers and texts of all code that is loaded, and of all tests: to find them takes longer than many
# a file of tests. It still has a list of its own. (Where it has no such function this changes nothing.)
providers.is_local_module_file = lambda path: False

# Room for a run's last words: a hundred made-up runs would write a gigabyte.
rundir.RESERVE_BYTES = 64 * 1024

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


@pytest.fixture
def own_cache_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`emu clean` looks for nothing outside of the cache: what others left on this machine is theirs."""
    from emu.run import cleaning  # here: it imports much

    class NoEngine:
        def connect(self) -> None:
            raise EmuError("cannot reach a Docker engine", "No such file or directory", "start one")

    monkeypatch.setattr(cleaning, "Engine", NoEngine)
    monkeypatch.setattr(cleaning, "DRIVERS", ())
    monkeypatch.setattr(cleaning, "end_orphans", list)
    monkeypatch.setattr(cleaning, "freezer_folders", list)
    monkeypatch.setattr(cleaning, "undo", lambda: iter(()))
    monkeypatch.setattr(cleaning.registry, "forget_dead", lambda: None)
    monkeypatch.setattr(cleaning.processes, "clean", lambda _alive: iter(()))
