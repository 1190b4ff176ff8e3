"""Numbers as Go has them; each expectation is what Go 1.27 on amd64 gave."""

from __future__ import annotations

import math

import pytest

from emu.policy.autoscaling.numbers import (
    INT32_MIN,
    ceil,
    int32,
    int64,
    larger,
    quotient,
    rounded,
    rounded_to,
    smaller,
)

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("value", "whole"),
    [(NAN, INT32_MIN), (INF, INT32_MIN), (3e9, INT32_MIN), (2147483647.5, 2147483647), (-0.5, 0), (-1.9, -1)],
)
def test_what_does_not_fit_an_int32_is_its_least(value: float, whole: int) -> None:
    """The rest is truncated."""
    assert int32(value) == whole


@pytest.mark.parametrize(("value", "whole"), [(NAN, -(2**63)), (INF, -(2**63)), (2.0**63, -(2**63)), (-7.9, -7)])
def test_what_does_not_fit_an_int64_is_its_least(value: float, whole: int) -> None:
    """The rest is truncated."""
    assert int64(value) == whole


@pytest.mark.parametrize(
    ("value", "whole"), [(0.5, 1), (1.5, 2), (2.5, 3), (-0.5, -1), (0.49999999999999994, 0), (1e300, 1e300)]
)
def test_halves_are_rounded_away_from_zero(value: float, whole: float) -> None:
    """Not to the even number."""
    assert rounded(value) == whole
    assert math.isnan(rounded(NAN))
    assert rounded_to(6, 0.0000005) == 0.000001


def test_comparisons_with_nan() -> None:
    """NaN wins, but against the infinity that nothing can pass."""
    assert math.isnan(larger(NAN, 1))
    assert larger(NAN, INF) == INF
    assert math.isnan(larger(NAN, -INF))
    assert math.isnan(smaller(1, NAN))
    assert smaller(NAN, -INF) == -INF
    assert (larger(1, 2), smaller(1, 2), ceil(INF), ceil(1.1)) == (2, 1, INF, 2)


def test_a_division_by_zero_is_no_error() -> None:
    """It is infinite, or NaN."""
    assert (quotient(1, 0), quotient(-1, 0), quotient(1, -0.0)) == (INF, -INF, -INF)
    assert math.isnan(quotient(0, 0))
    assert math.isnan(quotient(NAN, 0))
