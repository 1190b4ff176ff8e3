"""When a process that held much for many clients gives its free heap back to the kernel.

Of itself it hardly does: what a client leaves behind refers to itself in a circle, and the collector comes only with
new objects; and the C library keeps what was freed below the last block still in use. Both are cheap to put right,
but not so cheap that it should happen with each client that goes.
"""

from __future__ import annotations

LEAST = 500
"""Fewer connections and requests than this hold too little to look for (some 6 kB each)."""
STILL_GOING = 50
"""Where more than so many went since the last look, the others are probably going too."""


class Trimming:
    """Given the number of connections and requests now and then, it says when trimming is worth while."""

    def __init__(self) -> None:
        self._most = 0
        self._last = 0
        self._least = LEAST
        self._again = False

    def due(self, load: int, most: int = 0) -> bool:
        """Whether half of the most since the last time have gone, at least `LEAST`, and no more are going. Where that
        was said while many were left, it is said again when those have gone, however many they are. It is said once
        more at the next look: what was under way at the first (closes, log lines) holds whole pieces of the heap.

        `most`: how many there were at once since the last look, where that is known: a burst can come and go between
        two looks.
        """
        self._most = max(self._most, load, most)
        going = self._last - load > STILL_GOING
        coming = load > self._last
        self._last = load
        if going:
            return False
        again, self._again = self._again, False
        if self._most - load < max(self._least, self._most / 2):
            return again and not coming
        self._again = True
        self._least = STILL_GOING if load > STILL_GOING else LEAST
        self._most = load
        return True
