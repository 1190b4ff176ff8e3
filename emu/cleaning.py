"""Finds what a killed run left behind, and removes it: containers, volumes, cgroups, networks, guests; nothing else.

Ours is what carries our label or lies below our parent cgroup. What belongs to a run whose process is still alive is
left alone. Processes need no search: the recorder and the load generator end with the run that started them,
containers are the engine's, and what runs without an engine is in its pod's cgroup.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from cgroups.errors import CgroupError
from cgroups.mount import find_cgroup2
from emu.containers import Engine
from emu.errors import EmuError
from emu.freezer import leftovers
from emu.machine import where
from emu.owner import lives
from emu.podcgroup import DRIVERS, existing_pods, pod_cgroup, read_owner
from emu.process import leftovers as processes
from emu.runtime import LABEL_OWNER, LABEL_RUN


@dataclass(frozen=True)
class Removed:
    """One thing that was left behind."""

    kind: str
    name: str


def clean(say: Callable[[str], None]) -> Iterator[Removed]:
    """Remove what killed runs left behind, telling of each thing once it is gone; `say` hears what was unseen."""
    if where() == "host":  # a guest sees its own traces in the host's cache, and must not sweep itself
        from emu.sandbox.leftovers import sweep

        for guest in sweep():
            yield Removed("guest", guest.scratch.name)
    alive = processes.living_runs(lives) | _living_pods()
    engine = Engine()
    try:
        engine.connect()
    except EmuError:
        say("no Docker engine answers: what one may have of killed runs, containers and volumes, is not looked for")
    else:
        alive |= yield from _clean_engine(engine)
    for folder in leftovers(alive):
        shutil.rmtree(folder, ignore_errors=True)
        yield Removed("freezer", str(folder))
    for driver in DRIVERS:  # pods without Docker are in cgroupfs, whatever Docker's own is
        yield from _clean_cgroups(driver, alive)
    for kind, name in processes.clean(alive):
        yield Removed(kind, name)


def _clean_engine(engine: Engine) -> Generator[Removed, None, set[str]]:
    """What the engine has; returns the runs that are alive."""
    alive: set[str] = set()
    for found in engine.labelled(LABEL_RUN):
        labels = found["Labels"]
        if lives(labels.get(LABEL_OWNER, "")):
            alive.add(labels[LABEL_RUN])
            continue
        if found.get("State") == "paused":
            engine.unpause(str(found["Id"]))
        engine.remove(str(found["Id"]))
        yield Removed("container", str((found.get("Names") or ["?"])[0]).removeprefix("/"))
    for volume in engine.labelled_volumes(LABEL_RUN):
        if not any(volume.startswith(run_id) for run_id in alive):
            engine.remove_volume(volume)
            yield Removed("volume", volume)
    for image in engine.labelled_images(LABEL_RUN):
        labels = image.get("Labels") or {}
        if labels.get(LABEL_RUN) not in alive and not lives(labels.get(LABEL_OWNER, "")):
            engine.remove_image(str(image["Id"]))
            yield Removed("image", str((image.get("RepoTags") or [image["Id"]])[0]))
    return alive


def _living_pods() -> set[str]:
    """The runs that are alive by what their pods' cgroups say, where Docker may not be asked."""
    try:
        pods = existing_pods("cgroupfs", find_cgroup2())
    except CgroupError:
        return set()
    return {pod.name for pod in pods if lives(read_owner(pod.path) or "")}


def _clean_cgroups(driver: str, alive: set[str]) -> Iterator[Removed]:
    try:
        mount = find_cgroup2()
    except CgroupError:
        return
    for pod in existing_pods(driver, mount):
        owner = read_owner(pod.path)
        if (owner is not None and lives(owner)) or any(
            pod_cgroup(driver, mount, run).path == pod.path for run in alive
        ):
            continue
        pod.remove()
        yield Removed("cgroup", str(pod.path))
