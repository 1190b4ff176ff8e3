"""What emu's own processes logged in containers: lines of JSON among whatever else was printed there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emu.files import typed
from emu.files.regular import read_lines
from emu.messages import DRAINS, QUEUE_PROXY
from emu.study.model.instances import Instance
from emu.study.model.study import Study


def logged(path: Path, *marks: str) -> Iterator[dict[str, Any]]:
    """The objects on the lines that hold one of the marks; none where the log cannot be read."""
    wanted = [mark.encode() for mark in marks]
    try:
        for line in read_lines(path):
            if any(mark in line for mark in wanted):
                try:
                    yield typed.parse_object(line[max(0, line.find(b"{")) :].decode(errors="replace"))
                except ValueError:
                    continue
    except OSError:
        return


def logged_events(path: Path, *events: str) -> Iterator[dict[str, Any]]:
    """The lines about these events."""
    return logged(path, *(f'"event":"{event}"' for event in events))


def drain_s(study: Study, entry: Instance) -> float | None:
    """How long a queue-proxy that was to end waited for a time without requests, by its own log; None: it did not."""
    if entry.container != QUEUE_PROXY:
        return None
    found = logged_events(study.run.container_log(entry.pod, entry.container, entry.attempt), DRAINS)
    return next((time for line in found if (time := time_in(line, "quietSeconds")) is not None), None)


def time_in(line: dict[str, Any], name: str) -> float | None:
    """A time on such a line; None where it has none."""
    value = line.get(name)
    return float(value) if value is not None and typed.is_number(value) else None
