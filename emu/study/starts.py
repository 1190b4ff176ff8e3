"""Starts from each temperature: where the time of each went, and the figures of all of one temperature together.

The stamps come from three witnesses on one clock: the activator's in the event itself, the app's and queue-proxy's in
their logs (the program began, it listens; a resume was asked for, and heard of), the freezer daemon's in its events.
An app of another make logs nothing that is understood here: the time of its stages counts to the next one then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from emu.messages import APP, LISTENING, QUEUE_PROXY, RESUMED, STARTED
from emu.policy import starts as policy
from emu.record.events import ContainerResumed, Event, StartMeasured
from emu.study.logs import logged_events, time_in
from emu.study.measures import percentile, spread
from emu.study.model.scaling import Start
from emu.study.model.study import Study


def measure_starts(study: Study, events: list[Event]) -> list[Start]:
    """Every trial of a run, in order of time."""
    resumes = [event for event in events if isinstance(event, ContainerResumed) and event.container == APP]
    return [_start(study, event, resumes) for event in events if isinstance(event, StartMeasured)]


def starts_summary(starts: Sequence[Start]) -> dict[str, Any] | None:
    """What summary.json says of them; None for a run without."""
    if not starts:
        return None
    by_temperature: dict[str, list[Start]] = defaultdict(list)
    for start in starts:
        by_temperature[start.wanted].append(start)
    return {
        "trials": len(starts),
        "failed": sum(not start.answered for start in starts),
        "mistaken": sum(start.wanted != start.temperature for start in starts),
        "frozen_early": sum(
            any(stage.name == policy.KERNEL for stage in start.stages) and start.temperature not in policy.FROZEN
            for start in starts
        ),
        "temperatures": {
            name: _together(by_temperature[name]) for name in policy.TEMPERATURES if name in by_temperature
        },
    }


def _together(starts: list[Start]) -> dict[str, Any]:
    """The trials of one temperature. Those that failed count as trials alone, and those that were mistaken not at
    all, for they belong to no temperature.
    """
    answered = [start for start in starts if start.answered and start.wanted == start.temperature]
    first = sorted((start.first_byte_s or 0.0) - start.arrived_s for start in answered)
    done = sorted(start.done_s - start.arrived_s for start in answered)
    return {
        "trials": len(starts),
        "answered": len(answered),
        "first_byte_ms": _spread(first),
        "done_ms": _spread(done),
        "stages_ms": median_stages(answered),
        "page_faults": _median(start.faults for start in answered),
        "major_faults": _median(start.major_faults for start in answered),
        "swap_in_bytes": _median(start.swap_in_bytes for start in answered),
        "io_read_bytes": _median(start.io_read_bytes for start in answered),
        "held_bytes": _median(start.held_bytes for start in answered),
        "held_swap_bytes": _median(start.held_swap_bytes for start in answered),
        "image_bytes": _median(start.image_bytes for start in answered),
        "image_cached_after_bytes": _median(start.image_cached_after_bytes for start in answered),
    }


def median_stages(starts: Sequence[Start]) -> dict[str, float]:
    """The stages of the start whose first byte took the median time, in ms: one that was, so that they add up."""
    ordered = sorted(starts, key=lambda start: (start.first_byte_s or 0.0) - start.arrived_s)
    if not ordered:
        return {}
    middle = ordered[(len(ordered) - 1) // 2]
    return {stage.name: stage.took_s * 1e3 for stage in middle.stages}


def _spread(seconds: list[float]) -> dict[str, float | None]:
    """Of times in order. The least says most where there are few: whatever else the machine does adds to it."""
    return {"min": seconds[0] * 1e3 if seconds else None, **spread(one * 1e3 for one in seconds)}


def _median(values: Iterable[int | None]) -> int | None:
    found = percentile(sorted(float(value) for value in values if value is not None), 0.5)
    return None if found is None else int(found)


def _start(study: Study, event: StartMeasured, resumes: list[ContainerResumed]) -> Start:
    rose = {
        name: None if after is None or event.before.get(name) is None else after - (event.before[name] or 0)
        for name, after in event.after.items()
    }
    pages = rose.get("swap_in_pages")
    origin = study.origin
    return Start(
        trial=event.trial,
        wanted=event.wanted,
        temperature=event.temperature,
        attempt=event.attempt,
        arrived_s=event.arrived - origin,
        first_byte_s=None if event.first_byte is None else event.first_byte - origin,
        done_s=event.t - origin,
        status=event.status,
        error=event.error,
        stages=tuple(
            policy.Stage(stage.name, stage.begin - origin, stage.end - origin)
            for stage in policy.stages(event.arrived, _stamps(study, event, resumes))
        ),
        faults=rose.get("pgfault"),
        major_faults=rose.get("pgmajfault"),
        swap_in_bytes=None if pages is None else pages * study.machine.page_bytes,
        io_read_bytes=rose.get("io_read_bytes"),
        held_bytes=event.held_bytes,
        held_swap_bytes=event.held_swap_bytes,
        image_cached_bytes=event.image_cached_bytes,
        image_bytes=event.image_bytes,
        image_cached_after_bytes=event.image_cached_after_bytes,
    )


def _stamps(
    study: Study, event: StartMeasured, resumes: list[ContainerResumed]
) -> Iterator[tuple[str, float | None]]:
    for name, t in event.stamps:
        yield str(name), float(t)
        if name == policy.START:
            log = study.run.container_log(event.pod, APP, event.attempt)
            yield policy.PROCESS, _logged(log, STARTED, "t", event.arrived)
            yield policy.LISTEN, _logged(log, LISTENING, "t", event.arrived)
    if event.first_byte is None:
        return
    own = (one for one in resumes if (one.pod, one.attempt) == (event.pod, event.attempt))
    mine = [one for one in own if event.arrived <= one.t <= event.first_byte]
    if mine:
        yield from _resumed(study, event, mine[-1])
    yield policy.FIRST_BYTE, event.first_byte


def _resumed(study: Study, event: StartMeasured, resume: ContainerResumed) -> Iterator[tuple[str, float | None]]:
    """The parts of a thaw. The daemon reports how long it took since the request, and the kernel's part of that."""
    log = study.run.container_log(event.pod, QUEUE_PROXY, event.attempt)
    yield policy.DECISION, _logged(log, RESUMED, "began", event.arrived)
    yield policy.RPC, resume.t - resume.took_s
    yield policy.ENGINE, None if resume.engine_s is None else resume.t - resume.kernel_s
    yield policy.KERNEL, resume.t
    yield policy.REPLY, _logged(log, RESUMED, "t", resume.t)


def _logged(path: Path, event: str, name: str, since: float) -> float | None:
    """When the first line of that event at or after `since` says that it was; None where there is none."""
    times = [time_in(line, name) for line in logged_events(path, event)]
    return min((t for t in times if t is not None and t >= since), default=None)
