"""Where things are: what ships with the project, and what is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
SCHEMA = "scenario.schema.json"


def _shipped(name: str) -> Path:
    """A folder at the top of a checkout, or where an installed wheel keeps it."""
    checkout = _PACKAGE.parent / name
    return checkout if checkout.is_dir() else _PACKAGE / "_data" / name


def scenarios_dir() -> Path:
    """The built-in scenarios."""
    return _shipped("scenarios")


def profiles_dir() -> Path:
    """The footprint profiles."""
    return _shipped("profiles")


def images_dir() -> Path:
    """The Dockerfiles."""
    return _shipped("images")


def schema_file() -> Path:
    """The JSON Schema of scenario files."""
    checkout = _PACKAGE.parent / "docs" / SCHEMA
    return checkout if checkout.is_file() else _PACKAGE / "_data" / SCHEMA


def cache_dir() -> Path:
    """What is kept between runs: `$XDG_CACHE_HOME/emu`, else `~/.cache/emu`. Not made here."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "emu"


def runs_dir() -> Path:
    """Where run directories go unless `--out` says otherwise: `runs/` in the current folder."""
    return Path.cwd() / "runs"
