"""Numbers, durations and texts as Go reads and prints them: what Knative and Kubernetes take, and how they say what
they do not.

Values that do not parse are a ValueError with Go's own words.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

SECOND = 1_000_000_000
"""Durations are whole nanoseconds, as Go's are."""
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HEX = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+")
_SPECIAL = re.compile(r"[+-]?(inf|infinity)|nan", re.IGNORECASE | re.ASCII)
_UNDERSCORES = re.compile(r"(?<=[0-9])_(?=[0-9])")
_HEX_UNDERSCORES = re.compile(r"(?<=[0-9a-fA-FxX])_(?=[0-9a-fA-F])")
_NUMBER = re.compile(r"[0-9]*(\.[0-9]*)?")
_UNIT = re.compile(r"[^0-9.]*")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPES["\v"] = "\\v"
_LONGEST = 1000
"""No duration is written longer; a longer one would only cost time."""
_INT64_DIGITS = 19


class OutOfRangeError(ValueError):
    """A number that is one, but too large for its type."""


def parse_int(text: str, bits: int = 64) -> int:
    """A whole number in base 10 that fits; OutOfRangeError where it does not."""
    if not _INT.fullmatch(text):
        raise ValueError(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    digits = text.lstrip("+-0")
    value = int(digits or "0") if len(digits) <= _INT64_DIGITS else 2**bits
    value = -value if text[0] == "-" else value
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise OutOfRangeError(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return value


def parse_int32(text: str) -> int:
    """A whole number in base 10 that fits 32 bits."""
    return parse_int(text, 32)


def parse_float(text: str) -> float:
    """A number, also in base 16, infinite or not a number."""
    hexadecimal = re.match(r"[+-]?0[xX]", text)
    plain = (_HEX_UNDERSCORES if hexadecimal else _UNDERSCORES).sub("", text)
    if _SPECIAL.fullmatch(plain):
        return float(plain)
    try:
        if _HEX.fullmatch(plain):
            return float.fromhex(plain)
        if _FLOAT.fullmatch(plain):
            value = float(plain)
            if math.isinf(value):
                raise OverflowError
            return value
    except OverflowError:
        raise OutOfRangeError(f"strconv.ParseFloat: parsing {quote(text)}: value out of range") from None
    raise ValueError(f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax")


def parse_bool(text: str) -> bool:
    """True or false, in the six spellings of each."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {quote(text)}: invalid syntax")


def parse_duration(text: str) -> int:
    """Nanoseconds from `1h2m3.5s`; a number without a unit is none, except 0."""
    wrong = f"time: invalid duration {_quote_bytes(text)}"
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest or len(rest) > _LONGEST:
        raise ValueError(wrong)
    total = 0
    while rest:
        found = _NUMBER.match(rest)
        number = found[0] if found else ""
        whole, _, part = number.partition(".")
        if not number.strip(".") or int(whole or 0) > INT64_MAX + 1:
            raise ValueError(wrong)
        unit = _unit(rest[len(number) :], text)
        rest = rest[len(number) + len(unit) :]
        total += int(whole or 0) * _UNITS[unit]
        if part:
            total += int(int(part) * _UNITS[unit] / 10 ** len(part))
        if total > INT64_MAX + (text[0] == "-"):
            raise ValueError(wrong)
    return -total if text[0] == "-" else total


def parse_seconds(text: str) -> float:
    """A duration as Go writes it (`1m30s`), in seconds."""
    return parse_duration(text) / SECOND


def round_duration(nanoseconds: int) -> int:
    """To whole seconds, halves away from zero; one that would not fit then is the longest that there is."""
    rest = abs(nanoseconds) % SECOND
    away = abs(nanoseconds) - rest + (SECOND if 2 * rest >= SECOND else 0)
    return min(away, INT64_MAX) if nanoseconds >= 0 else -min(away, INT64_MAX + 1)


def is_whole_seconds(nanoseconds: int) -> bool:
    """Whether it has second precision, as Knative asks: rounding leaves it, as it does the longest one."""
    return round_duration(nanoseconds) == nanoseconds


def _unit(rest: str, text: str) -> str:
    found = _UNIT.match(rest)
    unit = found[0] if found else ""
    if not unit:
        raise ValueError(f"time: missing unit in duration {_quote_bytes(text)}")
    if unit not in _UNITS:
        raise ValueError(f"time: unknown unit {_quote_bytes(unit)} in duration {_quote_bytes(text)}")
    return unit


def format_duration(nanoseconds: int) -> str:
    """`1h0m0s`, `1.5s`, `20ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, size in (("ns", 1), ("\u00b5s", 1_000), ("ms", 1_000_000)):
        if left < size * 1000:
            return f"{sign}{_decimal(left, size)}{unit}"
    minutes, rest = divmod(left, 60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    before = (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "")
    return f"{sign}{before}{_decimal(rest, SECOND)}s"


def format_seconds(seconds: float) -> str:
    """A duration that is given in seconds."""
    return format_duration(round(seconds * SECOND))


def _decimal(value: int, size: int) -> str:
    whole, part = divmod(value, size)
    digits = f"{part:0{len(str(size)) - 1}d}".rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def format_float(value: float) -> str:
    """As %v prints it: as short as can be, with an exponent only for the very small and the very large."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    shortest = Decimal(repr(value)).normalize()
    power = shortest.adjusted()
    if -4 <= power < 6:
        return f"{shortest:f}"
    mantissa = shortest.scaleb(-power).normalize()
    return f"{mantissa:f}e{'-' if power < 0 else '+'}{abs(power):02d}"


def quote(text: str) -> str:
    """As %q prints it."""
    return '"' + "".join(_quoted(letter) for letter in text) + '"'


def _quoted(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _quote_bytes(text: str) -> str:
    """As the package time quotes: byte by byte."""
    plain = (chr(byte) if 0x20 <= byte < 0x80 else f"\\x{byte:02x}" for byte in text.encode())
    return '"' + "".join(f"\\{one}" if one in ('"', "\\") else one for one in plain) + '"'
