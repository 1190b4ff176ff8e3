"""Go's numbers, where Knative's decisions depend on them: conversions of what does not fit, rounding away from zero
and comparisons with NaN.
"""

from __future__ import annotations

import math

INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)
INT64_MIN = -(2**63)


def int32(value: float) -> int:
    """As Go converts on amd64: truncated; what does not fit, and NaN, is the smallest number."""
    if INT32_MIN - 1 < value < INT32_MAX + 1:
        return int(value)
    return INT32_MIN


def int64(value: float) -> int:
    """As Go converts on amd64: truncated; what does not fit, and NaN, is the smallest number."""
    return int(value) if INT64_MIN <= value < -INT64_MIN else INT64_MIN


def wrapped(number: int, bits: int) -> int:
    """A sum, a difference or a product that does not fit, wrapped as Go's is."""
    half = 1 << (bits - 1)
    return (number + half) % (2 * half) - half


def ceil(value: float) -> float:
    """The next whole number, as a float; infinities and NaN stay."""
    return float(math.ceil(value)) if math.isfinite(value) else value


def floor(value: float) -> float:
    """The whole number below, as a float; infinities and NaN stay."""
    return float(math.floor(value)) if math.isfinite(value) else value


def quotient(dividend: float, divisor: float) -> float:
    """A division that never fails: by zero it is infinite, or NaN."""
    if divisor:
        return dividend / divisor
    if dividend == 0 or dividend != dividend:
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


def larger(one: float, other: float) -> float:
    """The larger of the two; NaN with NaN, unless the other is infinite."""
    if one == math.inf or other == math.inf:
        return math.inf
    if one != one or other != other:
        return math.nan
    return one if one > other else other


def smaller(one: float, other: float) -> float:
    """The smaller of the two; NaN with NaN, unless the other is minus infinity."""
    if one == -math.inf or other == -math.inf:
        return -math.inf
    if one != one or other != other:
        return math.nan
    return one if one < other else other


def rounded(value: float) -> float:
    """To a whole number, halves away from zero."""
    rest, whole = math.modf(value)
    return whole + math.copysign(1.0, value) if abs(rest) >= 0.5 else whole


def rounded_to(digits: int, value: float) -> float:
    """To so many decimals, halves away from zero."""
    power = 10.0**digits
    return rounded(value * power) / power
