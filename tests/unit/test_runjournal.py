"""What of the journal belongs to a run."""

from __future__ import annotations

import json

from emu.run.journal import since


def test_lines_belong_to_a_run_by_the_clock_that_nobody_sets() -> None:
    """Wall clock stamps say nothing: it was set back by hours between the two lines that count."""
    stamps = ((50_000_000, 9_000), (101_000_000, 9_100), (102_000_000, 1_000))
    lines = [
        json.dumps({"_TRANSPORT": "kernel", "__MONOTONIC_TIMESTAMP": str(us), "__REALTIME_TIMESTAMP": str(wall)})
        for us, wall in stamps
    ]
    named = json.dumps({"_TRANSPORT": "journal", "__MONOTONIC_TIMESTAMP": "50000000", "CONTAINER_NAME": "run.app.0"})
    assert list(since([*lines, named, "torn", "[]", "{}"], began=100.0)) == [*lines[1:], named]
