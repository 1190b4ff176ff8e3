"""docs/tutorial.md, played by a newcomer who types every command in it and compares what is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from emu.runtime.docker import Engine
from tests.scenario.support import DEADLINE_S

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="process")]

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
_NUMBER = r"\d[\d.,]*"
_VARIES = re.compile(rf"…|{_NUMBER} (?:[KMG]iB|B)\b|{_NUMBER} (?:us|ms|s)\b|{_NUMBER}")
"""What differs from run to run: what was left out, sizes, times, numbers."""
_FIXED = re.compile(r"limit of [\d.]+ MiB|of [\d.]+ MiB|^\d$|exit code \d+|>= 1|== 0|answered \d+ by|answered 200")
"""What does not, though it has numbers: limits, exit statuses, what was expected, how requests were answered."""


@dataclass
class Step:
    """Commands of the tutorial, and the lines that it shows of their output."""

    commands: str
    shown: list[str] = field(default_factory=list)


def steps(page: str) -> tuple[list[Step], str]:
    """The tutorial's steps, and the scenario that it writes."""
    found: list[Step] = []
    scenario = ""
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        if kind == "sh":
            found.append(Step(text))
        elif kind == "text":
            found[-1].shown += [line for line in text.splitlines() if line.strip()]
        else:
            scenario = text
    return found, scenario


def shape(line: str) -> re.Pattern[str]:
    """A line as a pattern: numbers may differ, and `…` stands for anything; but what is fixed is fixed."""
    line = " ".join(line.split())
    fixed = [found.span() for found in _FIXED.finditer(line)]
    pattern, at = "", 0
    for found in _VARIES.finditer(line):
        pattern += re.escape(line[at : found.start()])
        at = found.end()
        if any(begin <= found.start() < end for begin, end in fixed):
            pattern += re.escape(found[0])
        elif found[0] == "…":
            pattern += ".*"
        else:
            pattern += _NUMBER + next(
                (
                    f" (?:{'|'.join(units)})"
                    for units in (("[KMG]iB", "B"), ("us", "ms", "s"))
                    if re.search(f" (?:{'|'.join(units)})$", found[0])
                ),
                "",
            )
    return re.compile(pattern + re.escape(line[at:]))


def not_printed(shown: list[str], printed: str) -> list[str]:
    """The lines that were not printed, or not in this order."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    return [line for line in shown if not any(shape(line).fullmatch(one) for one in lines)]


def test_the_tutorial_is_true(engine: Engine, tmp_path: Path) -> None:
    """Each command that it gives runs as it says, in its order, and prints the lines that it shows."""
    (install, *played), scenario = steps(TUTORIAL.read_text(encoding="utf-8"))
    assert install.commands.startswith("make install\n")  # whoever runs this test has done it
    (tmp_path / "burst.yaml").write_text(scenario, encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert len(played) >= 8
    for step in played:
        ended = subprocess.run(
            ["bash", "-c", step.commands],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3 * DEADLINE_S,
            check=False,
        )
        assert step.shown, step.commands
        assert not_printed(step.shown, ended.stdout) == [], f"{step.commands}\n{ended.stdout}"
