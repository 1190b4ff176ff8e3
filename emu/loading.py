"""A run's load generator: the process that sends the requests, what it says of them, and what its end means."""

from __future__ import annotations

import json
import os
from types import TracebackType
from typing import Any, Self

from emu.errors import EXIT_NOT_RECORDED, EmuError
from emu.events import EventLog, PhaseBegan, PhaseEnded
from emu.helper import Helper
from emu.messages import LoadPlan
from emu.rundir import RunDir, cannot_record


class RunLoad:
    """The load generator of one run. A context manager; leaving it early ends the load."""

    def __init__(self, plan: LoadPlan, run: RunDir, log: EventLog) -> None:
        self._plan = plan
        self._run = run
        self._log = log
        self._helper = Helper("the load generator", run.processes / "load.err")
        self.status: dict[str, Any] = {}
        """What it said last of its requests: `sent`, `in_flight`, `by_status`, `errors` …"""

    def __enter__(self) -> Self:
        self._run.load_plan.write_text(self._plan.to_json(), encoding="utf-8")
        words = ["--plan", str(self._run.load_plan), "--out", str(self._run.requests), "--parent", str(os.getpid())]
        self._helper.start("emu.daemon.load", words, told=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._helper.end(terminate=True)
        self.hear()

    def hear(self) -> None:
        """Take in all that it said since; phases that began or ended go on record."""
        for line in self._helper.lines():
            try:
                said = json.loads(line)
            except json.JSONDecodeError:  # cut short by its end
                continue
            if "began" in said:
                self._log.append(PhaseBegan(said["at"], said["began"], said["duration_s"]))
            elif "ended" in said:
                self._log.append(PhaseEnded(said["at"], said["ended"]))
            else:
                self.status = said

    @property
    def phase(self) -> str:
        """What it is at, in words."""
        return self.status.get("phase") or ("waiting for answers" if self.status.get("sent") else "about to begin")

    @property
    def running(self) -> bool:
        """Whether there is more to come."""
        return self._helper.status is None

    def check(self) -> None:
        """EmuError if it ended before its plan did."""
        status = self._helper.status
        if not status:
            return
        self._helper.end()
        self.hear()
        if status == EXIT_NOT_RECORDED:
            raise cannot_record(self.status["not_recorded"])
        raise EmuError(
            "the load generator ended before the run did",
            self._helper.said() or f"its process ended with status {status}; requests after that were not sent",
            "run it again; if nobody ended that process, tell us, with the run",
        )
