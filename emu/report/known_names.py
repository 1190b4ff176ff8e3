"""Which names summary.json will have for a scenario, known before it is played: for misspelt expectations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
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


@dataclass(frozen=True)
class _Outline:
    """What the names depend on, of a scenario: many scenarios and all mistakes in their values have the same one."""

    containers: tuple[tuple[str, tuple[str, ...]], ...]
    """Each pod with its containers."""
    phases: tuple[str, ...]
    scaled: tuple[tuple[str, str], ...]
    """Service and revision that an autoscaler decides for."""
    has_node: bool
    has_freezer: bool
    has_kpa: bool
    has_services: bool


def names_of(spec: ScenarioSpec) -> Mapping[str, Any]:
    """The summary of a run of the scenario in which nothing happened: its names are those of every run."""
    asked = [(one, one.spec.autoscaling) for one in spec.each_revision.values()]
    return _names_of(
        _Outline(
            containers=tuple((pod, tuple(made.containers)) for pod, made in spec.each_pod.items()),
            phases=tuple(phase.name for phase in spec.load.phases),
            scaled=tuple((one.service, one.name) for one, autoscaling in asked if autoscaling is not None),
            has_node=spec.watches_node,
            has_freezer=spec.pod.freezer is not None,
            has_kpa=any(autoscaling is not None and not autoscaling.is_hpa for _, autoscaling in asked),
            has_services=bool(spec.services),
        )
    )


@lru_cache(maxsize=100)
def _names_of(outline: _Outline) -> Mapping[str, Any]:
    study = Study(RunDir(Path("run")), requests=[])
    for pod, containers in outline.containers:
        for name in containers:
            study.instances.append(Instance(name, 0, pod=pod))
            owner = Owner(pod, name, 0)
            study.timelines[owner] = Timeline(owner)
        study.timelines[Owner(pod, "", None)] = Timeline(Owner(pod, "", None))
    study.node = Timeline(NODE) if outline.has_node else None
    study.phases = [PhaseSpan(name, 0.0, 0.0, 0.0) for name in outline.phases]
    study.freezer = FreezerUse() if outline.has_freezer else None
    study.services = [
        Service(service, name, (ScaleDecided(t=0.0, service=service, revision=name),))
        for service, name in outline.scaled
    ]
    study.scaling = ScaleUse() if outline.has_kpa else None
    found = summarize(study)
    # Each pod of a service has a name that only the run knows.
    return {**found, "pods": {}} if outline.has_services else found


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
