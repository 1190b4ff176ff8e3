"""What runs a pod's containers, as the rest of emu sees it: what is asked of it, and what it says of itself.

There are two: `emu.runtime.docker`, a Docker engine, and `emu.runtime.process`, plain processes in the pod's cgroups.
Ids, states and events are in Docker's words in both, so that what is recorded of a run is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from emu.errors import EmuError
from emu.policy.kubelet.objectfiles import Content

USER = 65532
"""Whom our images' processes run as: `nonroot` of distroless images, as Knative's do."""

LABEL_RUN = "emu.run"
"""Label with the run's id, on all that a run makes."""
LABEL_POD = "emu.pod"
LABEL_CONTAINER = "emu.container"
LABEL_OWNER = "emu.owner"
"""Label: the pid and start time of the process whose run it is; `emu clean` leaves a living one's things alone."""
LABEL_DIGEST = "emu.digest"
"""Label on our images: a digest of what they were built from."""
NOFILE = 1_048_576
"""How many files a container's processes may have open."""
MOST_OUTPUT = 10 * 1024
"""Bytes that are kept of what an executed command prints."""


@dataclass(frozen=True)
class VolumeMount:
    """A named volume, and where a container finds it."""

    volume: str
    path: str
    read_only: bool = False
    filled: bool = False
    """It begins with the files and the owner that the image has there, as Docker's volumes do; else empty."""


@dataclass(frozen=True)
class VolumeKind:
    """What kind of volume an engine is asked for: on disk or a tmpfs, and who may write."""

    shared: bool = False
    """Any user may write to it; else the user of emu's images."""
    memory_bytes: int | None = None
    """The size of a tmpfs; None: it is on a disk. A tmpfs is kept while some container that mounts it runs."""
    noswap: bool = False
    """Of a tmpfs: its pages are never swapped out (Linux 6.4)."""


OWN_VOLUME = VolumeKind()
"""On a disk, for the processes of emu's images."""


@dataclass(frozen=True)
class ContainerRequest:
    """One container instance to make. Bytes; None is no limit (and for swap: as much as there is)."""

    name: str
    image: str
    labels: Mapping[str, str]
    command: Sequence[str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    memory_max: int | None = None
    swap_max: int | None = 0
    millicores: int | None = None
    cpu_shares: int | None = None
    """Its part of the CPU where there is not enough, beside others of the pod; None is what the runtime takes."""
    oom_score_adj: int = 0
    cgroup_parent: str | None = None
    network_of: str | None = None
    """The id of the container whose network this one shares; None is a network of its own."""
    hostname: str | None = None
    """Of one with a network of its own; those that share it have the same. None is the runtime's choice."""
    mounts: Sequence[VolumeMount] = ()
    """Named volumes."""
    shm_bytes: int | None = None
    """The size of its own /dev/shm, which containers that share its network share too; None: it has the runtime's, or
    that of the container whose network it shares.
    """
    bind: tuple[str, str] | None = None
    """A folder of this machine and where it is mounted, to read only."""
    log_driver: str | None = None
    user: str | None = None
    working_dir: str | None = None
    read_only: bool = False
    """Its root is; `confined` says so too."""
    cap_add: Sequence[str] = ()
    cap_drop: Sequence[str] = ()
    entrypoint: Sequence[str] | None = None
    confined: bool = True
    """Its root is read-only, with a small tmpfs at /tmp, and its processes have no capability; else as Kubernetes has
    it by default: its own layer of the file system, and the capabilities that a runtime gives.
    """


@dataclass(frozen=True)
class EngineFacts:
    """What a runtime says of itself. Empty where it has no such thing."""

    version: str
    cgroup_driver: str
    cgroup_version: str
    storage_driver: str
    root_dir: str
    """Where its images and volumes are."""
    runtime: str = "docker"
    """`pod.runtime` of the scenarios that it runs."""


@dataclass(frozen=True)
class Executed:
    """A command that ran in a container."""

    exit_code: int | None
    """None: it did not end in time and was killed."""
    output: str
    """What it printed, both streams, 10 KiB at most."""


@dataclass(frozen=True)
class ContainerStatus:
    """A container as its runtime has it."""

    phase: str
    """In Docker's words: created, running, paused, exited …"""
    pid: int = 0
    """Its main process; 0 where none runs."""
    exit_code: int = 0
    """128+n for signal n."""
    oom_killed: bool | None = None
    """None: the runtime does not know."""
    started_at: str = ""
    finished_at: str = ""
    image_id: str = ""
    """Empty where its image has none."""


@dataclass(frozen=True)
class Labelled:
    """A container that was found by its label."""

    id: str
    name: str
    labels: Mapping[str, str]
    phase: str
    """As of `ContainerStatus`."""


@dataclass(frozen=True)
class RuntimeEvent:
    """Something happened to a container."""

    action: str
    """In Docker's words: start, kill, die, stop, destroy …"""
    container_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_nano: int = 0


class EngineGone(EmuError):  # noqa: N818  it says what happened
    """The engine no longer answers: it was stopped, it died, or it is being restarted."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "the Docker engine went away",
            why,
            "start it again (systemctl start docker), then emu clean removes what it still has of this run",
        )


class Runtime(Protocol):
    """What a pod needs of what runs it. Every method raises EmuError where it cannot do what it says."""

    def connect(self) -> EngineFacts:
        """Say who it is; before all else."""

    def await_back(self, patience_s: float) -> bool:
        """Whether it answers, or does again within that time."""

    # Images: what containers find as their root.

    def image_labels(self, tag: str) -> dict[str, str] | None:
        """The labels of an image; None where there is none of this name."""

    def image_user(self, tag: str) -> int:
        """The user that an image's processes run as where nothing else is asked for; `USER` where it is a name."""

    def image_user_text(self, tag: str) -> str:
        """The same as the image says it: empty is root."""

    def image_tags(self) -> list[tuple[str, int]]:
        """Every image, with its size in bytes."""

    def image_names(self) -> list[str] | None:
        """Every name of an image, tags and digests; None where it runs no images but emu's."""

    def image_runs(self, tag: str) -> bool:
        """Whether an image says what it runs."""

    def image_folders(self, tag: str) -> list[Path]:
        """The folders of this machine in which an image's files are; empty where that is not known."""

    def flatten(self, tag: str, into: str, labels: Mapping[str, str], scratch: Path) -> None:
        """Make an image whose files are shared with no other."""

    def fill(self, tag: str, layers: Sequence[int], labels: Mapping[str, str], scratch: Path) -> None:
        """Give an image a further layer for each of `layers`, with a file of so many bytes; `scratch` is a folder
        with room for them.
        """

    def save_image(self, tag: str, archive: Path) -> None:
        """Write an image to an archive."""

    def load_image(self, archive: Path) -> None:
        """Take it in again."""

    def remove_image(self, tag: str) -> None:
        """Remove an image and its files; one that is gone already is no error."""

    # Containers.

    def create(self, request: ContainerRequest) -> str:
        """Make a container; it is not started, and has no cgroup yet. Returns its id."""

    def start(self, container_id: str) -> None:
        """Start it; returns when its process runs (it may have ended again by then)."""

    def state(self, container_id: str) -> ContainerStatus:
        """How a container is now."""

    def address(self, container_id: str) -> str:
        """The IP address of a container with a network of its own."""

    def kill(self, container_id: str, signal: str = "KILL") -> None:
        """Send a signal; nothing happens where it does not run."""

    def execute(self, container_id: str, command: Sequence[str], timeout_s: float) -> Executed:
        """Run a command in a running container, as its user and charged to its cgroup; killed after `timeout_s`."""

    def stop(self, container_id: str, grace_s: int) -> None:
        """SIGTERM, then SIGKILL after `grace_s` seconds; returns when it has ended."""

    def unpause(self, container_id: str) -> bool:
        """Let a container run again that the runtime itself paused; False where it did not."""

    def remove(self, container_id: str) -> None:
        """Kill and remove a container; one that is gone already is no error."""

    def labelled(self, label: str) -> list[Labelled]:
        """Every container with a label (`key` or `key=value`), running or not."""

    def create_volume(self, name: str, labels: Mapping[str, str], kind: VolumeKind = OWN_VOLUME) -> None:
        """Make a named volume. What is written to it stays until it is removed."""

    def fill_volume(self, name: str, files: Mapping[str, Content]) -> None:
        """Put files into one that is on a disk, by their paths in it. They are root's."""

    def remove_volume(self, name: str) -> None:
        """Remove it; one that is gone already is no error."""

    # What they say.

    def logs(self, container_id: str) -> Iterator[bytes]:
        """What a container prints, from its start, until it ends."""

    def events(self, label: str, on_open: Callable[[Any], None]) -> Iterator[RuntimeEvent]:
        """What happens to containers with a label, from now on. `on_open` gets
        something whose `close()` ends the iteration from another thread.
        """
