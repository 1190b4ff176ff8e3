"""Scale to zero: how often and how long there was no pod, and what requests waited for the next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from emu.report.entry import Entry
from emu.report.topics.inits import waits
from emu.report.topics.topic import Column, Figures, Listing, Topic
from emu.report.words import count, listed
from emu.study.ends import ACTIVATOR, CLIENT_LEFT
from emu.study.measures import spread
from emu.study.model.scaling import Absence
from emu.study.model.study import Study
from emu.study.pods import workload
from emu.study.requests import UNANSWERED
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
    """How often it went and came, and what that meant: what requests waited, or how soon it went when no request came
    again; whose pods found no room. Nothing for a pod that stayed.
    """
    scaling = summary["autoscaling"]
    if not scaling or not scaling["scale_downs"]:
        return []
    said = [
        f"{who or 'the pod'} was scaled to zero {_often(absences)}{_idle(study, absences)}"
        for who, absences in _by_revision(study).items()
    ]
    without_room = [name for name, one in (summary.get("services") or {}).items() if one["pods_pending_max"]]
    pending = [f"pods of {listed(without_room)} were Pending, as the node had no room"] if without_room else []
    waited = _start(study, scaling) if scaling["scale_ups"] and len(said) == 1 else []
    return [*said, *waited, *pending]


def _idle(study: Study, absences: list[Absence]) -> str:
    """Of one that did not come back: how long after its last request it was to go, and what its end took."""
    last = absences[-1]
    if last.wanted_s is not None:
        return ""
    revision = last.revision if len(study.services) > 1 else ""
    mine = (one for one in study.requests or () if revision in ("", one.revision, workload(one.pod)))
    ended = [one.done_s for one in mine if one.done_s is not None and one.done_s <= last.decided_s]
    if not ended:
        return ""
    again = "the last time " if len(absences) > 1 else ""
    gone = "" if last.gone_s is None else f", and gone {format_seconds(last.gone_s - last.decided_s)} after that"
    return f", {again}{format_seconds(last.decided_s - max(ended))} after its last request had ended{gone}"


def _start(study: Study, scaling: dict[str, Any]) -> list[str]:
    """What requests waited for, where there was no pod, and whether they waited in vain."""
    held = scaling["held"]
    waited, requests, lost = held["waited_ms"]["max"], held["forwarded"], held["timed_out"] + held["abandoned"]
    longest = "" if not waited else format_seconds(waited / 1e3)
    if lost:
        if requests + lost == 1:
            return ["a request waited for a pod in vain", *waits(study)]
        got = f"{requests:,}" if requests else "none"
        took = f", after {'' if requests == 1 else 'up to '}{longest}" if longest else ""
        return [f"{got} of {count(requests + lost, 'request')} that waited for a pod got one{took}", *waits(study)]
    if not longest:
        return waits(study)
    who = f"a request waited {longest}" if requests == 1 else f"{requests:,} requests waited up to {longest}"
    return [f"{who} for a pod", *waits(study)]


def _by_revision(study: Study) -> dict[str, list[Absence]]:
    """The absences of each revision; of the only one without its name."""
    several = len(study.services) > 1
    found: dict[str, list[Absence]] = {}
    for one in study.scaling.absences if study.scaling is not None else ():
        found.setdefault(one.revision if several else "", []).append(one)
    return found


def _often(absences: list[Absence]) -> str:
    back = sum(one.ready_s is not None for one in absences)
    text = often(len(absences)) + (f" and back {often(back)}" if back else "")
    wanted_s = absences[-1].wanted_s
    if wanted_s is None or absences[-1].ready_s is not None:
        return text
    return f"{text}, and a new pod, wanted at {format_seconds(wanted_s)}, was not ready when the run ended"


def sentences(study: Study, summary: Figures) -> list[str]:
    """Nothing for a pod that was not to be scaled."""
    scaling = summary["autoscaling"]
    several = len(study.services) > 1
    return [*_away(study), *_sentences(study, scaling, several=several)] if scaling else []


def _away(study: Study) -> Iterator[str]:
    """How long each had no pod."""
    whole = format_seconds(study.duration_s)
    for revision, absences in _by_revision(study).items():
        spans = (one.zero_s(study.duration_s) for one in absences)
        zero_s = sum(span[1] - span[0] for span in spans if span is not None)
        zero = format_seconds(zero_s)
        if zero_s and revision:
            yield f"{revision} had no pod for {zero} of {whole}, and held no memory then."
        elif zero_s:
            yield f"There was no pod for {zero} of {whole}, and it held no memory then."
        elif absences[-1].gone_s is None:
            yield f"The pod{f' of {revision}' if revision else ''} was not gone yet when the run ended."
        else:
            yield f"{revision or 'The service'} had a new pod before its last one was gone."


def _sentences(study: Study, scaling: dict[str, Any], *, several: bool) -> Iterator[str]:
    stayed = None if scaling["scale_downs"] else _stayed(scaling["to_zero"], several=several)
    if stayed is not None:
        yield stayed
    held = scaling["held"]
    if held["forwarded"]:
        waited = held["waited_ms"]
        half, most = format_seconds(waited["p50"] / 1e3), format_seconds(waited["max"] / 1e3)
        each = f"{half} (median and longest)" if half == most else f"{half} in the median, {most} at most"
        times = each if held["forwarded"] > 1 else most
        yield f"{count(held['forwarded'], 'request')} waited in the activator for a pod: {times}."
    timed_out, abandoned = _uncounted(study, held)
    # The end of the load closes their connections, as a client does that gives up.
    left = min(sum(one.error == UNANSWERED and not one.pod for one in study.requests or ()), abandoned)
    lost = [
        f"{count(number, 'request')} {words if number > 1 else word}"
        for number, word, words in (
            (timed_out, "got 504", "got 504"),
            (abandoned - left, "was given up by its client", "were given up by their clients"),
        )
        if number
    ]
    if lost:
        yield f"{listed(lost)} while waiting in the activator for a pod."
    if left:
        still = "was" if left == 1 else "were"
        yield f"{count(left, 'request')} {still} still waiting in the activator for a pod when the run ended."


def _uncounted(study: Study, held: dict[str, Any]) -> tuple[int, int]:
    """How many got 504 and how many were given up there, where no sentence on requests has them: where each has its
    reason, one does.
    """
    reasons = Counter(one.reason for one in study.requests or ())
    timed_out = 0 if reasons[f"{ACTIVATOR}-response-timeout"] >= held["timed_out"] else held["timed_out"]
    abandoned = 0 if reasons[f"{ACTIVATOR}-{CLIENT_LEFT}"] >= held["abandoned"] else held["abandoned"]
    return timed_out, abandoned


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
    several = len(study.services) > 1
    of = (Column("revision", number=False),) if several else ()
    heads = (*of, "scale-down at", "gone at", "scale-up at", "ready at", "start took", "requests that waited")
    rows = tuple(
        (
            *((one.revision,) if several else ()),
            _at(one.decided_s),
            _at(one.gone_s) or "not yet",
            _at(one.wanted_s) or "not again",
            _at(one.ready_s) or (None if one.wanted_s is None else "not yet"),
            None if one.wanted_s is None or one.ready_s is None else format_seconds(one.ready_s - one.wanted_s),
            one.waited if one.ready_s is not None else None,
        )
        for one in study.scaling.absences
    )
    stayed = _stayed(study.scaling.to_zero, several=several)
    return Listing(heads, rows, otherwise=stayed or "It was not to be scaled to zero.")


def _at(t: float | None) -> str | None:
    return None if t is None else f"{t:.3f} s"


def log(study: Study) -> Iterator[Entry]:
    """What the autoscaler decided, and when it had come about."""
    for one in study.scaling.absences if study.scaling is not None else ():
        detail = {"decided_s": one.decided_s, "gone_s": one.gone_s, "wanted_s": one.wanted_s, "ready_s": one.ready_s}
        of = f"{one.revision}: " if len(study.services) > 1 else ""
        yield Entry(one.decided_s, "autoscaler", f"{of}scale to zero: {one.why or 'reason not recorded'}", detail)
        if one.gone_s is not None:
            yield Entry(one.gone_s, "autoscaler", f"{of}the pod is gone", detail)
        if one.wanted_s is not None:
            yield Entry(one.wanted_s, "autoscaler", f"{of}scale from zero: a request waits", detail)
        if one.ready_s is not None:
            waited = f"{count(one.waited, 'request')} that waited {'goes' if one.waited == 1 else 'go'} to it"
            yield Entry(one.ready_s, "activator", f"{of}the pod is ready: {waited}", detail)


SCALE_TO_ZERO = Topic("Scale to zero", figures, headline, sentences, listing, log=log)
