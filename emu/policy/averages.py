"""A revision's metric in the last so many seconds, on average and at most (knative
pkg/autoscaler/aggregation).

Values lie in buckets of a second; all that is reported in one second adds up. Times are seconds on one clock that
only the caller reads.
"""

from __future__ import annotations

import math

from emu.policy.autoscaling.numbers import rounded_to

BUCKET_S = 1.0
DIGITS = 6
"""To which a linear average is rounded (bucketing.go, precision)."""
LEAST_WEIGHT = 0.2
"""How much the newest second counts at least, where averages are weighted (bucketing.go, minExponent)."""
WEIGHTS_LEFT_OUT = 0.0001
"""What the weights of a window's seconds lack of 1 at most (bucketing.go, 1 - weightPrecision: a difference of
constants, which Go takes exactly).
"""
_PART = 64
_NOTHING = 2.0**-55
"""A part of a sum that is smaller is rounded away."""


class Average:
    """The mean over a window, as Knative's linear buckets give it: a young one is averaged over the time that it has
    data for, and a silent end is not averaged in as zeros.
    """

    def __init__(self, window_s: float, bucket_s: float = BUCKET_S) -> None:
        self._bucket_s = bucket_s
        self._window = round(window_s / bucket_s, 9)
        """In buckets; not always a whole number of them."""
        self._buckets = [0.0] * max(1, math.ceil(self._window))
        self._total = 0.0
        self._most = 0.0
        """No second had more until now."""
        self._first: int | None = None
        self._last: int | None = None

    def record(self, now: float, value: float) -> None:
        """Something was reported. What is a window or more older than the newest is dropped."""
        at = self._bucket(now)
        count = len(self._buckets)
        if self._last is None or at - self._last >= self._window:
            self._buckets = [0.0] * count
            self._total = 0.0
            self._first = self._last = at
        elif at > self._last:
            for gap in range(self._last + 1, at + 1):
                self._total -= self._buckets[gap % count]
                self._buckets[gap % count] = 0.0
            self._last = at
        elif self._last - at >= self._window:
            return
        if self._first is None or at < self._first:
            self._first = at
        self._buckets[at % count] += value
        self._total += value
        self._most = max(self._most, self._buckets[at % count])

    def empty(self, now: float) -> bool:
        """Whether nothing was reported for more than a window."""
        return self._last is None or self._bucket(now) - self._last > self._window

    def mean(self, now: float) -> float:
        """The average at a time; 0 where nothing was reported for a window."""
        if self._last is None or self._first is None:
            return 0.0
        at = self._bucket(now)
        silent = at - self._last
        if silent >= self._window:
            return 0.0
        total = self._total
        count = len(self._buckets)
        for gap in range(self._last + 1, at + 1):
            total -= self._buckets[gap % count]
        return rounded_to(DIGITS, total / min(self._last - self._first + 1, count - max(0, silent)))

    def value(self, now: float) -> float | None:
        """The average at a time; None where nothing was reported for a whole window."""
        return None if self.empty(now) else self.mean(now)

    def resize(self, now: float, window_s: float) -> None:
        """Change the window: what still counts stays; seconds without a report count as zeros from now on."""
        window = round(window_s / self._bucket_s, 9)
        if window == self._window:
            return
        old, count = self._buckets, max(1, math.ceil(window))
        new = [0.0] * count
        if self._last is not None and self._bucket(now) - self._last <= self._window:
            for at in range(self._last, self._last - min(count, len(old)), -1):
                new[at % count] = old[at % len(old)]
            self._first = self._last - (len(old) - 1)
        else:
            self._first = None
        self._window, self._buckets, self._total = window, new, sum(new)

    def _bucket(self, now: float) -> int:
        return math.floor(now / self._bucket_s)


class WeightedAverage(Average):
    """Newer seconds count more (metric-aggregation-algorithm: weighted-exponential). It is not rounded, and a young
    window is not made up for: a constant input takes some seconds to be seen whole.
    """

    def __init__(self, window_s: float, bucket_s: float = BUCKET_S) -> None:
        super().__init__(window_s, bucket_s)
        self._weight = self._newest_weight()

    def mean(self, now: float) -> float:
        """The weighted average at a time; 0 where nothing was reported for more than a window."""
        if self._last is None or self.empty(now):
            return 0.0
        silent = max(0, self._bucket(now) - self._last)
        kept = 1.0 - self._weight
        weight = self._weight * math.pow(kept, silent)
        newest = self._last % len(self._buckets)
        values = self._buckets[newest::-1] + self._buckets[:newest:-1]
        total, end = 0.0, len(values) - silent
        for part in range(0, end, _PART):
            for value in values[part : min(part + _PART, end)]:
                total += value * weight
                weight *= kept
            if weight * self._most < total * _NOTHING:  # what is left would change no bit
                break
        return total

    def resize(self, now: float, window_s: float) -> None:
        """Change the window, and the weights with it."""
        super().resize(now, window_s)
        self._weight = self._newest_weight()

    def _newest_weight(self) -> float:
        return max(1.0 - math.pow(WEIGHTS_LEFT_OUT, 1.0 / len(self._buckets)), LEAST_WEIGHT)


class Maximum:
    """The largest number over a window, in slots of `slot_s` (knative pkg/autoscaler/aggregation/max)."""

    def __init__(self, window_s: float, slot_s: float) -> None:
        self._slots = math.ceil(round(window_s / slot_s, 9))
        self._slot_s = slot_s
        self._kept: list[tuple[int, int]] = []
        """(slot, value), oldest first, each larger than those after it."""

    def over(self, now: float, value: int) -> int:
        """Take one more in; the largest of those that still count."""
        at = math.floor(now / self._slot_s)
        kept = self._kept
        while kept and value >= kept[-1][1]:
            kept.pop()
        while kept and at - kept[0][0] >= self._slots:
            kept.pop(0)
        if kept and kept[-1][0] == at:
            value = max(value, kept.pop()[1])
        kept.append((at, value))
        return kept[0][1]
