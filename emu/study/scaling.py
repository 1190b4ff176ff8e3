"""Scale to zero as the autoscaler reported it: when there was no pod, and what that meant for requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from emu.record.events import Event, PodScaled, RequestsHeld
from emu.study.model.scaling import Absence, ScaleUse
from emu.study.model.study import Study


def scale_use(study: Study, events: list[Event]) -> ScaleUse | None:
    """What was done; None where the pod was not to be scaled."""
    scaled = [event for event in events if isinstance(event, PodScaled)]
    if not scaled:
        return None
    held = [event for event in events if isinstance(event, RequestsHeld)]
    return ScaleUse(
        tuple(sorted(_of_each(scaled, study.origin), key=lambda one: one.decided_s)),
        tuple(waited for event in held if event.outcome == "forwarded" for waited in event.waited_s),
        sum(len(event.waited_s) for event in held if event.outcome == "timeout"),
        sum(len(event.waited_s) for event in held if event.outcome == "abandoned"),
    )


def _of_each(scaled: list[PodScaled], origin: float) -> Iterator[Absence]:
    """Of one revision after the other."""
    for revision in dict.fromkeys(event.revision for event in scaled):
        mine = [event for event in scaled if event.revision == revision]
        yield from (replace(one, revision=revision) for one in _absences(mine, origin))


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
