"""What the freezer daemon of a run has done so far, as it records it: for phases of the load that wait for it."""

from __future__ import annotations

from pathlib import Path

from emu.record.events import ContainerPaused, ContainerResumed, FreezerFailed, MemoryReclaimed
from emu.record.events.reading import from_line

_RECLAIM = "reclaim"
_KINDS = tuple(one.kind.encode() for one in (ContainerPaused, ContainerResumed, MemoryReclaimed, FreezerFailed))


class FreezerSeen:
    """Reads on in events.jsonl whenever it is asked. A line that is not whole yet is left for the next time."""

    def __init__(self, events: Path, steps: int) -> None:
        """`steps`: how often it reclaims memory of a container that it has frozen."""
        self._events = events
        self._steps = steps
        self._read = 0
        self._done: dict[tuple[str, str], int] = {}
        """By pod and container, of those that are frozen: how many steps were carried out, or failed."""

    def reclaimed(self) -> bool:
        """Whether something is frozen, and the freezer is through with all steps for all of it."""
        for line in self._new_lines():
            if any(kind in line for kind in _KINDS):
                self._see(line)
        return bool(self._done) and min(self._done.values()) >= self._steps

    def _see(self, line: bytes) -> None:
        event = from_line(line.decode(errors="replace"))
        if isinstance(event, ContainerPaused):
            self._done[event.pod, event.container] = 0
        elif isinstance(event, ContainerResumed):
            self._done.pop((event.pod, event.container), None)
        elif isinstance(event, MemoryReclaimed) or (isinstance(event, FreezerFailed) and event.action == _RECLAIM):
            key = event.pod, event.container
            if key in self._done:
                self._done[key] += 1

    def _new_lines(self) -> list[bytes]:
        with self._events.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return whole.splitlines()
