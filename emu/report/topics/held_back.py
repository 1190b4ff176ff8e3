"""What held containers back, short of a kill: limits, swap, processors, devices, and the machine itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from emu.report.entry import Entry
from emu.report.topics.topic import Column, Figures, Listing, Name, Note, Part, Size, Topic, View, pod_section
from emu.report.words import moment
from emu.study.model.study import Study
from emu.study.restraints import HeldBack, describe, held_back, hinders, node_io_max, restraint_sentences
from emu.study.stalls import stalls
from emu.units import format_seconds


def hindered(study: Study, without: Collection[str] = ()) -> list[str]:
    """For a headline: what slowed containers (but for those `without`), and is not reported with a stall."""
    mentioned = {(stall.container, stall.why) for stall in stalls(study)}
    of_containers = [
        describe(name, one)
        for name in study.containers
        if name not in without
        for one in held_back(study, name)
        if hinders(one) and (name, one.by) not in mentioned
    ]
    return [*of_containers, *(describe("the node", one) for one in node_io_max(study))]


def notes(summary: Figures) -> Iterator[Note]:
    """A line for each, on the terminal."""
    for name, known in summary["containers"].items():
        for one in known["held_back"]:
            yield Note(f"held back: {describe(name, HeldBack(**one))}", "terminal", "warning")


def parts(view: View) -> Iterator[Part]:
    """A row for each, on the page."""
    if view.study.instances:
        yield _table(view.summary)


def _table(summary: Figures) -> Listing:
    rows = tuple(
        (
            Name(name),
            one["by"],
            None if one["bound_bytes"] is None else Size(one["bound_bytes"]),
            one["times"],
            moment(one["first_s"]),
            None if one["seconds"] is None else format_seconds(one["seconds"]),
        )
        for name, known in summary["containers"].items()
        for one in known["held_back"]
    )
    heads = ("", Column("by", number=False), "limit", "times", "from", "for")
    return Listing(heads, rows, title="Held back", place="page", whole=True)


def log(study: Study) -> Iterator[Entry]:
    """When each began."""
    for name in study.containers:
        for one in held_back(study, name):
            if one.first_s is not None:
                detail = {"container": name, "by": one.by, "times": one.times, "seconds": one.seconds}
                yield Entry(one.first_s, "emu", f"from here on: {describe(name, one)}", detail)


HELD_BACK = Topic("Held back", sentences=restraint_sentences, more=parts, section=pod_section, log=log)
"""On the terminal it is a part of memory's table, which is where `notes` are."""
