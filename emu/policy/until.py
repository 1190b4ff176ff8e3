"""When a phase is over before its time: something happened that it was waiting for.

What the load generator counts itself (requests) it decides by itself; what happens to the pod is known to the run,
which shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from emu.policy.loadplan import Until


@dataclass(frozen=True)
class PodFacts:
    """What happened to a pod so far, by container, and how kubectl would show it now."""

    oom_kills: Mapping[str, int] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
    exits: Mapping[str, int] = field(default_factory=dict)
    ready: str = ""
    status: str = ""
    ready_pods: int = 0
    resizes: int = 0
    """How many resizes were carried out or refused."""
    frozen: bool = False
    """All containers that a freezer freezes are frozen."""
    reclaimed: bool = False
    """And the freezer has reclaimed their memory, in all of its steps."""


def counts_requests(until: Until) -> bool:
    """Whether the load generator can see by itself that it has come."""
    return until.in_flight is not None or until.answered is not None


def requests_met(until: Until, in_flight: int, answered: int) -> bool:
    """Whether so many requests are under way, or so many of the phase's own answered."""
    if until.in_flight is not None and in_flight >= until.in_flight:
        return True
    return until.answered is not None and answered >= until.answered


def pod_met(until: Until, facts: PodFacts) -> bool:
    """Whether one of the things that it waits for has happened to the pod, or is so now."""
    if until.ready is not None and facts.ready == until.ready:
        return True
    if until.status is not None and facts.status == until.status:
        return True
    if until.ready_pods is not None and facts.ready_pods == until.ready_pods:
        return True
    if until.resizes is not None and facts.resizes >= until.resizes:
        return True
    if until.frozen is not None and facts.frozen is until.frozen:
        return True
    if until.reclaimed is not None and facts.reclaimed is until.reclaimed:
        return True
    return any(
        wanted is not None and _count_of(counts, until.container) >= wanted
        for wanted, counts in (
            (until.oom_kills, facts.oom_kills),
            (until.restarts, facts.restarts),
            (until.exits, facts.exits),
        )
    )


def _count_of(counts: Mapping[str, int], container: str | None) -> int:
    return sum(counts.values()) if container is None else counts.get(container, 0)


def in_words(until: Until) -> str:
    """What it waits for: `1,000 requests in flight`, `2 OOM kills of queue-proxy or 9 answers`, `STATUS Running`."""
    of = "" if until.container is None else f" of {until.container}"
    named = [
        f"{_count(wanted, what)}{rest}"
        for wanted, what, rest in (
            (until.oom_kills, "OOM kill", of),
            (until.restarts, "restart", of),
            (until.exits, "exit", of),
            (until.answered, "answer", ""),
            (until.in_flight, "request", " in flight"),
            (until.ready_pods, "ready pod", "" if until.revision is None else f" of {until.revision}"),
            (until.resizes, "resize", " done or refused"),
        )
        if wanted is not None
    ]
    states = (("READY", until.ready), ("STATUS", until.status))
    words = [
        f"a pod that is {'' if wanted else 'not '}{what}"
        for wanted, what in ((until.frozen, "frozen"), (until.reclaimed, "frozen and reclaimed"))
        if wanted is not None
    ]
    return " or ".join([*named, *words, *(f"{column} {value}" for column, value in states if value is not None)])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
