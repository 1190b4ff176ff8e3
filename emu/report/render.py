"""report.html: the run on one page that opens offline. Numbers are the summary's, so that no two of them disagree."""

from __future__ import annotations

import base64
import hashlib
import string
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from plotly.offline import get_plotlyjs  # type: ignore[import-untyped, unused-ignore]

from emu.report.figures import Figure, run_figure
from emu.report.html import Markup, element, join, section, text
from emu.report.model import Study
from emu.report.packing import pack
from emu.report.sections import header, sections
from emu.report.starts_section import starts_parts

_HINT = (
    "Drag across any panel to zoom all of them in time; double-click to see the whole run again. "
    "Click a name to hide it, double-click to see it alone."
)


def render_html(study: Study, summary: dict[str, Any], scenario_text: str | None = None) -> str:
    """The page of a run. `scenario_text` is the scenario as resolved; by default it is read from the run directory,
    the only thing that this reads.
    """
    if scenario_text is None:
        scenario_text = _scenario_text(study)
    figure = run_figure(study, summary)
    body = [
        header(study, summary),
        *starts_parts(study, summary),
        figure_part("Timeline", _HINT, figure),
        *sections(study, summary, figure, scenario_text),
    ]
    name = study.scenario or summary.get("scenario") or "run"
    return page(str(name), body, figure, study.run_id or str(name))


def page(title: str, body: Sequence[Markup], figure: Figure, picture: str) -> str:
    """A whole page around a body and the figure in it; `picture` is what the figure is called when it is saved."""
    scripts = list(_scripts(picture, figure))
    return _page("page.html").substitute(
        policy=_policy(scripts),
        title=text(f"{title} | emu"),
        css=_file("page.css"),
        body=join(body),
        scripts="\n".join(element_ for element_ in map(_script_element, scripts)),
    )


def _scenario_text(study: Study) -> str | None:
    try:
        return study.run.scenario.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def figure_part(title: str, hint: str, figure: Figure) -> Markup:
    """The figure with a heading, a hint on how to use it, and what could not be drawn."""
    missing = [element("p", said, class_="missing") for said in figure.missing]
    if not figure.drawn:
        return section(title, *missing)
    box = element("div", element("div", "", id="figure", style=f"height:{figure.height_px}px"), class_="scroll")
    without = element(
        "noscript", element("p", "The picture needs JavaScript; everything else on this page does not.")
    )
    reduced = [element("p", said, class_="hint") for said in dict.fromkeys(figure.reduced)]
    return section(title, element("p", hint, class_="hint screen"), box, without, *reduced, *missing)


def _scripts(name: str, figure: Figure) -> Iterator[tuple[str, str]]:
    """(attributes, text) of each script, in order."""
    if figure.drawn:
        yield ' id="figure-data" type="application/json"', pack(name, figure.data, figure.layout)
        yield "", get_plotlyjs()
        yield "", _file("page.js")


def _script_element(script: tuple[str, str]) -> str:
    attributes, content = script
    return f"<script{attributes}>{content}</script>"


def _policy(scripts: list[tuple[str, str]]) -> str:
    """Content-Security-Policy: nothing is loaded from anywhere, and only these very scripts run."""
    hashes = [base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for _, content in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
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
    return resources.files("emu.report").joinpath("page", name).read_text(encoding="utf-8")
