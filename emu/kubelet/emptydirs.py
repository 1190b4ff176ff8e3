"""The emptyDir volumes of one pod: made before it starts, gone with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emu.kubelet.template import EmptyDir
from emu.machine.tmpfs import supports_noswap
from emu.policy.effective import memory_volume_bytes
from emu.policy.kubelet.derived import NodeRules
from emu.policy.kubelet.version import TMPFS_NOSWAP
from emu.runtime.api import Runtime, VolumeKind


class EmptyDirs:
    """Those of one pod. No I/O in the constructor."""

    def __init__(
        self,
        volumes: Sequence[EmptyDir],
        engine: Runtime,
        pod: str,
        labels: Mapping[str, str],
        *,
        pod_memory_max: int | None,
        node: NodeRules,
    ) -> None:
        """`pod_memory_max`, and what the node has for pods: the most that a tmpfs may hold."""
        self._volumes = volumes
        self._engine = engine
        self._pod = pod
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

    def make(self) -> None:
        """Make them, empty."""
        for one in self._volumes:
            size = memory_volume_bytes(one.size_limit, *self._most) if one.in_memory else None
            noswap = one.in_memory and self._version >= TMPFS_NOSWAP and supports_noswap()
            kind = VolumeKind(shared=True, memory_bytes=size, noswap=noswap)
            self._engine.create_volume(self.named(one.name), self._labels, kind)

    def remove(self) -> None:
        """Remove them with what is in them; no container may be left that mounts one."""
        for one in self._volumes:
            self._engine.remove_volume(self.named(one.name))
