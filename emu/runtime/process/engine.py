"""Runs a pod's containers as plain processes: the second `emu.runtime.api.Runtime`, beside the Docker engine.

What Docker does for a container is done here with what the kernel and util-linux have: a cgroup with limits that the
process is in before it is the program, mounts of its own above a root of its own (roots.py), the pod's network
(network.py), a user without rights. There is no daemon: containers are children of `emu run`, which follows their
output and their ends. What outlives a killed run is found by its place (leftovers.py).

What there is not: Docker's network beyond this machine, and images other than ours.
"""

from __future__ import annotations

import os
import queue
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Any

from cgroups.errors import CgroupError
from cgroups.mount import Mount, find_cgroup2
from emu.errors import EmuError
from emu.machine import tmpfs
from emu.policy.kubelet.objectfiles import Content
from emu.runtime import images
from emu.runtime.api import (
    LABEL_OWNER,
    LABEL_RUN,
    OWN_VOLUME,
    USER,
    ContainerRequest,
    ContainerStatus,
    EngineFacts,
    Executed,
    Labelled,
    RuntimeEvent,
    VolumeKind,
)
from emu.runtime.filler import random_file
from emu.runtime.filling import fill
from emu.runtime.podcgroup import CgroupfsPod
from emu.runtime.process import launch, leftovers, network, roots, spawning
from emu.runtime.process.container import Container, Place
from emu.runtime.process.launch import Bind
from emu.runtime.process.network import Network

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BASE_ENVIRONMENT = {"PATH": _PATH, "HOME": "/"}
_OURS = {"PYTHONPATH": "/usr/local/lib/emu", "PYTHONUNBUFFERED": "1"}
_ENVIRONMENTS = {images.BASE: {}, images.QUEUE_PROXY: _OURS, images.APP: {**_OURS, "PORT": "8080"}}
"""As the images' Dockerfiles have it."""
_COMMANDS = {
    images.BASE: ("/usr/bin/python3",),
    images.QUEUE_PROXY: ("/usr/bin/python3", "-S", "-m", "emu.daemon.queue_proxy"),
    images.APP: ("/usr/bin/python3", "-S", "-m", "emu.daemon.app"),
}
SHM = "/dev/shm"  # noqa: S108  a path inside the container
_FIX = "use pod.runtime: docker, or the User-Mode Linux sandbox: emu run --on sandbox …"


@dataclass(frozen=True)
class _Image:
    """What containers find as their root, and what they run by default."""

    folder: Path
    like: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Whose it is, unless it is everybody's."""


class _Stream:
    """What happens to containers with a label, until it is closed."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.waiting: queue.SimpleQueue[RuntimeEvent | None] = queue.SimpleQueue()

    def close(self) -> None:
        self.waiting.put(None)


class ProcessRuntime:
    """Pods as processes on this machine. No I/O in the constructor; `connect` and `provide` first."""

    def __init__(self, home: Path = roots.HOME) -> None:
        self._home = home
        self._mount: Mount | None = None
        self._images: dict[str, _Image] = {}
        self._archived: dict[Path, tuple[str, _Image]] = {}
        self._containers: dict[str, Container] = {}
        self._networks: dict[str, Network] = {}
        self._asides: dict[str, CgroupfsPod] = {}
        """The cgroups of containers that belong to no pod."""
        self._volumes: dict[str, Path] = {}
        self._shms: dict[str, Path] = {}
        """The /dev/shm of each pause container, for its pod."""
        self._streams: list[_Stream] = []

    def connect(self) -> EngineFacts:
        """See that this machine has what it takes."""
        what = "cannot run pods as processes"
        try:
            self._mount = find_cgroup2()
            self._mount.require("memory")
        except CgroupError as error:
            raise EmuError(what, f"{error.what}: {error.why}", error.fix) from error
        if os.geteuid() != 0:
            raise EmuError(what, f"user {os.geteuid()} may not create cgroups, networks and mounts", "run it as root")
        if missing := launch.missing_tools():
            raise EmuError(what, f"not installed: {', '.join(missing)}", launch.INSTALL)
        return EngineFacts("", "cgroupfs", "2", "", str(self._home), "process")

    def await_back(self, patience_s: float) -> bool:
        """It is part of the run, and never away."""
        return True

    def provide(self, artifacts: images.Artifacts, progress: images.Progress) -> None:
        """See that the root is there in which processes run, made from today's sources."""
        root = roots.ensure(artifacts, progress, self._home)
        self._images = {tag: _Image(root, tag) for tag in _COMMANDS}
        spawning.running()  # so that it is there when the first container is started

    # Images

    def image_labels(self, tag: str) -> dict[str, str] | None:
        """None where there is none of this name; labels it has none."""
        return {} if tag in self._images else None

    def image_user(self, tag: str) -> int:
        return USER

    def image_user_text(self, tag: str) -> str:
        return str(USER)

    def image_tags(self) -> list[tuple[str, int]]:
        """Ours, whose sizes are not asked for."""
        return [(tag, 0) for tag in sorted(self._images)]

    def image_names(self) -> None:
        """It runs no images but emu's."""

    def image_runs(self, tag: str) -> bool:
        """Emu's all do."""
        return True

    def image_folders(self, tag: str) -> list[Path]:
        return [self._images[tag].folder] if tag in self._images else []

    def flatten(self, tag: str, into: str, labels: Mapping[str, str], scratch: Path) -> None:
        """A copy of the root for one run, whose files are shared with no other."""
        folder = self._run_folder(labels) / "images" / into.replace("/", "_")
        image = self._images[tag]
        self._images[into] = _Image(
            folder, image.like, labels
        )  # before it is there, so that half of it is removed too
        roots.copy(image.folder, folder)

    def fill(self, tag: str, layers: Sequence[int], labels: Mapping[str, str], scratch: Path) -> None:
        """Further files in its folder: there are no layers."""
        folder = self._images[tag].folder / "filler"
        folder.mkdir()
        for number, size in enumerate(layers):
            random_file(folder / f"filler-{number}", size)

    def save_image(self, tag: str, archive: Path) -> None:
        roots.archive(self._images[tag].folder, archive)
        self._archived[archive] = (tag, self._images[tag])

    def load_image(self, archive: Path) -> None:
        """Unpack it where it was, unless it is there."""
        tag, image = self._archived[archive]
        if tag in self._images:
            return
        self._run_folder(image.labels)
        roots.unpack(archive, image.folder)
        self._images[tag] = image

    def remove_image(self, tag: str) -> None:
        """Remove a run's own; the common root stays."""
        image = self._images.pop(tag, None)
        if image is None or tag in _COMMANDS:
            return
        shutil.rmtree(image.folder, ignore_errors=True)
        leftovers.forget_if_empty(image.folder.parents[1])

    # Containers

    def create(self, request: ContainerRequest) -> str:
        """Make one; with a network of its own unless it shares another's."""
        image = self._images.get(request.image)
        if image is None:
            raise EmuError(
                f"cannot make the container {request.name} from {request.image}",
                "without Docker only emu's own images are available",
                "use pod.runtime: docker",
            )
        ident = secrets.token_hex(32)
        if request.shm_bytes is not None:
            self._shms[ident] = leftovers.make_shm(self._run_folder(request.labels), ident, request.shm_bytes)
        binds = self._binds(request, image.folder)
        hostname = self._hostname(request, ident)
        place = Place(image.folder, self._cgroup(request, ident), self._network(request, ident), hostname, binds)
        env = {**_BASE_ENVIRONMENT, "HOSTNAME": hostname, **_ENVIRONMENTS[image.like], **request.env}
        argv = [*(request.entrypoint or ()), *(request.command or ())] or _COMMANDS[image.like]
        made = Container(ident, request, place, argv, env, lambda action, more: self._notify(made, action, more))
        self._containers[ident] = made
        self._notify(made, "create", {})
        return ident

    def _hostname(self, request: ContainerRequest, ident: str) -> str:
        shared = self._containers.get(request.network_of or "")
        return request.hostname or (ident[:12] if shared is None else shared.place.hostname)

    def _cgroup(self, request: ContainerRequest, ident: str) -> Path:
        assert self._mount is not None, "connect() comes first"
        if request.cgroup_parent is not None:
            return self._mount.path / request.cgroup_parent.lstrip("/") / ident
        self._asides[ident] = CgroupfsPod(self._mount, ident)
        return self._asides[ident].container_path(ident)

    def _network(self, request: ContainerRequest, ident: str) -> Path:
        shared = request.network_of
        if shared is None:
            name = leftovers.network_name(request.labels.get(LABEL_RUN, network.PREFIX), ident)
            self._networks[ident] = network.create(name)
            return self._networks[ident].path
        return self._networks[shared].path

    def _binds(self, request: ContainerRequest, root: Path) -> list[Bind]:
        binds = []
        shm = self._shms.get(request.network_of or "")
        if shm is not None:
            binds.append(Bind(shm, SHM, writable=True))
        mounts = sorted(request.mounts, key=lambda one: one.path)
        for index, mount in enumerate(mounts):
            roots.make_mount_point(root, mount.path)
            for outer in mounts[:index]:
                if mount.path.startswith(f"{outer.path}/"):
                    roots.make_mount_point(self._volumes[outer.volume], mount.path.removeprefix(outer.path))
            binds.append(Bind(self._volumes[mount.volume], mount.path, writable=not mount.read_only))
        if request.bind is not None:
            binds.append(Bind(Path(request.bind[0]), request.bind[1]))
        return binds

    def _container(self, ident: str) -> Container:
        found = self._containers.get(ident)
        if found is None:
            raise EmuError(
                f"there is no container {ident[:12]}",
                "it was removed",
                "this is a bug in emu; please report it with this message",
            )
        return found

    def start(self, container_id: str) -> None:
        """Start it; returns when its program runs."""
        made = self._container(container_id)
        aside = self._asides.get(container_id)
        if aside is not None:
            aside.create()
            aside.own(made.request.labels.get(LABEL_OWNER, ""))
        made.start()

    def state(self, container_id: str) -> ContainerStatus:
        """Whether it was OOM-killed is not known here."""
        made = self._container(container_id)
        return ContainerStatus(
            phase=made.status,
            pid=made.pid,
            exit_code=made.exit_code or 0,
            started_at=made.started_at,
            finished_at=made.finished_at,
        )

    def address(self, container_id: str) -> str:
        return self._networks[container_id].address

    def kill(self, container_id: str, signal: str = "KILL") -> None:
        """Send a signal; nothing happens where it does not run."""
        made = self._containers.get(container_id)
        if made is not None:
            made.signal(Signals[f"SIG{signal.removeprefix('SIG')}"])

    def execute(self, container_id: str, command: Sequence[str], timeout_s: float) -> Executed:
        """Run a command beside its process, charged to its cgroup; killed after `timeout_s`."""
        return self._container(container_id).execute(command, timeout_s)

    def stop(self, container_id: str, grace_s: int) -> None:
        """SIGTERM, then SIGKILL after `grace_s` seconds."""
        self._container(container_id).stop(grace_s)

    def unpause(self, container_id: str) -> bool:
        """Nothing is paused here but by its cgroup."""
        return False

    def remove(self, container_id: str) -> None:
        """Kill and remove it, and its network if that is its own."""
        made = self._containers.pop(container_id, None)
        try:
            if made is not None:
                made.remove()
        finally:
            if (aside := self._asides.pop(container_id, None)) is not None:
                aside.remove()
            if (shm := self._shms.pop(container_id, None)) is not None:
                leftovers.remove_volume(shm)
            if (own := self._networks.pop(container_id, None)) is not None:
                network.remove(own.name)

    def labelled(self, label: str) -> list[Labelled]:
        """Every container of emu's with a label."""
        return [
            Labelled(made.id, made.request.name, made.request.labels, made.status)
            for made in list(self._containers.values())
            if _has(made.request.labels, label)
        ]

    def create_volume(self, name: str, labels: Mapping[str, str], kind: VolumeKind = OWN_VOLUME) -> None:
        """A folder below ours, or a tmpfs there."""
        folder = self._run_folder(labels) / "volumes" / name
        self._volumes[name] = folder
        roots.make_volume(folder)
        if kind.memory_bytes is not None:
            tmpfs.mount(str(folder), kind.memory_bytes, noswap=kind.noswap)
        elif kind.shared:
            folder.chmod(0o777)

    def fill_volume(self, name: str, files: Mapping[str, Content]) -> None:
        fill(self._volumes[name], files)

    def remove_volume(self, name: str) -> None:
        folder = self._volumes.pop(name, None)
        if folder is not None:
            leftovers.remove_volume(folder)

    def _run_folder(self, labels: Mapping[str, str]) -> Path:
        return leftovers.make_folder(labels[LABEL_RUN], labels[LABEL_OWNER], self._home)

    # What they say

    def logs(self, container_id: str) -> Iterator[bytes]:
        """What a container prints, once: nothing of it is kept here."""
        parts = self._container(container_id).output()
        while (part := parts.get()) is not None:
            yield part

    def events(self, label: str, on_open: Callable[[Any], None]) -> Iterator[RuntimeEvent]:
        """What happens to containers with a label, from now on."""
        stream = _Stream(label)
        self._streams.append(stream)
        on_open(stream)
        while (event := stream.waiting.get()) is not None:
            yield event
        self._streams.remove(stream)

    def _notify(self, made: Container, action: str, more: Mapping[str, str]) -> None:
        attributes = {**made.request.labels, "image": made.request.image, "name": made.request.name, **more}
        event = RuntimeEvent(action, made.id, attributes, time.time_ns())
        for stream in list(self._streams):
            if _has(made.request.labels, stream.label):
                stream.waiting.put(event)


def _has(labels: Mapping[str, str], label: str) -> bool:
    name, equals, value = label.partition("=")
    return name in labels and (not equals or labels[name] == value)
