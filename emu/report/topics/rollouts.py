"""Rollouts of a service: when traffic was to move to other revisions, and when it did."""

from __future__ import annotations

from collections.abc import Iterator

from emu.policy.routing import in_words, weights
from emu.report.entry import Entry
from emu.report.topics.topic import Column, Figures, Listing, Part, View
from emu.report.words import count, listed
from emu.study.model.services import Rollout
from emu.study.model.study import Study
from emu.units import format_seconds


def rollout_figures(one: Rollout) -> Figures:
    """What summary.json has of one."""
    return {
        "asked_s": one.asked_s,
        "moved_s": one.moved_s,
        "waited_for": ", ".join(one.waits_for) or None,
        "steps": len(one.steps),
        "traffic": weights(one.traffic),
    }


def rollout_words(one: Rollout) -> str:
    """A rollout in one sentence: when it was asked for, and when traffic moved."""
    traffic = in_words(one.traffic)
    ready = listed(list(one.waits_for))
    if one.steps:
        return _gradual(one, f" waited for {ready} to be ready, and" if ready else "")
    if one.moved_s is None:
        asked = f"A rollout of {one.service} was asked for at {one.asked_s:.3f} s ({traffic})"
        return f"{asked}, and {ready} did not become ready."
    if not ready:
        return f"A rollout of {one.service} took effect at once, at {one.moved_s:.3f} s: {traffic}."
    took = format_seconds(one.moved_s - one.asked_s)
    return f"A rollout of {one.service} waited {took} for {ready} to be ready, until {one.moved_s:.3f} s: {traffic}."


def _gradual(one: Rollout, waited: str) -> str:
    """Of one in steps: how many, from when to when."""
    first, last = one.steps[0], one.steps[-1]
    done = (
        f"to the last at {last.t:.3f} s"
        if one.moved_s is not None
        else f"and was not done at the last of them, at {last.t:.3f} s"
    )
    steps = count(len(one.steps), "step")
    return (
        f"A rollout of {one.service}, asked for at {one.asked_s:.3f} s,{waited} moved traffic in {steps} from "
        f"{first.t:.3f} s {done}: {in_words(last.traffic)}."
    )


def rollout_parts(view: View) -> Iterator[Part]:
    """The table of rollouts."""
    if view.study.rollouts:
        rows = tuple(
            (
                f"{one.asked_s:.3f} s",
                one.service,
                in_words(one.traffic),
                ", ".join(one.waits_for) or None,
                len(one.steps) or None,
                "not in this run" if one.moved_s is None else f"{one.moved_s:.3f} s",
            )
            for one in view.study.rollouts
        )
        texts = (Column(head, number=False) for head in ("service", "traffic", "not ready then"))
        yield Listing(("asked for at", *texts, "steps", "moved at"), rows, title="rollouts")


def rollout_log(study: Study) -> Iterator[Entry]:
    """When each was asked for, and when traffic moved."""
    for one in study.rollouts:
        traffic = {"service": one.service, "traffic": weights(one.traffic)}
        yield Entry(one.asked_s, "route", f"rollout of {one.service}: {in_words(one.traffic)}", traffic)
        for step in one.steps:
            moved = {"service": one.service, "traffic": weights(step.traffic), "why": step.why}
            yield Entry(step.t, "route", f"traffic of {one.service}: {in_words(step.traffic)}", moved)
        if one.moved_s is not None and not one.steps:
            yield Entry(one.moved_s, "route", f"traffic of {one.service}: {in_words(one.traffic)}", traffic)
