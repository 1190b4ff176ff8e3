"""A run on the terminal: the verdict, what was expected, and each topic's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from emu.policy.expectations import show_figure, show_wanted
from emu.report.topics.registry import FIRST, on_terminal
from emu.report.topics.topic import Alert, Cell, Listing, Note, Part, Size, Topic, View
from emu.study.model.study import Study
from emu.study.pods import named
from emu.units import format_bytes

Summary = dict[str, Any]
MOST_ROWS = 12
"""Of a topic's table; a pod may be frozen thousands of times."""
_MARKS = {True: Text("✓", style="green"), False: Text("✗", style="bold red"), None: Text("?", style="yellow")}
"""Of expectations: met, not met, not decided."""
_STYLES = {"warning": "yellow", "rest": "dim"}


def print_story(study: Study, summary: Summary, console: Console) -> None:
    """Print all of it; the caller prints the path of the page."""
    view = View(named(study), named(study, by_pod=True), summary)
    console.print(Text(summary["verdict"]["headline"], style="bold"), soft_wrap=True)
    for words in summary["verdict"]["sentences"]:
        console.print(Text(f"  {words}"), soft_wrap=True)
    expected = expected_table(summary["expectations"])
    for title, parts in (
        *_topics(FIRST, view),
        ("Expected", [expected] if expected else []),
        *_topics(on_terminal(), view),
    ):
        if parts:
            console.print()
            console.print(Text(title, style="bold"))
            for part in parts:
                console.print(part, soft_wrap=True)


def _topics(topics: Iterable[Topic], view: View) -> Iterator[tuple[str, list[Text]]]:
    for topic in topics:
        yield topic.title, list(_parts(topic.parts(view)))


def _parts(parts: Iterable[Part]) -> Iterator[Text]:
    """Tables with an empty line between them, and notes. What is not for the terminal is left out."""
    again = False
    for part in parts:
        match part:
            case Listing() if part.place != "page" and part.rows:
                yield from (Text(""),) if again else ()
                yield from _listing(part)
                again = True
            case Note() if part.place != "page":
                yield Text(part.text, style=_STYLES.get(part.style, ""))


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
        """The table with its columns aligned, a line each row."""
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


def expected_table(expectations: list[dict[str, Any]]) -> Text | None:
    """The expectations and what came of them; None where there were none."""
    if not expectations:
        return None
    table = Table("", "WHAT", "WANTED", "GOT")
    for one in expectations:
        mark = _MARKS[one["met"]]
        got, why = show_figure(one["what"], one["got"], met=one["met"]), one.get("why")
        known = why if why and one["got"] is None else f"{got} ({why})" if why else got
        table.row(mark, one["what"], show_wanted(one["what"], one["wanted"]), known)
    return table.text()


def _listing(listing: Listing) -> Iterator[Text]:
    shown = listing.shown("terminal")
    table = Table(*(listing.columns[i].head.upper() for i in shown))
    for row in listing.rows if listing.whole else listing.rows[:MOST_ROWS]:
        table.row(*(_cell(row[i]) for i in shown))
    yield table.text() if listing.whole else table.without("-").text()
    left = len(listing.rows) - MOST_ROWS
    if left > 0 and not listing.whole:
        yield Text(f"… and {left:,} more in summary.json", style="dim")


def _cell(cell: Cell) -> object:
    match cell:
        case Alert():
            return Text(cell, style="yellow")
        case Size():
            return format_bytes(cell)
        case tuple():
            return ", ".join(cell)
        case int() if not isinstance(cell, bool):
            return f"{cell:,}"
    return cell
