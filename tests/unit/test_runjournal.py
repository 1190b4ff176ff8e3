"""What of the journal belongs to a run."""

from __future__ import annotations

import json

from emu.runjournal import since


def test_lines_belong_to_a_run_by_the_clock_that_nobody_sets() -> None:
    """Wall clock stamps say nothing: it was set back by hours between the two lines that count."""
    stamps = ((50_000_000, 9_000), (101_000_000, 9_100), (102_000_000, 1_000))
    lines = [json.dumps({"__MONOTONIC_TIMESTAMP": str(us), "__REALTIME_TIMESTAMP": str(wall)}) for us, wall in stamps]
    assert list(since([*lines, "torn", "[]", "{}"], began=100.0)) == lines[1:]
