"""Bytes on an axis: binary units, ticks at powers of two, exact values underneath."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

UNITS = (("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30))


@dataclass(frozen=True)
class ByteScale:
    """A unit for an axis. Values are divided by a power of two, which a float holds exactly."""

    unit: str
    factor: int
    top: float
    """The upper end of the axis, in `unit`."""

    @classmethod
    def over(cls, values: Iterable[float | None], limits: Iterable[int | None] = ()) -> ByteScale:
        """The scale that shows all `values`, and the limits too unless they lie far above."""
        peak = max((value for value in values if value is not None), default=0)
        near = [limit for limit in limits if limit is not None and (not peak or limit <= 5 * peak)]
        largest = max([peak, *near, 1])
        unit, factor = next((pair for pair in UNITS if largest < 1024 * pair[1]), UNITS[-1])
        return cls(unit, factor, largest / factor * 1.22)

    def down(self, value: float | None) -> float | None:
        """Bytes in this unit; None stays None."""
        return None if value is None else value / self.factor

    def axis(self, ticks: int, per: str = "") -> dict[str, Any]:
        """Settings of a y axis with at most so many ticks above 0, a power of two apart."""
        step = 2.0**-10
        while self.top / step > ticks + 0.999:
            step *= 2
        return {
            "range": [0, self.top],
            "tick0": 0,
            "dtick": step,
            "ticksuffix": f" {self.unit}{per}",
            "tickformat": ",~g",
        }
