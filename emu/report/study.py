"""Reads a run directory into a `Study`."""

from __future__ import annotations

from emu.report.model import Study
from emu.rundir import RunDir

__all__ = ["Study", "read_study"]


def read_study(run: RunDir) -> Study:
    """Everything known of a run. Files that are missing or torn leave gaps and notes, never an error."""
    return Study(run)
