"""What happened during a run, from its events: docker events, notes, probes, evictions and the like."""

from __future__ import annotations

from collections.abc import Iterator

from emu.policy.kubelet.messages import back_off_message
from emu.record.events import (
    POD_LABEL,
    BackOffBegan,
    CgroupSeen,
    CommandRan,
    DockerEvent,
    Event,
    KernelLogGap,
    KubeletEvent,
    MemoryEventsRose,
    NodeCondition,
    Note,
    PodEvicted,
    PodPreempted,
    PodResized,
    PodStatus,
    RecorderReport,
)
from emu.record.samples import NODE
from emu.study.instances import owner_of
from emu.study.model.instances import Command, PodEvent
from emu.study.model.study import Happening, RecorderCost, Study
from emu.study.model.timeline import MemoryMark


def read_happenings(study: Study, events: list[Event]) -> None:
    """Put each where the study has its kind. The instances are known already."""
    mine = {entry.id: entry for entry in study.instances if entry.id}
    for event in events:
        t = event.t - study.origin
        match event:
            case CgroupSeen(label=label) if label == POD_LABEL and event.pod:
                study.cgroups[event.pod] = event.path
            case MemoryEventsRose():
                owner = owner_of(study, event.owner)
                mark = MemoryMark(t, owner, event.local, event.delta, event.values)
                (study.node_marks if owner == NODE else study.memory_marks).append(mark)
            case DockerEvent():
                detail = {"id": event.id, "name": event.name, "time_nano": event.time_nano, **event.attributes}
                known = mine.get(event.id)
                whose, pod = (event.name, "") if known is None else (known.container, known.pod)
                study.docker_events.append(Happening(t, "docker", whose, event.action, detail, pod))
            case PodStatus():
                detail = {"ready": event.ready, "restarts": event.restarts}
                study.pod_statuses.append(Happening(t, "pod-status", "pod", event.status, detail, event.pod))
            case BackOffBegan():
                detail = {"restarts": event.restarts, "delay_s": event.delay_s}
                text = f"restarting failed container={event.container} at once"
                text = back_off_message(event.delay_s, event.container) if event.delay_s else text
                study.back_offs.append(Happening(t, "back-off", event.container, text, detail, event.pod))
            case PodEvicted():
                detail = {"grace_s": event.grace_s}
                study.evictions.append(Happening(t, "eviction", "pod", event.message, detail, event.pod))
            case NodeCondition():
                detail = {"condition": event.condition, "status": event.status, "reason": event.reason}
                study.node_conditions.append(Happening(t, "node-condition", "node", event.message, detail))
            case PodPreempted():
                detail = {"priority": event.priority, "by": event.by, "by_priority": event.by_priority}
                study.preemptions.append(Happening(t, "preemption", "pod", event.message, detail, event.pod))
            case PodResized():
                detail = {"outcome": event.outcome, "memory_max": event.memory_max}
                study.resizes.append(Happening(t, "resize", event.container, event.message, detail, event.pod))
            case CommandRan():
                study.commands.append(
                    Command(
                        event.container, event.attempt, event.why, tuple(event.command),
                        event.began - study.origin, t, tuple(event.pids), event.pod,
                    )
                )  # fmt: skip
            case KubeletEvent(reason="Unhealthy"):
                study.failed_probes.append(Happening(t, "probe", event.container, event.message, pod=event.pod))
            case Note():
                detail = {"level": event.level, "why": event.why}
                study.notes.append(Happening(t, "note", "", event.what, detail))
            case KernelLogGap():
                lost = "records" if event.lost is None else f"{event.lost} records"
                complain(study, f"the kernel overwrote {lost} of its log before they could be read", t, "kmsg-gap")
            case RecorderReport():
                study.recorder = RecorderCost(
                    event.interval_s,
                    event.samples,
                    event.late,
                    event.cpu_s,
                    event.rss_bytes,
                    event.longest_interval_s,
                )


def pod_events(events: Iterator[KubeletEvent], origin: float) -> list[PodEvent]:
    """Those that read the same are one, as the API server counts them."""
    found: dict[tuple[str, str, str, str, str], PodEvent] = {}
    for event in events:
        words, t = (event.type, event.reason, event.container, event.message), event.t - origin
        known = found.get((event.pod, *words))
        begin, times = (known.first_s, known.count + 1) if known else (t, 1)
        found[event.pod, *words] = PodEvent(*words, begin, t, times, event.pod)
    return list(found.values())


def complain(study: Study, text: str, t: float = 0.0, kind: str = "note") -> None:
    """Note what the record lacks."""
    study.notes.append(Happening(t, kind, "", text, {"level": "warning", "why": ""}))
