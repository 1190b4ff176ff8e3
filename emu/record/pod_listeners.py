"""A pod that the recorder watches, with the connections that wait to be accepted in it (machine/listeners.py), which
are a source of its samples.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.machine.listeners import Listeners
from emu.record.events import Event, Note, Owner, now
from emu.record.samples import SampleWriter

LISTENERS_FILE = "listeners"
"""The source's name. Not a control file: connections that wait to be accepted in the pod."""


class PodListeners:
    """Those of one pod's network at a time. No I/O in the constructor."""

    def __init__(self, pod: Owner, writer: SampleWriter, append: Callable[[Event], None]) -> None:
        self._pod = pod
        self._writer = writer
        self._append = append
        self._listeners: Listeners | None = None
        self._source = -1

    @property
    def tried(self) -> bool:
        """Whether this pod's network has been entered, or could not be."""
        return self._listeners is not None

    def open(self, cgroup: Path) -> None:
        """Enter the network of the first process in this cgroup; if that fails, a note says so."""
        try:
            pids = Cgroup(cgroup).procs()
            self._listeners = Listeners(f"/proc/{pids[0]}/ns/net")
            self._listeners.open()
        except (OSError, CgroupError, IndexError) as error:
            self._do_without(error)
            return
        self._source = self._writer.declare(self._pod, LISTENERS_FILE, f"/proc/{pids[0]}/ns/net")

    def sample(self) -> None:
        """Add how many wait now to the sample."""
        if self._source < 0 or self._listeners is None:
            return
        try:
            self._writer.put(self._source, self._listeners.read())
        except OSError as error:
            self._do_without(error)

    def forget(self) -> None:
        """The pod is gone; another one has a network of its own."""
        self.close()
        self._writer.forget(self._source)
        self._listeners, self._source = None, -1

    def close(self) -> None:
        """Let go of the network."""
        if self._listeners is not None:
            self._listeners.close()

    def _do_without(self, error: Exception) -> None:
        self._source = -1
        self.close()
        self._append(Note(t=now(), what="connections in accept queues are not counted", why=str(error)))


class WatchedPod:
    """A pod whose cgroup is there."""

    def __init__(self, name: str, path: str, listeners: PodListeners) -> None:
        self.name = name
        self.path = path
        self.listeners = listeners
        self.changed = True
        """Whether its own files have since its containers were read."""
        self.links = -1
        """Of its cgroup's directory when that was last looked through: a cgroup below it came or went since then if
        they differ.
        """
