"""Small pictures as SVG in the page itself: they need no script, and print. Colours are the page's CSS variables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from emu.report.page.html import Markup, element, join, text

FONT_PX = 12


def picture(width: int, height: int, parts: Iterable[Markup], label: str) -> Markup:
    """A picture that keeps its proportions; `label` says what it shows to those who do not see it."""
    body = join([element("title", label), *parts])
    attributes = f'viewBox="0 0 {width} {height}" role="img" class="picture" style="max-width:{width}px"'
    return Markup(f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{body}</svg>')


def words(
    x: float, y: float, said: object, *, anchor: str = "start", colour: str = "var(--ink)", size: int = FONT_PX
) -> Markup:
    """Text; `anchor` is start, middle or end."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" style="fill:{colour}"'
    return Markup(f"<text {place}>{text(said)}</text>")


def box(x: float, y: float, width: float, height: float, colour: str, hint: str) -> Markup:
    """A filled rectangle, with words when the mouse rests on it."""
    place = f'x="{x:.2f}" y="{y:.1f}" width="{max(width, 0.6):.2f}" height="{height:.1f}"'
    return Markup(f'<rect {place} style="fill:{colour}">{element("title", hint)}</rect>')


def dot(x: float, y: float, radius: float, colour: str, hint: str) -> Markup:
    """A filled circle, with words when the mouse rests on it."""
    place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"'
    return Markup(f'<circle {place} style="fill:{colour};fill-opacity:.75">{element("title", hint)}</circle>')


def line(x1: float, y1: float, x2: float, y2: float, colour: str = "var(--rule)", width: float = 1) -> Markup:
    """A straight line."""
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return Markup(f'<line {place} style="stroke:{colour};stroke-width:{width}"/>')


@dataclass(frozen=True)
class Linear:
    """Values from 0 to `most` on pixels from `begin` to `end`."""

    most: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.begin + (self.end - self.begin) * value / self.most

    def ticks(self, about: int = 5) -> Iterator[float]:
        """Round values, about so many."""
        raw = self.most / about
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
        yield from (number * step for number in range(int(self.most / step + 1e-9) + 1))


@dataclass(frozen=True)
class Log:
    """Values from `least` to `most`, both above 0, on pixels from `begin` to `end`, by their logarithm."""

    least: float
    most: float
    begin: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], begin: float, end: float) -> Log:
        """From a power of ten at or below all values to one above."""
        found = [value for value in values if value > 0] or [1.0]
        low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)) + 1e-9)
        return cls(10.0**low, 10.0 ** max(high, low + 1), begin, end)

    def at(self, value: float) -> float:
        """The pixel of a value; one below `least` is drawn there."""
        whole = math.log10(self.most / self.least)
        return self.begin + (self.end - self.begin) * math.log10(max(value, self.least) / self.least) / whole

    def ticks(self) -> Iterator[float]:
        """The powers of ten."""
        count = round(math.log10(self.most / self.least))
        yield from (self.least * 10.0**number for number in range(count + 1))
