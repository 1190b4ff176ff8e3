"""Which names summary.json will have for a scenario, known before it is played: for misspelt expectations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from emu.policy.expectations import COUNT, COUNTED
from emu.record.events import Owner, ScaleDecided
from emu.record.rundir import RunDir
from emu.record.samples import NODE
from emu.report.summary import summarize
from emu.spec import ScenarioSpec
from emu.study.model.freezes import FreezerUse
from emu.study.model.instances import Instance
from emu.study.model.kills import OomVerdict
from emu.study.model.requests import PhaseSpan
from emu.study.model.scaling import ScaleUse
from emu.study.model.services import Service
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline

_OPEN = (*COUNTED, "reasons", "failure_kinds", "temperatures", "stages_ms")
"""Mappings whose keys are what a run meets."""
_ELEMENTS = {"oom_kills": tuple(entry.name for entry in fields(OomVerdict))}


def names_of(spec: ScenarioSpec) -> dict[str, Any]:
    """The summary of a run of the scenario in which nothing happened: its names are those of every run."""
    study = Study(RunDir(Path(spec.name)), requests=[])
    for pod, made in spec.each_pod.items():
        for name in made.containers:
            study.instances.append(Instance(name, 0, pod=pod))
            owner = Owner(pod, name, 0)
            study.timelines[owner] = Timeline(owner)
        study.timelines[Owner(pod, "", None)] = Timeline(Owner(pod, "", None))
    study.node = Timeline(NODE) if spec.watches_node else None
    study.phases = [PhaseSpan(phase.name, 0.0, 0.0, 0.0) for phase in spec.load.phases]
    study.freezer = None if spec.pod.freezer is None else FreezerUse()
    study.services = [
        Service(one.service, one.name, (ScaleDecided(t=0.0, service=one.service, revision=one.name),))
        for one in spec.each_revision.values()
        if one.spec.autoscaling is not None
    ]
    asked = (one.spec.autoscaling for one in spec.each_revision.values())
    study.scaling = ScaleUse() if any(one is not None and not one.is_hpa for one in asked) else None
    found = summarize(study)
    return {**found, "pods": {}} if spec.services else found  # each of its pods has a name that only the run knows


def unknown_in(names: Mapping[str, Any], name: str) -> tuple[str, str, list[str]] | None:
    """The first part of a name that no run has, where it stands, and what is there instead; None where all of it may
    be. Below what only some runs have anything may be.
    """
    found: Any = names
    parts = name.split(".")
    for depth, part in enumerate(parts):
        here = ".".join(parts[:depth])
        if part == COUNT and isinstance(found, Mapping | list):
            return None
        if isinstance(found, list):
            known = _ELEMENTS.get(here, ())
            after = parts[depth + 1 : depth + 2]
            return (after[0], f"{here}.{part}", list(known)) if known and after and after[0] not in known else None
        if not isinstance(found, Mapping):
            return None if found is None else (part, here, [])
        if part not in found:
            is_open = not found or (depth > 0 and parts[depth - 1] in _OPEN)
            return None if is_open else (part, here or "summary.json", [str(one) for one in found])
        found = found[part]
    return None
