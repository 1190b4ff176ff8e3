"""Plans of the load generator, played on loopback."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from emu.policy.loadplan import LoadPlan, Phase, RequestSpec
from tests.unit.daemon.daemon_wire import Daemon


class Runs:
    """Runs plans in a temporary directory."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.out = folder / "requests.jsonl"
        self._folder = folder
        self._stack = stack

    def start(
        self,
        port: int,
        *phases: Phase,
        parent: int | None = None,
        follows: bool = False,
        asks: int | None = None,
        **fields: Any,
    ) -> Daemon:
        """Start the load generator; `follows` as a run does, which sends it what phases wait for; `asks`: the
        descriptor at which it asks for samples.
        """
        plan = self._folder / "plan.json"
        plan.write_text(LoadPlan("127.0.0.1", port, phases, **{"drain_s": 60.0, **fields}).to_json())
        args = ["--plan", str(plan), "--out", str(self.out)]
        args += [] if parent is None else ["--parent", str(parent)]
        args += ["--met"] if follows else []
        args += [] if asks is None else ["--asks", str(asks)]
        fds = () if asks is None else (asks,)
        stdin = subprocess.PIPE if follows else None
        return self._stack.enter_context(closing(Daemon("emu.daemon.load", args, {}, stdin=stdin, fds=fds)))

    def run(self, port: int, *phases: Phase, **fields: Any) -> dict[str, Any]:
        """Run a plan to its end; the last status line."""
        load = self.start(port, *phases, **fields)
        assert load.wait() == 0, load.stderr()
        load.close()
        return load.lines[-1]

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The records of a kind, each line read as JSON."""
        lines = self.out.read_text().splitlines()
        return [record for line in lines if (record := json.loads(line))["e"] == kind]


def phase(kind: Any = "burst", **fields: Any) -> Phase:
    """A short phase."""
    return Phase(**{"name": "p", "kind": kind, "start_s": 0, "duration_s": 0.5, "request": RequestSpec(), **fields})
