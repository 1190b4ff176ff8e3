"""One phase of the load: when its requests are due, what became of them, and what ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from typing import Any, Protocol

from emu.daemon.load.connections import Choice
from emu.daemon.load.sender import Request, SlowSenders, content_of, request_head
from emu.messages.requests import RequestError
from emu.policy.arrivals import due_times
from emu.policy.loadplan import LoadPlan, Phase
from emu.policy.sampling import begins_with_a_sample
from emu.policy.timeouts import Deadlines
from emu.policy.until import requests_met

TIMER_STEP_S = 0.001
"""The loop's timers count in these; to wait for less would be to spin."""
BATCH = 64
"""Requests sent before answers are looked at again, when many are due at once."""
FAILED_PAUSE_S = 0.01
"""A closed-loop client whose request failed asks again after this at the soonest, or a dead server would keep it
spinning."""


class Run(Protocol):
    """What a phase needs of the load that it is part of."""

    plan: LoadPlan
    slow: SlowSenders
    begin_at: float
    stopping: asyncio.Event
    open: dict[Request, None]

    def connections(self, phase: Phase) -> Choice:
        """To where a phase sends its requests."""

    async def sampled(self, phase: str) -> None:
        """The recorder has taken a sample, before this phase has sent anything."""

    def next_number(self) -> int:
        """A new request's number."""

    def sent(self, request: Request, now: float) -> None:
        """A request's first byte goes out."""

    def done(self, request: Request, now: float, error: RequestError | None) -> None:
        """A request has ended."""

    def say(self, **facts: Any) -> None:
        """Say something on standard output."""


class PhaseRun:
    """One phase: its requests, its clients if it is a closed loop, and what it waits for."""

    def __init__(self, load: Run, phase: Phase, before: tuple[PhaseRun, ...] = ()) -> None:
        self.load = load
        self.phase = phase
        self.active = False
        self.settled = asyncio.Event()
        """Nothing more is sent, and every request has ended."""
        self.answered = 0
        self._over_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """When it ends, as soon as that is known."""
        self._met = asyncio.Event()
        """What it waited for has come."""
        self._before = before
        self._open_requests = 0
        self._sent_all = False
        self._content = content_of(phase.request)
        self._connections = load.connections(phase)
        self._head = request_head(phase.request, phase.host_header or load.plan.host_header, phase.keep_alive)
        self._patience: Deadlines[Request] = Deadlines(phase.request.timeout_s)
        self._looking = False
        self._end = 0.0
        self._times: Iterator[float] = iter(())
        self._left = phase.count
        self._clients = 0
        self._clients_gone = asyncio.Event()

    async def run(self) -> None:
        """Send all that is due between the phase's begin and its end."""
        begin = await self._begin()
        self._end = begin + self.phase.duration_s
        if self.phase.until is None:
            self._over_at.set_result(self._end)
        self.active = True
        self.load.say(began=self.phase.name, at=begin, duration_s=self.phase.duration_s)
        unsent = 0
        try:
            if self.phase.until is None:
                await self._send_all(begin)
            else:
                unsent = await self._send_until(begin)
        finally:
            self.active = False
            self._sent_all = True
            self._settle()
            met = None if self.phase.until is None else self._met.is_set()
            self.load.say(ended=self.phase.name, at=time.monotonic(), met=met, unsent=unsent)

    async def _begin(self) -> float:
        if not self._before:  # nothing has happened that it could wait for, and the load has begun with a sample
            begin = self.load.begin_at + self.phase.start_s
            await _sleep_until(begin)
            return begin
        if self.phase.after_answers:
            for run in self._before:
                await run.settled.wait()
            begin = time.monotonic()
        elif self.phase.follows:
            # Shielded: whoever waits here may be cancelled, and the others keep waiting for it.
            begin = await asyncio.shield(self._before[-1]._over_at)
        else:
            begin = self.load.begin_at + self.phase.start_s
        await _sleep_until(begin)
        if not begins_with_a_sample(self.phase):
            return begin
        await self.load.sampled(self.phase.name)
        return time.monotonic()

    def meet(self) -> None:
        """What the phase waited for has come: it ends now, and not one more request goes out."""
        self._left = 0
        self._met.set()

    def look(self, in_flight: int) -> None:
        """A request was sent or answered: see whether that is what the phase waits for."""
        until = self.phase.until
        if until is not None and requests_met(until, in_flight, self.answered):
            self.meet()

    def _settle(self) -> None:
        if self._sent_all and not self._open_requests:
            self.settled.set()

    async def _send_all(self, begin: float) -> None:
        if self.phase.kind == "closed":
            await self._closed()
        elif self.phase.kind == "pause":
            await _sleep_until(self._end)
        else:
            self._times = due_times(self.phase, self.load.plan.seed)
            await self._open(begin)

    async def _send_until(self, begin: float) -> int:
        """Send until what the phase waits for has come, or its time is over; how many requests were due by then and
        not sent.
        """
        loop = asyncio.get_running_loop()
        sending = loop.create_task(self._send_all(begin))
        met = loop.create_task(self._met.wait())
        either: set[asyncio.Future[Any]] = {sending, met}
        try:
            await asyncio.wait(either, timeout=self._remaining_s(), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()  # our own failure must not pass for a short phase
                await asyncio.wait({met}, timeout=self._remaining_s())
        finally:
            self._left = 0
            self._end = min(self._end, time.monotonic())
            for task in (sending, met):
                task.cancel()
            await asyncio.gather(sending, met, return_exceptions=True)
            if not self._over_at.done():
                self._over_at.set_result(time.monotonic())
        return sum(1 for _ in takewhile(lambda at: begin + at <= self._end, self._times))

    def _remaining_s(self) -> float:
        return max(0.0, self._end - time.monotonic())

    async def _open(self, begin: float) -> None:
        in_a_row = 0
        for at in self._times:
            due = begin + at
            if due > time.monotonic():
                await _sleep_until(due)
                in_a_row = 0
            elif in_a_row >= BATCH:
                await asyncio.sleep(0)
                in_a_row = 0
            if self._met.is_set():
                return
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
                await asyncio.wait_for(self._clients_gone.wait(), self._remaining_s())
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
        request = Request(load.next_number(), self.phase, due, self._head, self._content, self._connections, self)
        load.open[request] = None
        self._open_requests += 1
        self._patience.start(request, request.begun)
        self._look_later()
        request.start(load.slow)

    def begins(self, request: Request) -> None:
        """Its client's patience counts from here."""
        self._patience.restart(request, request.begun)

    def sent(self, request: Request, now: float) -> None:
        """Its first byte goes out, or was tried to."""
        self.load.sent(request, now)

    def done(self, request: Request, now: float, error: RequestError | None) -> None:
        """It has ended; in a closed loop its client sends the next."""
        self._patience.stop(request)
        self._open_requests -= 1
        self.answered += error is None
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
