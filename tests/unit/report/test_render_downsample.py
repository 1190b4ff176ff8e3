"""Thinning for the picture: smaller, and nothing that stands out is lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.report.page.downsample import keep_peaks, nice_step, rates, rows_that_change

COLUMN = st.lists(st.one_of(st.none(), st.integers(0, 1000)), min_size=1, max_size=300)


@given(COLUMN, st.floats(0.5, 50))
def test_the_extremes_of_every_bucket_survive(column: list[int | None], bucket_s: float) -> None:
    """Of each bucket the largest and the smallest are kept, and so are the first and the last of all."""
    t = [float(i) for i in range(len(column))]
    rows = keep_peaks(t, [column], bucket_s, 0)
    assert rows == sorted(set(rows))
    assert {0, len(column) - 1} <= set(rows)
    on_the_line = _redrawn(column, rows)
    for number in {int(moment / bucket_s) for moment in t}:
        bucket = [i for i, moment in enumerate(t) if int(moment / bucket_s) == number]
        whole = [value for i in bucket if (value := column[i]) is not None]
        if whole:
            assert {max(whole), min(whole)} <= {on_the_line.get(i) for i in bucket}


def _redrawn(column: list[int | None], rows: list[int]) -> dict[int, int | None]:
    """What a line through the rows shows: the rows themselves, and level stretches between equal ones."""
    shown = {row: column[row] for row in rows}
    for before, after in pairwise(rows):
        if column[before] == column[after]:
            shown |= dict.fromkeys(range(before, after), column[before])
    return shown


@given(COLUMN)
def test_a_line_through_the_rows_that_change_is_the_same_line(column: list[int | None]) -> None:
    """What is left out lies between two equal rows that are kept."""
    rows = rows_that_change([column], len(column))
    for before, after in pairwise(rows):
        assert after == before + 1 or len(set(column[before : after + 1])) == 1


def test_columns_are_thinned_together() -> None:
    """A peak of any column keeps its row, for all columns are drawn at the same times."""
    count = 1000
    one = [i % 7 for i in range(count)]
    other = [i % 5 for i in range(count)]
    one[333], other[777] = 99, 88
    rows = keep_peaks([float(i) for i in range(count)], [one, other], 100.0, 10)
    assert {333, 777} <= set(rows)
    assert len(rows) < 100


def test_a_gap_stays_where_it_is() -> None:
    """The rows around an unmeasured stretch are kept."""
    column: list[int | None] = [i % 3 for i in range(100)]
    column[40:60] = [None] * 20
    assert {39, 40, 59, 60} <= set(keep_peaks([float(i) for i in range(100)], [column], 100.0, 0))


@pytest.mark.parametrize(("least", "step"), [(0.4, 0.5), (0.5, 0.5), (0.51, 1.0), (3, 5.0), (0.011, 0.02), (0, 1.0)])
def test_steps_are_ones_people_can_name(least: float, step: float) -> None:
    """1, 2 or 5 times a power of ten, not smaller than asked."""
    assert nice_step(least) == step


@given(st.lists(st.integers(0, 50), min_size=1, max_size=100), st.sampled_from([0.1, 0.3, 1.0, 7.0]))
def test_rates_add_up_to_the_counter(rises: list[int], step_s: float) -> None:
    """The area under the rates is all that was counted."""
    t = [0.25 * (i + 1) for i in range(len(rises))]
    counter = [sum(rises[: i + 1]) for i in range(len(rises))]
    found = rates(t, counter, step_s, t[-1])
    assert sum(found) * step_s == pytest.approx(counter[-1])


def test_a_steady_counter_has_a_steady_rate() -> None:
    """Steps that do not fit the moments of sampling make no flicker."""
    t = [0.05 * i for i in range(201)]
    found = rates(t, [int(1000 * moment) for moment in t], 0.13, 10.0)
    assert all(rate == pytest.approx(1000, rel=0.03) for rate in found[1:-1])


def test_a_counter_that_fell_began_again() -> None:
    """A new cgroup counts from 0: what it shows is its own rise, never a negative one."""
    assert sum(rates([1.0, 2.0, 3.0], [10, 4, 9], 1.0, 4.0)) == pytest.approx(10 + 9)
