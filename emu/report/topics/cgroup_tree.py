"""The tree of cgroups at a moment: node, class, pod and container, each with its limit and its charge by kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from emu.report.page.areas import limits_of, line_columns, scale_of, thinned
from emu.report.page.canvas import Canvas
from emu.report.page.tree import NAME, Kind, Row, Tree
from emu.report.topics.memory import STACK
from emu.report.topics.topic import Drawing, Topic
from emu.report.words import share
from emu.study.model.study import Study
from emu.study.tree import LIMITS, PARTS, PROTECTION, Charge, Moment, Place, Stay, charges, moments, name_at, places
from emu.units import format_bytes

MOST_BUTTONS = 5
"""So many moments have a button."""
_FAR = 5
"""A limit so many times above the largest peak is off the scale, as in the panels."""
_KINDS = tuple(Kind(area.column, area.name.partition(":")[0], area.colour, area.hatched) for area in STACK.areas)


def panels(drawing: Drawing) -> None:
    """No panel: the tree stands above all of them."""
    study = drawing.record
    rows = sampled(places(study))
    begin = moments(study, rows)
    if rows and begin:
        drawing.canvas.figure.tree = _tree(drawing.canvas, study, rows, begin)


def sampled(rows: Sequence[Place]) -> list[Place]:
    """Without places that have no sample, as a pod's own cgroup where only its containers' have; what is in one of
    these is in the next place above it.
    """
    kept: list[Place] = []
    numbers: dict[int | None, int | None] = {None: None}
    for number, row in enumerate(rows):
        above = numbers[row.above]
        numbers[number] = above
        if row.stays or row.level in ("class", "own"):
            numbers[number] = len(kept)
            kept.append(replace(row, above=above))
    return kept


def _tree(canvas: Canvas, study: Study, rows: list[Place], begin: list[Moment]) -> Tree:
    now = begin[0]
    every = [stay for row in rows for stay in row.stays]
    kinds = tuple(kind for kind in _KINDS if any(any(getattr(stay.line, kind.key)) for stay in every))
    columns = {"charged": "charged", **_limit_heads(every)}
    last = {"kills": "OOM"} if any(row.kills for row in rows) else {}
    top = _top(every)
    script = {
        "top": top,
        "columns": list(columns),
        "kinds": [[kind.key, kind.name] for kind in kinds],
        "last": list(last),
        "moments": [[one.t, one.words, _moment(one.t), one.label] for one in begin],
        "buttons": _buttons(begin),
        "rows": [_script_row(canvas, study, row) for row in rows],
    }
    return Tree(said(now.t, begin), top, columns, kinds, last, rows_at(study, rows, now.t), script)


def rows_at(study: Study, rows: Sequence[Place], t: float) -> tuple[Row, ...]:
    """The table's rows at a moment."""
    return tuple(_row(study, row, held, t) for row, held in zip(rows, charges(rows, t), strict=True))


def said(t: float, begin: Sequence[Moment]) -> str:
    """Which moment is shown: `At 4.829 s, the last sample before app was OOM-killed at 4.833 s.`"""
    words = next((one.words for one in begin if one.t == t), "")
    return f"At {_moment(t)}{f', {words}' if words else ''}."


def _moment(t: float) -> str:
    return f"{t:.3f} s"


def _buttons(begin: Sequence[Moment]) -> list[int]:
    """Which moments have a button: the first ones, and when most was held; of several at one sample the first."""
    once = sorted({one.t: number for number, one in reversed(list(enumerate(begin)))}.values())
    return [*once[: MOST_BUTTONS - 1], *once[MOST_BUTTONS - 1 :][-1:]]


def _limit_heads(every: Sequence[Stay]) -> dict[str, str]:
    """memory.max always, with its share; the others where any cgroup has them."""
    more = {
        file: file
        for file, column in LIMITS.items()
        if file != "memory.max" and any(value for stay in every for value in getattr(stay.line, column))
    }
    return {"memory.max": "memory.max", "share": "of it", **more}


def _top(every: Sequence[Stay]) -> int:
    """A round number of bytes that all peaks, and the limits that are near, are below."""
    peaks = [
        (current or 0) + (swap or 0)
        for stay in every
        for current, swap in zip_longest(stay.line.memory_current, stay.line.swap)
    ]
    peak = max(peaks, default=0)
    limits = [value for stay in every for value in stay.line.memory_max if value is not None and value <= _FAR * peak]
    most = max([peak, *limits, 1])
    step = 1 << max(0, math.ceil(math.log2(most)) - 3)
    return math.ceil(most / step) * step


def _row(study: Study, place: Place, held: Charge | None, t: float) -> Row:
    name, stay = name_at(place, t), place.stay_at(t)
    killed = _killed(place, t)
    more = _attempt(stay)
    cells = {NAME: more, "kills": kill_words(place, t)} if held is None else _cells(place, held, t) | {NAME: more}
    path = "" if stay is None else _path(study, stay)
    if held is None:
        return Row(place.level, _called(place, name), place.depth, path, cells, killed=killed)
    limit = held.limits.get("memory.max")
    bar = {part: held.parts.get(part, 0) for part in PARTS}
    kept = max((held.limits.get(file, 0) for file in PROTECTION), default=0)
    return Row(place.level, _called(place, name), place.depth, path, cells, bar, held.current, limit, kept, killed)


def _called(place: Place, name: str) -> str:
    """`pod api`; a pod of a run from before pods had names is `pod`."""
    return f"{place.level} {name}".strip() if place.level in ("pod", "class") else name


def _attempt(stay: Stay | None) -> str:
    return f"attempt {stay.owner.attempt}" if stay is not None and stay.owner.attempt else ""


def _killed(place: Place, t: float) -> bool:
    """Whether the last OOM kill ended what is, or was last, in a container's place."""
    mine = [one.t for one in place.kills if one.t <= t and not one.kill.child]
    last = [one.line.t[0] for one in place.stays if one.line.t[0] <= t]
    return place.level == "container" and bool(mine) and bool(last) and last[-1] <= mine[-1]


def _cells(place: Place, held: Charge, t: float) -> dict[str, str]:
    limit = held.limits.get("memory.max")
    no_limit = "none" if place.stays else ""
    cells = {
        "charged": format_bytes(held.current),
        "memory.max": no_limit if limit is None else format_bytes(limit),
        "share": "" if not limit or held.current is None else share(held.current, limit),
    }
    cells |= {file: format_bytes(value) for file, value in held.limits.items() if file != "memory.max"}
    cells |= {part: format_bytes(value) for part, value in held.parts.items() if value}
    return {**cells, "kills": kill_words(place, t)}


def kill_words(place: Place, t: float) -> str:
    """`killed at 4.833 s`, `killed 3 times, last at 9.501 s`; of a pod or node, when its own limit was met."""
    what = "killed" if place.level == "container" else "limit met"
    before = [one.kill for one in place.kills if one.t <= t]
    if not before:
        return ""
    when = _moment(before[-1].time_s)
    return f"{what} at {when}" if len(before) == 1 else f"{what} {len(before)} times, last at {when}"


def _path(study: Study, stay: Stay) -> str:
    """Its cgroup's directory, below the run's."""
    path = (stay.instance.cgroup if stay.instance else study.cgroups.get(stay.owner.pod)) or ""
    root = study.pod_cgroup or ""
    return path.removeprefix(root).strip("/") or path


def _script_row(canvas: Canvas, study: Study, place: Place) -> dict[str, Any]:
    """A row for every moment; its columns are those that the panels have, and so are on the page once."""
    row: dict[str, Any] = {
        "level": place.level,
        "name": _called(place, place.name),
        "above": place.above,
        "kills": [[one.t, _moment(one.kill.time_s), not one.kill.child] for one in place.kills],
    }
    if not place.stays:
        return row
    lines = [stay.line for stay in place.stays]
    instances = [stay.instance for stay in place.stays if stay.instance]
    scale = scale_of(STACK, lines, limits_of(instances, lines))
    drawn = [thinned(canvas, STACK, line) for line in lines]
    x, columns = line_columns(STACK, drawn, scale)
    stays: list[dict[str, Any]] = []
    begin = 0
    for stay, line in zip(place.stays, drawn, strict=True):
        stays.append(_script_stay(study, place, stay) | {"from": begin, "n": len(line.t)})
        begin += len(line.t) + 1  # and the gap
    parts = {part: columns[part] for part in PARTS if part in columns}
    return {**row, "x": x, "factor": scale.factor, "current": columns[STACK.line[0]], "parts": parts, "stays": stays}


def _script_stay(study: Study, place: Place, stay: Stay) -> dict[str, Any]:
    until = None if math.isinf(stay.until_s) else stay.until_s
    made = None if stay.instance is None else stay.instance.memory_max
    limits = {file: _steps(stay, file) for file in LIMITS}
    if not any(value is not None for value in stay.line.memory_max) and made is not None:
        limits["memory.max"] = [[stay.line.t[0], made]]
    return {
        "b": stay.line.t[0],
        "e": until,
        "name": _called(place, name_at(place, stay.line.t[0])),
        "more": _attempt(stay),
        "path": _path(study, stay),
        "limits": {file: steps for file, steps in limits.items() if any(value is not None for _, value in steps)},
    }


def _steps(stay: Stay, file: str) -> list[list[Any]]:
    """A limit through time: from when on it was how much."""
    steps: list[list[Any]] = []
    for t, read in zip(stay.line.t, getattr(stay.line, LIMITS[file]), strict=False):
        value = None if read == 0 and file in PROTECTION else read
        if not steps or steps[-1][1] != value:
            steps.append([t, value])
    return steps


TREE = Topic("Memory of each cgroup", panels=panels)
