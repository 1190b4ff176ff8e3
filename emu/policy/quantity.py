"""Kubernetes' quantities: `500m`, `1.5Gi`, `1e3`; how they are read, rounded and written (apimachinery,
api/resource).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

Form = Literal["binary", "decimal", "exponent"]

_TEXT = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<rest>[0-9]*))?(?P<suffix>[eEinumkKMGTP]*[-+]?[0-9]*)",
)
_EXPONENT = re.compile(r"[eE][+-]?[0-9]{1,18}")
_WRONG_FORM = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_WRONG_SUFFIX = "unable to parse quantity's suffix"
_LONGEST = 100
"""No quantity is written longer; a longer one would only cost time."""
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_MOST = 2**63 - 1
NANO = 10**9
_KEPT_DIGITS = 18
_LARGEST_EXPONENT = 200
"""Beyond it the value is out of range on one side or the other."""


@dataclass(frozen=True)
class Quantity:
    """An amount, to the nano, and the form in which it was written."""

    nano: int
    form: Form = "decimal"
    written: str = field(default="", compare=False)
    """Its text, where Kubernetes keeps that as it is."""

    @property
    def value(self) -> int:
        """In whole units, rounded away from zero."""
        return _away_from_zero(self.nano, NANO)

    @property
    def milli(self) -> int:
        """In thousandths, rounded away from zero."""
        return _away_from_zero(self.nano, 10**6)

    def __str__(self) -> str:
        """In its form, with the largest suffix that leaves no fraction."""
        if self.written:
            return self.written
        if self.nano == 0:
            return "0"
        form = self.form
        if form == "binary" and (abs(self.nano) < 1024 * NANO or self.nano % NANO):
            form = "decimal"
        if form == "binary":
            return _binary(self.value)
        return _decimal(self.nano, exponent=form == "exponent")


def _away_from_zero(number: int, divisor: int) -> int:
    whole = -(-abs(number) // divisor)
    return whole if number >= 0 else -whole


def _binary(value: int) -> str:
    suffix = ""
    for name in _BINARY:
        if value % 1024:
            break
        value, suffix = value // 1024, name
    return f"{value}{suffix}"


def _decimal(nano: int, *, exponent: bool) -> str:
    power = -9
    while nano % 1000 == 0 and power < 18:
        nano, power = nano // 1000, power + 3
    if exponent:
        return f"{nano}e{power}" if power else str(nano)
    suffix = next(name for name, one in _DECIMAL.items() if one == power)
    return f"{nano}{suffix}"


def json_quantity(text: str | int | float) -> Quantity:
    """One as JSON has it: blanks around it are no part of it. ValueError."""
    return parse_quantity(str(text).strip(" "))


def parse_quantity(text: str | int | float) -> Quantity:
    """A quantity as a manifest has it; ValueError, in the words of Kubernetes, for anything else. Finer than a nano
    is rounded away from zero; what is too large is the most that there is.
    """
    match = _matched(text)
    form = _form(match["suffix"])
    exact = parse_amount(text) * NANO
    most = _MOST * NANO
    nano = max(-most, min(most, _away_from_zero(exact.numerator, exact.denominator)))
    return Quantity(
        nano, form, match[0] if _is_kept(match["whole"], match["rest"] or "", match["suffix"], form) else ""
    )


def parse_amount(text: str | int | float) -> Fraction:
    """The number alone, neither rounded nor bounded; ValueError as for `parse_quantity`."""
    match = _matched(text)
    rest = match["rest"] or ""
    number = Fraction(int(match["whole"] + rest or "0"), 10 ** len(rest)) * _scale(match["suffix"])
    return -number if match["sign"] == "-" else number


def _matched(text: str | int | float) -> re.Match[str]:
    written = str(text)
    match = _TEXT.fullmatch(written) if len(written) <= _LONGEST else None
    if not written or match is None:
        raise ValueError(_WRONG_FORM)
    return match


def _form(suffix: str) -> Form:
    if suffix in _BINARY:
        return "binary"
    return "decimal" if suffix in _DECIMAL else "exponent"


def _scale(suffix: str) -> Fraction:
    if suffix in _BINARY:
        return Fraction(2 ** _BINARY[suffix])
    if suffix in _DECIMAL:
        return Fraction(10) ** _DECIMAL[suffix]
    if not _EXPONENT.fullmatch(suffix):
        raise ValueError(_WRONG_SUFFIX)
    return Fraction(10) ** max(-_LARGEST_EXPONENT, min(_LARGEST_EXPONENT, int(suffix[1:])))


def number_text(value: Fraction) -> str:
    """An amount as a plain number: `536870912`, `1.5`, `0.25`."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.9f}".rstrip("0").rstrip(".")


def _is_kept(whole: str, rest: str, suffix: str, form: Form) -> bool:
    """Whether Kubernetes takes a text for the shortest one, as it mostly is: `1.500` is kept, `1.5` is not."""
    digits = (whole.lstrip("0") or "0") + rest
    if form == "binary":
        fits = len(digits) <= 14 - int(_BINARY[suffix] * 3 / 10)
        return fits and not rest and bool(digits) and int(digits) % 8 != 0
    scale = (_DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])) - len(rest)
    fits = len(digits) <= _KEPT_DIGITS and scale >= -9
    return fits and scale % 3 == 0 and digits[:1] not in ("", "0") and not digits.endswith("000")


def in_bytes(count: int) -> str:
    """Bytes as the kubelet writes them in messages: with a binary suffix where nothing is lost by it."""
    return str(Quantity(count * NANO, "binary"))
