"""Small pieces of HTML. Everything is text, and escaped, unless it is `Markup`: log lines are not to be trusted.

A control character is no HTML, and one that turns the direction of writing reorders what stands around it: both are
written out, as on the terminal, which some print the page on.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from emu.machine.output import printable
from emu.units import format_bytes, format_number

NOT_MEASURED = "-"
_QUANTITY = re.compile(r"(?<=\d) (?=(?:B|[KMG]iB|us|ms|s|min|requests?)\b)")


class Markup(str):
    """A string that is HTML already."""


def text(value: object) -> Markup:
    """A value as HTML: escaped, None as a dash, whole numbers with their thousands apart."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup(NOT_MEASURED)
    if isinstance(value, bool):
        return Markup("yes" if value else "no")
    if isinstance(value, int):
        return Markup(f"{value:,}")
    if isinstance(value, float):
        return Markup(format_number(value))
    return Markup(html.escape(printable(str(value))))


def element(tag: str, content: object = "", **attributes: str) -> Markup:
    """`<tag attributes>content</tag>`; `class_` stands for `class`, `aria_label` for `aria-label`."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value}
    pairs = "".join(f' {name}="{html.escape(printable(value))}"' for name, value in named.items())
    return Markup(f"<{tag}{pairs}>{text(content)}</{tag}>")


def join(parts: Iterable[object], between: str = "\n") -> Markup:
    """Parts after each other, each escaped unless it is Markup."""
    return Markup(between.join(text(part) for part in parts))


def table(head: Sequence[str], rows: Sequence[Sequence[object]], numbers: Iterable[str] = ()) -> Markup:
    """A table that scrolls sideways rather than break the page. Columns named in `numbers` are set to the right;
    a column with nothing in any row is left out.
    """
    shown = [i for i in range(len(head)) if any(row[i] is not None for row in rows)]
    right = set(numbers)
    kinds = ["n" if head[i] in right else "" for i in shown]
    titles = (element("th", head[i], class_=kind) for i, kind in zip(shown, kinds, strict=True))
    body = (
        element("tr", join((element("td", row[i], class_=kind) for i, kind in zip(shown, kinds, strict=True)), ""))
        for row in rows
    )
    inner = join([element("thead", element("tr", join(titles, ""))), element("tbody", join(body))])
    return element("div", element("table", inner), class_="scroll")


def facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    """A table of names and values; those that are None are left out."""
    rows = [
        element("tr", join([element("th", name, scope="row"), element("td", value)], ""))
        for name, value in pairs
        if value is not None
    ]
    return element("div", element("table", element("tbody", join(rows))), class_="scroll")


def section(title: str, *parts: object) -> Markup:
    """A heading and what stands under it."""
    return element("section", join([element("h2", title), *parts]))


def folded(title: str, *parts: object, opened: bool = False) -> Markup:
    """What opens on a click, or stands open from the start."""
    return element("details", join([element("summary", title), *parts]), open="open" if opened else "")


def kept(word: str) -> Markup:
    """A word that stays on one line, whatever hyphens are in it."""
    return element("span", word, class_="keep")


def unbroken(said: str) -> str:
    """A sentence whose numbers stay on one line with their units."""
    return _QUANTITY.sub("\N{NO-BREAK SPACE}", said)


def size(count: int | float | None) -> str | None:
    """Bytes for people: `31.5 MiB`; None stays None."""
    return None if count is None else format_bytes(count)


def at(t: float | None) -> str | None:
    """A time of the run, to the millisecond."""
    return None if t is None else f"{t:.3f} s"


def exact_size(count: int | None) -> Markup | None:
    """Bytes for people, with the exact count when the mouse rests on it."""
    return None if count is None else element("span", format_bytes(count), title=f"{count:,} bytes")


def value_of(name: str, value: Any) -> object:
    """A figure of summary.json as an expectation speaks of it: `_bytes` with its size beside it."""
    if isinstance(value, int) and not isinstance(value, bool) and name.endswith("_bytes") and value >= 1024:
        return f"{value:,} ({format_bytes(value)})"
    return value
