"""report.html of a run with variants: one picture, one table, and the way to each variant's own report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from emu.record.rundir import RunDir
from emu.report.compare.compare import unmet
from emu.report.compare.figure import comparison_figure
from emu.report.compare.rows import Row, rows_of
from emu.report.compare.text import SCALING, figures, ms, scaling
from emu.report.page.header import expectations, headline
from emu.report.page.html import Markup, element, exact_size, join, section, table, unbroken
from emu.report.page.render import figure_part, page
from emu.report.page.sections import scenario_part
from emu.report.words import place_words
from emu.study.model.study import Study

_HINT = (
    "Above, further left is cheaper and further down is faster. Both pictures zoom; double-click to see all again. "
    "Click a name to hide it."
)


def render_comparison(
    run: RunDir, studies: Mapping[str, Study], summary: dict[str, Any], library: str | None = None
) -> str:
    """The page. Of the run directory it reads only the scenario, and whether a variant has a page to link to."""
    rows = rows_of(summary["variants"])
    figure = comparison_figure(rows, dict(studies))
    body = [
        _header(summary),
        figure_part("Cost against latency", _HINT, figure),
        section("Variants", _table(run, rows), element("p", _COLUMNS, class_="hint")),
        section("Scenario, as resolved", scenario_part(run.scenario_text())),
    ]
    name = str(summary["scenario"])
    return page(name, body, figure, name, library)


_COLUMNS = (
    "Memory held, swap held and CPU time are of all pods together, while the load lasted, warm-up left out; the peak "
    "is the largest pod's. Pods are those of all services, at most; cold: requests that found no ready pod; direct: "
    "requests that went to a pod past the activator. Ok: answered with a status below 400. p50, p99 and max are of "
    "answers with a status of 2xx, from when the load generator began with a request. After idleness: requests that "
    "came when none had been under way for a second."
)


def _header(summary: dict[str, Any]) -> Markup:
    machine = summary["machine"] or {}
    place = place_words(summary["where"], machine.get("accelerator"))
    line = [summary["scenario"], summary["wall_time"], place, f"{len(summary['variants'])} variants"]
    line.append(f"Linux {machine['kernel']}" if machine.get("kernel") else None)
    where = element("p", " · ".join(str(part) for part in line if part), class_="where")
    heading = headline(_chip(summary), summary["verdict"]["headline"])
    story = element(
        "div", join(element("p", unbroken(said)) for said in summary["verdict"]["sentences"]), class_="story"
    )
    own = [
        {**one, "what": f"variants.{name}.{one['what']}"} for name, one in unmet(summary["variants"], undecided=True)
    ]
    return element(
        "header", join([where, heading, story, expectations({"expectations": summary["expectations"] + own})])
    )


def _chip(summary: dict[str, Any]) -> Markup:
    if summary["interrupted"]:
        return element("span", "interrupted", class_="verdict unmet")
    if summary["failed"]:
        return element("span", "could not continue", class_="verdict unmet")
    if not summary["ended"] and not unmet(summary["variants"]):
        return element("span", "? not decided", class_="verdict none")
    each = [one for one in summary["variants"].values() if one]
    if not summary["expectations"] and not any(one["expectations"] for one in each):
        return element("span", "no expectations", class_="verdict none")
    said = "✓ as expected" if summary["met"] else "✗ not as expected"
    return element("span", said, class_=f"verdict {'met' if summary['met'] else 'unmet'}")


def _table(run: RunDir, rows: list[Row]) -> Markup:
    head = [
        "variant", *SCALING, "OOM kills", "restarts", "peak", "memory held", "swap held", "CPU time", "frozen",
        "no pod", "sent", "ok", "p50", "p99", "max", "after idleness", "median", "longest", "as expected", "state",
    ]  # fmt: skip
    scaled = [any(column) for column in zip(*map(scaling, rows), strict=True)]
    cells = [
        [
            _link(run, row),
            *(value if shown else None for value, shown in zip(scaling(row), scaled, strict=True)),
            row.oom_kills if any(one.oom_kills for one in rows) else None,
            row.restarts if any(one.restarts for one in rows) else None,
            exact_size(row.peak_bytes),
            *figures(row),
            row.woken if any(one.woken for one in rows) else None,
            ms(row.woken_p50_ms),
            ms(row.woken_max_ms),
            f"{row.met} of {row.expected}" if row.expected else None,
            None if row.state == "played" else row.state,
        ]
        for row in rows
    ]
    return table(head, cells, numbers=head[1:-1])


def _link(run: RunDir, row: Row) -> object:
    if not run.variant(row.name).report.exists():
        return row.name
    path = run.variant(row.name).report.relative_to(run.path)
    return element("a", row.name, href=quote(path.as_posix()))
