"""Volumes that containers of a pod share, and where each mounts them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from emu.messages import DATA_DIR
from emu.policy.kubelet.environment import Data, Kind
from emu.policy.kubelet.objectfiles import (
    MODE,
    FilesOf,
    Item,
    MountError,
    ObjectFiles,
    contents,
    wrong_path,
)
from emu.spec.values import Bytes, Folder, Model, Name, SpecError, Whole, distinct

Place = tuple[str | int, ...]
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253)]
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


Mode = Annotated[Whole, Field(ge=0, le=0o777)]


class ItemSpec(Model):
    """A key, and the file that it becomes."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """The key."""
    path: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    """The file's path in the volume."""
    mode: Mode | None = None
    """Its mode, as a number: 256 is what `chmod` calls 0400. Default: the volume's."""

    @model_validator(mode="after")
    def _path_stays_inside(self) -> Self:
        if wrong := wrong_path(self.path):
            raise SpecError(f"path {self.path!r} is not valid", why=f"Kubernetes refuses it: {wrong}", at=("path",))
        return self

    @property
    def item(self) -> Item:
        """As the kubelet takes it."""
        return Item(self.key, self.path, self.mode)


class ConfigMapFilesSpec(Model):
    """The keys of a ConfigMap of the pod, as files."""

    name: ObjectName
    """The ConfigMap, from `configMaps`."""
    items: tuple[ItemSpec, ...] = ()
    """Only these keys. Default: all, each a file of its name."""
    optional: bool = False
    """Where the ConfigMap or a key is missing, true: there are no such files; false: the pod would not start."""

    @property
    def source(self) -> FilesOf:
        """As the kubelet takes it."""
        return FilesOf("ConfigMap", self.name, tuple(one.item for one in self.items), self.optional)


class SecretFilesSpec(ConfigMapFilesSpec):
    """The keys of a Secret of the pod, as files."""

    name: ObjectName
    """The Secret, from `secrets`."""

    @property
    def source(self) -> FilesOf:
        """As the kubelet takes it."""
        return FilesOf("Secret", self.name, tuple(one.item for one in self.items), self.optional)


class ConfigMapVolumeSpec(ConfigMapFilesSpec):
    """Files with what a ConfigMap of the pod holds, to read only."""

    default_mode: Mode = MODE
    """The mode of its files, as a number. Default: 420, which is 0644."""


class SecretVolumeSpec(Model):
    """Files with what a Secret of the pod holds, to read only."""

    secret_name: ObjectName
    """The Secret, from `secrets`."""
    items: tuple[ItemSpec, ...] = ()
    """Only these keys. Default: all, each a file of its name."""
    optional: bool = False
    """As of a ConfigMap."""
    default_mode: Mode = MODE
    """The mode of its files, as a number. Default: 420, which is 0644."""

    @property
    def source(self) -> FilesOf:
        """As the kubelet takes it."""
        return FilesOf("Secret", self.secret_name, tuple(one.item for one in self.items), self.optional)


class ProjectionSpec(Model):
    """One source of a projected volume: exactly one of both."""

    config_map: ConfigMapFilesSpec | None = None
    """One of `configMaps`."""
    secret: SecretFilesSpec | None = None
    """One of `secrets`."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.config_map is None) == (self.secret is None):
            raise SpecError("there must be exactly one source", why="of configMap, secret", fix="give one of them")
        return self


class ProjectedSpec(Model):
    """Several ConfigMaps and Secrets in one volume."""

    sources: tuple[ProjectionSpec, ...] = ()
    """What is in it."""
    default_mode: Mode = MODE
    """The mode of its files, as a number. Default: 420, which is 0644."""


class VolumeSpec(Model):
    """A volume of the pod, for `volumeMounts` of its containers: an emptyDir unless it is one of the others."""

    name: Name
    """Its name for `volumeMounts`."""
    empty_dir: EmptyDirSpec | None = None
    """Empty when the pod starts, and to write to. Default: it is that, where it is none of the others."""
    config_map: ConfigMapVolumeSpec | None = None
    """Files of a ConfigMap, to read only."""
    secret: SecretVolumeSpec | None = None
    """Files of a Secret, to read only."""
    projected: ProjectedSpec | None = None
    """Files of several of them, to read only."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        kinds = ("empty_dir", "config_map", "secret", "projected")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) > 1:
            raise SpecError(
                "may not specify more than 1 volume type",
                why="Kubernetes refuses it",
                fix="keep one of them",
                at=(to_camel(given[1]),),
            )
        return self

    @property
    def files(self) -> ObjectFiles | None:
        """Its files; None: it is an emptyDir."""
        if self.projected is not None:
            sources = [one.config_map or one.secret for one in self.projected.sources]
            return ObjectFiles(tuple(one.source for one in sources if one), self.projected.default_mode)
        one = self.config_map or self.secret
        return None if one is None else ObjectFiles((one.source,), one.default_mode)


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


def may_mount(path: str) -> bool:
    """Whether a volume can be mounted there."""
    try:
        VolumeMountSpec.model_validate({"name": "it", "mountPath": path})
    except ValueError:
        return False
    return True


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


def check_files(volumes: Sequence[VolumeSpec], objects: Mapping[Kind, Data]) -> None:
    """SpecError where a ConfigMap, a Secret or a key of it is missing: the kubelet would not start the pod."""
    for index, volume in enumerate(volumes):
        if volume.files is None:
            continue
        try:
            contents(volume.files, objects)
        except MountError as error:
            raise SpecError(
                f"the volume {volume.name} cannot be set up",
                why=f'the pod would wait in ContainerCreating: MountVolume.SetUp failed for volume "{volume.name}" : '
                f"{error}",
                fix="add it to pod.configMaps or pod.secrets, or write `optional: true`",
                at=("volumes", index),
            ) from None


def check_writable(
    path: str, mounts: Sequence[VolumeMountSpec], volumes: Sequence[VolumeSpec], at: tuple[str | int, ...]
) -> None:
    """SpecError where a file is to be written in a volume that the container may only read."""
    found = located(path, mounts)
    if found is None:
        return
    of_files = any(one.name == found[0] and one.files is not None for one in volumes)
    mount = next(one for one in _deepest_first(mounts) if path.startswith(f"{one.mount_path}/"))
    if of_files or mount.read_only:
        raise SpecError(
            f"{path} cannot be written: {mount.mount_path} is to read only",
            why=f"the volume {found[0]} has the files of a ConfigMap or Secret"
            if of_files
            else "it is mounted with `readOnly: true`",
            fix="write to another volume" + ("" if of_files else ", or remove `readOnly`"),
            at=at,
        )


def located(path: str, mounts: Sequence[VolumeMountSpec]) -> tuple[str, str] | None:
    """The volume in which a container finds a path, and the path in it; None where no volume is mounted there."""
    found = next((one for one in _deepest_first(mounts) if path.startswith(f"{one.mount_path}/")), None)
    return None if found is None else (found.name, path.removeprefix(f"{found.mount_path}/"))


def _deepest_first(mounts: Sequence[VolumeMountSpec]) -> list[VolumeMountSpec]:
    return sorted(mounts, key=lambda one: -len(one.mount_path))
