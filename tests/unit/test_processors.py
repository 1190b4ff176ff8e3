"""Which processor a guest gets, and when it moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.sandbox.uml import processors
from emu.sandbox.uml.processors import Seat, first_choice, parse_stat, quieter, shares


@pytest.mark.parametrize(
    ("mine", "own", "busy", "target"),
    [
        (0, 0.9, {0: 0.95, 1: 0.0}, None),
        (0, 0.5, {0: 1.0, 1: 0.1}, 1),
        (0, 0.5, {0: 1.0, 1: 0.4}, None),
        (0, 0.1, {0: 1.0, 1: 0.5, 2: 0.2, 3: 0.2}, 2),
        (0, 0.5, {0: 1.0}, None),
        (0, 0.5, {}, None),
    ],
)
def test_a_guest_moves_where_others_are_fewer(
    mine: int, own: float, busy: dict[int, float], target: int | None
) -> None:
    """What the guest itself works is no reason to go, and a small gain is none."""
    assert quieter(mine, own, busy) == target


def test_a_new_guest_goes_where_no_other_is() -> None:
    """And of such processors to the quietest."""
    assert first_choice({0: 1, 1: 0, 2: 0}, {0: 0.0, 1: 0.7, 2: 0.2}) == 2
    assert first_choice({0: 1, 1: 1}, {0: 0.9, 1: 0.5}) == 1


def test_ticks() -> None:
    """Waiting for a disk is no work, and the line of all processors is not one of them."""
    text = "cpu  9 9 9 9 9 0 0 0 0 0\ncpu0 100 0 50 800 50 0 0 0 0 0\ncpu1 1 0 0 9 0 0 0 0 0 0\nintr 5 4\n"
    assert parse_stat(text) == {0: (150, 1000), 1: (1, 10)}
    assert shares({0: (100, 900), 1: (1, 10)}, {0: (150, 1000), 1: (1, 10)}) == {0: 0.5}


def test_guests_get_processors_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As long as there are enough; then they share."""
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _pid: {4, 5})
    seats = [Seat(tmp_path) for _ in range(4)]
    for seat in seats:
        seat.take()
    chosen = [seat.processor for seat in seats]
    assert set(chosen[:2]) == {4, 5} and set(chosen[2:]) == {4, 5}


def test_no_choice_no_pin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with one processor, and a place where no lock can be: the guest runs wherever it may."""
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _pid: {0})
    seat = Seat(tmp_path)
    seat.take()
    assert seat.processor is None and list(tmp_path.iterdir()) == []
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _pid: {0, 1})
    seat = Seat(tmp_path / "none")
    seat.take()
    assert seat.processor is None


def test_a_guest_leaves_a_busy_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Once others have kept it busy at two looks in a row; its lock goes with it."""
    pinned: list[tuple[int, set[int]]] = []
    ticks = {0: (0, 0), 1: (0, 0)}
    clock = [0.0]
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _pid: {0, 1})
    monkeypatch.setattr(processors.os, "sched_setaffinity", lambda pid, where: pinned.append((pid, set(where))))
    monkeypatch.setattr(processors, "_ticks", lambda _allowed: dict(ticks))
    monkeypatch.setattr(processors, "_seconds", lambda _pid: clock[0] * 0.3)
    monkeypatch.setattr(processors, "_children", lambda _pid: [78])
    monkeypatch.setattr(processors.time, "monotonic", lambda: clock[0])
    seat, other = Seat(tmp_path), Seat(tmp_path)
    seat.take()
    assert seat.processor == 0
    for look in range(4):
        assert seat.processor == (1 if look == 3 else 0)
        clock[0] += 2.0
        ticks[0] = (ticks[0][0] + 200, ticks[0][1] + 200)
        ticks[1] = (ticks[1][0], ticks[1][1] + 200)
        seat.look(77)
    assert {(77, frozenset({1})), (78, frozenset({1}))} == {(pid, frozenset(where)) for pid, where in pinned}
    other.take()
    assert other.processor == 0
