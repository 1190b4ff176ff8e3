"""The tree of cgroups in a real browser: it shows what the samples say, and follows pointer, keys and slider."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from emu.record.rundir import RunDir
from emu.report.finish import finish, look
from emu.report.page.figures import run_figure
from emu.report.page.tree import table_body
from emu.report.topics.cgroup_tree import rows_at, said
from emu.study.model.kills import OomVerdict
from emu.study.study import read_study
from emu.study.tree import moments, places
from tests import fake_runs
from tests.browser.browser import Browser, wait_for

RUNS = Path(__file__).parents[1] / "fixtures" / "runs"
WHEN = "document.getElementById('tree-when').textContent"
AT = """
(moments => {
  const rows = body => Array.from(body.rows).map(row => ({
    cells: Array.from(row.cells).map(cell => cell.textContent), classes: row.className, path: row.cells[0].title,
    bar: Array.from(row.querySelectorAll('td.bar div > *, td.bar i'))
      .map(one => [one.className, parseFloat(one.style.width || one.style.left || 0)]),
    spoken: row.querySelector('td.bar div').getAttribute('aria-label'),
  }));
  const other = document.createElement('table');
  return moments.map(([t, html, said]) => {
    document.dispatchEvent(new CustomEvent('moment', {detail: t}));
    other.innerHTML = html;
    return [t, rows(document.getElementById('tree').tBodies[0]), rows(other.tBodies[0]),
            document.getElementById('tree-when').textContent, said];
  });
})
"""


BETWEEN_S = 0.0137
"""Made-up runs are sampled each 50 ms: this is clear of the samples, whose times the page rounds."""


def approximately(bar: list[tuple[str, float]]) -> list[Any]:
    """The parts of a bar, but for how the last digit of a percentage is rounded."""
    return [[name, pytest.approx(percent, abs=0.011)] for name, percent in bar]


def copied(name: str, folder: Path) -> RunDir:
    """A kept run, to be written into."""
    run = RunDir(folder / name)
    shutil.copytree(RUNS / name, run.path)
    return run


@pytest.fixture(scope="module", params=["oom", "pod_level", "neighbours", "scaled", "swap", "app-oom", "replicas"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Runs with kills and restarts, several pods, pods that come and go, and swap; two of them of a real kernel."""
    folder = tmp_path_factory.mktemp(request.param)
    made = fake_runs.ALL.get(request.param)
    found = copied(request.param, folder) if made is None else made(folder / "run")
    finish(found)
    return found


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[OomVerdict]]:
    """The page of a run with kills, and these."""
    run = fake_runs.oom(tmp_path_factory.mktemp("crash") / "run")
    finish(run)
    return run.report, read_study(run).kills


def test_the_script_shows_at_any_moment_what_the_samples_say(browser: Browser, run: RunDir) -> None:
    """Each cell, each bar and the words are those that are made from the samples for that moment."""
    browser.open(run.report)
    study = read_study(run)
    tree = run_figure(study, look(run).summary).tree
    assert tree is not None
    rows = places(study)
    times = [study.duration_s * step / 40 + BETWEEN_S for step in range(40)]
    times += [t for kill in study.kills for t in (kill.time_s - 0.002, kill.time_s, kill.time_s + 0.002)]
    times += [one.t for one in moments(study, rows)]
    wanted = [[t, table_body(tree, rows_at(study, rows, t)), said(t, moments(study, rows))] for t in times]
    found = browser.js(f"{AT}({json.dumps(wanted)})")
    assert len(found) == len(times)
    for t, shown, made, words, expected in found:
        assert [one.pop("bar") for one in shown] == [approximately(one.pop("bar")) for one in made], t
        assert shown == made, t
        assert words == expected
    assert browser.complaints == []


def test_it_follows_the_pointer_and_goes_back(browser: Browser, crash: tuple[Path, list[OomVerdict]]) -> None:
    """It begins with the first kill; under the pointer is another moment; a click keeps that one."""
    page, kills = crash
    browser.open(page)
    first = browser.js(WHEN)
    assert first.endswith(f", the last sample before queue-proxy was OOM-killed at {kills[0].time_s:.3f} s.")
    box = "(b => [b.x, b.y, b.width])(document.querySelector('.panel').getBoundingClientRect())"
    browser.js("document.querySelector('.panel').scrollIntoView({block: 'center', behavior: 'instant'})")
    x, y, width = browser.js(box)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + width * 0.3, y=y + 30)
    wait_for(lambda: browser.js(WHEN) != first, "the moment under the pointer")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + width * 0.3, y=0)
    browser.js("document.getElementById('figure').dispatchEvent(new MouseEvent('mouseleave'))")
    wait_for(lambda: browser.js(WHEN) == first, "the moment that is kept")
    browser.mouse((x + width * 0.6, y + 30))
    kept = wait_for(lambda: browser.js("Number(document.getElementById('tree-time').value)"), "a moment that is kept")
    wait_for(lambda: browser.js(WHEN) != first, "the moment of the click")
    browser.js("document.getElementById('figure').dispatchEvent(new MouseEvent('mouseleave'))")
    assert browser.js(WHEN) != first and kept > 0
    assert browser.js("!document.querySelector('.moment').hidden")
    assert browser.complaints == []


def test_keys_move_it(browser: Browser, crash: tuple[Path, list[OomVerdict]]) -> None:
    """The slider moves with arrows, a button goes to a kill, and an arrow in a panel reads the tree's moment too."""
    page, kills = crash
    browser.open(page)
    begin = browser.js(WHEN)
    browser.js("document.getElementById('tree-time').focus()")
    browser.key("ArrowRight")
    wait_for(lambda: browser.js(WHEN) != begin, "a step of the slider")
    assert browser.js("document.getElementById('tree-time').getAttribute('aria-valuetext')").endswith(" s")
    browser.js("document.querySelectorAll('#tree-tools button')[1].focus()")
    browser.key("Enter")
    second = f"queue-proxy was OOM-killed at {kills[1].time_s:.3f} s."
    wait_for(lambda: browser.js(WHEN).endswith(second), "the second kill")
    assert browser.js("document.querySelectorAll('#tree-tools [aria-pressed=true]').length") == 1
    browser.js("document.querySelector('.panel').focus()")
    browser.key("ArrowRight")
    wait_for(lambda: not browser.js(WHEN).endswith(second), "the panel's cursor")
    assert browser.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits(browser: Browser, run: RunDir, width: int, dark: bool) -> None:
    """The page is never wider than the window: on a phone the table scrolls. No bar leaves its cell."""
    browser.open(run.report, width, dark=dark, touch=width < 720)
    assert browser.js("document.documentElement.scrollWidth") <= width
    outside = (
        "Array.from(document.querySelectorAll('#tree td.bar')).filter(cell => {"
        " const box = cell.getBoundingClientRect();"
        " return Array.from(cell.querySelectorAll('i')).some(part => {"
        " const own = part.getBoundingClientRect(); return own.width > 0 && own.right > box.right + 1; }); }).length"
    )
    assert browser.js(outside) == 0


def test_a_screen_reader_finds_a_table(browser: Browser, crash: tuple[Path, list[OomVerdict]]) -> None:
    """Rows and columns have headers, each bar says its kinds, and the slider has a name."""
    browser.open(crash[0])
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], (node.get("name") or {}).get("value", "")) for node in tree if not node.get("ignored")
    ]
    assert {"cgroup", "charged", "anon"} <= {name.strip() for role, name in named if role == "columnheader"}
    assert {"queue-proxy", "app"} <= {name.strip() for role, name in named if role == "rowheader"}
    assert [name for role, name in named if role in ("img", "image") and name.startswith("anon ")]
    assert [name for role, name in named if role == "slider" and "moment" in name]
