"""Where things are: what ships with the project, and what is kept between runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from emu.errors import EmuError

IN_SANDBOX = "EMU_SANDBOX"
"""Set in the sandbox to its kind (`uml`, `qemu`)."""
ACCELERATOR = "EMU_ACCELERATOR"
"""Set in a virtual machine to what runs it: `kvm`, or `tcg` where its instructions are translated."""
TRACEBACKS = "tracebacks"
"""The folder below the cache for what was not foreseen."""
_PACKAGE = Path(__file__).resolve().parents[1]
SCHEMA = "scenario.schema.json"


def _shipped(name: str) -> Path:
    """A folder at the top of a checkout, or where an installed wheel keeps it."""
    checkout = _PACKAGE.parent / name
    return checkout if checkout.is_dir() else _PACKAGE / "_data" / name


def scenarios_dir() -> Path:
    """Where the built-in scenarios are: in the checkout, or in the installed package."""
    return _shipped("scenarios")


def profiles_dir() -> Path:
    """Where the measured footprint profiles are."""
    return _shipped("profiles")


def images_dir() -> Path:
    """Where the Dockerfiles of emu's images are, with what they copy."""
    return _shipped("images")


def schema_file() -> Path:
    """The JSON Schema of scenario files."""
    checkout = _PACKAGE.parent / "docs" / SCHEMA
    return checkout if checkout.is_file() else _PACKAGE / "_data" / SCHEMA


def cache_dir() -> Path:
    """Where emu keeps things between runs: `$XDG_CACHE_HOME/emu`, else `~/.cache/emu`. Not made here. A relative
    XDG_CACHE_HOME is ignored, as its specification has it. EmuError where there is neither.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / "emu"
    home = home_dir()
    if home is None:
        raise EmuError(
            "there is no place for the cache",
            f"HOME is not set, and uid {os.geteuid()} has no home directory in the list of users",
            "set HOME, or set XDG_CACHE_HOME to a directory of this user's own",
        )
    return home / ".cache" / "emu"


def home_dir() -> Path | None:
    """The user's home directory; None for one without."""
    try:
        return Path.home().absolute()
    except (RuntimeError, FileNotFoundError):  # FileNotFoundError: it is relative, and so is to nothing
        return None


def own_cache_dir() -> Path:
    """The same, made if it is not there, and surely ours: what lies in it names processes to end, and holds programs
    that run as whoever runs emu. EmuError where somebody else owns it, or may write to it.
    """
    directory = cache_dir()
    if IN_SANDBOX in os.environ:  # the host's, seen from inside; checked there
        return directory
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = directory.stat()
    except OSError as error:
        raise EmuError(
            f"cannot use {directory} as the cache",
            error.strerror or str(error),
            "make it writable, or set XDG_CACHE_HOME to a directory that is",
        ) from error
    what, why = f"{directory} is refused as the cache", "emu runs and trusts the files in it"
    if facts.st_uid != os.geteuid():
        raise EmuError(
            what,
            f"it belongs to uid {facts.st_uid} and this is uid {os.geteuid()}; {why}",
            "set XDG_CACHE_HOME to a directory of this user's own (for root: XDG_CACHE_HOME=/root/.cache)",
        )
    if facts.st_mode & 0o022:
        raise EmuError(
            what,
            f"others may write to it (mode {facts.st_mode & 0o7777:04o}); {why}",
            f"check that its files are yours, then: chmod go-w {directory}",
        )
    return directory


def room_bytes(most: int) -> int:
    """What may be written to a sparse disk of this size in the cache: the host's free space counts too."""
    directory = own_cache_dir()
    there = next(path for path in (directory, *directory.parents) if path.is_dir())
    return min(most, shutil.disk_usage(there).free)


def runs_dir() -> Path:
    """Where run directories go unless `--out` says otherwise: `runs/` in the current folder."""
    return Path.cwd() / "runs"
