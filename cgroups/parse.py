"""Text → values: one function per file format of the kernel's cgroup-v2.rst ("Format"). Pure.

Each takes the text as `str` or `bytes`, as read now or recorded long ago. A text that is not in its format raises
`BadValue` with the text in it. Keys that are unknown here are kept (flat files) or passed over (typed results); keys
that an older kernel lacks are `None`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import NoReturn

from cgroups.cpu import CpuMax, CpuStat
from cgroups.errors import BadValue
from cgroups.io import IoMax, IoStat
from cgroups.memory import MemoryEvents, MemoryStat, SwapEvents
from cgroups.psi import Pressure, PressureLine
from cgroups.values import NO_LIMIT, CgroupEvents, CgroupStat, Limit

Text = str | bytes

_DEVICE = re.compile(r"\d+:\d+")


def parse_int(text: Text) -> int:
    """A single-value file: memory.current, memory.peak, cpu.weight."""
    try:
        return int(text)
    except ValueError:
        _refuse(text, "a number")


def parse_limit(text: Text) -> Limit:
    """A limit: a number, or `NO_LIMIT` for "max"."""
    return NO_LIMIT if text.strip() in ("max", b"max") else parse_int(text)


def parse_flag(text: Text) -> bool:
    """A switch: "0" or "1" (memory.oom.group, cgroup.freeze)."""
    value = parse_int(text)
    if value not in (0, 1):
        _refuse(text, "0 or 1")
    return value == 1


def parse_words(text: Text) -> frozenset[str]:
    """Space-separated words: cgroup.controllers, cgroup.subtree_control."""
    return frozenset(_str(text).split())


def parse_pids(text: Text) -> list[int]:
    """cgroup.procs or cgroup.threads: one id a line. 0 stands for a process of another pid namespace."""
    try:
        return [int(word) for word in text.split()]
    except ValueError:
        _refuse(text, "a list of process ids")


def parse_flat(text: Text) -> dict[str, int]:
    """A flat keyed file, every key: memory.stat, memory.events, cpu.stat, cgroup.events, cgroup.stat."""
    words = _str(text).split()
    keys, numbers = words[::2], words[1::2]
    if len(keys) != len(numbers):
        _refuse(text, "lines of one key and one number")
    try:
        return dict(zip(keys, map(int, numbers), strict=True))
    except ValueError:
        _refuse(text, "lines of one key and one number")


def pick(text: Text, keys: Sequence[str]) -> dict[str, int | None]:
    """A few keys of a flat keyed file without reading the others: for many thousands of recorded texts.

    A key that the text lacks is `None`. The rest of the text is not checked.
    """
    data = b"\n" + (text if isinstance(text, bytes) else text.encode())
    found: dict[str, int | None] = {}
    for key in keys:
        name = b"\n%b " % key.encode()
        start = data.find(name)
        found[key] = None if start < 0 else parse_int(data[start + len(name) : _end(data, start + 1)])
    return found


def parse_memory_stat(text: Text) -> MemoryStat:
    """memory.stat, or the statistics block of an OOM report in its v2 form."""
    return MemoryStat(parse_flat(text))


def parse_events(text: Text) -> MemoryEvents:
    """memory.events or memory.events.local."""
    return MemoryEvents(**_known(MemoryEvents, text))


def parse_swap_events(text: Text) -> SwapEvents:
    """Parse memory.swap.events: how often swap was full, or at its limit."""
    return SwapEvents(**_known(SwapEvents, text))


def parse_cgroup_events(text: Text) -> CgroupEvents:
    """cgroup.events. `frozen` is `None` before the kernel had it (5.2)."""
    flat = parse_flat(text)
    if "populated" not in flat:
        _refuse(text, "a file with the key populated")
    frozen = flat.get("frozen")
    return CgroupEvents(flat["populated"] == 1, None if frozen is None else frozen == 1)


def parse_cgroup_stat(text: Text) -> CgroupStat:
    """Parse cgroup.stat: cgroups below, dying ones among them."""
    return CgroupStat(**_known(CgroupStat, text))


def parse_cpu_stat(text: Text) -> CpuStat:
    """Parse cpu.stat; times are in microseconds."""
    return CpuStat(**_known(CpuStat, text))


def parse_cpu_max(text: Text) -> CpuMax:
    """cpu.max: "QUOTA PERIOD"."""
    words = _str(text).split()
    if len(words) != 2:
        _refuse(text, "a quota and a period")
    return CpuMax(parse_limit(words[0]), parse_int(words[1]))


def parse_io_stat(text: Text) -> dict[str, IoStat]:
    """io.stat by device ("MAJOR:MINOR"). Empty where the cgroup did no io.

    Some kernels write a device that has nothing to report without its newline, so that two devices share a line.
    """
    try:
        return {
            device: IoStat(device, **{key: int(pairs[key]) for key in pairs if key in _IO_STAT_KEYS})
            for device, pairs in _nested(text)
        }
    except ValueError:
        _refuse(text, "lines like '8:0 rbytes=0 wbytes=0'")


def parse_io_max(text: Text) -> dict[str, IoMax]:
    """io.max by device. A device without limits is not in the file."""
    return {
        device: IoMax(device, **{key: parse_limit(pairs[key]) for key in pairs if key in _IO_MAX_KEYS})
        for device, pairs in _nested(text)
    }


def parse_pressure(text: Text) -> Pressure:
    """memory.pressure, cpu.pressure, io.pressure, or /proc/pressure/*."""
    lines: dict[str, PressureLine] = {}
    for line in _str(text).splitlines():
        name, *pairs = line.split()
        try:
            values = dict(pair.split("=", 1) for pair in pairs)
            lines[name] = PressureLine(
                float(values["avg10"]), float(values["avg60"]), float(values["avg300"]), int(values["total"])
            )
        except (KeyError, ValueError):
            _refuse(text, "lines like 'some avg10=0.00 avg60=0.00 avg300=0.00 total=0'")
    return Pressure(lines.get("some"), lines.get("full"))


_IO_STAT_KEYS = frozenset(field.name for field in fields(IoStat)) - {"device"}
_IO_MAX_KEYS = frozenset(field.name for field in fields(IoMax)) - {"device"}


def _known(kind: type, text: Text) -> dict[str, int]:
    names = {field.name for field in fields(kind)}
    return {key: number for key, number in parse_flat(text).items() if key in names}


def _nested(text: Text) -> Iterable[tuple[str, dict[str, str]]]:
    devices: dict[str, dict[str, str]] = {}
    pairs: dict[str, str] | None = None
    for word in _str(text).split():
        key, equals, value = word.partition("=")
        if equals and pairs is not None:
            pairs[key] = value
        elif not equals and _DEVICE.fullmatch(word):
            pairs = devices.setdefault(word, {})
        else:
            _refuse(text, "lines like '8:0 rbytes=0 wbytes=0'")
    return devices.items()


def _end(data: bytes, start: int) -> int:
    """Where the line that `start` is in ends."""
    end = data.find(b"\n", start)
    return len(data) if end < 0 else end


def _str(text: Text) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _refuse(text: Text, wanted: str) -> NoReturn:
    shown = _str(text)
    raise BadValue(
        f"cannot read the text {shown if len(shown) <= 80 else shown[:77] + '...'!r}",
        f"it is not {wanted}",
        "see the file's section in the kernel's cgroup-v2.rst for its format",
    ) from None
