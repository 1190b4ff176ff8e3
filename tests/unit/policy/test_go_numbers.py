"""Numbers as Go has them; each expectation is what Go 1.27 on amd64 gave."""

from __future__ import annotations

import math

import pytest

from emu.policy.autoscaling.numbers import (
    INT32_MIN,
    ceil,
    int32,
    larger,
    parse_bool,
    parse_duration,
    parse_float,
    parse_int32,
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+3", 3),
        ("007", 7),
        ("-2147483648", -(2**31)),
        ("2147483648", None),
        ("9" * 5000, None),
        ("0" * 5000, 0),
        ("1.0", None),
        (" 1", None),
        ("1_000", None),
        ("", None),
        ("\u0661", None),
    ],
)
def test_integers(text: str, value: int | None) -> None:
    """Digits and a sign, nothing else."""
    assert parse_int32(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5.", 5.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1_0", 10.0),
        ("1__0", None),
        ("_1", None),
        ("0x1p4", 16.0),
        ("0x_1p4", 16.0),
        ("0x1", None),
        ("Inf", INF),
        ("-infinity", -INF),
        ("infinit", None),
        ("+nan", None),
        ("1e400", None),
        ("1e-400", 0.0),
        ("1e", None),
        (".", None),
        ("5 ", None),
        ("", None),
    ],
)
def test_floats(text: str, value: float | None) -> None:
    """As Go's literals, with infinities and NaN; what is too large is refused."""
    assert parse_float(text) == value
    assert math.isnan(parse_float("NaN") or 0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("1m30s", 90.0),
        ("1.5s", 1.5),
        (".5m", 30.0),
        ("5.s", 5.0),
        ("-5s", -5.0),
        ("3µs", 3e-6),
        ("90", None),
        ("1d", None),
        ("1e3s", None),
        ("", None),
        ("s", None),
        ("2540400h10m10s", 9145440610.0),
        ("9223372036.854775808s", None),
        ("0.9999999999s", 0.999999999),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    """Numbers with units; nanoseconds are the least."""
    assert parse_duration(text) == seconds


def test_booleans() -> None:
    """Twelve words."""
    assert [parse_bool(text) for text in ("T", "true", "1", "f", "0", "False", "yes", "tRUE", "")] == [
        True,
        True,
        True,
        False,
        False,
        False,
        None,
        None,
        None,
    ]
