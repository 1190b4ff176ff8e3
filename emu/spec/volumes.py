"""Volumes that containers of a pod share, and where each mounts them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Self

from pydantic import model_validator

from emu.messages import DATA_DIR
from emu.spec.values import Bytes, Folder, Model, Name, SpecError, distinct

Place = tuple[str | int, ...]
_TAKEN = ("/proc", "/sys", "/dev", "/run/emu", "/usr/local/lib/emu", DATA_DIR)
_SHM = "/dev/shm"  # noqa: S108  a path inside the container


class EmptyDirSpec(Model):
    """As in Kubernetes: empty when the pod starts, gone with the pod, kept when a container restarts."""

    medium: Literal["", "Memory"] = ""
    """Memory: a tmpfs. Each page is charged to the container that writes it first, and once that container's cgroup
    is gone to the pod. Default: on disk, in the page cache.
    """
    size_limit: Bytes | None = None
    """The size of the tmpfs. Default: the pod's memory limit, else all memory. Only with `medium: Memory`."""

    @model_validator(mode="after")
    def _limits_memory(self) -> Self:
        if self.size_limit is not None and self.medium != "Memory":
            raise SpecError(
                "`sizeLimit` applies only to `medium: Memory`",
                why="on disk it limits nothing: the kubelet looks at the usage now and then and evicts the pod, "
                "which emu does not emulate",
                fix="remove it, or add `medium: Memory`",
                at=("sizeLimit",),
            )
        return self

    @property
    def in_memory(self) -> bool:
        """Whether it is a tmpfs."""
        return self.medium == "Memory"


class VolumeSpec(Model):
    """A volume of the pod, for `volumeMounts` of its containers."""

    name: Name
    """Its name for `volumeMounts`."""
    empty_dir: EmptyDirSpec = EmptyDirSpec()
    """What it is; emu has no other kind."""


class VolumeMountSpec(Model):
    """A volume of the pod in a container."""

    name: Name
    """The volume, from `pod.volumes`."""
    mount_path: Folder
    """Where the container finds it. `/dev/shm` replaces the one that the pod's containers share."""
    read_only: bool = False
    """Whether the container may only read it."""

    @model_validator(mode="after")
    def _path_is_free(self) -> Self:
        path = self.mount_path
        if path != _SHM and any(path == taken or path.startswith(f"{taken}/") for taken in _TAKEN):
            raise SpecError(
                f"nothing can be mounted at {path}",
                why="a container finds something else there, which it needs",
                fix="choose another path, for example /mnt/models",
                at=("mountPath",),
            )
        return self


def check(volumes: Sequence[VolumeSpec], containers: Iterable[tuple[Place, Sequence[VolumeMountSpec]]]) -> None:
    """SpecError where a volume is there twice, or a container mounts one that is not there, or two at one path."""
    distinct((one.name for one in volumes), "two volumes have the name", ("volumes",))
    known = [one.name for one in volumes]
    for place, mounts in containers:
        seen: dict[str, int] = {}
        for index, mount in enumerate(mounts):
            at = (*place, "volumeMounts", index)
            if mount.name not in known:
                raise SpecError(
                    f"there is no volume {mount.name!r} in this pod",
                    why=f"its volumes are: {', '.join(known) or 'none'}",
                    fix=f"add it to pod.volumes: {{name: {mount.name}, emptyDir: {{}}}}",
                    at=(*at, "name"),
                )
            if mount.mount_path in seen:
                raise SpecError(
                    f"something is mounted at {mount.mount_path} already",
                    why=f"volumeMounts.{seen[mount.mount_path]} has the same path, and Kubernetes refuses it",
                    fix="give it another path",
                    at=(*at, "mountPath"),
                )
            seen[mount.mount_path] = index


def located(path: str, mounts: Sequence[VolumeMountSpec]) -> tuple[str, str] | None:
    """The volume in which a container finds a path, and the path in it; None where no volume is mounted there."""
    found = [one for one in mounts if path.startswith(f"{one.mount_path}/")]
    if not found:
        return None
    deepest = max(found, key=lambda one: len(one.mount_path))
    return deepest.name, path.removeprefix(f"{deepest.mount_path}/")
