"""What a topic of the report is. Terminal and page make its table of the same cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emu.study.model.study import Study

Figures = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """A table: cells are words and numbers as a person reads them; None is nothing to say. A column without any word
    is left out.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str | int | None, ...], ...]
    hints: tuple[str, ...] = ()
    """Sentences under it."""
    otherwise: str = ""
    """What is said where there is no row; empty: nothing."""


@dataclass(frozen=True)
class Topic:
    """All that a report says of one thing, in one module. Each part gives nothing for a run that it is not about."""

    title: str
    figures: Callable[[Study], Figures]
    """Its names at the top of summary.json, with what each has."""
    headline: Callable[[Study, Figures], list[str]]
    """From the study, and from the whole summary."""
    sentences: Callable[[Study, Figures], list[str]]
    listing: Callable[[Study], Listing | None]
