"""What README.md and docs/ say is so: commands, names, files, examples and links. See also test_scenario_docs.py."""

from __future__ import annotations

import html
import re
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from emu.cli.main import all_commands
from emu.conformance.cases import CASES
from emu.conformance.strings import sheets
from emu.record import events
from emu.record.rundir import RunDir
from emu.report.summary import summarize
from emu.scenario.reading import builtin_scenarios, read_scenario
from emu.study.study import read_study
from tests import fake_runs
from tests.unit.test_layout import FLOORS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
RUN_DIRECTORY = (ROOT / "docs" / "run-directory.md").read_text(encoding="utf-8")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = all_commands()
KINDS = events.KINDS


def rows(page: str) -> dict[str, str]:
    """The tables of a page: each name in code in a first cell → the whole row."""
    found = {}
    for line in page.splitlines():
        if line.startswith("| `"):
            found.update(dict.fromkeys(re.findall(r"`([^`]+)`", line.split(" | ")[0]), line))
    return found


def prose(page: Path) -> str:
    """A page without its code, where nothing is a link."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get on GitHub."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_make_has_every_target_that_is_documented() -> None:
    """`make run-scenario`, `make test` and every other target in README and docs/ are in the Makefile."""
    makefiles = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "systemd.mk"))
    there = set(re.findall(r"^([a-z][a-z-]*):", makefiles, re.MULTILINE))
    reported = {
        target
        for page in PAGES
        for target in re.findall(r"(?:`|^ *)make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"run-scenario", "test"} <= reported
    assert reported <= there


def test_what_make_runs_is_there() -> None:
    """Every module, script and test file that a Makefile or .ci/run names is where it says."""
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "systemd.mk", ".ci/run"))
    files = set(re.findall(r"\b(?:tests|scripts|bench|emu)/[\w/-]+(?:\.py)?", text))
    modules = set(re.findall(r"-m (emu[\w.]*)", text))
    modules |= {f"{package}.{name}" for package, name in re.findall(r"from (emu[\w.]*) import (\w+)", text)}
    assert len(files) > 10
    assert "emu.runtime.images" in modules
    assert sorted(name for name in files if not (ROOT / name).exists()) == []
    assert sorted(name for name in modules if find_spec(name) is None) == []


@pytest.mark.parametrize("name", sorted(name for name, command in COMMANDS.items() if not command.hidden))
def test_every_command_is_documented(name: str) -> None:
    """docs/cli.md has each command's help, and README has it at a glance."""
    assert f"### emu {name}\n" in CLI
    assert re.search(rf"^\| `emu {name}\b", README, re.MULTILINE)


def test_no_command_is_made_up() -> None:
    """Each `emu …` in README and docs/ is a command that there is, hidden ones included."""
    reported: set[str] = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shell = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
        reported.update(
            re.findall(r"`emu ([a-z][a-z-]*)", text), re.findall(r"^emu ([a-z][a-z-]*)", shell, re.MULTILINE)
        )
    assert {"run", "show", "journal"} <= reported
    assert reported <= set(COMMANDS)
    sandbox = COMMANDS["sandbox"]
    assert isinstance(sandbox, click.Group)
    assert set(re.findall(r"`emu sandbox ([a-z]+)", README)) <= set(sandbox.commands)


def test_the_readmes_scenario_reads() -> None:
    """Whoever saves the example of README has a scenario, also with the --set that README gives it."""
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    assert read_scenario(example[1], "README.md").name == "four-at-once"
    setting = re.search(r"With `--set ([^`]+)`", README)
    assert setting is not None
    assert read_scenario(example[1], "README.md", [setting[1]]).pod.app.resources.limits.memory == 64 * 2**20


def test_the_readmes_make_lines_name_scenarios_that_there_are() -> None:
    """SCENARIO=… is a built-in scenario, and ARGS=… a change that it takes."""
    texts = {builtin.name: builtin.path.read_text(encoding="utf-8") for builtin in builtin_scenarios()}
    lines = re.findall(r'^make run-scenario SCENARIO=(\S+)(?: ARGS="--set ([^"]+)")?', README, re.MULTILINE)
    assert lines
    for name, setting in lines:
        read_scenario(texts[name], name, [setting] if setting else [])


def test_every_scenario_is_named_for_a_reader() -> None:
    """docs/README.md has each built-in scenario in one of its lists."""
    named = set(re.findall(r"[a-z0-9-]+", (ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    assert {builtin.name for builtin in builtin_scenarios()} <= named


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_event_is_documented_with_its_fields(kind: str) -> None:
    """docs/run-directory.md has each kind of event in events.jsonl, and names every field of it."""
    row = rows(RUN_DIRECTORY)[kind]
    for field in fields(KINDS[kind]):
        assert field.name in ("t", "pod") or f"`{field.name}`" in row, field.name  # those two are said once for all


@pytest.mark.parametrize("name", sorted(name for name, made in vars(RunDir).items() if isinstance(made, property)))
def test_every_file_of_a_run_is_documented(name: str) -> None:
    """docs/run-directory.md has each file and folder of a run directory."""
    path: Path = getattr(RunDir(Path("run")), name)
    assert path.name in rows(RUN_DIRECTORY) or f"{path.name}/" in rows(RUN_DIRECTORY)


def test_every_name_of_a_summary_is_documented(tmp_path: Path) -> None:
    """docs/run-directory.md has each name at the top of summary.json, of a container, of the pod and of a kill."""
    summary = summarize(read_study(fake_runs.oom(tmp_path / "run")))
    reported = rows(RUN_DIRECTORY)
    queue_proxy = summary["containers"]["queue-proxy"]
    names = {*summary, *queue_proxy, *summary["pod"], *summary["oom_kills"][0]}
    assert names - set(reported) == set()
    assert [name for name in summary["machine"] if f"`{name}`" not in reported["machine"]] == []
    assert [name for name in summary["host"] if f"`{name}`" not in reported["host"]] == []
    assert [name for name in summary["recorder"] if f"`{name}`" not in reported["recorder"]] == []
    assert [name for name in summary["requests"] if f"`{name}`" not in RUN_DIRECTORY] == []
    assert [name for name in queue_proxy["exits"][0] if f"`{name}`" not in reported["exits"]] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link and picture is a file of the project, and its anchor a heading there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_the_pictures_are_small() -> None:
    """A picture is below 300 KB: a checkout stays quick."""
    for picture in (ROOT / "docs").glob("*.png"):
        assert picture.stat().st_size < 300_000, picture.name


def test_contributing_has_every_room_on_its_floor() -> None:
    """The table of rooms in CONTRIBUTING.md is that of test_layout.py, floor by floor."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    reported: dict[int, set[str]] = {}
    for floor, names in re.findall(r"^\| (\d+) \| (`.*?`) \|", page, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            stem, braced, rest = re.fullmatch(r"([^{]*)(?:\{([^}]*)\}(.*))?", name).groups()  # type: ignore[union-attr]
            rooms = [f"{stem}{part}{rest}" for part in braced.split(",")] if braced else [stem]
            found = (room.removesuffix(".py").strip("/").replace("/", ".") for room in rooms)
            reported.setdefault(int(floor), set()).update(found)
    there = {number: set(rooms) - {"emu", "emu.__main__"} for number, rooms in enumerate(reversed(FLOORS))}
    assert reported == {number: rooms for number, rooms in there.items() if rooms}


def test_decisions_are_numbered_without_a_gap() -> None:
    """docs/decisions/ goes 0001, 0002, …, and each says its context, its choice and what it costs."""
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.match(rf"# {int(page.name[:4])}\. ", text), page.name
        assert {"context", "choice", "what-it-costs"} <= anchors(page), page.name


@pytest.mark.parametrize("drawing", ["cgroups.svg", "processes.svg"])
def test_paths_in_a_drawing_end_before_the_next_words(drawing: str) -> None:
    """A path is in a font of fixed width, 8 units a character: what stands beside it on its line begins after it."""
    texts = re.findall(r'<text(?: class="(\w+)")? x="(\d+)" y="(\d+)">([^<]*)', (ROOT / "docs" / drawing).read_text())
    close = [
        (path, beside)
        for kind, x, y, path in texts
        for _, other_x, other_y, beside in texts
        if kind == "path" and y == other_y and int(x) < int(other_x) < int(x) + 8 * len(html.unescape(path))
    ]
    assert close == []


def test_the_changelog_has_one_line_for_each_thing() -> None:
    """Below Unreleased are Added, Changed and Fixed, each by topic; an entry is one line of at most 120 columns, and
    no two are the same.
    """
    _, unreleased, *_ = re.split("^## .*$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert re.findall("^### (.*)$", unreleased, re.MULTILINE) == ["Added", "Changed", "Fixed"]
    lines = [line for line in unreleased.splitlines() if line and not line.startswith("### ")]
    entries = [line for line in lines if line.startswith("- ")]
    topics = {line for line in lines if not line.startswith("- ")}
    assert [line for line in topics if not re.fullmatch(r"[A-Za-z][A-Za-z, -]{3,39}", line)] == [], "a wrapped entry?"
    assert [line for line in entries if len(line) > 120 or line[-1] not in ".)"] == []
    assert len(entries) == len(set(entries))
    assert re.findall(r"^(?!\n|- |###).+\n(?!\n)", unreleased, re.MULTILINE) == [], (
        "a topic has an empty line after it"
    )


def test_the_wire_cases_are_counted() -> None:
    """README and the changelog say how many cases and strings `emu conformance` plays."""
    strings = sum(len(sheet.wires) for sheet in sheets())
    said = f"plays {len(CASES)} wire cases and {strings:,} byte strings"
    assert said in README
    assert said in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"{strings:,} byte strings" in (ROOT / "docs" / "queue-proxy-differences.md").read_text(encoding="utf-8")
