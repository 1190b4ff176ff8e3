"""Scale to zero: how often and how long there was no pod, and what requests waited for the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from emu.report.entry import Entry
from emu.report.topics.topic import Figures, Listing, Topic
from emu.report.words import count, listed
from emu.study.measures import spread
from emu.study.model.study import Study
from emu.units import format_seconds, often


def figures(study: Study) -> Figures:
    """`autoscaling`: how often the pod went and came, what that took, and what requests waited."""
    return {"autoscaling": _figures(study)}


def _figures(study: Study) -> Figures | None:
    use = study.scaling
    if use is None:
        return None
    zeros = [span for one in use.absences if (span := one.zero_s(study.duration_s)) is not None]
    removals = [one.gone_s - one.decided_s for one in use.absences if one.gone_s is not None]
    starts = [
        one.ready_s - one.wanted_s for one in use.absences if one.ready_s is not None and one.wanted_s is not None
    ]
    return {
        "to_zero": use.to_zero,
        "scale_downs": len(use.absences),
        "scale_ups": sum(one.wanted_s is not None for one in use.absences),
        "zero_s": sum(until - since for since, until in zeros),
        "removal_ms": _shares(removals),
        "start_ms": _shares(starts),
        "held": {
            "forwarded": len(use.waited_s),
            "timed_out": use.timed_out,
            "abandoned": use.abandoned,
            "waited_ms": _shares(use.waited_s),
        },
        "absences": [asdict(one) for one in use.absences],
    }


def _shares(seconds: list[float] | tuple[float, ...]) -> dict[str, float | None]:
    """Percentiles in milliseconds."""
    return spread(one * 1e3 for one in seconds)


def headline(study: Study, summary: Figures) -> list[str]:
    """How often it went and came; nothing for a pod that stayed."""
    scaling = summary["autoscaling"]
    if not scaling or not scaling["scale_downs"]:
        return []
    back = f" and back {often(scaling['scale_ups'])}" if scaling["scale_ups"] else ""
    return [f"the pod was scaled to zero {often(scaling['scale_downs'])}{back}"]


def sentences(study: Study, summary: Figures) -> list[str]:
    """Nothing for a pod that was not to be scaled."""
    scaling = summary["autoscaling"]
    several = len(study.services) > 1
    return list(_sentences(scaling, summary["duration_s"], several=several)) if scaling else []


def _sentences(scaling: dict[str, Any], duration_s: float, *, several: bool) -> Iterator[str]:
    if scaling["scale_downs"]:
        zero, whole = format_seconds(scaling["zero_s"]), format_seconds(duration_s)
        yield f"There was no pod for {zero} of {whole}, and it held no memory then."
    elif (stayed := _stayed(scaling["to_zero"], several=several)) is not None:
        yield stayed
    held = scaling["held"]
    if held["forwarded"]:
        waited = held["waited_ms"]
        half, most = format_seconds(waited["p50"] / 1e3), format_seconds(waited["max"] / 1e3)
        times = half if half == most else f"{half} in the median of {held['forwarded']:,}, {most} at most"
        yield f"{count(held['forwarded'], 'request')} waited in the activator for a pod: {times}."
    lost = [
        f"{count(held[name], 'request')} {words}"
        for name, words in (("timed_out", "got 504"), ("abandoned", "lost patience"))
        if held[name]
    ]
    if lost:
        yield f"{listed(lost)} while waiting there."


def _stayed(to_zero: bool | None, *, several: bool) -> str | None:
    """Of a service that was never scaled to zero; None where it was not to be."""
    who = "No service was ever" if several else "The service was never"
    if to_zero:
        return f"{who} idle for long enough to be scaled to zero."
    return f"{who} scaled to zero." if to_zero is None else None


def listing(study: Study) -> Listing | None:
    """A row for each time that the pod was away."""
    if study.scaling is None:
        return None
    heads = ("scale-down at", "gone at", "scale-up at", "ready at", "start took", "requests that waited")
    rows = tuple(
        (
            _at(one.decided_s),
            _at(one.gone_s) or "not yet",
            _at(one.wanted_s) or "not again",
            _at(one.ready_s),
            None if one.wanted_s is None or one.ready_s is None else format_seconds(one.ready_s - one.wanted_s),
            one.waited if one.ready_s is not None else None,
        )
        for one in study.scaling.absences
    )
    stayed = _stayed(study.scaling.to_zero, several=len(study.services) > 1)
    return Listing(heads, rows, otherwise=stayed or "It was not to be scaled to zero.")


def _at(t: float | None) -> str | None:
    return None if t is None else f"{t:.3f} s"


def log(study: Study) -> Iterator[Entry]:
    """What the autoscaler decided, and when it had come about."""
    for one in study.scaling.absences if study.scaling is not None else ():
        detail = {"decided_s": one.decided_s, "gone_s": one.gone_s, "wanted_s": one.wanted_s, "ready_s": one.ready_s}
        yield Entry(one.decided_s, "autoscaler", f"scale to zero: {one.why or 'reason not recorded'}", detail)
        if one.gone_s is not None:
            yield Entry(one.gone_s, "autoscaler", "the pod is gone", detail)
        if one.wanted_s is not None:
            yield Entry(one.wanted_s, "autoscaler", "scale from zero: a request waits", detail)
        if one.ready_s is not None:
            waited = f"{count(one.waited, 'request')} that waited {'goes' if one.waited == 1 else 'go'} to it"
            yield Entry(one.ready_s, "activator", f"the pod is ready: {waited}", detail)


SCALE_TO_ZERO = Topic("Scale to zero", figures, headline, sentences, listing, log=log)
