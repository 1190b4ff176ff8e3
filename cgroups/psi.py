"""Pressure: how much of the time tasks waited for a resource (the kernel's accounting/psi.rst)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PressureLine:
    """One line of a *.pressure file: per cent of time over 10, 60 and 300 s; microseconds since creation."""

    avg10: float
    avg60: float
    avg300: float
    total_usec: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """A *.pressure file. `some`: at least one task waited; `full`: all did. A line that is not there is `None`."""

    some: PressureLine | None = None
    full: PressureLine | None = None
