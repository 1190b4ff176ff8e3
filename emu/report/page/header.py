"""The top of a page: whether all came true, the verdict with its figures, the story, and what was expected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.policy.expectations import show_figure, show_wanted
from emu.report.page.html import Markup, element, folded, join, table, unbroken, value_of
from emu.report.topics.requests import failed_of_all
from emu.report.words import NO_KILL, place_words, time_scale_words
from emu.study.model.study import Study
from emu.units import format_seconds

LONGEST_HEADING = 120


def header(study: Study, summary: dict[str, Any]) -> Markup:
    """The verdict in a line, the story in sentences, and what was expected."""
    place = place_words(study.where, study.machine.accelerator)
    scenario = study.scenario or summary.get("scenario")
    place = f"{place}, as processes" if study.machine.runtime == "process" else place
    line = [scenario, study.wall_time, place, study.machine.kernel and f"Linux {study.machine.kernel}"]
    line.append(f"{format_seconds(study.duration_s)} long" if study.duration_s else None)
    line.append(time_scale_words(study.time_scale))
    where = element("p", " · ".join(str(part) for part in line if part), class_="where")
    verdict = summary.get("verdict") or {}
    said, failed = verdict.get("headline") or _plain_headline(study), failed_of_all(study)
    heading = headline(_chip(study, summary), said, f", but {failed} failed" if failed else "")
    story = element(
        "div", join(element("p", unbroken(said)) for said in verdict.get("sentences") or []), class_="story"
    )
    broken = [element("p", said, class_="missing") for said in _broken(study)]
    return element("header", join([where, heading, *broken, story, expectations(summary)]))


def headline(chip: Markup, said: str, but: str = "") -> Markup:
    """Whether all came true, the verdict in a few words, and under it the figures that go with it. That nothing was
    killed is not all of it where there is a `but`.
    """
    short, colon, figures = said.partition(": ")
    if colon and short.lower().endswith(NO_KILL.lower()):
        short += but
    if not colon or len(short) > LONGEST_HEADING:
        short, figures = said, ""
    lead = element("p", unbroken(f"{figures}."), class_="lead") if figures else ""
    return join([element("p", chip, class_="outcome"), element("h1", unbroken(short)), lead])


def _chip(study: Study, summary: dict[str, Any]) -> Markup:
    if study.interrupted:
        return element("span", "interrupted", class_="verdict unmet")
    if study.failed:
        return element("span", "could not continue", class_="verdict unmet")
    if not summary.get("expectations"):
        return element("span", "no expectations", class_="verdict none")
    met = bool(summary.get("met"))
    if not study.ended and not any(one.get("met") is False for one in summary["expectations"]):
        return element("span", "? not decided", class_="verdict none")
    return element("span", "✓ as expected" if met else "✗ not as expected", class_=f"verdict {_class(met)}")


def _class(met: object) -> str:
    return "met" if met else "unmet"


_MARKS = {True: "✓ met", False: "✗ not met", None: "? not decided"}


def _plain_headline(study: Study) -> str:
    if not study.instances and not study.timelines:
        return "Nothing was recorded in this run."
    kills = len(study.kills)
    return f"{kills} OOM kill{'' if kills == 1 else 's'} in {format_seconds(study.duration_s)}."


def _broken(study: Study) -> Iterator[str]:
    if study.interrupted:
        yield "The run was interrupted before its end; what follows is what was recorded up to then."
    elif study.failed:
        yield "What follows is what was recorded up to then."
    elif not study.ended:
        yield "The run did not end in order: its last records may be missing."


def expectations(summary: dict[str, Any]) -> Markup:
    """The expectations and what came of them; empty where there were none."""
    expected = summary.get("expectations") or []
    if not expected:
        return Markup("")
    unmet = [one for one in expected if not one.get("met")]
    met = [one for one in expected if one.get("met")]
    parts = [_expected(unmet)] if unmet else []
    if met:
        number = len(met)
        said = f"all {number} expectations were met" if number > 1 else "the expectation was met"
        more = f"{number} more {'was' if number == 1 else 'were'} met"
        parts.append(folded(f"✓ {more if unmet else said}", _expected(met)))
    return join(parts)


def _expected(some: list[dict[str, Any]]) -> Markup:
    rows = [
        (
            element("span", _MARKS[one.get("met")], class_="" if one.get("met") is None else _class(one["met"])),
            element("code", one.get("what")),
            show_wanted(str(one.get("what")), str(one.get("wanted"))),
            _got(one),
        )
        for one in some
    ]
    return table(["", "expected", "wanted", "got"], rows)


def _got(one: dict[str, Any]) -> object:
    if one.get("got") is not None:
        return value_of(str(one.get("what")), one["got"])
    return one.get("why") or show_figure(str(one.get("what")), None, met=one.get("met"))
