"""A run on the terminal: the verdict, what was expected, the pod, its memory, its clients, its OOM kills."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from emu.policy.expectations import show_figure
from emu.policy.printing import print_age
from emu.report.topics.reasons import reason_words
from emu.report.topics.registry import TOPICS
from emu.report.topics.topic import Listing
from emu.report.words import is_late, late_text, latency_cells, of_limit
from emu.study.measures import SHARES
from emu.study.model.kills import OomVerdict
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.pods import named, of_pods, workloads
from emu.study.restraints import HeldBack, bound, describe
from emu.units import format_bytes, format_seconds

Summary = dict[str, Any]
BARS = "▁▂▃▄▅▆▇█"
SPARKS = 32
"""Characters of a sparkline: the run's length, whatever it was."""
MOST_ROWS = 12
"""Of a topic's table; a pod may be frozen thousands of times."""
MOST_PODS = 12
"""Pods in the list; a busy service may have hundreds."""
MOST_STAGES = 3
"""Of a start, those that took longest."""
KILL_MARK = "✗"
_MARKS = {True: Text("✓", style="green"), False: Text("✗", style="bold red"), None: Text("?", style="yellow")}
"""Of expectations: met, not met, not decided."""
_MEMORY = ("anon", "file", "shmem", "kernel", "slab_reclaimable", "sock", "swap")
_HEADS = {"file": "page cache", "slab_reclaimable": "reclaimable slab"}


def print_story(study: Study, summary: Summary, console: Console) -> None:
    """Print all of it; the path of the page is the caller's to tell."""
    each = named(study, by_pod=True)
    study = named(study)
    console.print(Text(summary["verdict"]["headline"], style="bold"), soft_wrap=True)
    for words in summary["verdict"]["sentences"]:
        console.print(Text(f"  {words}"), soft_wrap=True)
    for title, parts in (
        ("Starts, from the request's arrival", _starts(summary)),
        ("Expected", [table] if (table := expected_table(summary["expectations"])) else []),
        ("Pod", _pod(study, summary)),
        ("Events", _events(each)),
        ("Memory, peaks", _memory(study, summary)),
        ("Requests", [*_requests(summary), *_reasons(summary), *_waits(summary)]),
        *((topic.title, _listing(topic.listing(each))) for topic in TOPICS),
        ("OOM kills", _kills(each.kills)),
    ):
        if parts:
            console.print()
            console.print(Text(title, style="bold"))
            for part in parts:
                console.print(part, soft_wrap=True)


def sparkline(study: Study, lines: Iterable[Timeline], kills: Iterable[OomVerdict] = ()) -> str:
    """memory.current of a container over the run, against its limit (or its own peak where there is none). A gap is
    where it held nothing or did not run, a cross where it was OOM-killed.
    """
    span = study.duration_s
    cells: list[int | None] = [None] * SPARKS
    top = 1
    for line in lines:
        limits = [value for value in line.limit if value is not None]
        top = max([top, *limits[-1:]] if limits else [top, *(value or 0 for value in line.memory_current)])
        for t, value in zip(line.t, line.memory_current, strict=True):
            if value is not None:
                cell = _cell(t, span)
                cells[cell] = max(cells[cell] or 0, value)
    found = [" " if not value else BARS[min(len(BARS) - 1, value * len(BARS) // top)] for value in cells]
    for kill in kills:
        found[_cell(kill.time_s, span)] = KILL_MARK
    return "".join(found)


def _cell(t: float, span: float) -> int:
    return max(0, min(SPARKS - 1, math.floor(t / span * SPARKS))) if span > 0 else 0


class Table:
    """Columns side by side as kubectl prints them: as wide as they need to be, never cut. On a narrow terminal the
    line wraps, and a pipe gets all of it.
    """

    def __init__(self, *heads: str) -> None:
        self.rows: list[list[Text]] = [[Text(head, style="dim") for head in heads]]

    def row(self, *cells: object) -> None:
        """Add a row; None is a dash."""
        self.rows.append(
            [cell if isinstance(cell, Text) else Text("-" if cell is None else str(cell)) for cell in cells]
        )

    def without(self, *texts: str) -> Table:
        """Leave out the columns in which every row has one of these texts: nothing to see there."""
        kept = [
            index
            for index in range(len(self.rows[0]))
            if any(row[index].plain not in texts for row in self.rows[1:]) or len(self.rows) == 1
        ]
        self.rows = [[row[index] for index in kept] for row in self.rows]
        return self

    def text(self) -> Text:
        """All of it, a line each."""
        widths = [max(row[index].cell_len for row in self.rows) for index in range(len(self.rows[0]))]
        lines = []
        for row in self.rows:
            line = Text()
            for cell, width in zip(row, widths, strict=True):
                line.append_text(cell)
                line.append(" " * (width - cell.cell_len + 3))
            line.rstrip()
            lines.append(line)
        return Text("\n").join(lines)


def _starts(summary: Summary) -> list[Text]:
    starts = summary["starts"]
    if not starts:
        return []
    table = Table(
        "FROM", "TRIALS", "N", "FIRST BYTE P50", "P90", "P99", "MAX", "END P50", "MAJOR FAULTS", "READ", "SWAPPED IN",
        "HELD IDLE", "IN SWAP", "WHERE THE TIME GOES",
    )  # fmt: skip
    for name, one in starts["temperatures"].items():
        first = one["first_byte_ms"]
        stages = sorted(one["stages_ms"].items(), key=lambda stage: -stage[1])[:MOST_STAGES]
        table.row(
            name,
            one["trials"],
            first["n"],
            *latency_cells(first),
            _ms(one["done_ms"]["p50"]),
            one["major_faults"],
            *(_size(one[f"{part}_bytes"]) for part in ("io_read", "swap_in", "held", "held_swap")),
            ", ".join(f"{stage} {_ms(took)}" for stage, took in stages),
        )
    return [table.text()]


def expected_table(expectations: list[dict[str, Any]]) -> Text | None:
    """What was expected and what came; None where nothing was."""
    if not expectations:
        return None
    table = Table("", "WHAT", "WANTED", "GOT")
    for one in expectations:
        mark = _MARKS[one["met"]]
        got, why = show_figure(one["what"], one["got"]), one.get("why")
        known = why if why and one["got"] is None else f"{got} ({why})" if why else got
        table.row(mark, one["what"], one["wanted"], known)
    return table.text()


def _pod(study: Study, summary: Summary) -> list[Text]:
    """As `kubectl get pods` lists them, each with its containers."""
    table = Table("NAME", "READY", "STATUS", "RESTARTS", "LAST STATE", "AGE")
    unnamed = {study.run_id or study.run.path.name: {**summary["pod"], "containers": summary["containers"]}}
    pods = summary["pods"] or unnamed
    for name, pod in list(pods.items())[:MOST_PODS]:
        table.row(name, pod["ready"], pod["status"], pod["restarts"], "", _age(pod))
        for container, figures in pod["containers"].items():
            newest = figures["last_state"]
            last = f"{newest['reason']} (exit code {newest['exit_code']})" if newest else ""
            ready = None if figures["ready"] is None else "yes" if figures["ready"] else "no"
            state = _state(figures["state"])
            table.row(f"  {container}", ready, state, figures["restarts"], last, _age(figures))
    return [table.text(), *_rest(len(pods) - MOST_PODS)]


def _age(figures: dict[str, Any]) -> str | None:
    return None if figures["age_s"] is None else print_age(figures["age_s"])


def _rest(left: int) -> list[Text]:
    return [Text(f"… and {left:,} more in summary.json", style="dim")] if left > 0 else []


def _state(state: dict[str, Any] | None) -> str:
    """`Running`, `CrashLoopBackOff`: what kubectl would show of this container alone."""
    return "" if state is None else state["reason"] or state["state"]


def _events(study: Study) -> list[Text]:
    """As `kubectl describe pod` lists them, if there is anything beside ordinary starts."""
    worth = [event for event in study.pod_events if event.type == "Warning" or event.reason == "Killing"]
    if not worth:
        return []
    table = Table("TYPE", "REASON", "AT", "CONTAINER", "MESSAGE")
    for event in worth:
        at = format_seconds(event.first_s)
        at += f" (x{event.count} to {format_seconds(event.last_s)})" if event.count > 1 else ""
        kind = Text(event.type, style="yellow" if event.type == "Warning" else "")
        table.row(kind, event.reason, at, event.container, event.message)
    return [table.text()]


def _memory(study: Study, summary: Summary) -> list[Text]:
    table = Table("CONTAINER", *(_HEADS.get(name, name).upper() for name in _MEMORY), "TOTAL", "OVER THE RUN")
    for name, figures in summary["containers"].items():
        lines = study.timelines_of(name)
        peaks = [format_bytes(figures[f"{part}_peak_bytes"]) for part in _MEMORY]
        total, (limit, which) = figures["memory_peak_bytes"], bound(figures)
        whole = "-" if total is None else of_limit(total, limit)
        whole += f" ({which})" if which and total is not None else ""
        table.row(name, *peaks, whole, sparkline(study, lines, study.kills_of(name)))
    for load, pods in workloads(study).items():
        lines = of_pods(study, pods).pod_timelines
        every = [summary["pods"][pod] for pod in pods if pod in summary["pods"]] or [summary["pod"]]
        if any(pod["memory_peak_bytes"] is not None for pod in every):
            peaks = [format_bytes(_most(every, f"{part}_peak_bytes")) for part in _MEMORY]
            whole = of_limit(_most(every, "memory_peak_bytes") or 0, every[-1]["memory_limit_bytes"])
            several = len(workloads(study)) > 1
            table.row(f"pod {load}" if several else "pod", *peaks, whole, sparkline(study, lines))
    told = [
        Text(f"held back: {describe(name, HeldBack(**one))}", style="yellow")
        for name, figures in summary["containers"].items()
        for one in figures["held_back"]
    ]
    return [table.without("-", "0 B").text(), *told] if len(table.rows) > 1 else told


def _most(pods: list[dict[str, Any]], name: str) -> int | None:
    return max((pod[name] for pod in pods if pod[name] is not None), default=None)


def _requests(summary: Summary) -> list[Text]:
    if not summary["requests"]["sent"]:
        return []
    phases = summary["phases"] if len(summary["phases"]) > 1 else {}
    rows = [*((name, phase["requests"]) for name, phase in phases.items()), ("all", summary["requests"])]
    rows = [(name, requests) for name, requests in rows if requests["sent"]]
    late = any(is_late(requests) for _, requests in rows)
    table = Table(
        "PHASE", "SENT", "ANSWERED", "BY STATUS", "ERRORS", *(["SENT LATE"] if late else []), "MOST IN FLIGHT"
    )
    took = Table("PHASE", "ENDED", "N", *(name.upper() for name in SHARES))
    for name, requests in rows:
        by_status, errors = _counts(requests["by_status"]), _counts(requests["errors"])
        counts = (name, requests["sent"], requests["answered"], by_status, errors)
        table.row(*counts, *([late_text(requests)] if late else []), requests["in_flight_peak"])
        for outcome, one in requests["latency_ms_by_outcome"].items():
            took.row(name, outcome, one["n"], *latency_cells(one))
    return [table.text(), *([Text(""), took.text()] if len(took.rows) > 1 else [])]


def _reasons(summary: Summary) -> list[Text]:
    """Why requests were not answered well, a line for each reason."""
    kinds = summary["requests"].get("failure_kinds") or []
    if not kinds:
        return []
    table = Table("ENDED", "REQUESTS", "FIRST", "LAST", "WHY")
    for kind in kinds:
        times = [f"{kind[name]:.3f} s" for name in ("first_s", "last_s")]
        table.row(kind["outcome"], f"{kind['count']:,}", *times, reason_words(kind))
    return [Text(""), table.text()]


def _waits(summary: Summary) -> list[Text]:
    """How long requests waited for a place in the app."""
    table = Table("PHASE", "WAITED", "MOST AT ONCE", *(name.upper() for name in SHARES))
    phases = summary["phases"] if len(summary["phases"]) > 1 else {}
    for name, requests in [
        *((name, phase["requests"]) for name, phase in phases.items()),
        ("all", summary["requests"]),
    ]:
        waited = requests.get("waited")
        if waited and waited["count"]:
            table.row(name, waited["count"], waited["most"], *latency_cells(waited["ms"]))
    return [Text(""), table.text()] if len(table.rows) > 1 else []


def _counts(counts: dict[str, int] | None) -> str:
    return ", ".join(f"{name}: {number:,}" for name, number in (counts or {}).items()) or "-"


def _listing(listing: Listing | None) -> list[Text]:
    if listing is None or not listing.rows:
        return []
    table = Table(*(head.upper() for head in listing.heads))
    for row in listing.rows[:MOST_ROWS]:
        table.row(*row)
    return [table.without("-").text(), *_rest(len(listing.rows) - MOST_ROWS)]


def _ms(value: float | None) -> str | None:
    return None if value is None else format_seconds(value / 1e3)


def _size(value: int | None) -> str | None:
    return None if value is None else format_bytes(value)


def _kills(kills: list[OomVerdict]) -> list[Text]:
    found: list[Text] = []
    for kill in kills:
        what = "a child of " if kill.child else ""
        limit = "" if kill.limit_bytes is None else f", limit {format_bytes(kill.limit_bytes)}"
        known = ", ".join(kill.evidence)
        doubts = f"; but {', '.join(kill.contradicts)}" if kill.contradicts else ""
        where = f"{what}{kill.container}, {kill.level} level{limit}"
        found.append(Text(f"{kill.time_s:10.3f} s  {where}; known from {known}{doubts}"))
        found += [Text(f"{'':14}{line}", style="dim") for line in kill.log]
    return found
