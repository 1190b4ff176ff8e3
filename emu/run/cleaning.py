"""Finds what a killed run left behind, and removes it; of a sandbox's settings, undoes it. Nothing else is touched.

Ours is what carries our label or lies below our parent cgroup. What is of a run that is alive (`emu.run.registry`) is
left alone. Processes need no search: the recorder and the load generator end with the run that started them,
containers are the engine's, and what runs without an engine is in its pod's cgroup.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from cgroups.errors import CgroupError
from cgroups.mount import find_cgroup2
from emu.errors import EmuError
from emu.helpers.freezer import folders as freezer_folders
from emu.machine.owner import lives
from emu.machine.paths import own_cache_dir
from emu.machine.unfinished import left_in
from emu.run import registry
from emu.run.changed import undo
from emu.run.machine import where
from emu.runtime.api import LABEL_OWNER, LABEL_RUN
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
    """Remove what killed runs left behind, naming each thing once it is gone; `say` gets what was unseen.

    Of each kind it first lists what there is, then asks which runs are alive: a run that begins meanwhile is known
    before it makes anything.
    """
    if where() == "host":  # a guest sees its own traces in the host's cache, and must not sweep itself
        from emu.sandbox.qemu.leftovers import sweep as sweep_vm
        from emu.sandbox.uml.fetching import unfinished as kernels
        from emu.sandbox.uml.leftovers import sweep

        for name in sweep_vm():
            yield Removed("virtual machine", name)
        for guest in sweep():
            yield Removed("guest", guest.scratch.name)
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
    known: set[str] = set()
    engine = Engine()
    try:
        engine.connect()
    except EmuError:
        say("no Docker engine answers: what one may have of killed runs, containers and volumes, is not looked for")
    else:
        known = yield from _clean_engine(engine)

    def alive() -> set[str]:
        return known | _alive()

    folders = freezer_folders()
    for folder in folders:
        if folder.name not in alive():
            shutil.rmtree(folder, ignore_errors=True)
            yield Removed("freezer", str(folder))
    for driver in DRIVERS:  # pods without Docker are in cgroupfs, whatever Docker's own is
        yield from _clean_cgroups(driver, alive)
    for kind, name in processes.clean(alive):
        yield Removed(kind, name)
    registry.forget_dead()
    if not alive():  # a living run may go by what a dead one set
        for setting, now in undo():
            yield Removed("setting", f"{setting}: {now}")


def _alive() -> set[str]:
    """The runs that are alive by what is here, other than by containers."""
    return registry.living() | processes.living_runs(lives) | _living_pods()


def _clean_engine(engine: Engine) -> Generator[Removed, None, set[str]]:
    """What the engine has; returns the runs that are alive by their containers."""
    alive: set[str] = set()
    for found in engine.labelled(LABEL_RUN):
        labels = found.labels
        if lives(labels.get(LABEL_OWNER, "")):
            alive.add(labels[LABEL_RUN])
            continue
        if found.phase == "paused":
            engine.unpause(found.id)
        engine.remove(found.id)
        yield Removed("container", found.name)
    volumes = engine.labelled_volumes(LABEL_RUN)
    living = alive | _alive()
    for volume in volumes:
        if not any(volume.startswith(run_id) for run_id in living):
            engine.remove_volume(volume)
            yield Removed("volume", volume)
    images = engine.labelled_images(LABEL_RUN)
    living = alive | _alive()
    for image in images:
        labels = image.get("Labels") or {}
        if labels.get(LABEL_RUN) not in living and not lives(labels.get(LABEL_OWNER, "")):
            engine.remove_image(str(image["Id"]))
            yield Removed("image", str((image.get("RepoTags") or [image["Id"]])[0]))
    return alive


def _living_pods() -> set[str]:
    """The runs that are alive by what their cgroups say, where Docker may not be asked."""
    try:
        runs = existing_runs("cgroupfs", find_cgroup2())
    except CgroupError:
        return set()
    return {run.name for run in runs if lives(read_owner(run.path) or "")}


def _clean_cgroups(driver: str, alive: Callable[[], set[str]]) -> Iterator[Removed]:
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
        pod.remove()
        yield Removed("cgroup", str(pod.path))
