"""Evictions: which pod the kubelet ended because the node was short of memory, what it said, how much of what it
counted as used was page cache, and since when it had the node's condition MemoryPressure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from emu.policy.quantity import parse_amount
from emu.report.entry import Entry
from emu.report.topics.topic import Figures, Listing, Topic
from emu.report.words import listed
from emu.study.counters import value_at
from emu.study.model.study import Happening, Study
from emu.study.model.timeline import Timeline
from emu.study.working_sets import Moment, moment
from emu.units import format_bytes, format_seconds

MUCH_BYTES = 16 * 2**20
"""From so much page cache on, it is worth a word."""
NAMED = 3
"""Evicted pods that a headline names, in order; of more it has the number."""
_SAID = re.compile(r"Threshold quantity: (\S+), available: (\S+)\. ")


def figures(study: Study) -> Figures:
    """`evictions`: each with its time, the kubelet's message, and the active page cache that it counted as used.
    `node_conditions`: each change of one.
    """
    return {
        "node_conditions": [{"time_s": one.t, **one.detail, "message": one.text} for one in study.node_conditions],
        "evictions": [
            {
                "time_s": one.t,
                "pod": one.pod,
                "message": one.text,
                **one.detail,
                "active_file_bytes": moment(study, one.t).node.active_file_bytes,
            }
            for one in study.evictions
        ],
    }


def headline(study: Study, summary: Figures) -> list[str]:
    """The first ones, and whether anything was short."""
    found: list[dict[str, Any]] = summary["evictions"]
    if not found:
        return []
    named = ", then ".join(str(one["pod"]) for one in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    said = f"the kubelet evicted the pod {named}{more} because the node was low on memory"
    cache = _needless(study.evictions[0], moment(study, study.evictions[0].t))
    if cache is None:
        return [said]
    return [f"{said}, though {format_bytes(cache)} of what it counted as used was page cache that can be dropped"]


def _needless(one: Happening, then: Moment) -> int | None:
    """The active page cache that it counted as used, where there would have been enough without it; else None."""
    cache, said = then.node.active_file_bytes, _SAID.search(one.text)
    if cache is None or cache < MUCH_BYTES or said is None:
        return None
    try:
        threshold, available = map(parse_amount, said.groups())
    except ValueError:  # the record is damaged
        return None
    return cache if available + cache >= threshold else None


def sentences(study: Study, summary: Figures) -> list[str]:
    """Each, with the kubelet's words; and why the first did not help."""
    said = [
        f"The kubelet evicted the pod {one['pod']} at {format_seconds(one['time_s'])}: {one['message'].strip()}"
        for one in summary["evictions"]
    ]
    return [*said, *_not_helped(study), *_under_pressure(study)]


def _under_pressure(study: Study) -> Iterator[str]:
    """`The node had the condition MemoryPressure from 10.02 s on: kubelet has insufficient memory available.`"""
    for one, after in pairwise([*study.node_conditions, None]):
        if one is not None and one.detail["status"]:
            until = "on" if after is None else f"to {format_seconds(after.t)}"
            said = f"The node had the condition {one.detail['condition']} from {format_seconds(one.t)} {until}"
            yield f"{said}: {one.text}."


def _not_helped(study: Study) -> Iterator[str]:
    """That page cache of evicted pods stayed charged to the node, where the kubelet kept evicting for it."""
    for number, one in enumerate(study.evictions[1:], 1):
        then = moment(study, one.t)
        gone = {each.pod for each in study.evictions[:number]}
        held = [_active(line, one.t) for line in study.pod_timelines if line.owner.pod not in gone]
        left = (then.node.active_file_bytes or 0) - sum(held)
        if _needless(one, then) is not None and left >= MUCH_BYTES:
            yield (
                f"The eviction of {listed(sorted(gone))} left {format_bytes(left)} of active page cache charged to "
                f"the node, so {one.pod} was evicted too: page cache goes with its file, or as memory is needed."
            )
            return


def _active(line: Timeline, t: float) -> int:
    return value_at(line.t, line.active_file, t) or 0


def listing(study: Study) -> Listing | None:
    """The evictions, a row each, with the kubelet's message."""
    rows = tuple((format_seconds(one.t), one.pod, one.text.strip()) for one in study.evictions)
    return Listing(("at", "pod", "message"), rows) if rows else None


def log(study: Study) -> Iterator[Entry]:
    """Each, with the kubelet's words, and the node's conditions."""
    for one in study.evictions:
        yield Entry(one.t, "emu", one.text, one.detail)
    for one in study.node_conditions:
        text = f"node condition {one.detail['condition']}={one.detail['status']} ({one.detail['reason']}): {one.text}"
        yield Entry(one.t, "kubelet", text, one.detail)


EVICTIONS = Topic("Evictions", figures, headline, sentences, listing, log=log)
