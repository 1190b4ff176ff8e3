"""report.html in a real browser: it draws without complaint, asks nobody for anything, and is used by mouse, keys and
finger, on a phone too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from emu.record.rundir import RunDir
from emu.report.finish import finish
from tests import fake_runs
from tests.browser.browser import Browser, wait_for
from tests.fakes import FakeRun

PHONE_PX = 390
WHOLE = "document.getElementById('all').disabled"
RANGE = "document.getElementById('figure').layout.xaxis.range.map(Number)"
SAID = "document.getElementById('said').textContent"


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with kills, restarts and failed requests."""
    run = fake_runs.oom(tmp_path_factory.mktemp("crash") / "run")
    finish(run)
    return run.report


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run with two variants, and its pages."""
    run = RunDir(tmp_path_factory.mktemp("variants") / "run")
    run.create(variants=True)
    for name in ("oom", "refused"):
        fake_runs.ALL[name](run.variants / name)
    finish(run)
    return run


def pressed(browser: Browser, name: str) -> bool:
    """Whether a name's part of the figure is shown; by its button, and by the figure itself."""
    shown: bool = browser.js(
        f"Array.from(document.querySelectorAll('#names button')).find(b => b.textContent === '{name}')"
        ".getAttribute('aria-pressed') === 'true'"
    )
    drawn: bool = browser.js(
        f"document.getElementById('figure').data.filter(t => t.name === '{name}').every(t => t.visible !== false)"
    )
    assert shown == drawn
    return shown


def name_button(browser: Browser, name: str) -> tuple[float, float]:
    """The middle of a name's button, which gets an id."""
    browser.js(
        f"Array.from(document.querySelectorAll('#names button')).find(b => b.textContent === '{name}').id = 'tested'"
    )
    return browser.center("#tested")


def in_figure(browser: Browser, x: float, y: float) -> tuple[float, float]:
    """A point of the figure by shares of its first panel, scrolled into sight."""
    browser.js("document.querySelector('.panel').scrollIntoView({block: 'center', behavior: 'instant'})")
    at = (
        f"(() => {{ const b = document.querySelector('.panel').getBoundingClientRect(); return [b.x + {x} * b.width, "
    )
    found = browser.js(f"{at} b.y + {y} * b.height]; }})()")
    return found[0], found[1]


@pytest.mark.parametrize("width", [1280, PHONE_PX])
@pytest.mark.parametrize("dark", [False, True])
def test_it_draws_without_complaint_and_asks_nobody(browser: Browser, crash: Path, width: int, dark: bool) -> None:
    """No error or warning in the console, no request but the page's own, and nothing wider than the window."""
    browser.open(crash, width, dark=dark, touch=width == PHONE_PX)
    assert browser.js("document.querySelectorAll('#figure .main-svg').length") > 0
    assert browser.js("document.documentElement.scrollWidth") <= width
    assert browser.js("document.getElementById('figure').getBoundingClientRect().width") <= width
    assert browser.complaints == []
    assert {url.split(":")[0] for url in browser.requests if not url.startswith("about:")} == {"file"}
    assert len([url for url in browser.requests if url.startswith("file:")]) == 1
    browser.picture(crash.with_name(f"{width}-{'dark' if dark else 'light'}.png"))


def test_mouse(browser: Browser, crash: Path) -> None:
    """A drag zooms in time, a button shows the whole run again; a name hides its part; the clock shows."""
    browser.open(crash)
    assert browser.js(WHOLE)
    begin, until = browser.js(RANGE)
    browser.mouse(in_figure(browser, 0.3, 0.5), in_figure(browser, 0.45, 0.5), in_figure(browser, 0.6, 0.5))
    wait_for(lambda: not browser.js(WHOLE), "a zoom")
    zoomed = browser.js(RANGE)
    assert begin < zoomed[0] < zoomed[1] < until
    browser.mouse(browser.center("#all"))
    wait_for(lambda: browser.js(WHOLE), "the whole run")
    assert browser.js(RANGE) == [begin, until]
    assert pressed(browser, "anon")
    browser.mouse(name_button(browser, "anon"))
    wait_for(lambda: not pressed(browser, "anon"), "anon hidden")
    browser.mouse(name_button(browser, "anon"))
    wait_for(lambda: pressed(browser, "anon"), "anon shown")
    point = in_figure(browser, 0.5, 0.5)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=point[0], y=point[1])
    wait_for(lambda: "UTC" in browser.js(SAID), "the time of day")
    assert browser.complaints == []


def test_keys(browser: Browser, crash: Path) -> None:
    """All is reached with Tab: buttons, names, panels. A panel zooms, moves, goes back and reads its values out."""
    browser.open(crash)
    browser.js("document.querySelector('#tools button').focus({preventScroll: true})")
    reached = []
    for _ in range(40):
        reached.append(browser.js("document.activeElement.className || document.activeElement.closest('div').id"))
        if reached.count("panel") == 2:
            break
        browser.key("Tab")
    assert "tools" in reached and reached.count("panel") == 2
    assert (
        browser.js("document.activeElement.getAttribute('aria-label')").startswith("queue-proxy")
        or browser.js("document.activeElement.getAttribute('role')") == "img"
    )
    browser.key("+")
    wait_for(lambda: not browser.js(WHOLE), "a zoom")
    before = browser.js(RANGE)
    browser.key("ArrowLeft", shift=True)
    wait_for(lambda: browser.js(RANGE) != before, "a move")
    browser.key("Escape")
    wait_for(lambda: browser.js(WHOLE), "the whole run")
    browser.js("document.querySelector('.panel').focus()")

    def read_out() -> bool:
        browser.key("ArrowRight")
        return "memory.current" in browser.js(SAID)

    wait_for(read_out, "values read out")
    browser.js("document.querySelector('#names button').focus()")
    name = browser.js("document.activeElement.textContent")
    browser.key("Enter")
    wait_for(lambda: not pressed(browser, name), "a name hidden")
    assert browser.complaints == []


def test_touch_on_a_phone(browser: Browser, crash: Path) -> None:
    """A swipe over the figure scrolls the page and zooms nothing; buttons zoom, and go back; a name is switched."""
    browser.open(crash, PHONE_PX, touch=True)
    x, y = in_figure(browser, 0.5, 0.5)
    top = browser.js("scrollY")
    browser.touch((x, y), *((x, y - step) for step in range(20, 240, 20)))
    wait_for(lambda: browser.js("scrollY") > top + 50, "the page to scroll")
    assert browser.js(WHOLE)
    browser.touch(browser.center("#tools button"))
    wait_for(lambda: not browser.js(WHOLE), "a zoom")
    browser.touch(browser.center("#all"))
    wait_for(lambda: browser.js(WHOLE), "the whole run")
    browser.touch(name_button(browser, "anon"))
    wait_for(lambda: not pressed(browser, "anon"), "anon hidden")
    assert browser.complaints == []


def test_a_screen_reader_finds_what_there_is(browser: Browser, crash: Path) -> None:
    """The figure has a role and a name, so has each panel; the outcome is not glued to the verdict."""
    browser.open(crash)
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], (node.get("name") or {}).get("value", "")) for node in tree if not node.get("ignored")
    ]
    figures = [name for role, name in named if role == "figure"]
    assert figures and all("panels over" in name for name in figures)
    assert [name for role, name in named if role in ("img", "image") and name.startswith("queue-proxy · peak")]
    headings = [name for role, name in named if role == "heading"]
    assert headings[0].startswith("queue-proxy was OOM-killed twice")
    assert {"zoom in", "zoom out", "show the whole picture again"} <= {
        name for role, name in named if role == "button"
    }


def test_pages_of_variants_share_one_script(browser: Browser, variants: RunDir) -> None:
    """All are drawn, from one copy beside them; a page that lost it says so, and all else of it is there."""
    pages = [variants.report, *(variants.variant(name).report for name in ("oom", "refused"))]
    assert sum(page.stat().st_size for page in pages) + variants.library.stat().st_size < 2 * 10**6
    for page in pages:
        browser.open(page)
        assert browser.js("document.querySelectorAll('#figure .main-svg').length") > 0
        assert browser.complaints == []
        assert {url for url in browser.requests if not url.startswith("about:")} == {
            page.resolve().as_uri(), variants.library.resolve().as_uri()
        }  # fmt: skip
    browser.open(variants.report, PHONE_PX, touch=True)
    assert browser.js("document.documentElement.scrollWidth") <= PHONE_PX
    alone = variants.path.parent / "alone"
    shutil.copytree(variants.variant("oom").path, alone)
    browser.call("Page.navigate", url=(alone / "report.html").resolve().as_uri())
    wait_for(lambda: browser.js("document.getElementById('undrawn')?.hidden === false"), "what is missing")
    finish(RunDir(alone))
    browser.open(alone / "report.html")
    assert browser.js("document.querySelectorAll('#figure .main-svg').length") > 0


def test_names_of_phases_do_not_overlap_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    """There is room for some of them only: the others are left out."""
    run = FakeRun(tmp_path / "run", name="phases")
    run.start("app", memory_max=64 * 2**20)
    for number in range(10):
        run.phase(f"file-{number}-again", 1.0 + number, 2.0 + number)
    run.advance(12.0)
    run.finish()
    finish(run.run)
    browser.open(run.run.report, PHONE_PX)
    boxes = browser.js(
        "Array.from(document.querySelectorAll('#figure .annotation')).filter(a => a.textContent.startsWith('▏'))"
        ".map(a => a.getBoundingClientRect()).map(r => [Math.round(r.top), r.left, r.right])"
    )
    assert len(boxes) > 1
    for top, left, right in boxes:
        assert not [one for one in boxes if one[0] == top and left < one[1] < right]
