"""The tree of cgroups as a table with a bar in each row: how it is drawn. page/tree.js fills it in for other moments.

What the rows are, and their words, is the topic's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from emu.report.page.html import Markup, element, folded, join, section
from emu.units import format_bytes

MOST_ROWS = 16
"""More are set closer, and scroll."""
LONG_NAME = 28
"""A pod's name with more letters is set in two lines."""
NAME = "cgroup"
"""The key of what stands beside a name."""


@dataclass(frozen=True)
class Kind:
    """A kind of memory: a column, and a part of each bar."""

    key: str
    name: str
    colour: str
    hatched: bool = False

    @property
    def ground(self) -> str:
        """CSS for its area."""
        stripes = f"repeating-linear-gradient(135deg, {self.colour} 0 2px, transparent 2px 4px)"
        return stripes if self.hatched else self.colour


@dataclass(frozen=True)
class Row:
    """A cgroup at the moment."""

    level: str
    name: str
    depth: int
    path: str
    """Its directory, as the mouse shows it."""
    cells: dict[str, str]
    """By column; nothing where there is nothing to say."""
    bar: dict[str, int] = field(default_factory=dict)
    """Bytes by kind."""
    current: int | None = None
    limit: int | None = None
    kept: int = 0
    """What reclaim spares of it."""
    killed: bool = False
    """It was OOM-killed and has not been started again."""

    @property
    def there(self) -> bool:
        """There is such a cgroup at the moment."""
        return self.current is not None


@dataclass(frozen=True)
class Tree:
    """The table at the moment that the page begins with, and what page/tree.js needs for every other."""

    said: str
    """Which moment it is."""
    top: int
    """Bytes that the whole width of a bar stands for."""
    columns: dict[str, str]
    """Words by key, between the bar and the kinds."""
    kinds: tuple[Kind, ...]
    last: dict[str, str]
    """Columns after them."""
    rows: tuple[Row, ...]
    script: dict[str, Any]


def tree_part(title: str, tree: Tree) -> Markup:
    """The section that shows the tree of cgroups at a moment, with its tools for a moment's choice."""
    tools = element("div", "", id="tree-tools", class_="screen", role="toolbar", aria_label="moment", hidden="hidden")
    inner = join([element("thead", _head(tree)), table_body(tree, tree.rows)])
    names_are_long = any(len(row.name) > LONG_NAME for row in tree.rows if row.level == "pod")
    table = element("table", inner, id="tree", class_="tree long" if names_are_long else "tree")
    crowded = "scroll crowded" if len(tree.rows) > MOST_ROWS else "scroll"
    names = (element("span", join([_swatch(kind), kind.name], ""), class_="kind") for kind in tree.kinds)
    legend = element("p", join(names, " "), class_="tree-legend", aria_hidden="true")
    return section(
        title,
        element("p", tree.said, id="tree-when"),
        tools,
        legend,
        element("div", table, class_=crowded, role="region", aria_label=title, tabindex="0"),
        folded("How to read it", *(element("p", said, class_="hint") for said in _HINTS)),
    )


_HINTS = (
    "The bar is what the cgroup is charged, by kind, on one scale for all rows. The pale ground behind it ends at "
    "its memory.max; it has no end where there is none, or where it is off the scale. The thin line is "
    "memory.current, the kinds are memory.stat. Swap is hatched: it is not part of memory.current. A green line "
    "under the bar is what memory.low or memory.min keeps from reclaim.",
    "A cgroup's figures include those of the cgroups in it. What it is charged beyond them has a row: pages that "
    "containers left behind when they ended, and pages of tmpfs.",
    "Each figure is of the last sample at or before the moment. A pod that took the place of another has the same "
    "row, and so has a container that was started again.",
)


def _head(tree: Tree) -> Markup:
    scale = join([element("span", "0"), element("span", format_bytes(tree.top))], "")
    heads = [
        element("th", "cgroup", scope="col"),
        element("th", element("div", scale, class_="scale"), scope="col", class_="bar", aria_label="memory"),
    ]
    heads += [element("th", words, scope="col", class_=f"n {_css(key)}") for key, words in tree.columns.items()]
    heads += [
        element("th", join([_swatch(kind), kind.name], ""), scope="col", class_="n part") for kind in tree.kinds
    ]
    heads += [element("th", words, scope="col", class_=key) for key, words in tree.last.items()]
    return element("tr", join(heads, ""))


def _swatch(kind: Kind) -> Markup:
    return element("span", "", class_="swatch", style=f"background:{kind.ground}", aria_hidden="true")


def table_body(tree: Tree, rows: Sequence[Row]) -> Markup:
    """The rows of one moment."""
    return element("tbody", join(_row(tree, row) for row in rows))


def _row(tree: Tree, row: Row) -> Markup:
    more = element("span", row.cells.get(NAME, ""), class_="more")
    name = join([element("span", row.name, class_="name"), more], "")
    cells = [
        element("th", name, scope="row", title=row.path, style=f"--depth:{row.depth}"),
        element("td", _bar(tree, row), class_="bar"),
    ]
    cells += [element("td", row.cells.get(key, ""), class_=f"n {_css(key)}") for key in tree.columns]
    cells += [element("td", row.cells.get(kind.key, ""), class_="n part") for kind in tree.kinds]
    cells += [element("td", row.cells.get(key, ""), class_=key) for key in tree.last]
    kinds = f"{row.level}{'' if row.there else ' gone'}{' killed' if row.killed else ''}"
    return element("tr", join(cells, ""), class_=kinds)


def _css(key: str) -> str:
    """The class of a column: `max` of `memory.max`."""
    return key.rpartition(".")[2]


def _bar(tree: Tree, row: Row) -> Markup:
    room = f"width:{_share(row.limit or tree.top, tree.top)}"
    parts = [element("span", "", class_=_room(tree.top, row), style=room)]
    fills = (
        element("i", "", style=f"width:{_share(row.bar.get(kind.key, 0), tree.top)};background:{kind.ground}")
        for kind in tree.kinds
    )
    parts.append(element("span", join(fills, ""), class_="fill"))
    parts.append(element("span", "", class_="kept", style=f"width:{_share(row.kept, tree.top)}"))
    parts.append(element("b", "", style=f"left:{_share(row.current or 0, tree.top)}"))
    parts.append(element("span", "✕", class_="cross", style=f"left:{_share(row.current or 0, tree.top)}"))
    return element("div", join(parts, ""), role="img", aria_label=", ".join(_spoken(tree.kinds, row)) or "nothing")


def _room(top: int, row: Row) -> str:
    """The ground behind the bar: whether it ends at a limit."""
    return "room limited" if row.limit is not None and row.limit <= top else "room"


def _spoken(kinds: Sequence[Kind], row: Row) -> Iterator[str]:
    for kind in kinds:
        if row.bar.get(kind.key):
            yield f"{kind.name} {row.cells[kind.key]}"


def _share(part: int, whole: int) -> str:
    return f"{100 * min(part, whole) / whole:.2f}%"
