"""A page of metrics → samples (Prometheus' text format, and of OpenMetrics what looks the same). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

Labels = tuple[tuple[str, str], ...]
"""Sorted by name. The metric's own name is not among them."""

_LINE = re.compile(r"([a-zA-Z_:][\w:]*)\s*(\{.*\})?\s+(\S+)(?:\s+-?[\d.]+)?(?:\s+#.*)?$", re.ASCII)
_LABEL = re.compile(r'\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)', re.ASCII)
_ESCAPED = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}


class Scraped(NamedTuple):
    """One line of a page."""

    name: str
    labels: Labels
    value: float


def samples_of(page: str) -> Iterator[Scraped]:
    """Its samples; ValueError at a line that is none, as Prometheus refuses the whole page then."""
    for line in page.splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        found = _LINE.match(text)
        if found is None:
            raise ValueError(f"not a sample: {text[:80]}")
        name, labels, value = found.groups()
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"not a number: {text[:80]}") from None
        yield Scraped(name, _labels(labels[1:-1] if labels else ""), number)


def _labels(text: str) -> Labels:
    found, at = [], 0
    while text[at:].strip(" \t,"):
        one = _LABEL.match(text, at)
        if one is None:
            raise ValueError(f"not labels: {text[:80]}")
        found.append((one[1], unescaped(one[2])))
        at = one.end()
    return tuple(sorted(found))


def unescaped(text: str) -> str:
    """Without backslashes; those of other letters stay, as Prometheus has it."""
    return re.sub(r'\\[\\n"]', lambda one: _ESCAPED[one[0]], text)
