"""What is alive and does nothing, in words: a stall is not a kill, and a restart would not come."""

from __future__ import annotations

from emu.report.model import Study
from emu.report.stalls import Stall, stalls
from emu.report.words import count
from emu.units import format_bytes, format_seconds

MILLION = 1_000_000


def stall_headline(study: Study) -> list[str]:
    """The first stall of each container that no kill ended."""
    firsts = {stall.container: stall for stall in reversed(stalls(study)) if not stall.killed}
    return [_words(study, stall) for stall in reversed(list(firsts.values()))]


def stall_sentences(study: Study) -> list[str]:
    """Every stall, and what it means."""
    found = []
    told = set()
    for stall in stalls(study):
        found.append(f"{_words(study, stall)}.")
        if stall.killed:
            found.append(f"The kernel killed {stall.container} only after that.")
        elif stall.container not in told:
            told.add(stall.container)
            found.append(
                f"The kernel finds a page of {stall.container}'s executable to drop each time, so nothing is killed "
                "and nothing restarts it; only a liveness probe or less traffic would end this."
            )
    return found


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
    return (
        f"{stall.container} stalled {when}{held}, alive but thrashing: {_many(stall.refaults)} of its own executable "
        f"in {format_seconds(stall.seconds)} at its limit of {format_bytes(stall.limit_bytes)}"
    )


def _many(refaults: int) -> str:
    """`1.5 million refaults`, `167,479 refaults`."""
    return f"{refaults / MILLION:.1f} million refaults" if refaults >= MILLION else count(refaults, "refault")
