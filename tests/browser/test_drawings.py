"""docs/*.svg as a browser draws them: nothing lies outside or on something else, in light and in dark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser.browser import Browser

DRAWINGS = sorted((Path(__file__).resolve().parents[2] / "docs").glob("*.svg"))
WORDS = """
(() => Array.from(document.querySelectorAll('svg text')).map(text => {
  const box = text.getBoundingClientRect();
  return {words: text.textContent, left: box.left, right: box.right, top: box.top, bottom: box.bottom,
          colour: getComputedStyle(text).fill};
}))()
"""
BOXES = """
(() => Array.from(document.querySelectorAll('svg rect')).map(rect => {
  const box = rect.getBoundingClientRect();
  return {left: box.left, right: box.right, top: box.top, bottom: box.bottom, colour: getComputedStyle(rect).fill};
}))()
"""
EDGE_PX = 3.0
Shape = dict[str, Any]


def opened(browser: Browser, drawing: Path, folder: Path, *, dark: bool) -> tuple[list[Shape], list[Shape]]:
    """The words and the boxes of a drawing, as they are drawn."""
    page = folder / "page.html"
    svg = drawing.read_text(encoding="utf-8")
    page.write_text(f"<!doctype html><html data-drawn><meta charset=utf-8><body>{svg}", encoding="utf-8")
    browser.open(page, 1000, dark=dark)
    return browser.js(WORDS), browser.js(BOXES)


def inside(one: Shape, box: Shape, edge: float = 0.0) -> bool:
    """Whether something lies within a box, so far from its edge."""
    return bool(
        box["left"] + edge <= one["left"]
        and one["right"] <= box["right"] - edge
        and box["top"] <= one["top"]
        and one["bottom"] <= box["bottom"]
    )


def middle_in(one: Shape, box: Shape) -> bool:
    """Whether the beginning of something is in a box."""
    x, y = one["left"] + 1, (one["top"] + one["bottom"]) / 2
    return bool(box["left"] <= x <= box["right"] and box["top"] <= y <= box["bottom"])


def overlap(one: Shape, other: Shape) -> bool:
    """Whether two words lie on each other; lines may stand close."""
    wide = min(one["right"], other["right"]) - max(one["left"], other["left"])
    high = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    return bool(wide > 0 and high > 4)


def luminance(colour: str) -> float:
    """Of `rgb(r, g, b)`, as WCAG counts it."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1 to 21; WCAG asks for 4.5 for text."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda drawing: str(drawing.stem))
def test_a_drawing_can_be_read(browser: Browser, drawing: Path, tmp_path: Path, dark: bool) -> None:
    """Each word lies within its box and on no other, and stands out from what is behind it."""
    words, boxes = opened(browser, drawing, tmp_path, dark=dark)
    assert words
    for number, one in enumerate(words):
        around = [box for box in boxes if middle_in(one, box)]
        assert around, one["words"]
        assert all(inside(one, box, EDGE_PX) for box in around), json.dumps(one)
        assert not [other["words"] for other in words[number + 1 :] if overlap(one, other)], one["words"]
        behind = next(box["colour"] for box in reversed(around) if box["colour"] != "none")
        assert contrast(one["colour"], behind) >= 4.5, one["words"]
    assert browser.requests[1:] == []
