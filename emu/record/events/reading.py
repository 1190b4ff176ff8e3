"""Reading events.jsonl, whoever wrote it and however it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emu.files import typed
from emu.files.regular import read_lines
from emu.record.events.base import KINDS, Event

_BEGIN = '{"kind":'


class DamagedLineError(ValueError):
    """A line that no emu wrote, or not to its end."""


def from_line(line: str) -> Event | None:
    """The event on a line; None for a damaged line, or a kind that this version does not know."""
    try:
        return parse_line(line)
    except DamagedLineError:
        return None


def parse_line(line: str) -> Event | None:
    """The event on a line; None for a kind that this version does not know. DamagedLineError where a value is missing
    or of another type.
    """
    try:
        data = typed.parse_object(line)
    except ValueError:
        whole = line.rfind(_BEGIN)  # another process wrote on where this line was torn
        if whole > 0:
            return parse_line(line[whole:])
        raise DamagedLineError(line[:80]) from None
    if not isinstance(name := data.pop("kind", None), str):
        raise DamagedLineError(line[:80])
    kind = KINDS.get(name)
    try:
        return None if kind is None else typed.make(kind, data)
    except ValueError as error:
        raise DamagedLineError(str(error)) from None


@dataclass
class Damage:
    """How many lines of a file were left out, because they made no sense."""

    lines: int = 0
    frames: int = 0
    """Of a file that is packed: parts of it that could not be unpacked."""


def read_events(path: Path, damage: Damage | None = None) -> Iterator[Event]:
    """All events of a run, ordered by time. A line that makes no sense is left out, and counted in `damage`; a torn
    end is not counted.
    """
    damage = Damage() if damage is None else damage
    events: list[Event] = []
    for line in read_lines(path):
        try:
            event = parse_line(line.decode(errors="replace"))
        except DamagedLineError:
            damage.lines += line.endswith(b"\n")
            continue
        if event is not None:
            events.append(event)
    yield from sorted(events, key=lambda event: event.t)
