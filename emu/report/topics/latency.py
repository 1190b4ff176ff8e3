"""How long requests took: of each kind of answer its percentiles, in a sentence, a table and a picture."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from emu.report.page.canvas import REQUEST_LEGEND, Canvas, safe
from emu.report.page.downsample import keep_peaks
from emu.report.topics.topic import Column, Listing
from emu.report.topics.traffic import STATUS, Traffic, end_of, kind_of
from emu.report.words import count, is_late, latency_cells
from emu.study.measures import SHARES, says_something
from emu.study.model.requests import OK, Request
from emu.units import format_seconds

MOST_REQUESTS = 4000
"""Up to here each request has its dot."""
Dot = tuple[float, float, Request]
"""When a request ended, its latency in ms, and itself."""
MOST_KINDS = 3
"""Kinds of answers whose latency is shown."""
BROUGHT = "This machine sent "
HOW = (
    "Latency counts from when the load generator began with a request (to connect, or to write) to its end. "
    "How late it was with that is not in it. A percentile of too few to say more than the longest is left out."
)


def latency_table(scopes: list[tuple[str, dict[str, Any]]]) -> Listing:
    """A row for each kind of answer of each phase, or of each pod."""
    rows = tuple(
        (name, outcome, took["n"], *latency_cells(took))
        for name, one in scopes
        for outcome, took in one["latency_ms_by_outcome"].items()
    )
    return Listing(("phase", Column("ended", number=False), "n", *SHARES), rows, whole=True)


def latency_sentences(requests: dict[str, Any]) -> list[str]:
    """How long each kind of answer took, and whether the load generator was late itself."""
    return [*_latencies(requests), *_late(requests)]


def _latencies(requests: dict[str, Any]) -> list[str]:
    """How long each kind of answer took, the most frequent first: those of success are not mixed with the others."""
    known = {name: one for name, one in requests["latency_ms_by_outcome"].items() if name not in requests["errors"]}
    kinds = sorted(known, key=lambda name: (name != OK, -known[name]["n"]))[:MOST_KINDS]
    alone = len(known) == 1
    return [_took(_answers(name, known[name]["n"], alone), known[name]) for name in kinds]


def _answers(outcome: str, number: int, alone: bool) -> str:
    if alone:
        return "answer" if number == 1 else "answers"
    kind = "successful " if outcome == OK else ""
    return f"{kind}{'answer' if number == 1 else 'answers'}{'' if outcome == OK else f' with {outcome}'}"


def _took(what: str, known: dict[str, Any]) -> str:
    n, half, most = known["n"], format_seconds(known["p50"] / 1e3), format_seconds(known["max"] / 1e3)
    if n == 1:
        return f"The {what} took {half}."
    if half == most:
        return f"The {n:,} {what} took {half} (median and longest)."
    if says_something("p99", n):
        return f"Half of the {n:,} {what} came within {half}, 99 % within {format_seconds(known['p99'] / 1e3)}."
    return f"The {n:,} {what} took {half} in the median, {most} at most."


def _late(requests: dict[str, Any]) -> list[str]:
    """What the load generator was late itself, where it was so with many."""
    if not is_late(requests):
        return []
    in_time, most = requests["sent"] - requests["late"], format_seconds(requests["lateness_ms"]["max"] / 1e3)
    brought = f"{BROUGHT}{in_time:,} of {count(requests['sent'], 'request')} in time"
    others = "the other one" if requests["sent"] - in_time == 1 else "the others up to"
    late = f"the load generator sent {others} {most} late"
    return [f"{brought}: {late}. Latency leaves that delay out, but answers may look slow: it reads them late too."]


def latency_panel(canvas: Canvas, traffic: Traffic) -> None:
    """A dot a request, where it ended: what broke off together stands together, under what broke it."""
    requests, known = traffic.requests, traffic.known
    dots: dict[str, list[Dot]] = defaultdict(list)
    for request in requests:
        end = end_of(request, canvas.end_s)
        dots[kind_of(request)].append((end, max(end - request.begin_s, 1e-6) * 1e3, request))
    whose = f" of requests{traffic.whose}" if traffic.whose else ""
    dot = "" if traffic.part else ", a dot for each request where it ended"
    title = f"<b>latency</b>{whose}{dot}{_percentiles(known)}"
    axis = _log_axis([value for column in dots.values() for _, value, _ in column], few=traffic.part)
    panel = canvas.panel(title, 70 if traffic.part else 130, **axis)
    drawn = 0
    for kind, name, colour, symbol in STATUS:
        shown = _shown(sorted(dots[kind], key=lambda dot: dot[0]), canvas, len(requests))
        drawn += len(shown)
        if not shown:
            continue
        thin = symbol == "x-thin"
        marker = {"symbol": symbol, "size": 6 if thin else 4.5, "color": colour, "opacity": 0.85}
        canvas.trace(
            panel, REQUEST_LEGEND, name=name, x=[round(t, 6) for t, _, _ in shown],
            y=[round(value, 4) for _, value, _ in shown], text=[_request_text(request) for _, _, request in shown],
            mode="markers", marker={**marker, "line": {"width": 1.4 if thin else 0, "color": colour}},
            hovertemplate="%{y:,.4~r} ms, %{text}<extra></extra>", meta={"kind": "latency", "of": kind},
        )  # fmt: skip
        canvas.figure.data[-1]["showlegend"] = False  # the bars have the name
    if drawn < len(requests):
        canvas.reduced(f"requests{traffic.whose}", drawn, len(requests))


def _shown(dots: list[Dot], canvas: Canvas, requests: int) -> list[Dot]:
    if requests <= MOST_REQUESTS:
        return dots
    rows = keep_peaks([t for t, _, _ in dots], [[value for _, value, _ in dots]], canvas.bucket_s, 0)
    return [dots[row] for row in rows]


def _log_axis(values_ms: list[float], *, few: bool = False) -> dict[str, Any]:
    """From the smallest to the largest, at least one power of ten; ticks at those, and at 2 and 5 where few powers
    fit, unless there is room for `few` ticks.
    """
    low, high = (math.log10(max(value, 1e-2)) for value in (min(values_ms), max(values_ms)))
    low, high = min(low, high - 1) - 0.15, high + 0.2
    factors = (1, 2, 5) if high - low < 1.7 and not few else (1,)
    every = [factor * 10.0**power for power in range(-3, 8) for factor in factors]
    ticks = [value for value in every if low <= math.log10(value) <= high]
    names = [format_seconds(value / 1e3).replace(".0 ", " ") for value in ticks]
    return {"type": "log", "range": [low, high], "tickvals": ticks, "ticktext": names}


def _percentiles(known: dict[str, Any]) -> str:
    """Of what was answered with success."""
    cells = zip(SHARES, latency_cells(known), strict=True)
    said = [f"{name} {cell}" for name, cell in cells if cell is not None and name != "p90"]
    return f" · {OK} ({known['n']:,}): {', '.join(said)}" if said else ""


def _request_text(request: Request) -> str:
    parts = [str(part) for part in (request.status, request.error) if part is not None]
    parts += [request.reason.replace("-", " ")] if request.reason else []
    return safe(f"{', '.join(parts) or 'unanswered'} (request {request.id}, {request.phase})")
