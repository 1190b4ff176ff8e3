"""Quantities of Kubernetes (`250m`, `0.5Gi`, `1e3`) as exact numbers, read by the rules of its own parser."""

from __future__ import annotations

import re
from fractions import Fraction

_FORM = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?P<suffix>[eEinumkKMGTP]*[-+]?[0-9]*)",
)
_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_SUFFIX = "unable to parse quantity's suffix"
_BINARY = {unit: 2 ** (10 * power) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)")
_LONGEST = 100


def parse_quantity(text: str) -> Fraction:
    """The number; ValueError, in the words of Kubernetes, for what is none."""
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if not text or found is None:
        raise ValueError(_FORMAT)
    factor = _factor(found["suffix"])
    whole, part = found["whole"], found["part"] or ""
    digits = whole + part
    number = Fraction(int(digits or 0), 10 ** len(part)) * factor
    return -number if found["sign"] == "-" else number


def _factor(suffix: str) -> Fraction:
    if suffix in _BINARY:
        return Fraction(_BINARY[suffix])
    if suffix in _DECIMAL:
        return Fraction(10) ** _DECIMAL[suffix]
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None or abs(int(exponent[1])) > 200:
        raise ValueError(_SUFFIX)
    return Fraction(10) ** int(exponent[1])


def number_text(value: Fraction) -> str:
    """A quantity as a plain number: `536870912`, `1.5`, `0.25`."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.9f}".rstrip("0").rstrip(".")
