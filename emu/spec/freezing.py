"""Phases that wait for the freezer need one that does what they wait for."""

from __future__ import annotations

from collections.abc import Iterable

from emu.spec.freezer import FreezerSpec
from emu.spec.load import PhaseModel
from emu.spec.values import SpecError


def check(phases: Iterable[PhaseModel], freezer: FreezerSpec | None) -> None:
    """SpecError where a phase waits for what cannot happen."""
    for index, phase in enumerate(phases):
        until = phase.until
        if until is None or (until.frozen is None and until.reclaimed is None):
            continue
        key = "frozen" if until.reclaimed is None else "reclaimed"
        at = ("load", "phases", index, "until", key)
        if freezer is None:
            raise SpecError(
                f"no freezer is there to wait for: phase {phase.name!r} has `until: {{ {key}: … }}`",
                why="the pod has no `freezer`, so it is never frozen",
                fix="add `pod.freezer`, or wait for something else",
                at=at,
            )
        if until.reclaimed is not None and not freezer.reclaim:
            raise SpecError(
                f"phase {phase.name!r} waits for memory to be reclaimed, and none ever is",
                why="`pod.freezer.reclaim` has no step",
                fix="add a step to it, such as `- { amount: all, after: 1s }`, or wait for `frozen: true`",
                at=at,
            )
