"""The run itself: what it noted, what was lost on the way, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from emu.report.entry import Entry
from emu.report.topics.topic import Figures, Topic
from emu.report.words import capital
from emu.study.model.study import Study


def sentences(study: Study, summary: Figures) -> list[str]:
    """How fast its clock was, what was lost and why, and what it noted."""
    failed = study.failed
    lost = [] if failed is None else [f"{capital(failed.what)}: {failed.why}."]
    return [*_faster(study), *lost, *serious_notes(study)]


def _faster(study: Study) -> list[str]:
    if study.time_scale == 1:
        return []
    return [f"The control plane was {study.time_scale:g} times as fast as in a cluster (timeScale)."]


def serious_notes(study: Study) -> list[str]:
    """Its warnings and errors."""
    serious = [note for note in study.notes if note.detail.get("level") in ("warning", "error")]
    words = [f"{note.text} ({note.detail['why']})" if note.detail.get("why") else note.text for note in serious]
    return [f"Note: {text}." for text in dict.fromkeys(words)]


def log(study: Study) -> Iterator[Entry]:
    """What it noted, and its end."""
    for note in study.notes:
        why = f": {note.detail['why']}" if note.detail.get("why") else ""
        yield Entry(note.t, "emu", f"{note.detail.get('level', 'note')}: {note.text}{why}", note.detail)
    if study.failed is not None:
        failed = study.failed
        yield Entry(failed.time_s, "emu", f"the run could not continue: {failed.what}: {failed.why}", asdict(failed))
    if study.ended:
        yield Entry(study.duration_s, "emu", "run was interrupted" if study.interrupted else "run ended")


RUN = Topic("Run", sentences=sentences, log=log)
