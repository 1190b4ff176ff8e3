"""Events of a run as a whole: its begin and end, its load, and what recording it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from emu.record.events.base import Event

LONGEST_RUN_S = 31 * 24 * 3600.0
"""No run is longer; a time that is further from its begin is not of it."""


@dataclass(frozen=True, kw_only=True)
class NodeCondition(Event):
    """A condition of the node has changed, as its kubelet sees it."""

    kind: ClassVar[str] = "node-condition"
    condition: str
    """`MemoryPressure`."""
    status: bool
    reason: str
    message: str
    """As in the node's status."""


BOTH = "files and swap"
"""The role of a disk that pages are swapped to, and that files are on."""


@dataclass(frozen=True, kw_only=True)
class RunBegan(Event):
    """The first event: everything that heads a report."""

    kind: ClassVar[str] = "run-began"
    run_id: str
    scenario: str
    where: str
    """`host`, or `sandbox:uml`, `sandbox:qemu`."""
    wall_time: str
    """UTC, ISO 8601, at `t`."""
    machine: dict[str, Any]
    """kernel, cgroup_driver, runtime (`docker`, `process`), docker (its version), cpus, memory_bytes, swap_bytes,
    psi (bool), devices {"98:0": {name, role}} with role `docker`, `process`, `swap`, `files and swap` or `other`,
    node_io_max (lines of io.max for all pods together), io_weights (of each pod by its name in the scenario, where
    the disk is shared by weight), zswap (its settings by the kernel's names; empty where it was off).
    """
    pod_cgroup: str | None = None
    """Of the one pod of a run from before its pods had cgroups in the run's."""
    cgroup: str | None = None
    """The cgroup that all its pods are in, `kubepods`; in older runs the run's own."""
    clock_ticks: int = 100
    emu: str | None = None
    """The version of emu that recorded it; None in runs from before that was noted."""
    format: int | None = None
    """`rundir.FORMAT` then."""
    time_scale: float = 1.0
    """The scenario's timeScale: how many times as fast as usual the control plane was."""


@dataclass(frozen=True, kw_only=True)
class LoadBegan(Event):
    """The load generator was ready: `t` is second 0 of its plan."""

    kind: ClassVar[str] = "load-began"


@dataclass(frozen=True, kw_only=True)
class PhaseBegan(Event):
    """A phase of the load began (by the plan; `t` is when it was due)."""

    kind: ClassVar[str] = "phase-began"
    phase: str
    duration_s: float
    until: str | None = None
    """What ends it before that, in words."""
    pod: str = ""
    """The pod that it sends to, by its name in the scenario; empty where there is only one."""
    container: str = ""
    """The container there that does what the requests ask for; empty in older records."""
    reads: str | None = None
    """The file that each of its requests reads."""
    files_of: str = ""
    """The pod whose volume that file is in; empty where there is only one pod."""


@dataclass(frozen=True, kw_only=True)
class PhaseEnded(Event):
    """A phase of the load ended: by the plan, or because what it waited for came."""

    kind: ClassVar[str] = "phase-ended"
    phase: str
    met: bool | None = None
    """What it waited for (`until`) came; None where it waited for nothing."""
    unsent: int = 0
    """Of a phase that waits: how many requests were due by then, and the load generator had not got to them."""


@dataclass(frozen=True, kw_only=True)
class RecorderReport(Event):
    """What recording itself cost; written every few seconds and at its end. The last one counts."""

    kind: ClassVar[str] = "recorder-report"
    interval_s: float
    samples: int
    late: int
    """Ticks that passed without a sample, because the one before came more than an interval late."""
    cpu_s: float
    rss_bytes: int
    finished: bool = False
    longest_interval_s: float = 0.0
    """Ticks came this far apart when the most was watched; `interval_s` is what was asked for."""


@dataclass(frozen=True, kw_only=True)
class Note(Event):
    """Something a reader should know: a control that could not be set, a log that could not be read, an interrupt."""

    kind: ClassVar[str] = "note"
    what: str
    why: str = ""
    level: str = "warning"
    """info, warning or error"""


@dataclass(frozen=True, kw_only=True)
class RunFailed(Event):
    """The run cannot continue: something that it needs was lost on the way. It is ended in order from here on."""

    kind: ClassVar[str] = "run-failed"
    what: str
    why: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The last event of a run that ended in order."""

    kind: ClassVar[str] = "run-ended"
    interrupted: bool = False
