"""A run's load generator: the process that sends the requests, what it says of them, and what its end means."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from emu.errors import EXIT_NOT_RECORDED, EmuError
from emu.helpers.helper import Helper, how_ended
from emu.machine.silence import Silence
from emu.messages.endpoints import Endpoint
from emu.policy.loadplan import LoadPlan, Route, Split, Until
from emu.policy.secrets import is_secret
from emu.policy.until import PodFacts, in_words, pod_met
from emu.record.events import EventLog, LoadBegan, Note, PhaseBegan, PhaseEnded, now
from emu.record.rundir import RunDir, cannot_record, write_new
from emu.units import format_seconds

HANG_S = 300.0
"""Short of memory, or on a busy machine, it may be slow to speak."""


class Target(NamedTuple):
    """Where the requests of a phase go, and the file that each reads there: as events.PhaseBegan has it."""

    pod: str = ""
    container: str = ""
    reads: str | None = None
    files_of: str = ""


class RunLoad:
    """The load generator of one run. A context manager: its process is there at once, which takes a while, and reads
    its plan when it is to `begin`. Leaving it early ends the load.
    """

    def __init__(self, run: RunDir, log: EventLog, asks: socket.socket | None = None) -> None:
        """`asks`: at which it asks the recorder for samples."""
        self._asks = asks
        self._targets: Mapping[str, Target] = {}
        self._run = run
        self._log = log
        self._helper = Helper("the load generator", run.processes / "load.err")
        self.status: dict[str, Any] = {}
        """What it said last of its requests: `sent`, `in_flight`, `by_status`, `errors` …"""
        self._silence = Silence(now())
        self.begin_at: float | None = None
        """CLOCK_MONOTONIC second 0 of the plan; None until the load generator is ready."""
        self._waits: dict[str, Until] = {}
        self._routes: dict[tuple[str, int], Route] = {}
        """Where requests go that are not for a place itself."""
        self._splits: dict[tuple[str, int], Split] = {}
        self.on_begin: Callable[[str], None] = lambda _: None
        """Called with the name of each phase that begins."""
        self._going: dict[str, Until] = {}
        """Phases under way that wait for something."""

    def __enter__(self) -> Self:
        words = ["--plan", str(self._run.load_plan), "--out", str(self._run.requests), "--parent", str(os.getpid())]
        asks = [] if self._asks is None else [self._asks.fileno()]
        words += [word for descriptor in asks for word in ("--asks", str(descriptor))]
        self._helper.start("emu.daemon.load", [*words, "--met", "--held"], pass_fds=asks)
        return self

    def begin(self, plan: LoadPlan, targets: Mapping[str, Target] | None = None) -> None:
        """Have it send the requests of a plan. `targets`: of each phase, for the record."""
        self._targets = targets or {}
        self._waits = {phase.name: phase.until for phase in plan.phases if phase.until is not None}
        self._splits = {(one.host, one.port): one for one in plan.splits}
        secret = any(is_secret(name) for phase in plan.phases for name in phase.request.headers)
        write_new(self._run.load_plan, plan.to_json(), private=secret)
        self._silence.broken(now())
        if self._helper.pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # it has ended, or was never made less important
                os.setpriority(os.PRIO_PROCESS, self._helper.pid, 0)
        self._helper.send(json.dumps({"begin": True}) + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._helper.end(terminate=True)
        self.hear()  # it has ended

    def hear(self) -> None:
        """Take in all that it said since; phases that began or ended are recorded. EmuError if it has been silent for
        so long that it must hang: a run waits for it, and would wait for ever.
        """
        for line in self._helper.lines():
            self._silence.broken(now())
            try:
                said = json.loads(line)
            except json.JSONDecodeError:  # cut short by its end
                continue
            if "ready" in said:
                self.begin_at = float(said["ready"])
                self._log.append(LoadBegan(t=self.begin_at))
            elif "began" in said:
                self._begin(said["began"], said["at"], said["duration_s"])
            elif "ended" in said:
                self._log.append(
                    PhaseEnded(t=said["at"], phase=said["ended"], met=said["met"], unsent=said["unsent"])
                )
                self._going.pop(said["ended"], None)
            elif "unsampled" in said:
                self._log.append(_unsampled(said["unsampled"], said["waited_s"]))
            else:
                self.status = said
        if self._silence.seconds(now()) > HANG_S and self.running:
            raise EmuError(
                "the load generator hangs",
                f"it reports four times a second, and has been silent for {HANG_S / 60:.0f} min",
                "check whether that process was stopped (kill -STOP), or the machine is out of memory",
            )

    def _begin(self, name: str, at: float, duration_s: float) -> None:
        until = self._waits.get(name)
        words = None if until is None else in_words(until)
        target = self._targets.get(name, Target())
        self._log.append(PhaseBegan(t=at, phase=name, duration_s=duration_s, until=words, **target._asdict()))
        if until is not None:
            self._going[name] = until
        self.on_begin(name)

    def split(self, split: Split) -> None:
        """Have requests for a place split like this."""
        place = (split.host, split.port)
        if split.parts and self._splits.get(place) != split:
            self._splits[place] = split
            self._helper.send(split.to_line())

    def lead(self, place: tuple[str, int], pods: tuple[Endpoint, ...]) -> None:
        """Have requests for a place go to these pods themselves; to the place where there are none."""
        route = Route(*place, pods)
        if self._routes.get(place, Route(*place)) != route:
            self._routes[place] = route
            self._helper.send(route.to_line())

    @property
    def waits(self) -> bool:
        """A phase that is under way waits for something."""
        return bool(self._going)

    def has_run_for(self, seconds: float) -> bool:
        """Whether so much of the plan's time is over; it has not begun before the load generator is ready."""
        return self.begin_at is not None and now() >= self.begin_at + seconds

    def look(self, facts: Callable[[str], PodFacts]) -> None:
        """End the phases that waited for what has happened; `facts` has it for the pod that a phase asks."""
        for name in [name for name, until in self._going.items() if pod_met(until, facts(name))]:
            self._helper.send(json.dumps({"met": name}) + "\n")
            del self._going[name]

    @property
    def phase(self) -> str:
        """The phase under way; before and after all phases what it waits for."""
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
            "the load generator exited before the end of the run",
            self._helper.said() or f"its process {how_ended(status)}; requests after that were not sent",
            "run it again; if that process was not killed, this is a bug: report it with the run directory",
        )


def _unsampled(phase: str, waited_s: float) -> Note:
    """No sample came between a phase and those before it; empty: after all of them."""
    when = f"before phase {phase}" if phase else "at the end of the load"
    why = f"the recorder did not answer in {format_seconds(waited_s)}" if waited_s else "the recorder still hangs"
    why += "; what was counted about then may be another phase's"
    return Note(t=now(), what=f"no sample was taken {when}", why=why, level="warning")
