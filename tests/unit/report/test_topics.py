"""Topics of the report: each gives its names, words and table; terminal and page show the same cells."""

from __future__ import annotations

import ast
import html
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from emu.policy.expectations import ROOTS
from emu.record.rundir import RunDir
from emu.report.entry import Entry
from emu.report.journal import entries
from emu.report.page.figures import run_figure
from emu.report.page.render import render_html
from emu.report.summary import summarize
from emu.report.text import print_story
from emu.report.topics import registry
from emu.report.topics.evictions import EVICTIONS
from emu.report.topics.freezes import FREEZES
from emu.report.topics.inits import INITS, waits
from emu.report.topics.registry import FIRST, TOPICS, in_journal, in_picture, in_words, on_page, on_terminal
from emu.report.topics.scaling import SCALE_TO_ZERO
from emu.report.topics.services import SERVICES
from emu.report.topics.sidecars import SIDECARS
from emu.report.topics.stalls import STALLS
from emu.report.topics.starts import STARTS
from emu.report.topics.topic import Column, Listing, Note, Size, Topic, View
from emu.study.model.services import PodLife, Service
from emu.study.model.study import Study
from emu.study.pods import named
from emu.study.study import read_study
from tests import fake_runs
from tests.fakes import MIB


def test_a_topics_names_can_be_expected() -> None:
    """They are at the top of summary.json, and scenarios may name them."""
    study = fake_runs.study_of("oom")
    summary = summarize(study)
    names = [name for topic in TOPICS for name in topic.figures(study)]
    assert {*names} <= {*summary} and {*names} <= {*ROOTS}
    assert len(names) == len(set(names))


def test_a_topic_that_a_run_is_not_about_is_silent() -> None:
    """No headline, no sentence, no table."""
    study = fake_runs.study_of("oom")
    view = _view(study)
    for topic in (STARTS, STALLS, EVICTIONS, SCALE_TO_ZERO, FREEZES, INITS, SIDECARS):
        said = (topic.headline(study, view.summary), topic.sentences(study, view.summary))
        assert said == ([], []), topic.title
        assert not [*topic.parts(view)], topic.title


@pytest.mark.parametrize("name", ["probe_killed", "asked_to_end", "oom", "replicas"])
def test_each_section_of_the_page_has_one_heading(name: str) -> None:
    """Topics that share a section stand in it together, also where one between them has nothing to show."""
    study = fake_runs.study_of(name)
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", render_html(study, summarize(study)))
    assert headings and len(headings) == len(set(headings)), headings


@pytest.mark.parametrize("name", ["scaled", "oom", "rate_limited", "neighbours", "replicas", "swap"])
def test_terminal_and_page_show_the_same_cells(tmp_path: Path, name: str) -> None:
    """Each topic's tables are made once: what a table has for both is in both, cell by cell."""
    study = read_study(getattr(fake_runs, name)(tmp_path / "run"))
    view = _view(study)
    out, page = _shown(study, view.summary)
    listings = [part for topic in TOPICS for part in topic.parts(view) if isinstance(part, Listing)]
    shown = [one for one in listings if one.place == "both"]
    assert shown
    for listing in shown:
        both = [i for i, column in enumerate(listing.columns) if column.place == "both"]
        for cell in (row[i] for row in listing.rows for i in both if row[i] is not None):
            assert (f"{cell:,}" if isinstance(cell, int) else str(cell)) in out, cell
            assert f">{cell:,}</td>" in page if isinstance(cell, int) else _plain(str(cell)) in _plain(page), cell


def test_each_order_has_every_topic_once() -> None:
    """Words, picture, journal, terminal and page leave none out."""
    every = sorted(topic.title for topic in TOPICS)
    for order in (in_words(), in_picture(), in_journal(), [*FIRST, *on_terminal()], [*FIRST, *on_page()]):
        assert sorted(topic.title for topic in order) == every


def test_a_new_topic_is_a_module_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a registered topic gives is in summary.json, in the sentences, on the terminal, on the page and in the
    journal: no other file has to know of it.
    """

    def listing(study: Study) -> Listing:
        heads = ("host", Column("bytes"), Column("here", "terminal"), Column("there", "page"))
        return Listing(heads, (("node-7", Size(3 * 2**20), "only-terminal", "only-page"),))

    topic = Topic(
        "Neutrinos",
        lambda study: {"neutrinos": {"seen": len(study.kills) + 5}},
        sentences=lambda study, summary: [f"{summary['neutrinos']['seen']} neutrinos were seen."],
        listing=listing,
        more=lambda view: [Note("No neutrino was hurt.", "both")],
        log=lambda study: [Entry(0.5, "detector", "a neutrino came by")],
        panels=lambda drawing: drawing.canvas.missing("Neutrinos cannot be drawn."),
        marks=lambda on: on.canvas.words(on.panel, 1.0, 0.5, f"a neutrino in {on.name}"),
    )
    monkeypatch.setattr(registry, "TOPICS", (*TOPICS, topic))
    study = fake_runs.study_of("oom")
    summary = summarize(study)
    out, page = _shown(study, summary)
    assert summary["neutrinos"] == {"seen": 7}
    assert "7 neutrinos were seen." in summary["verdict"]["sentences"]
    for text in ("Neutrinos", "7 neutrinos were seen.", "node-7", "3 MiB", "No neutrino was hurt."):
        assert text in out and text in page, text
    assert "only-terminal" in out and "only-terminal" not in page
    assert "only-page" in page and "only-page" not in out
    assert 'title="3,145,728 bytes"' in page and "Neutrinos cannot be drawn." in page
    assert [one.text for one in entries(study) if one.source == "detector"] == ["a neutrino came by"]
    notes = [note["text"] for note in run_figure(study, summary).layout["annotations"]]
    assert {"a neutrino in app", "a neutrino in queue-proxy"} <= {*notes}


@pytest.mark.parametrize("name", [*fake_runs.ALL])
def test_every_panel_and_every_line_of_the_journal_is_a_topics(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Without topics the picture is empty, and the journal has only what is printed as it was recorded: the kernel's
    lines, the engine's events, what containers printed. So a new figure needs no file beside its topic's.
    """
    study = fake_runs.study_of(name)
    summary = summarize(study)
    logged, drawn = {one.text for one in entries(study, "all")}, run_figure(study, summary)
    monkeypatch.setattr(registry, "TOPICS", ())
    monkeypatch.setattr(registry, "_ordered", lambda *first: [])
    left, blank = entries(study, "all"), run_figure(study, summary)
    assert not blank.drawn and not blank.missing and (drawn.drawn or drawn.missing)
    containers = tuple(f"{name}." for name in named(study, by_pod=True).containers)
    recorded = [
        one for one in left if one.source in ("kernel", "docker", "process") or one.source.startswith(containers)
    ]
    assert [one.text.split(" began ")[0] for one in left if one not in recorded] == [f"run {study.run_id}"]
    assert len(logged) > len(left) - len(recorded)


def test_every_topic_is_registered() -> None:
    """A module of topics that makes one is among `TOPICS`."""
    made = [
        node.targets[0].id
        for path in sorted((Path(registry.__file__).parent).glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "Topic"
    ]
    assert sorted(made) == sorted(name for name, value in vars(registry).items() if isinstance(value, Topic))
    assert {id(vars(registry)[name]) for name in made} == {id(topic) for topic in TOPICS}


def _view(study: Study) -> View:
    return View(named(study), named(study, by_pod=True), summarize(study))


def _shown(study: Study, summary: dict[str, Any]) -> tuple[str, str]:
    """The terminal and the page."""
    out = io.StringIO()
    print_story(study, summary, Console(file=out, width=400))
    return out.getvalue(), render_html(study, summary, library="plotly.js")


def _plain(text: str) -> str:
    return html.unescape(text).replace("\N{NO-BREAK SPACE}", " ")


def test_init_containers_of_several_pods_are_one_sentence() -> None:
    """Of one name: how long they took, from the shortest to the longest, and the highest peak."""
    study = fake_runs.study_of("swap")
    summary = summarize(study)
    one = replace(next(one for one in study.instances if one.container == "app"), role="init", exit_code=0)
    one = replace(one, started_s=1.0, exited_s=2.0, oom_ended=False)
    study.instances = [one, replace(one, pod="another", exited_s=4.0)]
    (sentence, *_) = INITS.sentences(study, summary)
    (alone, *_) = INITS.sentences(replace(study, instances=study.instances[:-1]), summary)
    assert alone.startswith("The init container app ran for 1.0 s and peaked at ")
    assert sentence.startswith("The init container app ran in 2 pods, for 1.0 s to 3.0 s and peaked at ")
    assert sentence.endswith(" at most.")


def test_the_page_cache_that_init_containers_left_is_each_pods() -> None:
    """What a pod held at its end and its living containers did not; two pods of a service each have their own."""
    study = fake_runs.study_of("replicas")
    summary = summarize(study)
    first = next(one for one in study.instances if one.container == "app")
    init = replace(
        first, container="download", role="init", exit_code=0, started_s=1.0, exited_s=2.5, oom_ended=False
    )
    study.instances = [*study.instances, init]
    summary["containers"]["download"] = {**summary["containers"]["app"], "memory_peak_bytes": None}
    for pod in summary["pods"].values():
        pod["file_end_bytes"] = 128 * MIB
        for known in pod["containers"].values():
            known["file_end_bytes"] = 2 * MIB
        pod["containers"]["download"] = {"file_end_bytes": None}
    held = 2 * (len(next(iter(summary["pods"].values()))["containers"]) - 1)
    said = INITS.sentences(study, summary)[-1]
    assert said.startswith(f"{128 - held} MiB of page cache in each pod outlived the init containers")
    assert waits(study) == ["each pod waited 1.5 s for download"]


@pytest.mark.parametrize(("pods", "first"), [(3, False), (4, True)])
def test_with_many_pods_the_services_panels_come_first(tmp_path: Path, pods: int, first: bool) -> None:
    """Three panels of memory for each pod would push them out of sight."""
    lives = tuple(PodLife(f"app-00001-deployment-abc-{number}", 0.0) for number in range(pods))
    study = Study(RunDir(tmp_path), services=[Service("app", "app-00001", (), lives)])
    order = registry.picture_of(study)
    assert (order[0] is SERVICES) == first
    assert [topic for topic in order if topic is not SERVICES] == [one for one in in_picture() if one is not SERVICES]
