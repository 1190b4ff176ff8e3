"""What is read back before a resume, and what a wake is learnt to have touched."""

from __future__ import annotations

import pytest

from emu.policy.prefetching import (
    FIRST_WAKE_BYTES,
    SPARE_BYTES,
    TOUCHED,
    Area,
    common,
    first,
    learn,
    plan,
    read_prefetch,
    total,
    without,
)

MIB = 1 << 20
PLENTY = 1 << 40


def area(begin: int, end: int, mapping: int = 0, pid: int = 1) -> Area:
    """In MiB."""
    return Area(pid, begin * MIB, end * MIB, mapping * MIB)


@pytest.mark.parametrize(
    ("text", "read"), [("none", "none"), (" touched", "touched"), ("all", "all"), ("25 %", "25%"), ("1Mi", "1048576")]
)
def test_what_to_read_ahead_has_one_form(text: str, read: str) -> None:
    """Nothing, what was touched, or an amount."""
    assert read_prefetch(text) == read


def test_anything_else_is_refused_with_the_forms_that_there_are() -> None:
    """Those of an amount, and the two words."""
    with pytest.raises(ValueError, match=r"write all, a size .* or none, or touched"):
        read_prefetch("some")


def test_the_parts_of_areas_that_others_have_and_have_not() -> None:
    """By process and address; together they are the areas again."""
    areas = [area(0, 10), area(20, 30), area(0, 10, pid=2)]
    others = [area(28, 40), area(2, 4), area(5, 6), area(9, 21), area(3, 4, pid=3)]
    both = list(common(areas, others))
    assert both == [area(2, 4), area(5, 6), area(9, 10), area(20, 21), area(28, 30)]
    rest = list(without(areas, others))
    assert rest == [area(0, 2), area(4, 5), area(6, 9), area(21, 28), area(0, 10, pid=2)]
    assert total(both) + total(rest) == total(areas)


def test_what_the_wake_before_touched_is_read_back_and_no_more() -> None:
    """As far as it is in swap again."""
    made = plan(TOUCHED, [area(0, 64, 64), area(100, 102, 2)], [area(3, 5), area(80, 90)], PLENTY)
    assert [(one.begin // MIB, one.end // MIB) for one in made.areas] == [(3, 5)]
    assert (made.swapped_bytes, made.known_bytes, made.why) == (66 * MIB, 2 * MIB, "")


def test_before_a_first_wake_small_mappings_are_read_back() -> None:
    """In them an interpreter has what it needs to answer at all; no more than a little of the rest."""
    made = plan(TOUCHED, [area(0, 64, 64), area(100, 102, 2), area(200, 201, 1)], None, PLENTY)
    assert made.areas[:2] == (area(200, 201, 1), area(100, 102, 2))
    assert made.size == FIRST_WAKE_BYTES
    assert made.known_bytes is None


def test_a_wake_that_touched_nothing_is_known_too() -> None:
    """Then nothing is read back, as against a first wake."""
    assert plan(TOUCHED, [area(0, 8, 8)], [], PLENTY).areas == ()


@pytest.mark.parametrize(("wanted", "size"), [("all", 66), ("50%", 33), (str(4 * MIB), 4), (str(999 * MIB), 66)])
def test_an_amount_is_what_was_touched_first_and_then_more(wanted: str, size: int) -> None:
    """Small mappings before large ones."""
    made = plan(wanted, [area(0, 64, 64), area(100, 102, 2)], [area(3, 4)], PLENTY)
    assert made.size == size * MIB
    assert made.areas[:2] == (area(3, 4, 64), area(100, 102, 2))
    assert total(common(made.areas, [area(0, 200)])) == made.size, "nothing is read twice"


def test_a_limit_is_not_reached_by_reading_ahead() -> None:
    """Some room is left for what the app does first, and it says so; no room is no error."""
    made = plan("all", [area(0, 64, 64)], None, SPARE_BYTES + 3 * MIB)
    assert made.size == 3 * MIB
    assert "limit" in made.why
    assert plan("all", [area(0, 64, 64)], None, 0).areas == ()


def test_what_a_wake_touched_replaces_what_was_known_of_the_same_pages() -> None:
    """Of pages that were not in swap then, what was known before stays."""
    known = learn(None, [area(0, 10)], [area(2, 3), area(50, 60)])
    assert known == (area(2, 3),)
    later = learn([*known, area(20, 21)], [area(0, 10)], [area(7, 8)])
    assert later == (area(7, 8), area(20, 21))


def test_the_last_area_is_cut() -> None:
    """To the byte."""
    assert list(first([area(0, 2), area(5, 9)], 3 * MIB)) == [area(0, 2), area(5, 6)]
    assert list(first([area(0, 2)], 0)) == []
