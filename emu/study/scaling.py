"""Scale to zero as the autoscaler reported it: when there was no pod, and what that meant for requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from emu.record.events import SCALE_DOWN, Event, PodScaled, RequestsHeld, ScaleDecided
from emu.study.model.instances import Instance
from emu.study.model.scaling import Absence, ScaleUse
from emu.study.model.study import Study
from emu.study.pods import workload


def scale_use(study: Study, events: list[Event]) -> ScaleUse | None:
    """How a pod was scaled; None where it was not to be scaled to zero."""
    by_hpa = {event.revision for event in events if isinstance(event, ScaleDecided) and event.autoscaler != "kpa"}
    scaled = [event for event in events if isinstance(event, PodScaled) and event.revision not in by_hpa]
    if not scaled:
        return None
    held = [event for event in events if isinstance(event, RequestsHeld)]
    return ScaleUse(
        tuple(sorted(_of_each(scaled, study.origin), key=lambda one: one.decided_s)),
        tuple(waited for event in held if event.outcome == "forwarded" for waited in event.waited_s),
        sum(len(event.waited_s) for event in held if event.outcome == "timeout"),
        sum(len(event.waited_s) for event in held if event.outcome == "abandoned"),
        _to_zero([event.to_zero for event in scaled if event.to_zero is not None]),
    )


def _of_each(scaled: list[PodScaled], origin: float) -> Iterator[Absence]:
    """Of one revision after the other."""
    for revision in dict.fromkeys(event.revision for event in scaled):
        mine = [event for event in scaled if event.revision == revision]
        yield from (replace(one, revision=revision) for one in _absences(mine, origin))


def _to_zero(each: list[bool]) -> bool | None:
    return any(each) if each else None


def with_reasons(instances: list[Instance], events: list[Event], origin: float) -> list[Instance]:
    """The instances; of those that were scaled away it is said whether all pods of their revision were to go."""
    decided = (event for event in events if isinstance(event, PodScaled | ScaleDecided))
    wanted = sorted((event.t - origin, event.pods, event.revision) for event in decided)
    return [_with_reason(one, wanted) for one in instances]


def _with_reason(one: Instance, wanted: list[tuple[float, int, str]]) -> Instance:
    if one.stop is None or one.stop.why != SCALE_DOWN:
        return one
    mine = ("", workload(one.pod))
    before = [pods for t, pods, revision in wanted if t <= one.stop.asked_s and revision in mine]
    return replace(one, stop=replace(one.stop, to_zero=not before or before[-1] == 0))


def _absences(scaled: list[PodScaled], origin: float) -> list[Absence]:
    found: list[Absence] = []
    for event in scaled:
        t = event.t - origin
        if not event.pods and not event.reached:
            found.append(Absence(t, why=event.why))
        elif not found:
            continue  # the pod's first start
        elif not event.pods:
            found[-1] = replace(found[-1], gone_s=t)
        elif not event.reached:
            found[-1] = replace(found[-1], wanted_s=t)
        else:
            found[-1] = replace(found[-1], ready_s=t, waited=event.waiting)
    return found
