"""Memory over a run in a line of characters."""

from __future__ import annotations

import math
from collections.abc import Iterable

from emu.study.model.kills import OomVerdict
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline

BARS = "▁▂▃▄▅▆▇█"
SPARKS = 32
"""Characters of a sparkline: the run's length, whatever it was."""
KILL_MARK = "✗"


def sparkline(study: Study, lines: Iterable[Timeline], kills: Iterable[OomVerdict] = ()) -> str:
    """memory.current of a container over the run, against its limit (or its own peak where there is none). A gap is
    where it held nothing or did not run, a cross where it was OOM-killed.
    """
    span = study.duration_s
    cells: list[int | None] = [None] * SPARKS
    top = 1
    for line in lines:
        limits = [value for value in line.memory_max if value is not None]
        top = max([top, *limits[-1:]] if limits else [top, *(value or 0 for value in line.memory_current)])
        for t, value in zip(line.t, line.memory_current, strict=True):
            if value is not None:
                cell = _cell(t, span)
                cells[cell] = max(cells[cell] or 0, value)
    found = [" " if not value else BARS[min(len(BARS) - 1, value * len(BARS) // top)] for value in cells]
    for kill in kills:
        found[_cell(kill.time_s, span)] = KILL_MARK
    return "".join(found)


def _cell(t: float, span: float) -> int:
    return max(0, min(SPARKS - 1, math.floor(t / span * SPARKS))) if span > 0 else 0
