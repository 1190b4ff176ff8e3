"""What init containers did, in words: how long the pod waited for them, and what page cache they left to the pod."""

from __future__ import annotations

from typing import Any

from emu.report.topics.topic import Figures, Topic
from emu.report.words import of_limit
from emu.study.model.instances import Instance
from emu.study.model.study import Study
from emu.study.pods import workloads
from emu.units import format_bytes, format_seconds

_WORTH_A_WORD = 1 << 20


def sentences(study: Study, summary: Figures) -> list[str]:
    """One for each init container that completed, and one on what the pod holds for them."""
    done = _done(study)
    found = [_sentence(name, instances, summary) for name, instances in done.items()]
    return found + (_left_behind(study, summary) if done and len(workloads(study)) < 2 else [])


def waits(study: Study) -> list[str]:
    """What the pods of a service waited for, in a few words each."""
    return [f"each pod waited {_times(instances)} for {name}" for name, instances in _done(study).items()]


def _done(study: Study) -> dict[str, list[Instance]]:
    done: dict[str, list[Instance]] = {}
    for one in study.instances:
        if one.completed and one.started_s is not None and one.exited_s is not None:
            done.setdefault(one.container, []).append(one)
    return done


def _times(instances: list[Instance]) -> str:
    """The shortest and the longest, where there are several."""
    times = sorted((one.exited_s or 0.0) - (one.started_s or 0.0) for one in instances)
    return " to ".join(dict.fromkeys((format_seconds(times[0]), format_seconds(times[-1]))))


def _sentence(name: str, instances: list[Instance], summary: Figures) -> str:
    """Of several pods' init containers of one name: the shortest and the longest of their times, the highest peak."""
    took = _times(instances)
    peak = summary["containers"][name]["memory_peak_bytes"]
    held = "" if peak is None else f" and peaked at {of_limit(peak, instances[-1].memory_max)}"
    if len(instances) == 1:
        return f"The init container {name} ran for {took}{held}."
    return f"The init container {name} ran in {len(instances)} pods, for {took}{held}{' at most' if held else ''}."


def _left_behind(study: Study, summary: dict[str, Any]) -> list[str]:
    """A page stays charged to who touched it first, and once that cgroup is removed to the one above."""
    living = {one.container for one in study.instances if not one.completed}
    pods = [{**summary["pod"], "containers": summary["containers"]}]
    if len(study.pods) > 1:
        pods = list(summary["pods"].values())
    left = max((_orphaned(pod, living) for pod in pods), default=0)
    if left < _WORTH_A_WORD:
        return []
    where = " in each pod" if len(pods) > 1 else ""
    return [
        f"{format_bytes(left)} of page cache{where} outlived the init containers that touched it first: their "
        "cgroups are gone, so it is charged to the pod and to no container, and whoever reads it again pays nothing."
    ]


def _orphaned(pod: dict[str, Any], living: set[str]) -> int:
    held = [known["file_end_bytes"] or 0 for name, known in pod["containers"].items() if name in living]
    return (pod["file_end_bytes"] or 0) - sum(held)


INITS = Topic("Init containers", sentences=sentences)
