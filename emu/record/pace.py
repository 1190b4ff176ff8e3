"""How often the recorder reads: as often as it is asked to, but it may cost no more than a tenth of one CPU.

It never gets so rare that a picture of a run would miss what happens in it. Where there are more than `MANY` cgroups,
a tenth of one CPU is not enough for that, and the cost decides alone. What must be known at one moment, between two
phases of the load, is asked for (asked.py).
"""

from __future__ import annotations

SLOW_S = 0.1
"""The slow files are read no more often than that."""
SHARE = 0.1
"""Of one CPU, that all ticks may cost together; what is read at events comes on top."""
SLOW_SHARE = SHARE / 2
"""Of that, what the slow files may cost."""
LONGEST_S = 0.1
"""Ticks are no farther apart for what they cost, unless they are asked to be."""
LONGEST_SLOW_S = 1.0
"""Nor are those that read the slow files."""
MANY = 40
"""As many cgroups as ten pods of two containers have."""
LONGEST_OF_MANY_S = 2.0
"""Ticks of either kind are no farther apart where there are more."""
_MEMORY_S = 2.0
"""Costs are averaged over so long: where the kernel counts CPU time in ticks, one alone says little."""


class Pace:
    """The intervals, of what ticks cost so far."""

    def __init__(self, asked_s: float) -> None:
        self.asked_s = asked_s
        self.longest_s = asked_s
        """The longest interval between two ticks until now."""
        self.interval_s = asked_s
        """From one tick to the next."""
        self.slow_s = SLOW_S
        """From one tick that reads the slow files too to the next."""
        self._fast_cost_s = 0.0
        self._slow_cost_s = 0.0
        self._at: float | None = None
        self._slow_at: float | None = None

    def took(self, moment: float, fast_s: float, slow_s: float | None, cgroups: int = 1) -> None:
        """A tick of so many cgroups took this much CPU time; None: it read no slow files."""
        longest_s, longest_slow_s = (LONGEST_S, LONGEST_SLOW_S) if cgroups <= MANY else (LONGEST_OF_MANY_S,) * 2
        self._fast_cost_s += (fast_s - self._fast_cost_s) * _weight(moment, self._at)
        self._at = moment
        if slow_s is not None:
            self._slow_cost_s += (slow_s - self._slow_cost_s) * _weight(moment, self._slow_at)
            self._slow_at = moment
        self.slow_s = min(max(SLOW_S, self._slow_cost_s / SLOW_SHARE), longest_slow_s)
        left = max(SHARE - self._slow_cost_s / self.slow_s, SHARE - SLOW_SHARE)
        self.interval_s = max(self.asked_s, min(self._fast_cost_s / left, longest_s))
        self.longest_s = max(self.longest_s, self.interval_s)


def _weight(moment: float, before: float | None) -> float:
    """Of a new cost in the average."""
    return 0.0 if before is None else min(1.0, (moment - before) / _MEMORY_S)
