"""Whether the guest's disks get anywhere. Its agent still answers where a disk does not, as it is locked into
memory; all else would wait for ever.
"""

from __future__ import annotations

from collections.abc import Mapping

_COMPLETED = (0, 4, 11, 15)  # reads, writes, discards, flushes: Documentation/block/stat.rst
_IN_FLIGHT = 8
PATIENCE = 120
"""Looks, one a second, without anything done that was asked. Not seconds: a guest that did not run meanwhile
has not looked either."""


class DiskWatch:
    """Remembers what each disk had done, and for how many looks it has done no more."""

    def __init__(self) -> None:
        self._done: dict[str, tuple[int, int]] = {}

    def look(self, stats: Mapping[str, str]) -> str:
        """What there is to say of a disk that does nothing of what it was asked, once; else "". `stats`: each disk's
        `stat` file.
        """
        for name, text in stats.items():
            fields = [int(word) for word in text.split()]
            done = sum(fields[at] for at in _COMPLETED if at < len(fields))
            before, looks = self._done.get(name, (done, 0))
            looks = looks + 1 if fields[_IN_FLIGHT] and done == before else 0
            self._done[name] = (done, looks)
            if looks == PATIENCE:
                return f"its disk {name} has completed no request for {PATIENCE} s"
        return ""
