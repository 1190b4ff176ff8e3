"""What a topic of the report is. Its values are made once; terminal and page render the same cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from emu.report.entry import Entry
from emu.report.page.canvas import Canvas, Panel
from emu.study.model.instances import Instance
from emu.study.model.kills import OomVerdict
from emu.study.model.study import Study

Figures = dict[str, Any]
Place = Literal["both", "terminal", "page"]
"""Who shows it: `emu show`, report.html, or both."""


def of_pod(entry: Any) -> dict[str, Any]:
    """All of an entry of the study; the pod is null in runs from before pods had names."""
    return {**asdict(entry), "pod": entry.pod or None}


class Size(int):
    """Bytes: a person reads `31.5 MiB`, and on the page the exact count when the mouse rests on it."""


class Name(str):
    """A word that stays on one line, whatever hyphens are in it."""


class Alert(str):
    """A word that stands out on the terminal."""


class Words(str):
    """A phrase whose numbers stay on one line with their units."""


Cell = str | int | None | tuple[Name, ...]
"""What a person reads; None is nothing to say."""


@dataclass(frozen=True)
class Column:
    """A head that is not simply shown by both."""

    head: str
    place: Place = "both"
    number: bool = True
    """Set to the right on the page."""


@dataclass(frozen=True)
class Listing:
    """A table. A column without any cell is left out."""

    heads: tuple[str | Column, ...]
    """The first names the row; columns after it are numbers unless they say otherwise."""
    rows: tuple[tuple[Cell, ...], ...]
    hints: tuple[str, ...] = ()
    """Sentences under it, on the page."""
    otherwise: str = ""
    """What the page says where there is no row; empty: nothing."""
    title: str = ""
    """Its heading on the page, where a topic has several tables."""
    place: Place = "both"
    whole: bool = False
    """All rows are shown, and on the terminal all columns, so that two runs are easily compared."""
    folded: bool = False
    """On the page it opens on a click on its title."""
    rest: str = "all of them"
    """What the page calls the table of all rows, where there are too many to show at once."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All heads, in full."""
        return tuple(
            head if isinstance(head, Column) else Column(head, number=number > 0)
            for number, head in enumerate(self.heads)
        )

    def shown(self, place: Place) -> list[int]:
        """The columns that one of both shows."""
        return [i for i, column in enumerate(self.columns) if column.place in ("both", place)]


@dataclass(frozen=True)
class Note:
    """A line beside the tables."""

    text: str
    place: Place = "page"
    style: Literal["", "hint", "missing", "warning", "rest"] = ""


@dataclass(frozen=True)
class Log:
    """Lines as they were logged, which the page opens on a click."""

    title: str
    lines: tuple[str, ...]
    opened: bool = False


@dataclass(frozen=True)
class Picture:
    """What only the page can show. It is drawn when the page is made."""

    draw: Callable[[], str]


Part = Listing | Note | Log | Picture


@dataclass(frozen=True)
class View:
    """A run as a report shows it."""

    study: Study
    """Containers are named by workload, where there are several."""
    each: Study
    """Containers are named by pod, where there are several: for what is one instance's."""
    summary: Figures


@dataclass(frozen=True)
class Drawing:
    """The picture of a run while topics draw it, each under the last one."""

    canvas: Canvas
    record: Study
    """Containers have their own names, whichever pod they are of."""
    study: Study
    """Containers are named by workload, where there are several."""
    summary: Figures
    topics: tuple[Topic, ...]


@dataclass(frozen=True)
class MemoryPanel:
    """The panel with the memory of a container, or of the node, for topics that mark something in it."""

    canvas: Canvas
    panel: Panel
    top: float
    """The upper end of its axis."""
    study: Study
    name: str
    instances: list[Instance]
    kills: list[OomVerdict]
    gone: str
    """What is said where its pod was scaled away."""


def _no_figures(study: Study) -> Figures:
    return {}


def _no_words(study: Study, summary: Figures) -> list[str]:
    return []


def _no_listing(study: Study) -> Listing | None:
    return None


def _no_parts(view: View) -> Iterable[Part]:
    return ()


def _no_log(study: Study) -> Iterable[Entry]:
    return ()


def _no_panels(drawing: Drawing) -> None:
    """It has none."""


def _no_marks(panel: MemoryPanel) -> None:
    """It marks nothing."""


@dataclass(frozen=True)
class Topic:
    """All that a report says of one thing, in one module. Each part gives nothing for a run that it is not about."""

    title: str
    figures: Callable[[Study], Figures] = _no_figures
    """Its names at the top of summary.json, with what each has."""
    headline: Callable[[Study, Figures], list[str]] = _no_words
    """From the study, and from the whole summary. Asked only where nothing was OOM-killed or ended by itself."""
    sentences: Callable[[Study, Figures], list[str]] = _no_words
    listing: Callable[[Study], Listing | None] = _no_listing
    """Its table, from the study with containers named by pod."""
    more: Callable[[View], Iterable[Part]] = _no_parts
    """Further tables, and what stands beside them."""
    section: Callable[[View], str] | None = None
    """The section of the page that has its parts; by default one of its own, with its title. Topics after each other
    share one of the same name.
    """
    log: Callable[[Study], Iterable[Entry]] = _no_log
    """Its lines in `emu journal`, from the study with containers named by pod. They are put in order of time."""
    more_log: Callable[[Study], Iterable[Entry]] = _no_log
    """Further lines, of `emu journal --all`."""
    panels: Callable[[Drawing], None] = _no_panels
    """Of the picture, in the order of `in_picture`."""
    behind: Callable[[MemoryPanel], None] = _no_marks
    """Bands behind the memory of a container."""
    marks: Callable[[MemoryPanel], None] = _no_marks
    """Marks on the memory of a container, and of the node."""

    def parts(self, view: View) -> Iterator[Part]:
        """All that it shows beside its words."""
        listing = self.listing(view.each)
        if listing is not None:
            yield listing
        yield from self.more(view)


def pod_section(view: View) -> str:
    """The section of the page on pods and their containers."""
    several = len(view.study.pods) > 1 and view.study.instances
    return f"Pods ({len(view.study.pods)})" if several else "Pod"
