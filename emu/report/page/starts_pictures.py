"""Pictures of starts: a waterfall of stages, every trial as a dot, and memory held against latency."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.policy import starts as policy
from emu.report.page import svg
from emu.report.page.html import Markup, element, join
from emu.report.page.svg import Linear, Log
from emu.report.words import milliseconds
from emu.study.model.study import Study
from emu.units import format_bytes

WIDTH = 1180
NAMES_PX = 130
RIGHT_PX = 90
ROW_PX = 26
_COLOURS = {
    policy.IMAGE: "var(--stage-image)",
    policy.SANDBOX: "var(--stage-sandbox)",
    policy.CREATE: "var(--stage-create)",
    policy.START: "var(--stage-start)",
    policy.PROCESS: "var(--stage-process)",
    policy.LISTEN: "var(--stage-listen)",
    policy.READINESS: "var(--stage-readiness)",
    policy.FORWARD: "var(--stage-forward)",
    policy.DECISION: "var(--stage-decision)",
    policy.RPC: "var(--stage-rpc)",
    policy.ENGINE: "var(--stage-engine)",
    policy.KERNEL: "var(--stage-kernel)",
    policy.REPLY: "var(--stage-reply)",
    policy.FIRST_BYTE: "var(--stage-answer)",
}
_OTHER = "var(--stage-other)"


def starts_pictures(study: Study, known: dict[str, Any]) -> Markup:
    """All of them, of the temperatures from which a request was answered."""
    return join(_pictures(study, known))


def _pictures(study: Study, known: dict[str, Any]) -> Iterator[Markup]:
    yield element("h3", "Where the time goes: the start with the median first byte")
    for group in (
        [name for name in known if name not in policy.RUNNING],
        [name for name in known if name in policy.RUNNING],
    ):
        if group:
            yield _waterfall({name: known[name]["stages_ms"] for name in group})
    yield element("h3", "Each trial: time to the first byte")
    yield _distribution(study, known)
    yield element("h3", "What a warm pod costs: memory held while it waits, and time to the first byte (p50, p99)")
    yield _trade_off(known)


def _waterfall(stages: dict[str, dict[str, float]]) -> Markup:
    """Rows of stages that follow each other, on one time axis, with a legend of the stages that there are."""
    names = list(dict.fromkeys(stage for row in stages.values() for stage in row))
    most = max(sum(row.values()) for row in stages.values())
    scale = Linear(most or 1.0, NAMES_PX, WIDTH - RIGHT_PX)
    legend, legend_px = _legend(names)
    parts = [*legend]
    bottom = legend_px + ROW_PX * len(stages)
    for tick in scale.ticks():
        parts.append(svg.line(scale.at(tick), legend_px, scale.at(tick), bottom))
        parts.append(
            svg.words(
                scale.at(tick), bottom + 16, milliseconds(tick), anchor="middle", colour="var(--muted)", size=11
            )
        )
    for number, (name, row) in enumerate(stages.items()):
        top = legend_px + ROW_PX * number
        parts.append(svg.words(NAMES_PX - 8, top + 17, name, anchor="end"))
        begin = 0.0
        for stage, took in row.items():
            x, width = scale.at(begin), scale.at(took) - scale.at(0)
            hint = (
                f"{name}, {stage}: {milliseconds(took)} ({policy.MEANINGS.get(stage, 'container made and started')})"
            )
            parts.append(svg.box(x, top + 5, width, ROW_PX - 10, _COLOURS.get(stage, _OTHER), hint))
            begin += took
        parts.append(svg.words(scale.at(begin) + 6, top + 17, milliseconds(begin), colour="var(--muted)"))
    return svg.picture(WIDTH, bottom + 26, parts, f"Stages of a start from {', '.join(stages)}")


def _legend(names: list[str]) -> tuple[list[Markup], int]:
    parts: list[Markup] = []
    x, y = float(NAMES_PX), 8
    for name in names:
        wide = 24 + 7.0 * len(name)
        if x + wide > WIDTH - RIGHT_PX:
            x, y = float(NAMES_PX), y + 18
        parts.append(svg.box(x, y, 11, 11, _COLOURS.get(name, _OTHER), policy.MEANINGS.get(name, "")))
        parts.append(svg.words(x + 16, y + 10, name, size=11))
        x += wide + 6
    return parts, y + 24


def _distribution(study: Study, known: dict[str, Any]) -> Markup:
    answered = [start for start in study.starts if start.answered and start.wanted == start.temperature]
    times = {
        name: [
            (start, ((start.first_byte_s or 0.0) - start.arrived_s) * 1e3)
            for start in answered
            if start.wanted == name
        ]
        for name in known
    }
    scale = Log.around((ms for row in times.values() for _, ms in row), NAMES_PX, WIDTH - RIGHT_PX)
    bottom = ROW_PX * len(times)
    parts = _log_axis(scale, bottom)
    for number, (name, row) in enumerate(times.items()):
        middle = ROW_PX * number + ROW_PX / 2
        parts.append(svg.words(NAMES_PX - 8, middle + 4, name, anchor="end"))
        half = scale.at(known[name]["first_byte_ms"]["p50"])
        parts.append(svg.line(half, middle - 9, half, middle + 9, "var(--ink)", 2))
        parts += [
            svg.dot(scale.at(ms), middle, 4, "var(--anon)", f"{name}, trial {start.trial + 1}: {milliseconds(ms)}")
            for start, ms in row
        ]
    hint = "Time to the first byte of every trial, on a logarithmic axis; a bar is the median"
    return join([svg.picture(WIDTH, bottom + 26, parts, hint), element("p", f"{hint}.", class_="hint")])


def _log_axis(scale: Log, bottom: int) -> list[Markup]:
    parts: list[Markup] = []
    for tick in scale.ticks():
        parts.append(svg.line(scale.at(tick), 0, scale.at(tick), bottom))
        parts.append(
            svg.words(
                scale.at(tick), bottom + 16, milliseconds(tick), anchor="middle", colour="var(--muted)", size=11
            )
        )
    return parts


def _trade_off(known: dict[str, Any]) -> Markup:
    """Memory held while idle to the right, latency upwards; below and to the left is better."""
    height, top, width = 300, 14, 760
    held = {name: one["held_bytes"] or 0 for name, one in known.items()}
    across = Linear(max(held.values(), default=1) * 1.15 or 1.0, NAMES_PX, width - 120)
    spans = {name: (one["first_byte_ms"]["p50"], one["first_byte_ms"]["max"]) for name, one in known.items()}
    up = Log.around((ms for span in spans.values() for ms in span), height, top)
    parts: list[Markup] = []
    for tick in up.ticks():
        parts.append(svg.line(NAMES_PX, up.at(tick), width - 120, up.at(tick)))
        parts.append(
            svg.words(NAMES_PX - 8, up.at(tick) + 4, milliseconds(tick), anchor="end", colour="var(--muted)", size=11)
        )
    for tick in _byte_ticks(across.most):
        parts.append(svg.line(across.at(tick), top, across.at(tick), height))
        parts.append(
            svg.words(
                across.at(tick), height + 16, format_bytes(tick), anchor="middle", colour="var(--muted)", size=11
            )
        )
    taken: list[tuple[float, float]] = []
    for name, (half, late) in spans.items():
        x, y = across.at(held[name]), up.at(half)
        hint = f"{name}: {format_bytes(held[name])} held, "
        hint += f"first byte {milliseconds(half)} (p50), {milliseconds(late)} at most"
        parts.append(svg.line(x, y, x, up.at(late), "var(--anon)", 2))
        parts.append(svg.dot(x, y, 5, "var(--anon)", hint))
        parts.append(svg.words(x + 10, _free(taken, x, y + 4), name, size=11))
    parts.append(
        svg.words(
            NAMES_PX,
            height + 34,
            "memory of the pod's containers before the request, swap not counted",
            colour="var(--muted)",
            size=11,
        )
    )
    return svg.picture(width, height + 42, parts, "Memory held while idle against the time to the first byte")


def _byte_ticks(most: float) -> Iterator[int]:
    """A handful of round sizes from 0 on."""
    step = 2**20
    while most / step > 6:
        step *= 2
    yield from range(0, int(most) + 1, step)


def _free(taken: list[tuple[float, float]], x: float, y: float) -> float:
    """A height near `y` where no label stands yet; it is taken from then on."""
    while any(abs(x - other_x) < 110 and abs(y - other_y) < 12 for other_x, other_y in taken):
        y += 4
    taken.append((x, y))
    return y
