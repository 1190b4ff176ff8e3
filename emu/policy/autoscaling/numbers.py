"""Go's numbers, where Knative's decisions depend on them: conversions of what does not fit, rounding away from zero,
comparisons with NaN, and the texts that its parsers accept.
"""

from __future__ import annotations

import math
import re

INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DIGITS = r"[0-9](?:_?[0-9])*"
_HEX_DIGITS = r"[0-9a-fA-F](?:_?[0-9a-fA-F])*"
_DECIMAL = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?")
_HEXADECIMAL = re.compile(
    rf"[+-]?0[xX](?:_?{_HEX_DIGITS}(?:\.(?:{_HEX_DIGITS})?)?|\.{_HEX_DIGITS})[pP][+-]?{_DIGITS}"
)
_SPECIAL = re.compile(r"[+-]?inf(inity)?|nan", re.IGNORECASE)
_DURATION = re.compile(r"([+-]?)((?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_TRUE, _FALSE = {"1", "t", "T", "true", "TRUE", "True"}, {"0", "f", "F", "false", "FALSE", "False"}


def int32(value: float) -> int:
    """As Go converts on amd64: truncated; what does not fit, and NaN, is the smallest number."""
    if INT32_MIN - 1 < value < INT32_MAX + 1:
        return int(value)
    return INT32_MIN


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


def parse_int32(text: str) -> int | None:
    """strconv.ParseInt(text, 10, 32); None where it refuses."""
    if len(text) > 100 and not text.lstrip("+-").lstrip("0"):
        return 0 if _INTEGER.fullmatch(text) else None
    if len(text) > 4000 or not _INTEGER.fullmatch(text):
        return None
    value = int(text)
    return value if INT32_MIN <= value <= INT32_MAX else None


def parse_float(text: str) -> float | None:
    """strconv.ParseFloat(text, 64); None where it refuses, also what is too large."""
    if _SPECIAL.fullmatch(text):
        return float(text)
    try:
        if _DECIMAL.fullmatch(text):
            value = float(text.replace("_", ""))
        elif _HEXADECIMAL.fullmatch(text):
            value = float.fromhex(text.replace("_", ""))
        else:
            return None
    except (OverflowError, ValueError):
        return None
    return None if math.isinf(value) else value


def parse_bool(text: str) -> bool | None:
    """strconv.ParseBool(text); None where it refuses."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


def parse_duration(text: str) -> float | None:
    """time.ParseDuration(text) in seconds; None where it refuses."""
    if text in ("0", "+0", "-0"):
        return 0.0
    if len(text) > 1000 or not (found := _DURATION.fullmatch(text)):
        return None
    total = 0
    for whole, fraction, unit in _PART.findall(found[2]):
        scale = _NANOSECONDS[unit]
        total += int(whole or "0") * scale
        if fraction:
            total += int(fraction) * scale // 10 ** len(fraction)
        if total > 2**63:
            return None
    if total == 2**63 and found[1] != "-":
        return None
    return (-total if found[1] == "-" else total) / 10**9
