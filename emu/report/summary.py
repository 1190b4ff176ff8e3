"""summary.json: a run in numbers. Its names are what expectations, scripts and other tools build on.

Bytes are ints, times seconds since the run began unless the name says otherwise, and a figure that was not measured
is null, never 0. Names are only ever added.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from emu import __version__
from emu.errors import EmuError
from emu.files.named import read_text
from emu.files.yamlfile import parse
from emu.policy.expectations import Expectation, parse_expectation
from emu.record.rundir import FORMAT, RunDir
from emu.report.story import compose
from emu.report.topics.phases import load_figures
from emu.report.topics.registry import figures_of
from emu.study.measures import rounded
from emu.study.model.study import Study
from emu.study.pods import named

Summary = dict[str, Any]


def summarize(
    study: Study, expectations: Sequence[Expectation] = (), warm_up: Collection[str] = frozenset()
) -> Summary:
    """Everything summary.json says. In a run of several workloads containers are called `workload/container`.
    `met`: the run ended in order, and all that was expected of it came true. `warm_up`: phases that only prepared the
    pod.
    """
    words = named(study)
    summary: Summary = {
        "format": FORMAT,
        "emu": {"recorded": study.emu, "studied": __version__, "record_format": study.format},
        "run_id": study.run_id,
        "scenario": study.scenario,
        "met": None,
        "expectations": [],
        "verdict": {},
        "where": study.where,
        "wall_time": study.wall_time,
        "duration_s": study.duration_s,
        "time_scale": study.time_scale,
        "ended": study.ended,
        "interrupted": study.interrupted,
        "failed": asdict(study.failed) if study.failed else None,
        "machine": {
            **{name: value for name, value in asdict(study.machine).items() if name != "devices"},
            "swaps_to": study.machine.swaps_to,
        },
        **figures_of(study),
        "load": load_figures(words, warm_up),
        "recorder": asdict(study.recorder) if study.recorder else None,
        "notes": [{"time_s": note.t, "what": note.text, **note.detail} for note in study.notes],
    }
    summary = rounded(summary)
    whole = study.ended and not study.interrupted and study.failed is None
    outcomes = [expectation.check(summary, whole=whole) for expectation in expectations]
    summary["expectations"] = [outcome.to_data() for outcome in outcomes]
    summary["met"] = whole and all(outcome.met for outcome in outcomes)
    story = compose(words, summary)
    summary["verdict"] = {"headline": story.headline, "sentences": list(story.sentences)}
    return summary


def write_summary(run: RunDir, summary: Summary) -> None:
    """Write summary.json, whole or not at all."""
    run.write_whole(run.summary, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def recorded_expectations(run: RunDir) -> list[Expectation]:
    """What the scenario of a finished run expected; a line that this version cannot read is left out."""
    found: list[Expectation] = []
    for name, text in _mapping(_recorded_scenario(run).get("expect")).items():
        try:
            found.append(parse_expectation(str(name), text))
        except ValueError:
            continue
    return found


def recorded_warm_up(run: RunDir) -> frozenset[str]:
    """The phases of a finished run that its scenario calls a warm-up."""
    phases = _mapping(_recorded_scenario(run).get("load")).get("phases")
    listed = phases if isinstance(phases, list) else []
    return frozenset(str(one.get("name")) for one in listed if isinstance(one, Mapping) and one.get("warmUp"))


def recorded_name(run: RunDir) -> str:
    """What the scenario of a finished run is called; the folder's name where that is not on record."""
    name = _recorded_scenario(run).get("name")
    return name if isinstance(name, str) and name else run.path.name


def recorded_variants(run: RunDir) -> list[str]:
    """The variants of a finished run in the order of its scenario; those with a folder where it cannot be read."""
    variants = _mapping(_recorded_scenario(run).get("variants"))
    return list(variants) or sorted(path.name for path in run.variants.iterdir() if path.is_dir())


def _recorded_scenario(run: RunDir) -> Mapping[str, Any]:
    try:
        return _parsed(read_text(run.scenario), str(run.scenario))
    except EmuError:  # it is not there any more, or is damaged
        return {}


@lru_cache(maxsize=16)
def _parsed(text: str, source: str) -> Mapping[str, Any]:
    """Its expectations, phases and name are asked for one after the other, those of variants in between."""
    return _mapping(parse(text, source).plain())


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
