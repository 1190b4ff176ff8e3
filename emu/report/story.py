"""The verdict that a person can repeat aloud: a headline, and the sentences that support it.

Every number comes from the study; where something was not recorded the sentence is left out or says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from emu.report.topics.containers import ended, exits, forced, stop_words
from emu.report.topics.kills import kill_headline
from emu.report.topics.machine import machine_headline
from emu.report.topics.page_cache import PAGE_CACHE
from emu.report.topics.registry import in_words
from emu.report.topics.requests import BROUGHT, TOO_SLOW, answers_headline, bound_headline
from emu.report.topics.stalls import stall_headline
from emu.report.words import of_limit
from emu.study.model.study import Study
from emu.study.restraints import bound, describe, held_back, hinders
from emu.study.stalls import stalls
from emu.units import format_seconds


@dataclass
class Story:
    """What happened, in words."""

    headline: str
    sentences: list[str] = field(default_factory=list)


def compose(study: Study, summary: dict[str, Any]) -> Story:
    """The story of a run, from its study and its numbers (those of `emu.report.summary`)."""
    if not study.instances and not study.timelines:
        return Story("Nothing to report: the run has no record of a container", _notes(study))
    story = Story(f"{_failure(study)}{bound_headline(study)}{_headline(study, summary)}")
    for topic in in_words():
        story.sentences += topic.sentences(study, summary)
    story.sentences += _faster(study)
    story.sentences += _lost(study)
    story.sentences += _notes(study)
    story.sentences = [text for text in story.sentences if text.rstrip(".") not in story.headline]
    if story.headline.startswith(TOO_SLOW):  # with the figures of the phase that this is about
        story.sentences = [text for text in story.sentences if not text.startswith(BROUGHT)]
    return story


def _faster(study: Study) -> list[str]:
    if study.time_scale == 1:
        return []
    return [f"The control plane was {study.time_scale:g} times as fast as in a cluster (timeScale)."]


def _failure(study: Study) -> str:
    """Why the run could not go on, before what is known of it."""
    failed = study.failed
    return (
        "" if failed is None else f"The run could not continue after {format_seconds(failed.time_s)}: {failed.what}. "
    )


def _headline(study: Study, summary: dict[str, Any]) -> str:
    if study.kills:
        return kill_headline(study)
    if said := exits(study, summary):
        clauses = [said[0].rstrip("."), *stall_headline(study), *_hindered(study)]
        answer = PAGE_CACHE.headline(study, summary) if all(one.exit_code == 0 for one in ended(study)) else []
        return "; ".join([*answer, *clauses])
    killed = [entry for entry in study.instances if forced(entry)]
    if killed:
        text = stop_words(killed[0]).rstrip(".")
        return "; ".join([text, *answers_headline(study)])
    parts = next((said for topic in in_words() if (said := topic.headline(study, summary))), [])
    parts = [*parts, *_hindered(study)] or _nearest(study, summary)
    parts += machine_headline(study)
    parts += answers_headline(study)
    watched = any(entry["oom_kills"] is not None for entry in summary["containers"].values())
    verdict = "Nothing was killed" if watched else "Whether a process was killed was not recorded"
    verdict = (
        verdict
        if study.ended and study.failed is None
        else f"As far as it was recorded, {verdict[0].lower()}{verdict[1:]}"
    )
    return f"{verdict}: {'; '.join(parts)}" if parts else verdict


def _hindered(study: Study) -> list[str]:
    """What held containers back, as far as it slowed them, and is not reported with a stall."""
    mentioned = {(stall.container, stall.why) for stall in stalls(study)}
    return [
        describe(name, one)
        for name in study.containers
        for one in held_back(study, name)
        if hinders(one) and (name, one.by) not in mentioned
    ]


def _nearest(study: Study, summary: dict[str, Any]) -> list[str]:
    """The container that came nearest to its limit; without limits, the one that held most."""
    known = []
    for name in study.containers:
        figures = summary["containers"][name]
        peak, (limit, which) = figures["memory_peak_bytes"], bound(figures)
        if peak is not None:
            near = peak / limit if limit else 0.0
            known.append((near, peak, f"{name} peaked at {of_limit(peak, limit)}{f' ({which})' if which else ''}"))
    return [max(known)[2]] if known else []


def _lost(study: Study) -> list[str]:
    """What was lost on the way, and why."""
    return (
        []
        if study.failed is None
        else [f"{study.failed.what[0].upper()}{study.failed.what[1:]}: {study.failed.why}."]
    )


def _notes(study: Study) -> list[str]:
    serious = [note for note in study.notes if note.detail.get("level") in ("warning", "error")]
    words = [f"{note.text} ({note.detail['why']})" if note.detail.get("why") else note.text for note in serious]
    return [f"Note: {text}." for text in dict.fromkeys(words)]
