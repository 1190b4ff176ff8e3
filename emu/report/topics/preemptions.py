"""Preemptions: which pods the scheduler removed from the full node for one of higher priority, and when that one got
the node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from emu.report.entry import Entry
from emu.report.topics.topic import Column, Figures, Listing, Topic
from emu.report.words import count, listed
from emu.study.model.study import Happening, Study
from emu.study.pods import workload
from emu.units import format_seconds

_AT_ONCE_S = 0.02
"""What was removed within it was removed in one attempt: between two there is a back-off."""


def figures(study: Study) -> Figures:
    """`preemptions`: each pod that was removed, with its time, for which pod, and how soon that had the node."""
    return {
        "preemptions": [
            {
                "time_s": one.t,
                "pod": one.pod,
                "message": one.text,
                **one.detail,
                "by_scheduled_after_s": _placed_after_s(study, one),
            }
            for one in study.preemptions
        ]
    }


def _placed_after_s(study: Study, one: Happening) -> float | None:
    """How long after it was removed the pod that it made room for had the node; None where it never had."""
    named = (event for event in study.pod_events if event.pod == one.detail["by"] and event.reason == "Scheduled")
    return next((event.first_s - one.t for event in named if event.first_s >= one.t), None)


def headline(study: Study, summary: Figures) -> list[str]:
    """The workloads on both sides: whose pods were removed, and for which."""
    found: list[dict[str, Any]] = summary["preemptions"]
    if not found:
        return []
    first = found[0]
    mine = [one for one in found if workload(one["by"]) == workload(first["by"])]
    whose = Counter((workload(one["pod"]), one["priority"]) for one in mine)
    removed = listed([f"{count(number, 'pod')} of {name} (priority {of})" for (name, of), number in whose.items()])
    more = f", and {len(found) - len(mine)} more for others" if len(found) > len(mine) else ""
    return [
        f"the scheduler removed {removed} to make room for {workload(first['by'])} "
        f"(priority {first['by_priority']}){more}"
    ]


def sentences(study: Study, summary: Figures) -> list[str]:
    """Each pod for which others were removed, and how long it waited for them to end."""
    found: list[dict[str, Any]] = summary["preemptions"]
    return [_sentence([one for one in found if one["by"] == by]) for by in dict.fromkeys(one["by"] for one in found)]


def _sentence(mine: list[dict[str, Any]]) -> str:
    first, by = mine[0], mine[0]["by"]
    went = listed([_named(one, first["time_s"]) for one in mine])
    ended = f"{by} never got the node."
    if (after_s := first["by_scheduled_after_s"]) is not None:
        they = "it" if len(mine) == 1 else "they"
        ended = f"{by} got the node {format_seconds(after_s)} later, once {they} had ended."
    at, priority = format_seconds(first["time_s"]), first["by_priority"]
    return f"At {at} the node had no room for {by} (priority {priority}), and the scheduler removed {went}. {ended}"


def _named(one: dict[str, Any], first_s: float) -> str:
    """With its time where that was a later attempt: another pod had taken the room."""
    later = f" at {format_seconds(one['time_s'])}" if one["time_s"] - first_s >= _AT_ONCE_S else ""
    return f"{one['pod']} (priority {one['priority']}){later}"


def listing(study: Study) -> Listing | None:
    """One row for each pod that was removed."""
    heads = (
        "at",
        Column("removed", number=False),
        "priority",
        Column("for", number=False),
        "its priority",
        "had the node after",
    )
    rows = tuple(
        (
            format_seconds(one.t),
            one.pod,
            one.detail["priority"],
            one.detail["by"],
            one.detail["by_priority"],
            None if (after_s := _placed_after_s(study, one)) is None else format_seconds(after_s),
        )
        for one in study.preemptions
    )
    return Listing(heads, rows) if rows else None


def log(study: Study) -> Iterator[Entry]:
    """Each, in the scheduler's words."""
    for one in study.preemptions:
        detail = {"pod": one.pod, **one.detail}
        yield Entry(one.t, "emu", f"{one.pod} (priority {one.detail['priority']}): {one.text}", detail)


PREEMPTIONS = Topic("Preemptions", figures, headline, sentences, listing, log=log)
