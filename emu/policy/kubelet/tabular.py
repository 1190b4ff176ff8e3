"""Text in columns as kubectl prints it (Go's text/tabwriter with a padding of two blanks)."""

from __future__ import annotations

from collections.abc import Sequence

_PADDING = 2


def aligned(lines: Sequence[str]) -> list[str]:
    """Lines whose cells end in tabs: a column is as wide as its widest cell in lines that follow one another."""
    rows = [line.split("\t") for line in lines]
    _align(rows, 0)
    return ["".join(row) for row in rows]


def _align(rows: list[list[str]], column: int) -> None:
    """The last cell of a line belongs to no column."""
    start = 0
    while start < len(rows):
        end = start
        while end < len(rows) and len(rows[end]) - 1 > column:
            end += 1
        if end > start:
            block = rows[start:end]
            width = max(len(row[column]) for row in block) + _PADDING
            for row in block:
                row[column] = row[column].ljust(width)
            _align(block, column + 1)
        start = max(end, start + 1)
