"""summary.json of a run of a scenario with variants: what each gave, side by side. Pure, from their summaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emu.policy.expectations import VARIANTS, Expectation
from emu.record.rundir import FORMAT
from emu.report.compare.rows import Summary, is_whole, rows_of
from emu.report.compare.words import faster, words


def compare(played: Mapping[str, Summary | None], expectations: Sequence[Expectation], scenario: str) -> Summary:
    """summary.json of the whole. `met`: each variant was played to its end and did what was expected of it, and every
    comparison came true. `interrupted` also where it was between two variants.
    """
    done = [one for one in played.values() if one is not None]
    ended = bool(done) and all(one["ended"] for one in done)
    failed = next((one["failed"] for one in done if one["failed"] is not None), None)
    cut_off = ended and failed is None and len(done) < len(played)
    interrupted = any(one["interrupted"] for one in done) or cut_off
    summary: Summary = {
        "format": FORMAT,
        "emu": _first(done, "emu"),
        "scenario": scenario,
        "met": None,
        "expectations": [],
        "verdict": {},
        "where": _first(done, "where"),
        "wall_time": _first(done, "wall_time"),
        "duration_s": sum(one["duration_s"] for one in done),
        "ended": ended,
        "interrupted": interrupted,
        "failed": failed,
        "machine": _first(done, "machine"),
        VARIANTS: dict(played),
    }
    cut = {name for name, one in played.items() if one is None or not is_whole(one)}
    outcomes = [
        one.check(summary, whole=not any(name.split(".")[1] in cut for name in one.names if name.count(".")))
        for one in expectations
        if one.compares_variants
    ]
    summary["expectations"] = [one.to_data() for one in outcomes]
    whole = ended and not interrupted and failed is None
    summary["met"] = whole and all(one.met for one in outcomes) and all(one["met"] for one in done)
    headline, *sentences = words(rows_of(played))
    sentences += faster({name: one["time_scale"] for name, one in played.items() if one})
    summary["verdict"] = {"headline": headline, "sentences": [*sentences, *_unmet(played)]}
    return summary


def unmet(played: Mapping[str, Summary | None], *, undecided: bool = False) -> list[tuple[str, dict[str, Any]]]:
    """Expectations of single variants that did not come true, with the variant's name; what is `undecided`
    too.
    """
    return [
        (name, one)
        for name, summary in played.items()
        for one in (summary or {}).get("expectations", [])
        if one["met"] is not True and (undecided or one["met"] is False)
    ]


def _first(done: list[Summary], name: str) -> Any:
    return done[0][name] if done else None


def _unmet(played: Mapping[str, Summary | None]) -> list[str]:
    return [f"{name}: {one['what']} was not {one['wanted']}." for name, one in unmet(played)]
