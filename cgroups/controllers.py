"""The controllers of cgroup v2, each a set of control files as attributes, on cgroupspy's `Controller`.

In v1 a controller had a tree of its own; in v2 one cgroup has them all, so a node here has `.memory`, `.io`,
`.cpu` and `.core`. Reading an attribute reads the file now; nothing is kept.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from cgroupspy.controllers import Controller as BaseController

from cgroups import files, parse
from cgroups.interfaces import ControlFile, FlagFile, LimitFile, LineFile, NumberFile, ReadFile, WriteFile
from cgroups.memory import MemoryLimits


class NodeLike(Protocol):
    """Anything with a place in the tree: `cgroups.group.Cgroup`, or a node of `cgroups.tree`."""

    @property
    def full_path(self) -> bytes:
        """The absolute path of the cgroup's directory."""


class Controller(BaseController):  # type: ignore[misc]  # cgroupspy has no types
    """A controller of v2: cgroupspy's, with this library's reading and writing, and without v1's files."""

    node: NodeLike

    def __init__(self, node: NodeLike) -> None:
        super().__init__(node)

    def get_property(self, filename: bytes) -> str | None:
        """The text of a control file, or `None` where this kernel has no such file."""
        return files.read_or_none(self._path(filename))

    def set_property(self, filename: bytes, value: object) -> None:
        """Write one value to a control file."""
        files.write(self._path(filename), value)

    def list_interfaces(self) -> dict[str, ControlFile[Any, Any]]:
        """Attribute name → control file, those of v2 alone."""
        kinds = reversed(type(self).__mro__)
        return {name: file for kind in kinds for name, file in vars(kind).items() if isinstance(file, ControlFile)}

    def get_interface(self, key: str) -> ControlFile[Any, Any] | None:
        """The control file behind an attribute, or `None` if there is no such attribute."""
        return self.list_interfaces().get(key)

    def _path(self, filename: bytes) -> Path:
        return Path(os.fsdecode(self.filepath(filename)))


class CoreController(Controller):
    """The files of every cgroup (cgroup-v2.rst, "Core Interface Files")."""

    type = LineFile("cgroup.type", str.strip)
    procs = ReadFile("cgroup.procs", parse.parse_pids)
    threads = ReadFile("cgroup.threads", parse.parse_pids)
    controllers = ReadFile("cgroup.controllers", parse.parse_words)
    subtree_control = ReadFile("cgroup.subtree_control", parse.parse_words)
    events = ReadFile("cgroup.events", parse.parse_cgroup_events)
    stat = ReadFile("cgroup.stat", parse.parse_cgroup_stat)
    freeze = FlagFile("cgroup.freeze")
    kill = WriteFile[int]("cgroup.kill")


class MemoryController(Controller):
    """memory.*: bytes unless its type says otherwise (cgroup-v2.rst, "Memory Interface Files")."""

    current = ReadFile("memory.current", parse.parse_int)
    peak = ReadFile("memory.peak", parse.parse_int)
    max = LimitFile("memory.max")
    high = LimitFile("memory.high")
    low = LimitFile("memory.low")
    min = LimitFile("memory.min")
    oom_group = FlagFile("memory.oom.group")
    reclaim = WriteFile[int]("memory.reclaim")
    stat = ReadFile("memory.stat", parse.parse_memory_stat)
    events = ReadFile("memory.events", parse.parse_events)
    events_local = ReadFile("memory.events.local", parse.parse_events)
    swap_current = ReadFile("memory.swap.current", parse.parse_int)
    swap_peak = ReadFile("memory.swap.peak", parse.parse_int)
    swap_max = LimitFile("memory.swap.max")
    swap_high = LimitFile("memory.swap.high")
    swap_events = ReadFile("memory.swap.events", parse.parse_swap_events)
    zswap_current = ReadFile("memory.zswap.current", parse.parse_int)
    zswap_max = LimitFile("memory.zswap.max")
    zswap_writeback = FlagFile("memory.zswap.writeback")
    pressure = ReadFile("memory.pressure", parse.parse_pressure)

    def limits(self) -> MemoryLimits:
        """Every limit and protection, read one after the other."""
        return MemoryLimits(self.max, self.high, self.low, self.min, self.swap_max, self.swap_high, self.oom_group)


class IoController(Controller):
    """io.*, by device (cgroup-v2.rst, "IO Interface Files"). `max` is set one `IoMax` at a time."""

    stat = ReadFile("io.stat", parse.parse_io_stat)
    max = LineFile("io.max", parse.parse_io_max)
    pressure = ReadFile("io.pressure", parse.parse_pressure)


class CpuController(Controller):
    """cpu.*: microseconds (cgroup-v2.rst, "CPU Interface Files"). `stat` is there without the controller too."""

    stat = ReadFile("cpu.stat", parse.parse_cpu_stat)
    max = LineFile("cpu.max", parse.parse_cpu_max)
    weight = NumberFile("cpu.weight")
    pressure = ReadFile("cpu.pressure", parse.parse_pressure)
