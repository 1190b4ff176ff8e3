"""The control files of a container that Docker has no option for: which there are, and how they are written."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cgroups import files
from cgroups.errors import CgroupError, CgroupGone
from cgroups.io import IoMax
from emu.errors import EmuError
from emu.kubelet import iolimits
from emu.policy.kubelet.derived import NO_LIMIT
from emu.record.events import EventLog, Note, now
from emu.runtime.podcgroup import PodCgroup

SWAP_MAX, ZSWAP_MAX = "memory.swap.max", "memory.zswap.max"
_OOM_GROUP = "memory.oom.group"
_WRITTEN = {
    "memory.high": NO_LIMIT, "memory.low": "0", "memory.min": "0", "memory.swap.high": NO_LIMIT, _OOM_GROUP: "0",
    ZSWAP_MAX: NO_LIMIT, "memory.zswap.writeback": "1",
}  # fmt: skip
"""The control files that the pod writes itself, and their values in a new cgroup."""
_BORN_DEADLINE_S = 60.0
_BIRTH_LOOK_S = 0.003
"""Well below what a runtime takes from the cgroup to the process, and long enough not to take its processor."""


def written_by_pod(values: Mapping[str, str], *, limited: bool) -> dict[str, str]:
    """Those of a container's control files that Docker has no option for and that differ from the kernel's defaults.
    `limited`: it has a memory limit; only then Docker sets the swap limit.
    """
    wanted = {name: values[name] for name, usual in _WRITTEN.items() if values.get(name, usual) != usual}
    if not limited and values[SWAP_MAX] != NO_LIMIT:
        wanted[SWAP_MAX] = values[SWAP_MAX]
    return wanted


@dataclass(frozen=True)
class Controls:
    """Of one container; `pod` is the cgroup of its pod."""

    pod: PodCgroup
    log: EventLog
    container: str
    id: str

    @property
    def path(self) -> Path:
        """The container's cgroup, while it runs."""
        return self.pod.container_path(self.id)

    def await_birth(self, starter: threading.Thread) -> None:
        """Wait until the cgroup is there, or `starter`, which starts the container, has ended."""
        deadline = time.monotonic() + _BORN_DEADLINE_S
        while not self.path.exists() and starter.is_alive() and time.monotonic() < deadline:
            time.sleep(_BIRTH_LOOK_S)

    def write(self, wanted: Mapping[str, str]) -> None:
        """Write them; what cannot be set is recorded."""
        for name, value in wanted.items():
            try:
                files.write(self.path / name, value)
            except CgroupGone:
                return  # with the container: it has ended, or could not be started
            except CgroupError as error:
                what = f"{self.container}: {name} could not be set to {value}"
                self.log.append(Note(t=now(), what=what, why=error.why))

    def limit_io(self, lines: Iterable[IoMax]) -> None:
        """Write them to io.max; what cannot be set is recorded."""
        try:
            iolimits.limit(self.path, lines)
        except EmuError as error:
            self.log.append(Note(t=now(), what=f"{self.container}: {error.what}", why=error.why))

    def with_swap(self, wanted: Mapping[str, str], values: Mapping[str, str]) -> Mapping[str, str]:
        """The engine writes a memory.swap.max of 0 past systemd, which undoes it with the next property that it sets:
        then it has to know of that too.
        """
        known = (self.path / SWAP_MAX).exists()
        if not known or wanted.keys() <= {_OOM_GROUP}:
            return wanted
        return {**wanted, SWAP_MAX: values[SWAP_MAX]}

    def settle(self, wanted: Mapping[str, str]) -> None:
        """Systemd writes a scope's files as it starts, over ours: have it know our values, then write again."""
        try:
            self.pod.manage_controls(self.id, wanted)
            self.write(wanted)
        except EmuError as error:
            self.log.append(Note(t=now(), what=f"{self.container}: {error.what}", why=error.why))
