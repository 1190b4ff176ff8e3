"""Averages over a window, as Knative's buckets give them (pkg/autoscaler/aggregation)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.averages import Average, Maximum, WeightedAverage

REPORTED = list[tuple[float, float]]


def average(window_s: float, reported: REPORTED, at: float) -> float | None:
    """What an average says at a time, after all these values."""
    one = Average(window_s)
    for now, value in reported:
        one.record(now, value)
    return one.value(at)


@pytest.mark.parametrize(
    ("reported", "at", "wanted"),
    [
        ([], 5.0, None),
        ([(0.0, 3.0)], 0.5, 3.0),
        ([(0.0, 3.0), (1.0, 1.0)], 1.9, 2.0),  # a young one: over the time that it has data for
        ([(0.2, 1.0), (0.8, 2.0)], 0.9, 3.0),  # all of one second adds up
        ([(0.0, 6.0), (3.0, 0.0)], 3.0, 1.5),  # the seconds between were silent, and count
        ([(float(t), 1.0) for t in range(10)], 9.5, 1.0),
        ([(0.0, 6.0)], 3.0, 6.0),  # a silent end is not averaged in as zeros
        ([(0.0, 6.0)], 6.0, 0.0),
        ([(0.0, 6.0)], 7.0, None),
        ([(0.0, 6.0), (6.0, 1.0)], 6.0, 1.0),  # a jump of a window begins again
        ([(5.0, 1.0), (3.0, 2.0)], 5.0, 1.0),  # late, and still within: added
        ([(9.0, 1.0), (3.0, 2.0)], 9.0, 1.0),  # late by a window: dropped
        ([(0.0, 1.0), (1.0, 0.0), (2.0, 0.0)], 2.0, 0.333333),
    ],
)
def test_an_average_is_over_the_time_that_has_data(reported: REPORTED, at: float, wanted: float | None) -> None:
    """Given what was reported in a window of 6 s: the average, or none."""
    assert average(6.0, reported, at) == wanted


@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 5)), max_size=60), st.floats(0, 60))
def test_an_average_is_never_below_zero_or_above_all_that_was_reported(reported: REPORTED, at: float) -> None:
    """Whatever was recorded and whenever it is asked."""
    found = average(6.0, sorted(reported), at)
    assert found is None or 0 <= found <= sum(value for _, value in reported) + 1e-6


def test_after_a_window_of_zeros_the_average_is_zero() -> None:
    """Scrapes report zeros of a pod without requests: a window after the last request nothing is left of it."""
    reported = [(0.5, 40.0), *((t + 0.5, 0.0) for t in range(1, 7))]
    assert average(6.0, reported[:-1], 5.9) != 0.0
    assert average(6.0, reported, 6.9) == 0.0


def test_a_maximum_holds_for_its_slots() -> None:
    """A window of 6 s in slots of 2 s: what was wanted counts until its slot is the fourth last."""
    one = Maximum(6.0, 2.0)
    assert [one.over(float(t), value) for t, value in ((0, 1), (2, 0), (4, 0), (6, 0), (8, 0))] == [1, 1, 1, 0, 0]


def test_the_shortest_maximum_is_of_one_slot() -> None:
    """A delay of no more than a slot delays nothing."""
    one = Maximum(1.0, 2.0)
    assert [one.over(float(t), value) for t, value in ((0, 1), (1, 0), (2, 0))] == [1, 1, 0]


def test_a_weighted_average_sees_a_constant_input_after_some_seconds() -> None:
    """Of six seconds each weighs 0.785 of what the later ones leave."""
    window = WeightedAverage(6.0)
    seen = []
    for second in range(3):
        window.record(float(second), 10.0)
        seen.append(round(window.mean(float(second)), 3))
    assert seen == [7.846, 9.536, 9.9]
    assert window.empty(9.0)
    assert window.mean(8.0) == pytest.approx(0.001, abs=1e-3)


def test_a_resized_window_keeps_what_still_counts() -> None:
    """Seconds that were never reported count as zeros after that."""
    window = Average(6.0)
    for second in range(3):
        window.record(float(second), 6.0)
    window.resize(2.0, 2.0)
    assert window.mean(2.0) == 6.0
    window = Average(6.0)
    window.record(2.0, 6.0)
    window.resize(2.0, 60.0)
    assert window.mean(2.0) == 1.0
    window.resize(200.0, 6.0)
    assert window.empty(200.0)
    assert window.mean(2.0) == 0.0


def test_a_late_report_counts_in_its_own_second() -> None:
    """One that is a window old is dropped."""
    window = Average(3.0)
    window.record(5.0, 3.0)
    window.record(3.0, 3.0)
    assert window.mean(5.0) == 2.0
    window.record(2.0, 99.0)
    assert window.mean(5.0) == 2.0


def test_a_weighted_average_that_a_target_divides_asks_for_no_pod_more() -> None:
    """The newest of two seconds weighs 0.99, and that exactly."""
    window = WeightedAverage(2.0)
    window.record(0.0, 1000.0)
    assert window.mean(0.0) == 990.0
