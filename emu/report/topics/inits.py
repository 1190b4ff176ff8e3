"""What init containers did, in words: how long the pod waited for them, and what page cache they left to the pod."""

from __future__ import annotations

from typing import Any

from emu.report.topics.topic import Figures, Topic
from emu.report.words import of_limit
from emu.study.model.instances import Instance
from emu.study.model.study import Study
from emu.units import format_bytes, format_seconds

_WORTH_A_WORD = 1 << 20


def sentences(study: Study, summary: Figures) -> list[str]:
    """One for each init container that completed, and one on what the pod holds for them."""
    done: dict[str, list[Instance]] = {}
    for one in study.instances:
        if one.completed and one.started_s is not None and one.exited_s is not None:
            done.setdefault(one.container, []).append(one)
    found = [_sentence(name, instances, summary) for name, instances in done.items()]
    return found + (_left_behind(study, summary) if done and len(study.pods) <= 1 else [])


def _sentence(name: str, instances: list[Instance], summary: Figures) -> str:
    """Of several pods' init containers of one name: the shortest and the longest of their times, the highest peak."""
    times = sorted((one.exited_s or 0.0) - (one.started_s or 0.0) for one in instances)
    peak = summary["containers"][name]["memory_peak_bytes"]
    held = "" if peak is None else f" and peaked at {of_limit(peak, instances[-1].memory_max)}"
    if len(instances) == 1:
        return f"The init container {name} ran for {format_seconds(times[0])}{held}."
    took = " to ".join(dict.fromkeys((format_seconds(times[0]), format_seconds(times[-1]))))
    return f"The init container {name} ran in {len(instances)} pods, for {took}{held}{' at most' if held else ''}."


def _left_behind(study: Study, summary: dict[str, Any]) -> list[str]:
    """A page stays charged to who touched it first, and once that cgroup is removed to the one above."""
    whole = summary["pod"]["file_end_bytes"]
    living = {one.container for one in study.instances if not one.completed}
    held = [summary["containers"][name]["file_end_bytes"] or 0 for name in study.containers if name in living]
    if whole is None or whole - sum(held) < _WORTH_A_WORD:
        return []
    return [
        f"{format_bytes(whole - sum(held))} of page cache outlived the init containers that touched it first: their "
        "cgroups are gone, so it is charged to the pod and to no container, and whoever reads it again pays nothing."
    ]


INITS = Topic("Init containers", sentences=sentences)
