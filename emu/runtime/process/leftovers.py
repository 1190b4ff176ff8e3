"""What a run without Docker has on this machine beside its cgroups, by its place: a folder, and networks.

The folder says whose run it is, as the pod's cgroup does; the names of the networks begin with the run's id. So what
a killed run left behind is distinguished from what a living one uses.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from emu.errors import EmuError
from emu.machine import tmpfs
from emu.runtime.process import network, roots

_RUNS = "runs"
_OWNER = "owner"


def make_folder(run_id: str, owner: str, home: Path = roots.HOME) -> Path:
    """A run's folder, with its owner in it before anything else is."""
    folder = home / _RUNS / run_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _OWNER).write_text(owner, encoding="ascii")
    return folder


def forget_if_empty(folder: Path) -> None:
    """Remove a run's folder once nothing but its owner is in it."""
    for part in folder.iterdir() if folder.is_dir() else ():
        if part.is_dir():
            with suppress(OSError):  # something is in it
                part.rmdir()
    if folder.is_dir() and [path.name for path in folder.iterdir()] == [_OWNER]:
        shutil.rmtree(folder, ignore_errors=True)


def make_shm(folder: Path, container_id: str, size_bytes: int) -> Path:
    """A tmpfs in a run's folder, for the containers of the pod that this pause container holds together."""
    shm = folder / "shm" / container_id[:12]
    shm.mkdir(parents=True)
    tmpfs.mount(str(shm), size_bytes, "1777")
    return shm


def remove_volume(folder: Path) -> None:
    """Remove a volume or a shm with all that is in it, then the run's folder if it was the last."""
    _remove(folder)
    forget_if_empty(folder.parents[1])


def _remove(folder: Path) -> None:
    """Remove a folder with what is mounted in it."""
    mounted = [folder, *folder.glob("volumes/*"), *folder.glob("shm/*")]
    for place in mounted:
        if place.is_mount():
            with suppress(EmuError):
                tmpfs.unmount(str(place))
    shutil.rmtree(folder, ignore_errors=True)


def network_name(run_id: str, container_id: str) -> str:
    """Of the network of a run's container."""
    return f"{run_id}.{container_id[:12]}"


def living_runs(lives: Callable[[str], bool], home: Path = roots.HOME) -> set[str]:
    """The runs whose owner, as its folder says, is alive."""
    return {folder.name for folder in _folders(home) if lives(_owner(folder))}


def clean(living: Callable[[], set[str]], home: Path = roots.HOME) -> Iterator[tuple[str, str]]:
    """Remove what is left of all other runs; their processes are dead by now. What was removed: kind and name.
    `living` is asked after looking for what there is.
    """
    networks = list(network.existing())
    alive = living()
    for name in networks:
        if name.partition(".")[0] not in alive:
            with suppress(EmuError):  # it went meanwhile, or is another user's
                network.remove(name)
                yield "network", name
    folders = _folders(home)
    alive = living()
    for folder in folders:
        if folder.name not in alive:
            _remove(folder)
            if not folder.exists():
                yield "folder", str(folder)


def _folders(home: Path) -> list[Path]:
    runs = home / _RUNS
    return sorted(path for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []


def _owner(folder: Path) -> str:
    with suppress(OSError):
        return (folder / _OWNER).read_text(encoding="ascii")
    return ""
