"""Fewer points for a picture, none of its peaks lost: the largest of every column survives in every bucket of time.

A run of a minute sampled each 10 ms has 6000 points a container, a screen has some 1100 pixels. Pure functions on
the columns of a `Timeline`; what is dropped is dropped from the picture only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Column = Sequence[int | float | None]


def rows_that_change(columns: Sequence[Column], count: int) -> list[int]:
    """The rows which differ from the one before or after: a line drawn through them is the same line."""
    if count <= 2 or not columns:
        return list(range(count))
    rows = list(zip(*columns, strict=True))
    inner = (i for i in range(1, count - 1) if rows[i] != rows[i - 1] or rows[i] != rows[i + 1])
    return [0, *inner, count - 1]


def keep_peaks(t: Sequence[float], columns: Sequence[Column], bucket_s: float, most: int) -> list[int]:
    """The rows to draw, in order. All that change, if there are at most `most`; else, of each bucket of `bucket_s`
    seconds, the first, the last, and where each column is largest and smallest. Where a column begins or ceases to
    be measured is kept as well, so that gaps stay where they are.
    """
    rows = rows_that_change(columns, len(t))
    if len(rows) <= most or bucket_s <= 0:
        return rows
    kept: set[int] = set()
    begin = 0
    while begin < len(rows):
        number = math.floor(t[rows[begin]] / bucket_s)
        end = begin + 1
        while end < len(rows) and math.floor(t[rows[end]] / bucket_s) == number:
            end += 1
        kept |= _extremes(rows[begin:end], columns)
        begin = end
    return sorted(kept)


def _extremes(rows: list[int], columns: Sequence[Column]) -> set[int]:
    kept = {rows[0], rows[-1]}
    for column in columns:
        values = [column[row] for row in rows]
        known = [value for value in values if value is not None]
        if known:
            kept.add(rows[values.index(max(known))])
            kept.add(rows[values.index(min(known))])
        if len(known) != len(values):
            kept |= _edges(rows, values)
    return kept


def _edges(rows: list[int], values: Column) -> set[int]:
    pairs = zip(range(len(rows) - 1), values[:-1], values[1:], strict=True)
    turns = [i for i, one, next_one in pairs if (one is None) != (next_one is None)]
    return {rows[i] for i in turns} | {rows[i + 1] for i in turns}


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20 … times a power of ten that is at least `least`: a bucket people can name."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    for factor in (1, 2, 5, 10):
        if factor * power >= least * (1 - 1e-9):
            return float(f"{factor * power:.6g}")
    return 10 * power


def step_of(end_s: float, interval_s: float | None) -> float:
    """The step of a curve of means: fine enough for the picture, and two samples at least."""
    return nice_step(max(end_s / 300, 2 * (0.05 if interval_s is None else interval_s)))


def rates(t: Sequence[float], counter: Column, step_s: float, duration_s: float) -> list[float]:
    """A counter's rise per second in each bucket of `step_s` from 0 to `duration_s`. The rise between two samples is
    spread over the time between them, so that a rate does not flicker with the moments of sampling; what the first
    sample shows, and what a counter that restarted began with, belongs to its own moment.
    """
    count = max(1, math.ceil(duration_s / step_s - 1e-9))
    buckets = [0.0] * count
    then, before = 0.0, None
    for now, value in zip(t, counter, strict=True):
        if value is None:
            continue
        restarted = before is None or value < before
        rise = value if restarted or before is None else value - before
        if rise:
            _spread(buckets, now if restarted else then, now, rise, step_s)
        then, before = now, value
    return [rise / step_s for rise in buckets]


def _spread(buckets: list[float], begin: float, end: float, rise: float, step_s: float) -> None:
    last = len(buckets) - 1
    first, final = (min(max(int(moment / step_s), 0), last) for moment in (begin, end))
    if first == final or end <= begin:
        buckets[final] += rise
        return
    for number in range(first, final + 1):
        low = begin if number == first else number * step_s
        high = end if number == final else (number + 1) * step_s
        buckets[number] += rise * (high - low) / (end - begin)
