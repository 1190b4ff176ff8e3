"""The parts of the report's topics as HTML: tables, notes, logs and pictures, a section for each topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from emu.report.page.html import Markup, element, exact_size, folded, join, kept, section, table, unbroken
from emu.report.topics.topic import Cell, Listing, Log, Name, Note, Part, Picture, Size, Topic, View, Words

MOST_ROWS = 20
"""Of a table, shown at once; the others are folded."""


def topic_sections(topics: Iterable[Topic], view: View) -> Iterator[Markup]:
    """A section for each topic that has anything to show, or for several that share one."""
    titled = (
        (topic.section(view) if topic.section else topic.title, shown)
        for topic in topics
        for part in topic.parts(view)
        for shown in _part(part)
    )
    for title, group in groupby(titled, key=lambda pair: pair[0]):
        yield section(title, *(shown for _, shown in group))


def _part(part: Part) -> Iterator[Markup]:
    match part:
        case Listing():
            yield from _listing(part) if part.place != "terminal" else ()
        case Note() if part.place != "terminal":
            yield element("p", part.text, class_=part.style)
        case Log():
            yield folded(part.title, element("pre", "\n".join(part.lines)), opened=part.opened)
        case Picture():
            yield Markup(part.draw())


def _listing(listing: Listing) -> Iterator[Markup]:
    """Of many rows the first, with all of them folded."""
    if not listing.rows:
        if listing.otherwise:
            yield element("p", listing.otherwise, class_="missing")
        return
    if listing.folded:
        yield folded(listing.title, _table(listing, listing.rows))
        return
    if listing.title:
        yield element("h3", listing.title)
    yield _table(listing, listing.rows if listing.whole else listing.rows[:MOST_ROWS])
    if len(listing.rows) > MOST_ROWS and not listing.whole:
        yield folded(f"{listing.rest} ({len(listing.rows):,})", _table(listing, listing.rows))
    yield from (element("p", hint, class_="hint") for hint in listing.hints)


def _table(listing: Listing, rows: tuple[tuple[Cell, ...], ...]) -> Markup:
    shown = listing.shown("page")
    columns = [listing.columns[i] for i in shown]
    cells = [[_cell(row[i]) for i in shown] for row in rows]
    return table([column.head for column in columns], cells, [column.head for column in columns if column.number])


def _cell(cell: Cell) -> object:
    match cell:
        case tuple():
            return join(map(kept, cell), ", ")
        case Size():
            return exact_size(cell)
        case Name():  # a long one may be broken after its pod
            return Markup("/<wbr>".join(kept(word) for word in cell.split("/")))
        case Words():
            return unbroken(cell)
    return cell
