"""What held a container back, short of killing it: a limit that slows, swap that is used up, processors, devices.

memory.high throttles and never kills; without swap left, anonymous memory can go nowhere; cpu.max stops a cgroup for
the rest of each period; a slow device lets all wait. Each leaves a counter, and none of them an exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cgroups.errors import BadValue
from cgroups.io import IoMax
from cgroups.parse import parse_io_max
from cgroups.values import NO_LIMIT
from emu.record.events import POD_LABEL
from emu.study.counters import rises
from emu.study.measures import Window
from emu.study.model.study import Study
from emu.study.model.timeline import Column, Timeline
from emu.study.swap_files import whole
from emu.units import format_bytes, format_seconds, often

MEMORY_HIGH, SWAP_MAX, SWAP_HIGH, MACHINE_SWAP, CPU_MAX, IO_MAX, IO = (
    "memory.high", "memory.swap.max", "memory.swap.high", "machine-swap", "cpu.max", "io.max", "io",
)  # fmt: skip
OVER_BYTES = 2**20
"""So much above memory.high is more than a batch of charges that reclaim had not caught up with yet."""
FULL_BYTES = 2**20
FULL_SHARE = 0.02
"""Swap is used up when no more than this is left: the kernel keeps a few pages at each processor."""
LEAST_S = 1.0
LEAST_SHARE = 0.05
"""Waiting for processors or devices for less than this (of the run) is everybody's lot."""
RATE_S = 1.0
"""The kernel keeps to a rate over some tenths of a second; what is shorter is no measure of it."""
RATE_SHARE = 0.8
"""Who moves this much of what io.max allows is kept back by it: the rest is what comes in large requests."""


@dataclass(frozen=True)
class HeldBack:
    """One thing that held a container back."""

    by: str
    """`memory.high`, `memory.swap.max`, `memory.swap.high`, `machine-swap`, `cpu.max`, `io.max` or `io`."""
    times: int | None
    """As the kernel counts it; None where it does not."""
    seconds: float | None
    """How long: above memory.high; with swap used up; throttled; at the rate of io.max; all tasks waiting for a
    device. None: unknown.
    """
    bound_bytes: int | None
    """The limit, of io.max per second; None for processors and devices."""
    first_s: float | None
    """When it began."""
    derived_from: str = ""
    """How the kubelet's Memory QoS came to this memory.high; empty where it did not set it."""
    way: str = ""
    """Of io.max: what it bounds, as `rbps of ubda`."""


def held_back(study: Study, name: str) -> list[HeldBack]:
    """All that held a container back, memory first."""
    lines = study.timelines_of(name)
    found = (
        _memory_high(study, name, lines),
        _swap_max(study, lines),
        _swap_high(study, lines),
        _machine_swap(study, lines),
        _waited(study, lines, "throttled_usec", CPU_MAX),
        *_io_max(study, [line for one in study.instances_of(name)[-1:] for line in one.io_max], lines),
        _waited(study, lines, "io_full_usec", IO),
    )
    return [one for one in found if one is not None]


def is_full(used: int, limit: int) -> bool:
    """Whether swap is as good as used up."""
    return limit > 0 and used >= limit - max(FULL_BYTES, int(FULL_SHARE * limit))


def describe(name: str, one: HeldBack) -> str:
    """A clause: `app was throttled at its memory.high of 48 MiB for 23 s (memory.events high: 3,201 in all)`."""
    bound = "" if one.bound_bytes is None else f" of {format_bytes(one.bound_bytes)}"
    long = "" if not one.seconds else f" for {format_seconds(one.seconds)}"
    match one.by:
        case "memory.high":
            by = " (set by Memory QoS)" if one.derived_from else ""
            counted = "" if not one.times else f" (memory.events high: {one.times:,} in all)"
            if is_throttled(one):
                return f"{name} was throttled at its memory.high{bound}{by}, above it{long}{counted}"
            return f"{name} was kept to its memory.high{bound}{by} by reclaim{counted}"
        case "memory.swap.max":
            return f"{name} had used up its swap limit (memory.swap.max){bound}{long}"
        case "memory.swap.high":
            times = "" if one.times is None else f" {often(one.times)}"
            return f"{name} was throttled at its memory.swap.high{bound}{times}"
        case "machine-swap":
            return f"the machine's swap{bound} was full{long} while {name} swapped"
        case "io.max":
            return f"{name} was held to its io.max{bound}/s ({one.way}){long}"
        case "cpu.max":
            return f"{name} was throttled by cpu.max{long}"
    return f"all of {name} waited for a device{long} (io.pressure, full)"


def is_throttled(one: HeldBack) -> bool:
    """Whether memory.high slowed it down: reclaim alone could not keep it below."""
    return one.by == MEMORY_HIGH and (one.seconds or 0.0) >= LEAST_S


def hinders(one: HeldBack) -> bool:
    """Worth a headline: not memory.high where reclaim kept it below."""
    return one.by != MEMORY_HIGH or is_throttled(one)


def restraint_sentences(study: Study, summary: dict[str, Any]) -> list[str]:
    """One for each thing that held a container back."""
    each = [(name, one) for name in study.containers for one in held_back(study, name)]
    found = [describe(name, one) for name, one in each]
    found += [
        f"Memory QoS set the memory.high of {name}: {one.derived_from}" for name, one in each if one.derived_from
    ]
    found += [describe("the pod", one) for one in held_back(study, POD_LABEL) if one.by == SWAP_MAX]
    found += [describe("the node", one) for one in node_io_max(study)]
    return [f"{text[0].upper()}{text[1:]}." if text.startswith("the ") else f"{text}." for text in found]


def bound(figures: dict[str, Any]) -> tuple[int | None, str]:
    """The limit that a container met first when it held most, and its name where that is not memory.max."""
    limit, high = figures.get("memory_limit_at_peak_bytes"), figures.get("memory_high_bytes")
    if high is not None and (limit is None or high < limit):
        return high, MEMORY_HIGH
    return limit, ""


def _memory_high(study: Study, name: str, lines: list[Timeline]) -> HeldBack | None:
    keys = [line.owner for line in lines]
    times = Window(study).events(keys)["high"] if keys else None
    if not times:
        return None
    bounds = [value for line in lines for value in line.memory_high if value is not None]
    bounds += [entry.memory_high for entry in study.instances_of(name) if entry.memory_high is not None]
    if not bounds:
        return None
    seconds = sum(_spent(line, line.memory_current, lambda used: used > bounds[-1] + OVER_BYTES) for line in lines)
    first = min((rise.t for key in keys for rise in rises(study, key, "high")), default=None)
    return HeldBack(MEMORY_HIGH, times, seconds, bounds[-1], first, _high_from(study, name))


def _high_from(study: Study, name: str) -> str:
    """How Memory QoS derived the memory.high of a container's newest instance; empty where it did not."""
    return next((one.memory_high_from for one in reversed(study.instances_of(name))), "")


def _swap_max(study: Study, lines: list[Timeline]) -> HeldBack | None:
    limits = [value for line in lines for value in line.swap_max if value is not None]
    if not limits or not limits[-1]:
        return None
    limit = limits[-1]
    times = Window(study).rise((line, line.swap_events["max"]) for line in lines if "max" in line.swap_events)
    seconds = sum(_spent(line, line.swap, lambda used: is_full(used, limit)) for line in lines)
    if not times and not seconds:
        return None
    return HeldBack(SWAP_MAX, times, seconds, limit, _begin(lines, "swap", lambda used: is_full(used, limit)))


def _swap_high(study: Study, lines: list[Timeline]) -> HeldBack | None:
    bounds = [value for line in lines for value in line.swap_high if value is not None]
    times = Window(study).rise((line, line.swap_events["high"]) for line in lines if "high" in line.swap_events)
    return HeldBack(SWAP_HIGH, times, None, bounds[-1], None) if bounds and times else None


def _machine_swap(study: Study, lines: list[Timeline]) -> HeldBack | None:
    """The machine's swap was full while the container had some of it, or wanted more (`fail` beyond `max`)."""
    host = study.host
    total = max((value for value in host.swap_total if value is not None), default=0)
    mine = any(value for line in lines for value in line.swap)
    window = Window(study)
    fails, own = (
        window.rise((line, line.swap_events[name]) for line in lines if name in line.swap_events)
        for name in ("fail", "max")
    )
    refused = (fails or 0) - (own or 0)
    full = [t for t, used in zip(host.t, host.swap_used, strict=False) if used is not None and is_full(used, total)]
    if not total or not full or not (mine or refused > 0):
        return None
    seconds = _time_with(host.t, host.swap_used, lambda used: is_full(used, total))
    return HeldBack(MACHINE_SWAP, refused if fails is not None else None, seconds, total, full[0])


def _waited(study: Study, lines: list[Timeline], column: str, by: str) -> HeldBack | None:
    usec = Window(study).counted(lines, column)
    if usec is None or usec / 1e6 < max(LEAST_S, LEAST_SHARE * study.duration_s):
        return None
    return HeldBack(by, None, usec / 1e6, None, None)


def node_io_max(study: Study) -> list[HeldBack]:
    """What held all pods together to the io.max of the node."""
    return [] if study.node is None else _io_max(study, study.machine.io_max, [study.node])


def _io_max(study: Study, limits: Iterable[str], lines: list[Timeline]) -> list[HeldBack]:
    """The kernel counts no waiting for io.max; what is at its rate for a second or longer waits for it."""
    found = []
    for number, limit in _parsed(limits).items():
        device = study.machine.devices.get(number)
        of = number if device is None else device.name
        for key, column in (("rbps", "read_bytes"), ("wbps", "write_bytes")):
            rate = getattr(limit, key)
            if rate is NO_LIMIT:
                continue
            spans = [
                span
                for line in lines
                if number in line.io
                for span in _at_rate(line.t, whole(line, number, column), rate)
            ]
            seconds = sum(end - begin for begin, end in spans)
            if seconds >= max(LEAST_S, LEAST_SHARE * study.duration_s):
                found.append(HeldBack(IO_MAX, None, seconds, rate, spans[0][0], way=f"{key} of {of}"))
    return found


def _parsed(limits: Iterable[str]) -> dict[str, IoMax]:
    """Lines of io.max by device, without those that a damaged record made illegible."""
    found: dict[str, IoMax] = {}
    for line in limits:
        with suppress(BadValue, ValueError):
            found |= parse_io_max(line)
    return found


def _at_rate(t: list[float], column: Column, rate: int) -> Iterator[tuple[float, float]]:
    """The stretches of a second or a little more in which a counter rose by `rate` a second, or nearly."""
    begin: tuple[float, int] | None = None
    for now, value in zip(t, column, strict=False):
        if value is None:
            continue
        if begin is None:
            begin = (now, value)
        elif now - begin[0] >= RATE_S:
            if value - begin[1] >= RATE_SHARE * rate * (now - begin[0]):
                yield begin[0], now
            begin = (now, value)


def _begin(lines: list[Timeline], column: str, is_so: Callable[[int], bool]) -> float | None:
    times = (
        t
        for line in lines
        for t, value in zip(line.t, getattr(line, column), strict=False)
        if value is not None and is_so(value)
    )
    return min(times, default=None)


def _spent(line: Timeline, column: Column, is_so: Callable[[int], bool]) -> float:
    return _time_with(line.t, column, is_so)


def _time_with(t: list[float], column: Column, is_so: Callable[[int], bool]) -> float:
    """How long a column's value was so: each sample counts until the next one."""
    spans: Iterable[tuple[float, float]] = pairwise(t)
    return sum(
        end - begin for (begin, end), value in zip(spans, column, strict=False) if value is not None and is_so(value)
    )
