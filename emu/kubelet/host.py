"""What all pods of a node share."""

from __future__ import annotations

from dataclasses import dataclass, field

from emu.kubelet.iolimits import Disks
from emu.policy.kubelet.derived import NodeRules
from emu.runtime.api import Runtime


@dataclass(frozen=True)
class Host:
    """The machine that pods run on, as each of them sees it."""

    engine: Runtime
    run_id: str
    node: NodeRules
    owner: str
    """Whose the run is, for the labels of what is made and for the cgroup."""
    disks: Disks = field(default_factory=Disks)
    """What io.max can be about."""
    zswap: bool = False
    """Whether pages on their way to swap are compressed into zswap, unless their cgroup has a limit of 0 for that."""
    log_driver: str | None = None
    """The engine's, for the output of containers; None: its default."""
