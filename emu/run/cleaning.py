"""Finds what a killed run left behind, and removes it; of a sandbox's settings, undoes it. Nothing else is touched.

Ours is what carries our label, lies below our parent cgroup, or has in its environment which emu started it. What is
of a run that is alive (`emu.run.registry`) is left alone. What cannot be removed holds nothing else up.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from cgroups.errors import CgroupError
from cgroups.mount import find_cgroup2
from emu.errors import EmuError, SeveralErrors, raise_all
from emu.helpers.freezer import folders as freezer_folders
from emu.machine.orphans import end_orphans
from emu.machine.owner import lives
from emu.machine.paths import own_cache_dir
from emu.machine.unfinished import left_in
from emu.run import registry
from emu.run.changed import undo
from emu.run.machine import where
from emu.runtime.api import LABEL_OWNER, LABEL_RUN, Labelled
from emu.runtime.docker import Engine
from emu.runtime.podcgroup import DRIVERS, existing_runs, read_owner, run_cgroup
from emu.runtime.process import leftovers as processes

_OLD_S = 86400.0


@dataclass(frozen=True)
class Removed:
    """One thing that was left behind."""

    kind: str
    name: str


def clean(say: Callable[[str], None]) -> Iterator[Removed]:
    """Remove what killed runs left behind, naming each thing once it is gone; `say` gets what was unseen. EmuError,
    at the end, for what could not be looked at or removed.

    Of each kind it first lists what there is, then asks which runs are alive: a run that begins meanwhile is known
    before it makes anything.
    """
    failed: list[EmuError] = []
    if where() == "host":  # a guest sees its own traces in the host's cache, and must not sweep itself
        for part in (_virtual_machines, _guests, _unfinished):
            yield from _as_far_as_it_goes(part(), failed)
    # After the guests: their keepers, which have a mark too, leave nothing behind if they are let.
    yield from _as_far_as_it_goes((Removed("process", name) for name in end_orphans()), failed)
    known: set[str] = set()
    engine = Engine()
    try:
        engine.connect()
    except EmuError:
        say("no Docker engine answers: what one may have of killed runs, containers and volumes, is not looked for")
    else:
        yield from _as_far_as_it_goes(_clean_engine(engine, known, failed), failed)

    def alive() -> set[str]:
        return known | _alive()

    yield from _as_far_as_it_goes(_freezers(alive), failed)
    for driver in DRIVERS:  # pods without Docker are in cgroupfs, whatever Docker's own is
        yield from _as_far_as_it_goes(_clean_cgroups(driver, alive, failed), failed)
    yield from _as_far_as_it_goes((Removed(kind, name) for kind, name in processes.clean(alive)), failed)
    registry.forget_dead()
    if not alive():  # a living run may go by what a dead one set
        yield from _as_far_as_it_goes((Removed("setting", f"{one}: {now}") for one, now in undo()), failed)
    raise_all(failed)


def _as_far_as_it_goes(part: Iterable[Removed], failed: list[EmuError]) -> Iterator[Removed]:
    """What a part removes; what stops it is added to `failed`."""
    try:
        yield from part
    except SeveralErrors as several:
        failed += several.errors
    except (EmuError, CgroupError, OSError) as error:
        failed.append(_as_error(error))


def _as_error(error: EmuError | CgroupError | OSError) -> EmuError:
    if isinstance(error, EmuError):
        return error
    if isinstance(error, CgroupError):
        return EmuError(error.what, error.why, error.fix)
    what = f"cannot clean up {error.filename}" if error.filename else "cannot clean up everything"
    return EmuError(what, error.strerror or str(error), "see whether this user may remove it: emu clean retries")


def _virtual_machines() -> Iterator[Removed]:
    from emu.sandbox.qemu.leftovers import sweep

    yield from (Removed("virtual machine", name) for name in sweep())


def _guests() -> Iterator[Removed]:
    from emu.sandbox.uml.leftovers import sweep

    yield from (Removed("guest", guest.scratch.name) for guest in sweep())


def _unfinished() -> Iterator[Removed]:
    """What was being made in the cache."""
    from emu.sandbox.uml.fetching import unfinished as kernels

    for path in kernels():
        shutil.rmtree(path, ignore_errors=True)
        yield Removed("kernel", path.name)
    for place in (own_cache_dir(), own_cache_dir() / "images", own_cache_dir() / "loaded"):
        for path in left_in(place):
            shutil.rmtree(path, ignore_errors=True)
            yield Removed("unfinished", str(path))
    for path in own_cache_dir().glob(".run-*.yaml"):  # of earlier versions, with a scenario's variables in it
        if time.time() - path.stat().st_mtime > _OLD_S:
            path.unlink(missing_ok=True)
            yield Removed("scenario", path.name)


def _freezers(alive: Callable[[], set[str]]) -> Iterator[Removed]:
    folders = freezer_folders()
    for folder in folders:
        if folder.name not in alive():
            shutil.rmtree(folder, ignore_errors=True)
            yield Removed("freezer", str(folder))


def _alive() -> set[str]:
    """The runs that are alive by what is here, other than by containers."""
    return registry.living() | processes.living_runs(lives) | _living_pods()


def _removing(kind: str, name: str, remove: Callable[[], object], failed: list[EmuError]) -> Iterator[Removed]:
    """Remove one thing; the others do not wait for one that cannot be removed."""
    try:
        remove()
    except (EmuError, CgroupError, OSError) as error:
        failed.append(_as_error(error))
    else:
        yield Removed(kind, name)


def _clean_engine(engine: Engine, alive: set[str], failed: list[EmuError]) -> Iterator[Removed]:
    """What the engine has; `alive` gets the runs that are alive by their containers."""
    for found in engine.labelled(LABEL_RUN):
        labels = found.labels
        if lives(labels.get(LABEL_OWNER, "")):
            alive.add(labels[LABEL_RUN])
            continue
        yield from _removing("container", found.name, partial(_remove_container, engine, found), failed)
    volumes = engine.labelled_volumes(LABEL_RUN)
    living = alive | _alive()
    for volume in volumes:
        if not any(volume.startswith(run_id) for run_id in living):
            yield from _removing("volume", volume, partial(engine.remove_volume, volume), failed)
    images = engine.labelled_images(LABEL_RUN)
    living = alive | _alive()
    for image in images:
        labels = image.get("Labels") or {}
        if labels.get(LABEL_RUN) not in living and not lives(labels.get(LABEL_OWNER, "")):
            name = str((image.get("RepoTags") or [image["Id"]])[0])
            yield from _removing("image", name, partial(engine.remove_image, str(image["Id"])), failed)


def _remove_container(engine: Engine, found: Labelled) -> None:
    if found.phase == "paused":
        engine.unpause(found.id)
    engine.remove(found.id)


def _living_pods() -> set[str]:
    """The runs that are alive by what their cgroups say, where Docker may not be asked."""
    try:
        runs = existing_runs("cgroupfs", find_cgroup2())
    except CgroupError:
        return set()
    return {run.name for run in runs if lives(read_owner(run.path) or "")}


def _clean_cgroups(driver: str, alive: Callable[[], set[str]], failed: list[EmuError]) -> Iterator[Removed]:
    try:
        mount = find_cgroup2()
    except CgroupError:
        return
    pods = existing_runs(driver, mount)
    living = alive()
    for pod in pods:
        owner = read_owner(pod.path)
        if (owner is not None and lives(owner)) or any(
            run_cgroup(driver, mount, run).path == pod.path for run in living
        ):
            continue
        yield from _removing("cgroup", str(pod.path), pod.remove, failed)
