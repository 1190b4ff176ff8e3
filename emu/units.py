"""Bytes, seconds and how often, to and from the text that people write.

Quantities follow Kubernetes (`64Mi`, `1.5Gi`, `500k`) and also take the spelled-out forms `64MiB` and `64MB`;
durations follow Go (`250ms`, `2s`, `1m30s`). A bare number is bytes or seconds.
"""

from __future__ import annotations

import math
import re

_BINARY = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_DECIMAL = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_FACTORS = {**_BINARY, **_DECIMAL}
_BYTES = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]i|[kKMGT])?(?P<b>B)?\s*", re.ASCII)
_DURATION_PART = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>us|µs|ms|s|m|h)", re.ASCII)
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

_LONGEST_TEXT = 64
"""No quantity is longer; it keeps digits from overflowing a float."""
_LONGEST_S = 1e15


def _shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = repr(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def parse_bytes(text: str | int | float) -> int:
    """Whole bytes from `64Mi`, `64MiB`, `1.5G`, `4096`; ValueError, with the accepted forms, for anything else."""
    if isinstance(text, float) and text.is_integer():
        text = int(text)
    if isinstance(text, int) and not isinstance(text, bool):
        if text < 0:
            raise ValueError(f"{text} is negative; a size is 0 or more bytes")
        return text
    match = _BYTES.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST_TEXT else None
    if match is None:
        raise ValueError(f"{_shown(text)} is not a size; write bytes, or a number with Ki, Mi, Gi, k, M or G")
    return round(float(match["number"]) * _FACTORS[match["unit"] or ""])


def parse_seconds(text: str | int | float) -> float:
    """Seconds from `250ms`, `2s`, `1m30s`, `10`; ValueError, with the accepted forms, for anything else."""
    wrong = f"{_shown(text)} is not a duration; write seconds, or a number with us, ms, s, m or h (1m30s)"
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise ValueError(wrong)
    if isinstance(text, int | float):
        if not 0 <= text <= _LONGEST_S:
            raise ValueError(f"{text} is not a duration; it must be 0 or more, and finite")
        return float(text)
    stripped = text.strip()
    if len(stripped) > _LONGEST_TEXT:
        raise ValueError(wrong)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", stripped):
        return float(stripped)
    if not stripped or _DURATION_PART.sub("", stripped):
        raise ValueError(wrong)
    return sum(float(part["number"]) * _SECONDS[part["unit"]] for part in _DURATION_PART.finditer(stripped))


def format_bytes(count: int | float | None) -> str:
    """A size for people, in binary units with at most one decimal: `31.5 MiB`. None (not measured) is `-`."""
    if count is None:
        return "-"
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            break
        size /= 1024
    text = f"{size:.0f}" if unit == "B" or size == round(size) else f"{size:.1f}"
    return f"{text} {unit}"


def format_number(value: float, digits: int = 4) -> str:
    """A figure without a unit for people: so many significant digits, and never an exponent: `10330`, `0.0012`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_seconds(seconds: float | None) -> str:
    """A duration for people: `412 us`, `3.2 ms`, `2.1 s`, `3 min 20 s`. None (not measured) is `-`."""
    if seconds is None:
        return "-"
    if seconds == 0:
        return "0 s"
    if abs(seconds) < 0.9995e-3:
        return f"{seconds * 1e6:.0f} us"
    if abs(seconds) < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if abs(seconds) < 119.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def often(number: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def format_step(seconds: float) -> str:
    """A round step of time: `2 s`, `500 ms`."""
    return f"{seconds:g} s" if seconds >= 1 else format_seconds(seconds)
