"""The picture of a page cache curve: what each read of a file took from disk, by the limit of who read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

from emu.report.page import svg
from emu.report.page.html import Markup, element, join
from emu.report.page.svg import Linear
from emu.units import format_bytes

_LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH = 90, 640, 14, 240, 760
_FIRST, _LATER, _KNEE = "var(--muted)", "var(--anon)", "var(--cache)"
_NEAR_PX = 52
"""Two labels of the axis that are nearer to each other than this would overlap."""


@dataclass(frozen=True)
class Point:
    """A read under a limit. Bytes."""

    limit: int
    disk: int
    refaults: int | None
    first: bool
    took: str


def curve(points: Sequence[Point], below: int | None, above: int | None) -> Markup:
    """First reads and later ones, each as a line from limit to limit on a logarithmic axis; between `below` and
    `above` is the knee.
    """
    across = _Doubling(min(one.limit for one in points), max(one.limit for one in points))
    up = Linear(max(one.disk for one in points) * 1.1 or 1.0, _BOTTOM, _TOP)
    parts = [*_axes(across, up, sorted({one.limit for one in points}))]
    if below is not None and above is not None:
        hint = f"the knee is between {format_bytes(below)} and {format_bytes(above)}"
        left, right = across.at(below), across.at(above)
        parts.append(_faint(svg.box(left, _TOP, right - left, _BOTTOM - _TOP, _KNEE, hint)))
        parts.append(svg.words((left + right) / 2, _TOP - 3, "knee", anchor="middle", size=11))
    for first, colour, name in ((True, _FIRST, "first read"), (False, _LATER, "later read")):
        mine = sorted((one for one in points if one.first == first), key=lambda one: one.limit)
        for one, other in pairwise(mine):
            parts.append(
                svg.line(across.at(one.limit), up.at(one.disk), across.at(other.limit), up.at(other.disk), colour, 2)
            )
        parts += [svg.dot(across.at(one.limit), up.at(one.disk), 4, colour, _hint(one, name)) for one in mine]
        if mine:
            y = _TOP + (14 if first else 32)
            parts += [svg.dot(_RIGHT + 30, y, 4, colour, name), svg.words(_RIGHT + 40, y + 4, name, size=11)]
    what = "Bytes that each read of the file took from disk, by the memory limit of who read it"
    drawn = svg.picture(_WIDTH, _BOTTOM + 26, parts, what)
    return join([drawn, element("p", f"{what} (a logarithmic axis).", class_="hint")])


def _faint(one: Markup) -> Markup:
    return Markup(f'<g style="opacity:.35">{one}</g>')


def _hint(one: Point, name: str) -> str:
    again = "" if one.refaults is None else f", {format_bytes(one.refaults)} refaulted"
    return f"{name} under {format_bytes(one.limit)}: {format_bytes(one.disk)} from disk{again}, {one.took}"


def _axes(across: _Doubling, up: Linear, limits: Sequence[int]) -> list[Markup]:
    parts = []
    for tick in _ticks(up.most):
        parts.append(svg.line(_LEFT, up.at(tick), _RIGHT, up.at(tick)))
        parts.append(
            svg.words(_LEFT - 8, up.at(tick) + 4, format_bytes(tick), anchor="end", colour="var(--muted)", size=11)
        )
    last = float(-_NEAR_PX)
    for limit in limits:
        x = across.at(limit)
        parts.append(svg.line(x, _BOTTOM, x, _BOTTOM + 4, "var(--muted)"))
        if x - last >= _NEAR_PX:
            parts.append(
                svg.words(x, _BOTTOM + 18, format_bytes(limit), anchor="middle", colour="var(--muted)", size=11)
            )
            last = x
    return parts


def _ticks(most: float) -> range:
    """A handful of round sizes from 0 on."""
    step = 2**10
    while most / step > 6:
        step *= 2
    return range(0, int(most) + 1, step)


@dataclass(frozen=True)
class _Doubling:
    """Sizes on the width of the picture: each doubling is as wide as the one before."""

    least: int
    most: int

    def at(self, size: int) -> float:
        """The pixel of a size."""
        whole = log2(self.most / self.least) or 1.0
        return _LEFT + 20 + (_RIGHT - _LEFT - 40) * log2(size / self.least) / whole
