"""What a test of whole runs needs: `emu` as a user calls it, on a host with cgroup v2, and Docker where pods need it.

Skipped, with the reason, only where the host has neither; `make test` goes to the sandbox then.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cgroups.errors import CgroupError
from cgroups.mount import find_cgroup2
from emu.errors import EmuError
from emu.record.rundir import RunDir
from emu.runtime import images
from emu.runtime.docker import Engine
from emu.scenario.reading import load_scenario
from tests import consistency
from tests.scenario import forked
from tests.scenario.support import DEADLINE_S, Finished, Going, run_going
from tests.scenario.tutorial import Tutorial


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The host's Docker engine, with our images in it."""
    try:
        find_cgroup2().require("memory")
        engine = Engine()
        engine.connect()
    except (CgroupError, EmuError) as missing:
        pytest.skip(f"this host cannot run pods, `make test` goes to the sandbox: {missing}")
    images.ensure(engine, images.prepare())
    return engine


@pytest.fixture(scope="session")
def engine_if_any(request: pytest.FixtureRequest) -> Engine | None:
    """The engine; None where the part that is played needs none, so that its sandbox has none."""
    if os.environ.get("EMU_TEST_DOCKER") == "none":
        return None
    found: Engine = request.getfixturevalue("engine")
    return found


@pytest.fixture(scope="session")
def emu_run(engine_if_any: Engine | None, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Finished]:
    """Run a scenario as `emu run` does, once for the same words in a session. (`going` and the tutorial type it.)"""
    done: dict[tuple[str, ...], Finished] = {}

    def run(scenario: str, *settings: str) -> Finished:
        key = (scenario, *settings)
        if key not in done:
            out = tmp_path_factory.mktemp("runs") / "run"
            plays = max(1, len(load_scenario(scenario).variants))
            words = [word for setting in settings for word in ("--set", setting)]
            ended = forked.emu(
                ["run", scenario, "--on", "host", "--out", str(out), "--json", *words], DEADLINE_S * plays
            )
            assert ended.out, f"emu run {scenario} ended with {ended.status} and said: {ended.said}"
            done[key] = Finished(ended.status, json.loads(ended.out), RunDir(out), ended.said)
            consistency.check(out)
        return done[key]

    return run


@pytest.fixture(scope="session")
def tutorial(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Tutorial:
    """The tutorial, played once."""
    return Tutorial.play(tmp_path_factory.mktemp("tutorial"))


@pytest.fixture
def scenario_file(tmp_path: Path) -> Callable[[str], str]:
    """Write a scenario and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "scenario.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def going(engine: Engine, tmp_path: Path) -> Iterator[Callable[[str], Going]]:
    """Start an `emu run` without waiting for its end; killed when the test ends."""
    with ExitStack() as started:
        numbers = itertools.count()
        yield lambda scenario: started.enter_context(run_going(engine, scenario, tmp_path / f"run{next(numbers)}"))
