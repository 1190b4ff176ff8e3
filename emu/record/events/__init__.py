"""One dataclass per thing recorded in events.jsonl, to and from JSON lines: the contract of recorder and report.

`t` is CLOCK_MONOTONIC in seconds, taken by the process that wrote the line; a stamp of the kernel's own stands
beside it under its own name. Lines are appended whole by several processes (O_APPEND), so they are ordered by
`t` when read, and a line torn by a kill is passed over.
"""

from __future__ import annotations

from emu.record.events.base import KINDS, POD_LABEL, Event, OfCgroup, OfContainer, OfPod, Owner
from emu.record.events.freezer import (
    ContainerPaused,
    ContainerResumed,
    FreezerFailed,
    MemoryPrefetched,
    MemoryReclaimed,
)
from emu.record.events.kernel import CgroupGone, CgroupSeen, KernelLogGap, MemoryEventsRose, OomKillLogged
from emu.record.events.log import EventLog, now
from emu.record.events.pod import (
    EVICTED,
    SCALE_DOWN,
    SCALED_DOWN,
    SCALED_TO_ZERO,
    BackOffBegan,
    CommandRan,
    ContainerCreated,
    ContainerExited,
    ContainerReady,
    ContainerStarted,
    ContainerStopping,
    DockerEvent,
    KubeletEvent,
    PodEvicted,
    PodResized,
    PodStatus,
)
from emu.record.events.reading import Damage, DamagedLineError, from_line, parse_line, read_events
from emu.record.events.run import (
    LONGEST_RUN_S,
    LoadBegan,
    Note,
    PhaseBegan,
    PhaseEnded,
    RecorderReport,
    RunBegan,
    RunEnded,
    RunFailed,
)
from emu.record.events.serving import (
    MetricRead,
    PodLoad,
    PodScaled,
    RequestsEnded,
    RequestsForwarded,
    RequestsHeld,
    RequestsWaited,
    ScaleDecided,
    StartMeasured,
    TrafficSplit,
)

__all__ = [
    "EVICTED",
    "KINDS",
    "LONGEST_RUN_S",
    "POD_LABEL",
    "SCALED_DOWN",
    "SCALED_TO_ZERO",
    "SCALE_DOWN",
    "BackOffBegan",
    "CgroupGone",
    "CgroupSeen",
    "CommandRan",
    "ContainerCreated",
    "ContainerExited",
    "ContainerPaused",
    "ContainerReady",
    "ContainerResumed",
    "ContainerStarted",
    "ContainerStopping",
    "Damage",
    "DamagedLineError",
    "DockerEvent",
    "Event",
    "EventLog",
    "FreezerFailed",
    "KernelLogGap",
    "KubeletEvent",
    "LoadBegan",
    "MemoryEventsRose",
    "MemoryPrefetched",
    "MemoryReclaimed",
    "MetricRead",
    "Note",
    "OfCgroup",
    "OfContainer",
    "OfPod",
    "OomKillLogged",
    "Owner",
    "PhaseBegan",
    "PhaseEnded",
    "PodEvicted",
    "PodLoad",
    "PodResized",
    "PodScaled",
    "PodStatus",
    "RecorderReport",
    "RequestsEnded",
    "RequestsForwarded",
    "RequestsHeld",
    "RequestsWaited",
    "RunBegan",
    "RunEnded",
    "RunFailed",
    "ScaleDecided",
    "StartMeasured",
    "TrafficSplit",
    "from_line",
    "now",
    "parse_line",
    "read_events",
]
