"""What is said of a resize: its outcome, and what the kernel took from the container until it was done."""

from __future__ import annotations

from pathlib import Path

from emu.record.events import Owner
from emu.record.rundir import RunDir
from emu.report.topics.resizes import RESIZES
from emu.study.model.instances import Instance
from emu.study.model.study import Happening, Study
from emu.study.model.timeline import Timeline
from emu.study.pods import named

MIB = 2**20


def _study() -> Study:
    """A container that gave 8 MiB between the begin and the end of its resize."""
    study = Study(RunDir(Path("x")), duration_s=9.0)
    pages = 8 * MIB // study.machine.page_bytes
    owner = Owner("w", "app", 0)
    study.timelines[owner] = Timeline(owner, t=[0.0, 1.0, 2.0, 3.0], reclaimed=[0, 0, pages, pages])
    study.resizes = [
        Happening(t, "resize", "app", "", {"outcome": outcome, "memory_max": 96 * MIB}, "w")
        for t, outcome in ((1.2, "started"), (1.8, "completed"))
    ]
    return study


def test_what_was_reclaimed_during_a_resize_is_not_laid_to_a_limit_that_rises() -> None:
    """The kernel reclaims for a lower limit, and for whoever met the old one: the words say when, not why."""
    study = _study()
    summary = RESIZES.figures(study)
    assert [one["reclaimed_bytes"] for one in summary["resizes"]] == [8 * MIB]
    assert RESIZES.sentences(study, summary) == [
        "The resize of app to a memory limit of 96 MiB at 1.8 s was done; meanwhile the kernel reclaimed 8 MiB of "
        "its memory."
    ]


def test_a_resize_beside_other_workloads_has_what_was_reclaimed() -> None:
    """Containers are called by their workload too there, in timelines and not in what the kubelet did."""
    study = _study()
    study.instances = [Instance("app", 0, pod=pod) for pod in ("w", "other")]
    several = named(study)
    assert [owner.container for owner in several.timelines] == ["w/app"]
    assert [one["reclaimed_bytes"] for one in RESIZES.figures(several)["resizes"]] == [8 * MIB]
