"""A run with variants on the terminal: the verdict, what was expected, and a row for each variant."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from emu.report.compare.compare import unmet
from emu.report.compare.rows import Row, rows_of
from emu.report.text import Table, expected_table
from emu.report.words import latency_cells
from emu.study.measures import SHARES
from emu.units import format_bytes, format_number, format_seconds


def print_comparison(summary: dict[str, Any], console: Console) -> None:
    """Print all of it; the caller prints the path of the page."""
    played = summary["variants"]
    console.print(Text(summary["verdict"]["headline"], style="bold"), soft_wrap=True)
    for words in summary["verdict"]["sentences"]:
        console.print(Text(f"  {words}"), soft_wrap=True)
    own = [{**one, "what": f"variants.{name}.{one['what']}"} for name, one in unmet(played)]
    for title, text in (
        ("Expected", expected_table([*summary["expectations"], *own])),
        ("Variants", _table(rows_of(played))),
    ):
        if text is not None:
            console.print()
            console.print(Text(title, style="bold"))
            console.print(text, soft_wrap=True)


def _table(rows: list[Row]) -> Text:
    table = Table(
        "VARIANT", *map(str.upper, SCALING), "OOM KILLS", "RESTARTS", "PEAK", "MEMORY HELD", "SWAP HELD", "CPU",
        "FROZEN", "NO POD", "SENT", "OK", "P50", "P99", "MAX", "AFTER IDLENESS", "P50", "MAX", "AS EXPECTED", "STATE",
    )  # fmt: skip
    for row in rows:
        table.row(
            row.name,
            *scaling(row),
            row.oom_kills,
            row.restarts,
            None if row.peak_bytes is None else format_bytes(row.peak_bytes),
            *figures(row),
            row.woken,
            ms(row.woken_p50_ms),
            ms(row.woken_max_ms),
            f"{row.met} of {row.expected}" if row.expected else None,
            row.state,
        )
    return table.without("-", "0", "played").text()


SCALING = ("pods wanted", "pods ready", "panics", "cold", "direct")
"""The columns of `scaling`."""


def scaling(row: Row) -> list[object]:
    """How many pods the services of a variant had at most, and how requests got to them."""
    return [row.pods_wanted, row.pods_ready, row.panics, row.cold, row.direct]


def figures(row: Row) -> list[object]:
    """What a variant held, used and answered, for people; from `memory held` to `max`."""
    return [
        gib_s(row.held_gib_s),
        gib_s(row.swap_held_gib_s),
        None if row.cpu_s is None else format_seconds(row.cpu_s),
        None if row.frozen_s is None else format_seconds(row.frozen_s),
        None if row.zero_s is None else format_seconds(row.zero_s),
        row.sent,
        row.ok,
        *answer_times(row),
    ]


def answer_times(row: Row) -> list[str | None]:
    """p50, p99 and the longest of what was answered with success; None for those that say no more than that."""
    named = dict(zip(SHARES, latency_cells(dict(row.latency)), strict=True))
    return [named[name] for name in ("p50", "p99", "max")]


def gib_s(value: float | None) -> str | None:
    """GiB-seconds for people."""
    return None if value is None else f"{format_number(value, 3)} GiB·s"


def ms(value: float | None) -> str | None:
    """Milliseconds for people: `31 ms`, `1.2 s`."""
    return None if value is None else format_seconds(value / 1e3)
