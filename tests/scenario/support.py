"""A run that ended, a run that goes on, and what runs leave behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgroups.mount import find_cgroup2
from emu.containers import LABEL_RUN, Engine
from emu.podcgroup import PARENT
from emu.rundir import RunDir

DEADLINE_S = 300.0
EMU = (sys.executable, "-m", "emu")


@dataclass(frozen=True)
class Finished:
    """A run that ended: its exit status, its summary and where it was recorded."""

    status: int
    summary: dict[str, Any]
    run: RunDir
    said: str

    @property
    def plays(self) -> list[tuple[RunDir, dict[str, Any]]]:
        """The record and the summary of each variant; of the run itself where the scenario has none."""
        variants = self.summary.get("variants")
        if variants is None:
            return [(self.run, self.summary)]
        return [(self.run.variant(name), summary) for name, summary in variants.items()]


class Going:
    """An `emu run` that is under way."""

    def __init__(self, engine: Engine, scenario: str, out: Path) -> None:
        self.engine = engine
        self.run = RunDir(out)
        self.process = subprocess.Popen(
            [*EMU, "run", scenario, "--on", "host", "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def until(self, words: str) -> None:
        """Read what it says until a line holds these words."""
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if words in line:
                return
        raise AssertionError(f"it never said {words!r}: {''.join(said)}")

    def container(self, name: str) -> str:
        """The id of a running container of it."""
        for _ in eventually():
            for found in self.engine.labelled("emu.container=" + name):
                if found["State"] == "running":
                    return str(found["Id"])
        raise AssertionError(f"no container {name} came to run")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, as a terminal would: to the whole process group for Ctrl-C."""
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end and return its exit status."""
        self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode


def leftovers(engine: Engine) -> list[str]:
    """What a run left behind: containers, volumes, cgroups, processes."""
    mount = find_cgroup2().path
    groups = [
        str(path)
        for parent in (mount / PARENT, mount / f"{PARENT}.slice")
        if parent.is_dir()
        for path in parent.iterdir()
        if path.is_dir()
    ]
    processes = [line for line in _command_lines() if "emu.recorder" in line or "emu.daemon" in line]
    containers = [str(found["Names"]) for found in engine.labelled(LABEL_RUN)]
    images = [str(image["RepoTags"]) for image in engine.labelled_images(LABEL_RUN)]
    return [*containers, *images, *engine.labelled_volumes(LABEL_RUN), *groups, *processes]


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def eventually(deadline_s: float = 60.0) -> Iterator[None]:
    """Turns of a loop that waits for something, until the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        yield
        select.select([], [], [], 0.05)
