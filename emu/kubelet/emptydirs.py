"""The volumes of one pod that live as long as it: emptyDirs, and the files of ConfigMaps and Secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emu.kubelet.template import EmptyDir, Mount
from emu.machine.tmpfs import supports_noswap
from emu.policy.effective import memory_volume_bytes
from emu.policy.kubelet.derived import NodeRules
from emu.policy.kubelet.environment import Data, Kind
from emu.policy.kubelet.objectfiles import contents
from emu.policy.kubelet.version import TMPFS_NOSWAP
from emu.runtime.api import Runtime, VolumeKind, VolumeMount


class EmptyDirs:
    """Those of one pod. No I/O in the constructor."""

    def __init__(
        self,
        volumes: Sequence[EmptyDir],
        engine: Runtime,
        pod: str,
        labels: Mapping[str, str],
        *,
        objects: Mapping[Kind, Data],
        pod_memory_max: int | None,
        node: NodeRules,
    ) -> None:
        """`pod_memory_max`, and what the node has for pods: the most that a tmpfs may hold."""
        self._volumes = volumes
        self._engine = engine
        self._pod = pod
        self._objects = objects
        self._labels = labels
        self._most = (pod_memory_max, node.allocatable)
        self._version = node.version

    def named(self, volume: str) -> str:
        """What the engine calls a volume."""
        return f"{self._pod}-volume-{volume}"

    @property
    def in_memory(self) -> list[str]:
        """What the engine calls those that are tmpfs: somebody has to mount them for as long as the pod lives."""
        return [self.named(one.name) for one in self._volumes if one.in_memory]

    def mounted(self, mounts: Sequence[Mount]) -> list[VolumeMount]:
        """As the engine takes them; files of ConfigMaps and Secrets are to read only, whatever is asked for."""
        files = {one.name for one in self._volumes if one.files is not None}
        return [VolumeMount(self.named(one.volume), one.path, one.read_only or one.volume in files) for one in mounts]

    def make(self) -> None:
        """Make them: empty, or with their files."""
        for one in self._volumes:
            size = memory_volume_bytes(one.size_limit, *self._most) if one.in_memory else None
            noswap = one.in_memory and self._version >= TMPFS_NOSWAP and supports_noswap()
            shared = one.files is None
            kind = VolumeKind(shared=shared, memory_bytes=size, noswap=noswap)
            self._engine.create_volume(self.named(one.name), self._labels, kind)
            if one.files is not None:
                self._engine.fill_volume(self.named(one.name), contents(one.files, self._objects))

    def remove(self) -> None:
        """Remove them with what is in them; no container may be left that mounts one."""
        for one in self._volumes:
            self._engine.remove_volume(self.named(one.name))
