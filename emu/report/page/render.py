"""report.html: the run on one page that opens offline. Numbers are the summary's, so that no two of them disagree."""

from __future__ import annotations

import base64
import hashlib
import string
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from emu.report.page.figures import Figure, run_figure
from emu.report.page.header import header
from emu.report.page.html import Markup, element, join, section, text
from emu.report.page.packing import compressed, pack
from emu.report.page.parts import topic_sections
from emu.report.page.sections import sections
from emu.report.page.tree import tree_part
from emu.report.topics.cgroup_tree import TREE
from emu.report.topics.registry import FIRST
from emu.report.topics.topic import View
from emu.study.model.study import Study
from emu.study.pods import named

PLOTLY = "plotly-basic.min.js"
"""The library that draws: a page holds it, or names a file beside it where several pages share one."""
_HINT = (
    "Drag across any panel to zoom all of them in time; double-click to see the whole run again. "
    "Click a name to hide it, double-click (or Shift and click) to see it alone. "
    "Keys: Tab goes to a panel, + and - zoom, Shift and an arrow move, 0 shows the whole run, an arrow reads values."
)


def render_html(
    study: Study, summary: dict[str, Any], scenario_text: str | None = None, library: str | None = None
) -> str:
    """The page of a run. `scenario_text` is the scenario as resolved; by default it is read from the run directory,
    the only thing that this reads. `library` is where the page finds plotly; by default it holds it.
    """
    if scenario_text is None:
        scenario_text = study.run.scenario_text()
    figure = run_figure(study, summary)
    view = View(named(study), named(study, by_pod=True), summary)
    body = [
        header(view.study, summary),
        *topic_sections(FIRST, view),
        *([] if figure.tree is None else [tree_part(TREE.title, figure.tree)]),
        figure_part("Timeline", _HINT, figure),
        *sections(view, figure, scenario_text),
    ]
    name = study.scenario or summary.get("scenario") or "run"
    return page(str(name), body, figure, study.run_id or str(name), library)


def page(title: str, body: Sequence[Markup], figure: Figure, picture: str, library: str | None = None) -> str:
    """A whole page around a body and the figure in it; `picture` is what the figure is called when it is saved."""
    scripts = list(_scripts(picture, figure, library))
    return _page("page.html").substitute(
        policy=_policy(scripts, shared=library is not None),
        title=text(f"{title} | emu"),
        css=_file("page.css"),
        body=join(body),
        scripts="\n".join(element_ for element_ in map(_script_element, scripts)),
    )


def figure_part(title: str, hint: str, figure: Figure) -> Markup:
    """The figure with a heading, a hint on how to use it, and what could not be drawn."""
    missing = [element("p", said, class_="missing") for said in figure.missing]
    if not figure.drawn:
        return section(title, *missing)
    said = element("span", "", id="said", role="status")
    tools = element("div", said, id="tools", class_="screen", role="toolbar", aria_label=f"{title}: zoom")
    names = element("div", "", id="names", role="group", aria_label="series; press one to hide it")
    box = element(
        "figure",
        element("div", "", id="figure", style=f"height:{figure.height_px}px"),
        role="figure",
        aria_label=figure.label or title,
    )
    without = element(
        "noscript", element("p", "The picture needs JavaScript; everything else on this page does not.")
    )
    undrawn = element("p", _UNDRAWN, id="undrawn", class_="missing", hidden="hidden")
    reduced = [element("p", said, class_="hint") for said in dict.fromkeys(figure.reduced)]
    hints = [element("p", hint, class_="hint screen mouse"), element("p", _TOUCH_HINT, class_="hint screen finger")]
    return section(title, *hints, tools, names, box, without, undrawn, *reduced, *missing)


_TOUCH_HINT = "The buttons zoom. Tap the picture to read values, a name to hide it."
_UNDRAWN = (
    f"The picture could not be drawn: {PLOTLY} is not in the folder of the whole run, where this page looks for "
    "it, or this browser is older than 2023. `emu report` of this folder alone makes a page that holds all it needs."
)


def _scripts(name: str, figure: Figure, library: str | None) -> Iterator[tuple[str, str]]:
    """(attributes, text) of each script, in order."""
    if figure.drawn:
        yield (
            ' id="figure-data" type="application/octet-stream"',
            compressed(pack(name, figure.data, figure.layout, figure.tree.script if figure.tree else None)),
        )
        if library is None:
            yield "", plotly_script()
        else:
            yield f' src="{library}"', ""
        if figure.tree is not None:
            yield "", _file("tree.js")
        yield "", _file("page.js")


def plotly_script() -> str:
    """The library that draws, as it is distributed (emu/report/page/plotly-basic.LICENSE)."""
    return _file(PLOTLY)


def _script_element(script: tuple[str, str]) -> str:
    attributes, content = script
    return f"<script{attributes}>{content}</script>"


def _policy(scripts: list[tuple[str, str]], *, shared: bool) -> str:
    """Content-Security-Policy: nothing is loaded from anywhere, and only these very scripts run. `shared`: of scripts
    beside the page any would run that the page named; it names one.
    """
    texts = [content for _, content in scripts if content]
    hashes = [base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in texts]
    allowed = " ".join([*(f"'sha256-{one}'" for one in hashes), *(["'self'", "file:"] if shared else [])]) or "'none'"
    rules = [
        "default-src 'none'",
        f"script-src {allowed}",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(rules)


def _page(name: str) -> string.Template:
    return string.Template(_file(name))


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
