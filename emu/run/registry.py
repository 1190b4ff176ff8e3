"""Which runs are alive on this machine: a link for each, named by the run's id, that says whose it is. It is there
before anything else of a run, and goes after all of it, so that `emu clean` never takes what a run has just made, and
not marked yet, for what a dead one left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emu.errors import EmuError
from emu.machine.owner import lives, owner

HOME = Path("/run/emu/runs")


@contextmanager
def registered(run_id: str, home: Path | None = None) -> Iterator[None]:
    """Within it the run is alive. A link is made with what it says in one step. EmuError where none can be made."""
    link = (home or HOME) / run_id
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(owner())
    except OSError as error:
        raise EmuError(
            f"cannot register this run in {link.parent}",
            error.strerror or str(error),
            "run as root, or use the User-Mode Linux sandbox: --on sandbox",
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            link.unlink()


def living(home: Path | None = None) -> set[str]:
    """The runs that are alive. Ask after looking for what there is: what is found then, and is a living run's, was
    made by one that is named here.
    """
    return {link.name for link in _links(home or HOME) if lives(_owner(link))}


def forget_dead(home: Path | None = None) -> None:
    """Remove the links of runs that were killed."""
    for link in _links(home or HOME):
        if not lives(_owner(link)):
            with suppress(OSError):
                link.unlink()


def _links(home: Path) -> list[Path]:
    return sorted(home.iterdir()) if home.is_dir() else []


def _owner(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
