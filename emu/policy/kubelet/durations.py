"""Go's durations, as the kubelet reads them in its settings and writes them in its messages."""

from __future__ import annotations

import re
from fractions import Fraction

_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_SECONDS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}


def parse_go_duration(text: str) -> float:
    """Seconds from `1m30s`; ValueError in Go's words for anything else."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    if not _WHOLE.fullmatch(rest):
        missing = re.fullmatch(r"\d+\.?\d*|\.\d+", rest, re.ASCII)
        raise ValueError(f'time: {"missing unit in" if missing else "invalid"} duration "{text}"')
    return float(sign * sum(Fraction(number) * _SECONDS[unit] for number, unit in _PART.findall(rest)))


def format_go_duration(seconds: float) -> str:
    """`1m20s`, `5m0s`, `1.5s`, `300ms`."""
    nano = round(seconds * 10**9)
    if nano == 0:
        return "0s"
    sign, nano = ("-" if nano < 0 else ""), abs(nano)
    if nano < 10**9:
        unit, scale = ("ms", 10**6) if nano >= 10**6 else ("µs", 10**3) if nano >= 10**3 else ("ns", 1)
        return f"{sign}{_decimal(nano, scale)}{unit}"
    whole = nano // 10**9
    hours, minutes = whole // 3600, whole // 60 % 60
    last = f"{_decimal(nano - (whole // 60) * 60 * 10**9, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{last}"
    return f"{sign}{minutes}m{last}" if minutes else f"{sign}{last}"


def _decimal(nano: int, scale: int) -> str:
    whole, rest = divmod(nano, scale)
    if not rest:
        return str(whole)
    digits = len(str(scale)) - 1
    return f"{whole}.{str(rest).zfill(digits).rstrip('0')}"
