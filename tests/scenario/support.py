"""A run that ended, a run that goes on, and what runs leave behind."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from cgroups.mount import find_cgroup2
from emu.messages import QUEUE_PORT
from emu.messages.work import Work
from emu.record.events import Event, read_events
from emu.record.rundir import RunDir
from emu.runtime.docker import LABEL_RUN, Engine
from emu.runtime.podcgroup import PARENT
from emu.runtime.process import network, roots
from emu.spec.values import UNDESCRIBED
from tests import consistency

DEADLINE_S = 600.0
ENDED_IN_ORDER = (0, 1, 130)
"""Exit statuses of a run that removed all it had made: as expected, otherwise, interrupted."""
_HELPERS = ("emu.record.recorder", "emu.daemon", "process/spawner.py")
"""What the command line of a run's own processes has."""
SomeEvent = TypeVar("SomeEvent", bound=Event)
EMU = (sys.executable, "-m", "emu")
ENVIRONMENT = {**os.environ, UNDESCRIBED: "1"}
"""Of a run that prints no key's description, as the one that `emu run` starts in a sandbox."""


@dataclass(frozen=True)
class Ended:
    """A command that ended: its exit status and what it printed."""

    status: int
    out: str
    said: str


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
            env={**ENVIRONMENT, "PYTHONFAULTHANDLER": "1"},
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

    def until_answered(self, count: int) -> None:
        """Wait until so many requests of its load were answered 200."""
        for _ in eventually(DEADLINE_S):
            lines = self.run.requests.read_text().splitlines() if self.run.requests.exists() else []
            if sum(json.loads(line).get("status") == 200 for line in lines if line.endswith("}")) >= count:
                return
        raise AssertionError(f"{count} requests never came to be answered")

    def container(self, name: str) -> str:
        """The id of a running container of it."""
        for _ in eventually():
            for found in self.engine.labelled("emu.container=" + name):
                if found.phase == "running":
                    return found.id
        raise AssertionError(f"no container {name} came to run")

    def ask(self, work: Work | None = None) -> tuple[int, str]:
        """A request of the test's own, from outside the pod: its status and its answer."""
        address = self.engine.address(self.container("sandbox"))
        connection = http.client.HTTPConnection(address, QUEUE_PORT, timeout=DEADLINE_S)
        try:
            query = (work or Work()).to_query()
            connection.request("GET", f"/?{query}", headers={"Host": "app.default.example.com"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def until_served(self, work: Work | None = None) -> None:
        """The app answers; until an instance of it listens, each request gets an answer all the same."""
        for _ in eventually(DEADLINE_S):
            status, said = self.ask(work)
            assert status in (200, 502, 503), said
            if status == 200:
                return
        raise AssertionError("the app was never served again")

    def helper(self, word: str) -> int:
        """The pid of one of its own processes, which has this word in its command line; waits for it."""
        for _ in eventually():
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # it has ended since it was listed
                    if word in child.cmdline():
                        return child.pid
        raise AssertionError(f"no {word} runs")

    def events(self, kind: type[SomeEvent]) -> list[SomeEvent]:
        """What is on record of one kind."""
        return [event for event in read_events(self.run.events) if isinstance(event, kind)]

    def interrupted(self) -> dict[str, Any]:
        """Ctrl-C, and what is reported of the run then."""
        self.signal(signal.SIGINT)
        assert self.end() == 130
        reported: dict[str, Any] = json.loads(self.run.summary.read_text())
        return reported

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, as a terminal would: to the whole process group for Ctrl-C."""
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end and return its exit status. One that does not end says where each of its threads is."""
        try:
            self.process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # PYTHONFAULTHANDLER
            raise AssertionError(f"it did not end: {self.process.communicate(timeout=DEADLINE_S)[0]}") from None
        if self.run.summary.exists():
            consistency.check(self.run.path)
        return self.process.returncode


@contextmanager
def run_going(engine: Engine, scenario: str, out: Path) -> Iterator[Going]:
    """Start an `emu run` without waiting for its end; killed when the test is done with it. `emu clean` removes what
    one leaves that did not end in order.
    """
    one = Going(engine, scenario, out)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()
        if one.process.returncode not in ENDED_IN_ORDER:
            subprocess.run([*EMU, "clean"], capture_output=True, timeout=DEADLINE_S, check=True)


def await_nothing_left(engine: Engine) -> None:
    """A run that was killed leaves nothing: its helpers end with their pipes, a moment after it, and containers'
    processes with their containers.
    """
    for _ in eventually():
        if not leftovers(engine):
            return
    assert leftovers(engine) == []


def leftovers(engine: Engine | None) -> list[str]:
    """What a run left behind: containers, images, volumes, cgroups, processes; without Docker, networks and roots."""
    mount = find_cgroup2().path
    groups = [
        str(path)
        for parent in (mount / PARENT, mount / f"{PARENT}.slice")
        if parent.is_dir()
        for path in parent.iterdir()
        if path.is_dir()
    ]
    processes = [line for line in _command_lines() if any(name in line for name in _HELPERS)]
    return [*(in_engine(engine) if engine is not None else ()), *groups, *processes, *left_by_processes()]


def in_engine(engine: Engine) -> list[str]:
    """What a run left in Docker's engine."""
    containers = [found.name for found in engine.labelled(LABEL_RUN)]
    images = [str(image["RepoTags"]) for image in engine.labelled_images(LABEL_RUN)]
    return [*containers, *images, *engine.labelled_volumes(LABEL_RUN)]


def left_by_processes() -> list[str]:
    """What a run without Docker could leave besides."""
    runs = roots.HOME / "runs"
    return [*network.existing(), *(str(path) for path in (runs.iterdir() if runs.is_dir() else ()) if path.is_dir())]


def _command_lines() -> Iterator[str]:
    """Of all processes but this one's children: its own spawner, if it has one, runs as long as it does."""
    for process in psutil.process_iter(["cmdline", "ppid"]):
        if process.info["ppid"] != os.getpid():
            yield " ".join(process.info["cmdline"] or ())


def eventually(deadline_s: float = DEADLINE_S) -> Iterator[None]:
    """Turns of a loop that waits for something, until the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        yield
        select.select([], [], [], 0.05)
