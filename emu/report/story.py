"""The verdict that a person can repeat aloud: a headline, and the sentences that support it.

Every number comes from the study; where something was not recorded the sentence is left out or says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from emu.report.topics.ends import ended, exits_headline, forced, stop_words
from emu.report.topics.evictions import EVICTIONS
from emu.report.topics.held_back import hindered
from emu.report.topics.kill_headline import FULL, kill_headline
from emu.report.topics.latency import BROUGHT
from emu.report.topics.machine import machine_headline
from emu.report.topics.never_ready import headlines as never_ready
from emu.report.topics.page_cache import PAGE_CACHE
from emu.report.topics.preemptions import PREEMPTIONS
from emu.report.topics.registry import in_words
from emu.report.topics.requests import TOO_SLOW, answers_headline, bound_headline, failed_of_all, failures_headline
from emu.report.topics.run import serious_notes
from emu.report.topics.stalls import stall_headline
from emu.report.words import NO_KILL, capital, of_limit
from emu.study.model.study import Study
from emu.study.restraints import bound
from emu.units import format_seconds


@dataclass
class Story:
    """What happened, in words."""

    headline: str
    sentences: list[str] = field(default_factory=list)


def compose(study: Study, summary: dict[str, Any]) -> Story:
    """The story of a run, from its study and its numbers (those of `emu.report.summary`)."""
    if not study.instances and not study.timelines:
        return Story("Nothing to report: the run has no record of a container", serious_notes(study))
    story = Story(f"{_failure(study)}{bound_headline(study)}{_headline(study, summary)}")
    for topic in in_words():
        story.sentences += topic.sentences(study, summary)
    story.sentences = [text for text in story.sentences if text.rstrip(".").lower() not in story.headline.lower()]
    if story.headline.startswith(TOO_SLOW):  # with the figures of the phase that this is about
        story.sentences = [text for text in story.sentences if not text.startswith(BROUGHT)]
    return story


def _failure(study: Study) -> str:
    """Why the run ended early, before what is known of it."""
    failed = study.failed
    return (
        "" if failed is None else f"The run could not continue after {format_seconds(failed.time_s)}: {failed.what}. "
    )


def _headline(study: Study, summary: dict[str, Any]) -> str:
    if study.kills:
        # Of those that were in flight at the kill it has their number.
        answers = failures_headline(study) if study.kills[0].in_flight else answers_headline(study)
        # Requests to a container that was not killed failed for what held that one back.
        killed_ones = {kill.container for kill in study.kills}
        others = hindered(study, killed_ones) if failed_of_all(study) else []
        return "; ".join([kill_headline(study), *others, *answers])
    if said := exits_headline(study, summary):
        # A revision that was never ready has the end of its app as the reason.
        clauses = [*(never_ready(study) or said), *stall_headline(study), *hindered(study)]
        answer = PAGE_CACHE.headline(study, summary) if all(one.exit_code == 0 for one in ended(study)) else []
        return "; ".join([*answer, *clauses, *answers_headline(study)])
    killed = [entry for entry in study.instances if forced(entry)]
    if killed:
        text = stop_words(study, killed[0]).rstrip(".")
        return "; ".join([text, *answers_headline(study)])
    removed = [*EVICTIONS.headline(study, summary), *PREEMPTIONS.headline(study, summary)]
    parts = next((said for topic in in_words() if (said := topic.headline(study, summary))), [])
    parts = [*(one for one in parts if one not in removed), *hindered(study)]
    near, nearest = _nearest(study, summary)
    # Where nothing held a container back, requests that failed are what the run is about.
    failed = failures_headline(study) if not (parts or removed) and near < FULL else []
    answers = [] if failed else answers_headline(study)
    nearest = [] if removed else nearest
    parts = [*failed, *(parts or nearest), *machine_headline(study), *answers]
    watched = any(entry["oom_kills"] is not None for entry in summary["containers"].values())
    whole = study.ended and study.failed is None
    nothing = NO_KILL if whole else f"As far as it was recorded, {NO_KILL[0].lower()}{NO_KILL[1:]}"
    verdict = nothing if watched else "Whether a process was killed was not recorded"
    if removed:  # whose pods were ended, in order, though the kernel killed nothing
        return "; ".join([capital(removed[0]), *removed[1:], *parts, f"{verdict[0].lower()}{verdict[1:]}"])
    return f"{verdict}: {'; '.join(parts)}" if parts else verdict


def _nearest(study: Study, summary: dict[str, Any]) -> tuple[float, list[str]]:
    """The container that came nearest to its limit, and how near; without limits, the one that held most."""
    known = []
    for name in study.containers:
        figures = summary["containers"][name]
        peak, (limit, which) = figures["memory_peak_bytes"], bound(figures)
        if peak is not None:
            near = peak / limit if limit else 0.0
            known.append((near, peak, f"{name} peaked at {of_limit(peak, limit)}{f' ({which})' if which else ''}"))
    near, _, words = max(known, default=(0.0, 0, ""))
    return near, [words] if words else []
