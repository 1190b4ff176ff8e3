"""The load generator: sends the requests of a plan when they are due, whatever happens, and records each one's end.

    python -m emu.daemon.load --plan FILE --out requests.jsonl [--met] [--held] [--asks FD]

The plan's clock starts when all is ready for the first request, and {"ready": t} says when that was. An open loop
never waits for answers and never skips: what is late is sent late, and the record says how late. Latency counts from
when a request was begun, for what lies before is this process' own doing. Progress goes to standard output as one
JSON line each 250 ms. With `--met` it reads standard input: {"met": PHASE}, what that phase waits for has come, and
{"route": …}, which pods requests are sent to, and {"split": …}, how a service's requests are split among revisions.
With `--held` nothing begins before the first line there. With `--asks` the recorder takes a sample before the load
begins, before each phase that begins when something has happened, and at the load's end; {"unsampled": PHASE} says
that it was waited for in vain. SIGTERM ends the run early, in order.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emu.daemon import loop as runtime
from emu.daemon.load.connections import Choice, Connections, Place
from emu.daemon.load.ingress import Ingress
from emu.daemon.load.phase import PhaseRun
from emu.daemon.load.records import Records
from emu.daemon.load.sampling import Sampling
from emu.daemon.load.sender import Request, SlowSenders
from emu.errors import EXIT_NOT_RECORDED
from emu.messages import QUEUE_PROXY
from emu.messages.requests import RequestError
from emu.policy.loadplan import LoadPlan, Phase, Route, Split
from emu.policy.until import counts_requests

STATUS_S = 0.25
FLUSH_S = 0.04
LEAD_S = 0.02
"""From ready to the plan's second 0: the tasks of all phases are waiting by then."""


class Load:
    """A run of a plan: what is open, what is counted, what is recorded."""

    def __init__(
        self,
        plan: LoadPlan,
        records: Records,
        log: runtime.Log,
        parent: int | None = None,
        met_by: int | None = None,
        asks: int | None = None,
    ) -> None:
        """`met_by` is the descriptor from which it reads what the phases wait for, `asks` that at which it asks for
        samples.
        """
        self.plan = plan
        self.log = log
        self._connections: dict[tuple[str, int], Connections] = {}
        self._ingresses = {(one.host, one.port): Ingress(one, plan.seed, self._connections_to) for one in plan.splits}
        self.slow = SlowSenders()
        self.begin_at = 0.0
        self.stopping = asyncio.Event()
        self._parent = os.getppid() if parent is None else parent
        self._met_by = met_by
        self._sampling = Sampling(asks, lambda phase, waited_s: self.say(unsampled=phase, waited_s=waited_s))
        self._rest = b""
        self._records = records
        self.open: dict[Request, None] = {}
        self._due = 0
        self._sent = 0
        self._done = 0
        self._in_flight = 0
        self._in_flight_to: Counter[tuple[str, int]] = Counter()
        """The same, by what was asked: a service or a pod, at this host and port."""
        self._by_status: dict[str, int] = {}
        self._errors: dict[str, int] = {}
        self._emptied: asyncio.Event | None = None
        self._runs: list[PhaseRun] = []
        self._waiting: list[PhaseRun] = []
        """Those that wait for requests."""

    # --- the story of a run

    async def run(self) -> int:
        """Run all phases, wait for answers still due, record the rest as unanswered."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        if self._met_by is not None:
            loop.add_reader(self._met_by, self._hear, self._met_by)
        self._sampling.open()
        keeping = [loop.create_task(self._every(FLUSH_S, self._records.flush))]
        keeping.append(loop.create_task(self._every(STATUS_S, self._status)))
        self._runs = []
        for phase in self.plan.phases:
            self._runs.append(PhaseRun(self, phase, tuple(self._runs)))
        self._waiting = [
            run for run in self._runs if run.phase.until is not None and counts_requests(run.phase.until)
        ]
        await self.sampled(self.plan.phases[0].name if self.plan.phases else "")
        self.begin_at = time.monotonic() + LEAD_S
        self.say(ready=self.begin_at)
        phases = [loop.create_task(run.run()) for run in self._runs]
        stopped = loop.create_task(self.stopping.wait())
        sending = asyncio.gather(*phases)
        either: set[asyncio.Future[Any]] = {sending, stopped}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            sending.result()  # our own failure must not pass for a short run
            await self._drain(stopped)
            await self.sampled("")
        for task in (*phases, *keeping, stopped):
            task.cancel()
        await asyncio.gather(sending, *keeping, stopped, return_exceptions=True)
        self._settle()
        return 0 if self._records.failure is None else EXIT_NOT_RECORDED

    def _stop(self) -> None:
        """End early, whatever is waited for: a recorder that hangs, too."""
        self.stopping.set()
        self._sampling.close()

    async def sampled(self, phase: str) -> None:
        """The recorder has taken a sample, before this phase has sent anything; empty: after all phases."""
        await self._sampling.take(phase)

    def connections(self, phase: Phase) -> Choice:
        """The idle connections to where a phase sends its requests; phases that ask the same pod share them."""
        place = self._asked(phase)
        return self._ingresses.get(place) or self._connections_to(*place)

    def _asked(self, phase: Phase) -> tuple[str, int]:
        return (phase.host, phase.port) if phase.host else (self.plan.host, self.plan.port)

    def _connections_to(self, host: str, port: int) -> Connections:
        found = self._connections.get((host, port))
        if found is None:
            found = self._connections[host, port] = Connections(host, port)
        return found

    def _settle(self) -> None:
        """Record what is still open, and say the last word."""
        for request in list(self.open):
            request.give_up("unanswered")
        for connections in self._connections.values():
            connections.close()
        self._sampling.close()
        self._records.flush()
        self._status(finished=True)

    async def _drain(self, stopped: asyncio.Task[bool]) -> None:
        self._emptied = asyncio.Event()
        if not self.open:
            return
        empty = asyncio.get_running_loop().create_task(self._emptied.wait())
        await asyncio.wait({empty, stopped}, timeout=self.plan.drain_s, return_when=asyncio.FIRST_COMPLETED)
        empty.cancel()

    @staticmethod
    async def _every(seconds: float, action: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            action()

    def _hear(self, descriptor: int) -> None:
        """Whose run it is says that what a phase waits for has come, or where requests go from now on."""
        data = os.read(descriptor, 4096)
        if not data:
            asyncio.get_running_loop().remove_reader(descriptor)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for said in map(json.loads, lines):
            if "route" in said:
                route = Route.from_data(said["route"])
                pods = (Place(pod.address, pod.port, pod.pod) for pod in route.pods)
                self._connections_to(route.host, route.port).lead_to(pods)
                continue
            if "split" in said:
                split = Split.from_data(said["split"])
                self._ingresses[split.host, split.port].split(split)
                continue
            for run in self._runs:
                if run.phase.name == said["met"]:
                    run.meet()

    # --- requests

    def next_number(self) -> int:
        """A new request's number; they count from 0."""
        self._due += 1
        return self._due - 1

    def sent(self, request: Request, now: float) -> None:
        """A request's first byte goes out."""
        self._sent += 1
        self._in_flight += 1
        place, phase = request.place, request.phase
        self._in_flight_to[self._asked(phase)] += 1
        pod, container = (place.pod, phase.container or QUEUE_PROXY) if place.pod else (phase.pod, phase.container)
        ports = None if pod else request.ports
        self._records.sent(
            request.number, phase.name, request.due, now, request.begun, pod, container, ports, place.revision
        )
        self._look()

    def done(self, request: Request, now: float, error: RequestError | None) -> None:
        self._done += 1
        self._in_flight -= 1
        self._in_flight_to[self._asked(request.phase)] -= 1
        self.open.pop(request, None)
        status = request.status
        self._records.done(request.number, now, request.first_byte, status, error, request.body_bytes)
        if error is not None:
            self._errors[error] = self._errors.get(error, 0) + 1
        elif status is not None:
            self._by_status[str(status)] = self._by_status.get(str(status), 0) + 1
        self._look()
        if self._emptied is not None and not self.open:
            self._emptied.set()

    def _look(self) -> None:
        """Phases that wait for requests look whether theirs have come."""
        for run in self._waiting:
            if run.active:
                run.look(self._in_flight_to[self._asked(run.phase)] if run.phase.host else self._in_flight)

    def say(self, **facts: Any) -> None:
        """Say something on standard output: {"began": name, "at": CLOCK_MONOTONIC seconds} for a phase that began."""
        self.log.raw(json.dumps(facts, separators=(",", ":")) + "\n")

    def _status(self, finished: bool = False) -> None:
        now = time.monotonic()
        if os.getppid() != self._parent:  # whose run it was is gone, however it ended: the rest is not needed
            self._stop()
        phase = next((run.phase.name for run in self._runs if run.active), None)
        status = {
            "t": round(now - self.begin_at, 3) if self.begin_at else 0.0,
            "phase": phase,
            "due": self._due,
            "sent": self._sent,
            "done": self._done,
            "in_flight": self._in_flight,
            "connecting": len(self.open) - self._in_flight,
            "by_status": self._by_status,
            "errors": self._errors,
            "finished": finished,
        }
        if self._records.failure is not None:
            status["not_recorded"] = f"requests.jsonl: {self._records.failure.strerror}"
        self.say(**status)


def _released(descriptor: int) -> bool:
    """Wait for a line; False where there is none to come."""
    while (byte := os.read(descriptor, 1)) != b"\n":  # and not a byte of the next line
        if not byte:
            return False
    return True


def main(argv: list[str]) -> int:
    """Run the plan; the exit status."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m emu.daemon.load", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--met", action="store_true", help="read from standard input what phases wait for")
    parser.add_argument("--parent", type=int, help="the process whose run it is: without it, there is nothing to do")
    parser.add_argument(
        "--asks", type=int, help="the descriptor of a socket at which the recorder is asked for samples"
    )
    parser.add_argument("--held", action="store_true", help="read the plan when standard input has a line")
    asked = parser.parse_args(argv)
    if asked.held and not _released(sys.stdin.fileno()):
        return 0
    plan = LoadPlan.from_json(asked.plan.read_text())
    records = Records(asked.out)
    try:
        met_by = sys.stdin.fileno() if asked.met else None
        return runtime.run(lambda: Load(plan, records, runtime.Log("load"), asked.parent, met_by, asked.asks).run())
    finally:
        records.close()
