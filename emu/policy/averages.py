"""What was told of a pod in the last so many seconds, on average and at most (knative pkg/autoscaler/aggregation).

Values lie in buckets of a second; all that is told in one second adds up. Times are seconds on one clock that only
the caller reads.
"""

from __future__ import annotations

import math

BUCKET_S = 1
DIGITS = 6
"""To which an average is rounded (bucketing.go, precision)."""


class Average:
    """The mean over a window, as Knative's linear buckets give it: a young one is averaged over the time that it has
    data for, and a silent end is not averaged in as zeros.
    """

    def __init__(self, window_s: float) -> None:
        self._count = max(1, math.ceil(window_s / BUCKET_S))
        self._buckets = [0.0] * self._count
        self._first = self._last = 0
        self._written = False

    def record(self, now: float, value: float) -> None:
        """Something was told. What is a window or more older than the newest is dropped."""
        at = int(now // BUCKET_S)
        if not self._written or at - self._last >= self._count:
            self._buckets = [0.0] * self._count
            self._first = self._last = at
            self._written = True
        elif at > self._last:
            for gap in range(self._last + 1, at + 1):
                self._buckets[gap % self._count] = 0.0
            self._last = at
        elif self._last - at >= self._count:
            return
        self._first = min(self._first, at)
        self._buckets[at % self._count] += value

    def value(self, now: float) -> float | None:
        """The average at a time; None where nothing was told for a whole window."""
        at = int(now // BUCKET_S)
        silent = max(0, at - self._last)
        if not self._written or silent > self._count:
            return None
        if silent >= self._count:
            return 0.0
        oldest = max(at, self._last) - self._count + 1
        total = sum(self._buckets[second % self._count] for second in range(oldest, self._last + 1))
        return round(total / min(self._last - self._first + 1, self._count - silent), DIGITS)


class Maximum:
    """The largest number over a window, in slots of `slot_s` (knative pkg/autoscaler/aggregation/max)."""

    def __init__(self, window_s: float, slot_s: float) -> None:
        self._slots = math.ceil(window_s / slot_s)
        self._slot_s = slot_s
        self._told: dict[int, int] = {}

    def over(self, now: float, value: int) -> int:
        """Take one more in, and tell the largest; the value itself where the window is empty."""
        at = int(now // self._slot_s)
        self._told[at] = max(value, self._told.get(at, value))
        self._told = {slot: one for slot, one in self._told.items() if slot > at - self._slots}
        return max(self._told.values(), default=value)
