"""docs/tutorial.md as its reader plays it: the commands, what they print, and the runs that they leave."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.scenario.support import DEADLINE_S

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"


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


@dataclass(frozen=True)
class Tutorial:
    """The tutorial, played in a folder."""

    folder: Path
    install: str
    played: list[tuple[Step, str]]
    """Each step with all that it printed."""

    @classmethod
    def play(cls, folder: Path) -> Tutorial:
        """Type every command in it but the first, which installs emu."""
        (install, *others), scenario = steps(TUTORIAL.read_text(encoding="utf-8"))
        (folder / "burst.yaml").write_text(scenario, encoding="utf-8")
        return cls(folder, install.commands, [(step, _printed(step, folder)) for step in others])

    def run_of(self, scenario: str) -> Path:
        """The directory of the first run of a scenario."""
        return next(path for path in sorted((self.folder / "runs").iterdir()) if path.name.endswith(f"-{scenario}"))


def _printed(step: Step, folder: Path) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-c", step.commands],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3 * DEADLINE_S,
        check=False,
    ).stdout
