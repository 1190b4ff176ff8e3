"""Stalls in words: alive, and no answer. A stall is no kill, and only a liveness probe restarts the container."""

from __future__ import annotations

from collections.abc import Iterator

from emu.report.entry import Entry
from emu.report.topics.topic import Figures, Topic, of_pod
from emu.report.words import all_of, capital, count
from emu.study.model.study import Study
from emu.study.stalls import Stall, stalls, thrashing
from emu.units import format_bytes, format_seconds

MILLION = 1_000_000


def figures(study: Study) -> Figures:
    """`stalls`, and what only looked like one: `thrashing`."""
    return {
        "stalls": [of_pod(stall) for stall in stalls(study)],
        "thrashing": [of_pod(stall) for stall in thrashing(study)],
    }


def stall_headline(study: Study) -> list[str]:
    """The first stall of each container that no kill ended."""
    firsts = {stall.container: stall for stall in reversed(stalls(study)) if not stall.killed}
    return [_words(study, stall) for stall in reversed(list(firsts.values()))]


def sentences(study: Study, summary: Figures) -> list[str]:
    """Every stall, and what it means; then what only looked like one."""
    found = []
    mentioned = set()
    for stall in stalls(study):
        found.append(f"{_words(study, stall)}.")
        found += _met(stall)
        if stall.killed:
            found.append(f"The kernel killed {stall.container} only after that.")
        elif stall.container not in mentioned:
            mentioned.add(stall.container)
            found.append(f"{_goes_on(stall)}, so no process is killed; {_would_end(study, stall)}.")
    for stall in thrashing(study):
        seen = f", and kept working: {_passed(stall)}" if stall.requests else " while no request was in flight"
        seen += "" if stall.failed_probes or not _probes(study, stall) else " and no probe failed"
        found.append(
            f"{stall.container} lived at its {_limit(stall)} from {format_seconds(stall.begin_s)} to "
            f"{format_seconds(stall.end_s)} by {_way(stall)}{seen}."
        )
    return found


def _passed(stall: Stall) -> str:
    """What the requests that met it saw, too few of them for a stall."""
    if stall.hindered and stall.requests:
        slow = "was" if stall.hindered == 1 else "were"
        return f"{stall.hindered:,} of {count(stall.requests, 'request')} under way then {slow} slow or failed"
    return "no request was slow because of it"


def _words(study: Study, stall: Stall) -> str:
    began = study.first_request_s
    when = (
        f"{format_seconds(stall.begin_s - began)} after the first request"
        if began is not None and began <= stall.begin_s
        else f"{format_seconds(stall.begin_s)} into the run"
    )
    held = "" if not stall.in_flight else f" with {count(stall.in_flight, 'request')} in flight"
    if stall.inside:
        held = f" with {count(stall.inside, 'request')} accepted"
    how = "alive but throttled" if stall.why == "memory.high" else "alive but thrashing"
    lasted = format_seconds(stall.seconds)
    return f"{stall.container} stalled {when}{held}, {how}: {_way(stall)} in {lasted} at its {_limit(stall)}"


def _way(stall: Stall) -> str:
    """What it was busy with."""
    if stall.why == "memory.high":
        return f"{count(stall.high_events, 'high event')} (memory.events)"
    if stall.why == "swap":
        return f"{_many(stall.swap_refaults, 'refault')} from swap"
    return f"{_many(stall.refaults, 'refault')} of files that it has mapped"


def _limit(stall: Stall) -> str:
    name = "memory.high" if stall.why == "memory.high" else "limit"
    by = " (set by Memory QoS)" if stall.derived_from else ""
    return f"{name} of {format_bytes(stall.limit_bytes)}{by}"


def _met(stall: Stall) -> list[str]:
    """What requests and probes saw of it."""
    seen = []
    if stall.hindered and stall.requests:
        of = "" if stall.hindered == stall.requests else f"{stall.hindered:,} of "
        whole = all_of(stall.requests) if not of else count(stall.requests, "request")
        was = "was" if stall.hindered == 1 else "were"
        seen.append(f"{of}{whole} under way then {was} slow or failed")
    if stall.failed_probes:
        seen.append(f"{count(stall.failed_probes, 'probe')} failed")
    text = " and ".join(seen)
    return [f"{capital(text)}."] if text else []


def _goes_on(stall: Stall) -> str:
    if stall.why == "memory.high":
        return f"memory.high makes each task of {stall.container} sleep that takes more"
    if stall.why == "swap":
        return f"The kernel swaps a page of {stall.container} out for each that it brings back"
    return f"The kernel finds a mapped page of {stall.container} to drop each time"


def _probes(study: Study, stall: Stall) -> tuple[str, ...]:
    """The probes that the scenario gives it."""
    mine = (one for one in study.instances if one.owner == stall.owner)
    return next((one.probes or () for one in mine), ())


def _would_end(study: Study, stall: Stall) -> str:
    if "liveness" not in _probes(study, stall):
        return "only a liveness probe or less traffic would end this"
    if stall.failed_probes:
        return "its liveness probe or less traffic would end this"
    return "its liveness probe passed throughout"


def _many(number: int, one: str) -> str:
    """`1.5 million refaults`, `167,479 refaults`."""
    return f"{number / MILLION:.1f} million {one}s" if number >= MILLION else count(number, one)


def log(study: Study) -> Iterator[Entry]:
    """The begin and the end of each stall."""
    for stall in stalls(study):
        detail = {"container": stall.container, "attempt": stall.attempt, "why": stall.why}
        yield Entry(stall.begin_s, "emu", f"{stall.container} stalled", detail)
        yield Entry(stall.end_s, "emu", f"{stall.container} no longer stalled", detail)


STALLS = Topic("Stalls", figures, lambda study, summary: stall_headline(study), sentences, log=log)
