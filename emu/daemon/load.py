"""The load generator: sends the requests of a plan when they are due, whatever happens, and records each one's end.

    python -m emu.daemon.load --plan FILE --out requests.jsonl

An open loop never waits for answers and never skips: what is late is sent late, and its latency counts from when it
was due. Progress goes to standard output as one JSON line each 250 ms; SIGTERM ends the run early, in order.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from emu.daemon import runtime
from emu.daemon.records import Records
from emu.daemon.sender import Connections, Request, SlowSenders, request_head
from emu.errors import EXIT_NOT_RECORDED
from emu.messages import LoadPlan, Phase, RequestError
from emu.policy.arrivals import due_times
from emu.policy.timeouts import Deadlines

STATUS_S = 0.25
FLUSH_S = 0.04
TIMER_STEP_S = 0.001
"""The loop's timers count in these; to wait for less would be to spin."""
BATCH = 64
"""Requests sent before answers are looked at again, when many are due at once."""
BREATH_S = 0.2
"""Between the last answer of the phases before and a phase `after_answers`: a recorder that is late by some samples
still has one in between, so that what the one read from disk is not counted to the other."""
FAILED_PAUSE_S = 0.01
"""A closed-loop client whose request failed asks again after this at the soonest, or a dead server would keep it
spinning."""


class Load:
    """A run of a plan: what is open, what is counted, what is recorded."""

    def __init__(self, plan: LoadPlan, records: Records, log: runtime.Log, parent: int | None = None) -> None:
        self.plan = plan
        self.log = log
        self.connections = Connections(plan.host, plan.port)
        self.slow = SlowSenders()
        self.begin_at = 0.0
        self.stopping = asyncio.Event()
        self._parent = os.getppid() if parent is None else parent
        self._records = records
        self.open: dict[Request, None] = {}
        self._phases: dict[str, int] = {}
        self._due = 0
        self._sent = 0
        self._done = 0
        self._by_status: dict[str, int] = {}
        self._errors: dict[str, int] = {}
        self._emptied: asyncio.Event | None = None
        self._runs: list[PhaseRun] = []

    # --- the story of a run

    async def run(self) -> int:
        """Run all phases, wait for answers still due, record the rest as unanswered."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        self.begin_at = time.monotonic() if self.plan.begin_at is None else self.plan.begin_at
        keeping = [loop.create_task(self._every(FLUSH_S, self._records.flush))]
        keeping.append(loop.create_task(self._every(STATUS_S, self._status)))
        self._runs = []
        for phase in self.plan.phases:
            self._runs.append(PhaseRun(self, phase, tuple(self._runs)))
        phases = [loop.create_task(run.run()) for run in self._runs]
        stopped = loop.create_task(self.stopping.wait())
        sending = asyncio.gather(*phases)
        either: set[asyncio.Future[Any]] = {sending, stopped}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            sending.result()  # a failure of ours is not to pass for a short run
            await self._drain(stopped)
        for task in (*phases, *keeping, stopped):
            task.cancel()
        await asyncio.gather(sending, *keeping, stopped, return_exceptions=True)
        self._settle()
        return 0 if self._records.failure is None else EXIT_NOT_RECORDED

    def _settle(self) -> None:
        """Record what is still open, and say the last word."""
        for request in list(self.open):
            request.give_up("unanswered")
        self.connections.close()
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

    # --- requests

    def next_number(self) -> int:
        """A new request's number; they count from 0."""
        self._due += 1
        return self._due - 1

    def sent(self, request: Request, now: float) -> None:
        """A request's first byte goes out."""
        self._sent += 1
        self._records.sent(request.number, request.phase.name, request.due, now)

    def done(self, request: Request, now: float, error: RequestError | None) -> None:
        """A request has ended."""
        self._done += 1
        self.open.pop(request, None)
        status = request.status
        self._records.done(request.number, now, request.first_byte, status, error, request.body_bytes)
        if error is not None:
            self._errors[error] = self._errors.get(error, 0) + 1
        elif status is not None:
            self._by_status[str(status)] = self._by_status.get(str(status), 0) + 1
        if self._emptied is not None and not self.open:
            self._emptied.set()

    def tell_phase(self, what: str, phase: Phase, at: float) -> None:
        """Say on standard output that a phase began or ended: {"began": name, "at": CLOCK_MONOTONIC seconds}."""
        told = {what: phase.name, "at": at, "duration_s": phase.duration_s}
        self.log.raw(json.dumps(told, separators=(",", ":")) + "\n")

    def _status(self, finished: bool = False) -> None:
        now = time.monotonic()
        if os.getppid() != self._parent:  # whose run it was is gone, however it went: nobody waits for the rest
            self.stopping.set()
        phase = next((run.phase.name for run in self._runs if run.active), None)
        status = {
            "t": round(now - self.begin_at, 3),
            "phase": phase,
            "due": self._due,
            "sent": self._sent,
            "done": self._done,
            "in_flight": len(self.open),
            "by_status": self._by_status,
            "errors": self._errors,
            "finished": finished,
        }
        if self._records.failure is not None:
            status["not_recorded"] = f"requests.jsonl: {self._records.failure.strerror}"
        self.log.raw(json.dumps(status, separators=(",", ":")) + "\n")


class PhaseRun:
    """One phase: when its requests are due, what became of them, and its clients if it is a closed loop."""

    def __init__(self, load: Load, phase: Phase, before: tuple[PhaseRun, ...] = ()) -> None:
        self.load = load
        self.phase = phase
        self.active = False
        self.settled = asyncio.Event()
        """Nothing more is sent, and every request has ended."""
        self._before = before
        self._open_requests = 0
        self._sent_all = False
        self._head = request_head(phase.request, load.plan.host_header, phase.keep_alive)
        self._patience: Deadlines[Request] = Deadlines(phase.request.timeout_s)
        self._looking = False
        self._end = 0.0
        self._left = phase.count
        self._clients = 0
        self._clients_gone = asyncio.Event()

    async def run(self) -> None:
        """Send all that is due between the phase's begin and its end."""
        if self.phase.after_answers:
            for run in self._before:
                await run.settled.wait()
            await _sleep_until(time.monotonic() + BREATH_S)
            begin = time.monotonic()
        else:
            begin = self.load.begin_at + self.phase.start_s
            await _sleep_until(begin)
        self._end = begin + self.phase.duration_s
        self.active = True
        self.load.tell_phase("began", self.phase, begin)
        try:
            if self.phase.kind == "closed":
                await self._closed()
            else:
                await self._open(due_times(self.phase, self.load.plan.seed), begin)
        finally:
            self.active = False
            self._sent_all = True
            self._settle()
            self.load.tell_phase("ended", self.phase, time.monotonic())

    def _settle(self) -> None:
        if self._sent_all and not self._open_requests:
            self.settled.set()

    async def _open(self, times: Iterator[float], begin: float) -> None:
        in_a_row = 0
        for at in times:
            due = begin + at
            if due > time.monotonic():
                await _sleep_until(due)
                in_a_row = 0
            elif in_a_row >= BATCH:
                await asyncio.sleep(0)
                in_a_row = 0
            in_a_row += 1
            self._request(due)
        if self.phase.count is None:
            await _sleep_until(self._end)

    # --- a closed loop

    async def _closed(self) -> None:
        self._clients = self.phase.clients
        for _ in range(self.phase.clients):
            self._client_asks()
        if self._clients:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._clients_gone.wait(), max(0.0, self._end - time.monotonic()))
        self._left = 0

    def _client_asks(self) -> None:
        """A client sends its next request, or leaves when the phase is over."""
        now = time.monotonic()
        if self._left == 0 or now >= self._end or self.load.stopping.is_set():
            self._clients -= 1
            if not self._clients:
                self._clients_gone.set()
            return
        if self._left is not None:
            self._left -= 1
        self._request(now)

    # --- requests

    def _request(self, due: float) -> None:
        load = self.load
        request = Request(load.next_number(), self.phase, due, self._head, load.connections, self)
        load.open[request] = None
        self._open_requests += 1
        self._patience.start(request, due)
        self._look_later()
        request.start(load.slow)

    def sent(self, request: Request, now: float) -> None:
        """Its first byte goes out, or was tried to."""
        self.load.sent(request, now)

    def done(self, request: Request, now: float, error: RequestError | None) -> None:
        """It has ended; in a closed loop its client goes on."""
        self._patience.stop(request)
        self._open_requests -= 1
        self.load.done(request, now, error)
        self._settle()
        if self.phase.kind == "closed":
            pause_s = self.phase.think_s
            if error is not None:
                pause_s = max(pause_s, FAILED_PAUSE_S)
            asyncio.get_running_loop().call_later(pause_s, self._client_asks)

    def _look_later(self) -> None:
        at = self._patience.next_at()
        if at is not None and not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(max(0.0, at - time.monotonic()), self._look)

    def _look(self) -> None:
        """Give up what took longer than the client's patience."""
        self._looking = False
        for request in self._patience.due(time.monotonic()):
            request.give_up("timeout")
        self._look_later()


async def _sleep_until(at: float) -> None:
    while (wait := at - time.monotonic()) > 0:
        await asyncio.sleep(max(wait, TIMER_STEP_S))


def main(argv: list[str]) -> int:
    """Run the plan; the exit status."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m emu.daemon.load", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parent", type=int, help="the process whose run it is: without it, there is nothing to do")
    asked = parser.parse_args(argv)
    plan = LoadPlan.from_json(asked.plan.read_text())
    records = Records(asked.out)
    try:
        return runtime.run(lambda: Load(plan, records, runtime.Log("load"), asked.parent).run())
    finally:
        records.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
