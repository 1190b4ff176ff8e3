"""How long load lasted before an autoscaler wanted more pods for it, and what that time went into."""

from __future__ import annotations

from emu.study.model.requests import PhaseSpan
from emu.study.model.services import Service
from emu.study.model.study import Study
from emu.units import format_seconds


def _phase_at(study: Study, t: float) -> PhaseSpan | None:
    return next((one for one in reversed(study.phases) if one.begin_s <= t), None)


def reaction_s(study: Study, service: Service) -> float | None:
    """From the beginning of the phase of the load in which more pods were first wanted; None: in none."""
    t = service.first_scale_up_s
    phase = None if t is None else _phase_at(study, t)
    return None if t is None or phase is None else t - phase.begin_s


def sentence(study: Study, service: Service) -> str | None:
    """Of a HorizontalPodAutoscaler: with the age and the window of what it went by."""
    t, after_s = service.first_scale_up_s, reaction_s(study, service)
    phase = None if t is None else _phase_at(study, t)
    if t is None or phase is None or after_s is None:
        return None
    read = next((one for one in service.read_at(t) if one.samples), None)
    if read is None:
        return None
    said = f"It first wanted more pods {format_seconds(after_s)} after phase {phase.name} began"
    _, at_s, over_s = min(read.samples.values(), key=lambda sample: sample[1])
    mean = f" and a mean over the {format_seconds(over_s)} before" if read.name == "cpu" else ""
    syncs = [one.t for one in service.made if one.t <= t][-2:]
    since = f"; the sync before that was {format_seconds(syncs[1] - syncs[0])} earlier" if len(syncs) > 1 else ""
    return f"{said}: its sample of {read.name} was {format_seconds(t - at_s)} old{mean}{since}."
