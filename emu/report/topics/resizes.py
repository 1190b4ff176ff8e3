"""In-place resizes: what was asked for, what the kubelet made of it, and whether an OOM kill followed."""

from __future__ import annotations

from typing import Any

from emu.report.topics.topic import Figures, Listing, Topic
from emu.report.words import labelled
from emu.study.measures import Window, surely_read, times
from emu.study.model.study import Happening, Study
from emu.units import format_bytes, format_seconds

_SAID = {
    "completed": "resized",
    "error": "not resized, as its memory is not below the new limit",
    "deferred": "not resized, as the node has no room for it now",
    "infeasible": "not resized, as the node can never have that much",
}
_UNKNOWN = "not resized, for a reason that this version of emu does not know"
WORTH_A_WORD = 2**20
_OF_CONTAINER = 'attempting to set container "'


def figures(study: Study) -> Figures:
    """`resizes`: each outcome with its time, the memory limit that was asked for, the kubelet's message, and what the
    kernel took from the container meanwhile.
    """
    return {
        "resizes": [
            {
                "time_s": one.t,
                "pod": one.pod or None,
                "container": one.subject.rpartition("/")[2],
                "message": one.text,
                **one.detail,
                "reclaimed_bytes": _reclaimed(study, one),
            }
            for one in study.resizes
            if one.detail["outcome"] != "started"
        ]
    }


def _reclaimed(study: Study, done: Happening) -> int | None:
    """From its begin until it was done; None of one that was refused, or where no sample is of that time."""
    begun = [one.t for one in study.resizes if one.pod == done.pod and one.subject == done.subject and one.t < done.t]
    lines = [
        line
        for owner, line in study.timelines.items()
        if (owner.pod, owner.container.rpartition("/")[2]) == (done.pod, done.subject.rpartition("/")[2])
        and line.t
        and line.t[0] < done.t <= line.t[-1]
    ]
    if done.detail["outcome"] != "completed" or not begun or not lines:
        return None
    window = Window(study, begun[-1], surely_read(lines[-1], done.t))
    return times(window.counted(lines, "reclaimed"), study.machine.page_bytes)


def sentences(study: Study, summary: Figures) -> list[str]:
    """Each outcome; of a refusal the kubelet's words."""
    said = [_sentence(study, one) for one in summary["resizes"]]
    if any(_OF_CONTAINER in one["message"] for one in summary["resizes"] if one["outcome"] == "error"):
        said.append("What the kubelet calls a container's current usage in that message is the whole pod's.")
    return said


def _called(study: Study, one: dict[str, Any]) -> str:
    return labelled(one) if len(study.pods) > 1 else str(one["container"])


def _sentence(study: Study, one: dict[str, Any]) -> str:
    limit = "" if one["memory_max"] is None else f" to a memory limit of {format_bytes(one['memory_max'])}"
    why = "" if one["outcome"] == "completed" else f" ({one['message']})"
    verb = "Resizing" if why else "The resize of"
    done = "was refused" if why else "was done"
    if (taken := one["reclaimed_bytes"] or 0) >= WORTH_A_WORD:
        done += f"; meanwhile the kernel reclaimed {format_bytes(taken)} of its memory"
    return f"{verb} {_called(study, one)}{limit} at {format_seconds(one['time_s'])} {done}{why}."


def headline(study: Study, summary: Figures) -> list[str]:
    """The first that was refused, else the last."""
    found: list[dict[str, Any]] = summary["resizes"]
    shown = [one for one in found if one["outcome"] != "completed"][:1] or found[-1:]
    return [f"{_called(study, one)} was {_outcome(one)}" for one in shown]


def _outcome(one: dict[str, Any]) -> str:
    """`resized to 256 MiB`; of CPU alone without a size."""
    done, comma, why = _SAID.get(one["outcome"], _UNKNOWN).partition(",")
    limit = "" if one["memory_max"] is None else f" to {format_bytes(one['memory_max'])}"
    return f"{done}{limit}{comma}{why}"


def listing(study: Study) -> Listing | None:
    """The resizes, a row each: who, to what limit, and what came of it."""
    rows = tuple(
        (
            format_seconds(one["time_s"]),
            _called(study, one),
            None if one["memory_max"] is None else format_bytes(one["memory_max"]),
            one["outcome"],
            None if one["outcome"] == "completed" else one["message"],
        )
        for one in figures(study)["resizes"]
    )
    return Listing(("at", "container", "memory limit", "outcome", "message"), rows) if rows else None


RESIZES = Topic("Resizes", figures, headline, sentences, listing)
