"""Between queue-proxy and an app that is paused when idle: requests pass, wait until it is resumed, or are refused.

What to do is `emu.policy.freezing`'s; here it is done: the freezer daemon is asked, requests are let in, timers run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emu.daemon.loop import Log
from emu.daemon.queue_proxy.freezer_client import FreezerClient, FreezerError
from emu.messages import (
    FREEZER_ENDPOINT_VARIABLE,
    FREEZER_GRACE_VARIABLE,
    FREEZER_MODE_VARIABLE,
    FREEZER_PATIENCE_VARIABLE,
    FREEZER_TOKEN_VARIABLE,
    KNATIVE_MODE,
    MAYBE_PAUSED,
    NO_MORE_FREEZES,
    PAUSE,
    PAUSED,
    RESUME,
    RESUMED,
)
from emu.policy.freezing import KNATIVE_RULE, Action, Command, Forward, FreezeRule, Freezing, ProbeAnswer, Refuse

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.probe import Prober
    from emu.daemon.queue_proxy.request import Held

TOKEN_FILE = "/var/run/secrets/tokens/state-token"  # noqa: S105  where Knative mounts it


@dataclass(frozen=True)
class GateSettings:
    """What queue-proxy's environment says of the freezer."""

    endpoint: str
    token: Path
    knative: bool
    rule: FreezeRule

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> GateSettings | None:
        """The settings; None where no freezer is named. ValueError for a number that is none."""
        endpoint = environ.get(FREEZER_ENDPOINT_VARIABLE, "").replace("$HOST_IP", environ.get("HOST_IP", ""))
        if not endpoint:
            return None
        knative = environ.get(FREEZER_MODE_VARIABLE) == KNATIVE_MODE
        rule = KNATIVE_RULE if knative else FreezeRule()
        if grace := environ.get(FREEZER_GRACE_VARIABLE):
            rule = replace(rule, grace_s=float(grace))
        if patience := environ.get(FREEZER_PATIENCE_VARIABLE):
            rule = replace(rule, patience_s=float(patience))
        return cls(endpoint, Path(environ.get(FREEZER_TOKEN_VARIABLE) or TOKEN_FILE), knative, rule)


class Gate:
    """One for all requests of a pod; each is a key, and comes once it is past the breaker."""

    def __init__(self, settings: GateSettings, prober: Prober, log: Log) -> None:
        self._knative = settings.knative
        self._client = FreezerClient(settings.endpoint, settings.token)
        self._policy: Freezing[Held] = Freezing(settings.rule)
        self._prober = prober
        self._log = log
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._forwarded = 0
        self._first_at = self._last_at = 0.0

    def begin(self) -> None:
        """The ports are open soon: find out how the app stands."""
        self._do(self._policy.begin())

    def stop(self) -> None:
        """The process got SIGTERM: the app must get its own."""
        self._log.event(NO_MORE_FREEZES, **self._span())
        self._do(self._policy.stop())

    def close(self) -> None:
        """End what is under way."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._client.close()

    # --- requests

    def enter(self, request: Held) -> bool:
        """Whether the request may go to the app now; if not, `let_in` or `keep_out` of it is called later."""
        actions = self._policy.arrive(request, time.monotonic())
        if actions and isinstance(actions[0], Forward):
            self._count()
            self._arm()
            return True
        self._do(actions)
        return False

    def leave(self, request: Held, *, answered: bool) -> None:
        """The request is over, whether it got to the app or not."""
        self._do(self._policy.leave(request, time.monotonic(), answered=answered))

    # --- probes

    def probe(self, request: Held) -> bool:
        """Whether a kubelet's probe may go to the app, to be ended by `probed`; if not, it was answered for it."""
        answer = ProbeAnswer.ASK if self._knative else self._policy.probe(request)
        if answer is not ProbeAnswer.ASK:
            request.answered_for(answer is ProbeAnswer.READY)
        return answer is ProbeAnswer.ASK

    def probed(self, request: Held) -> None:
        """A probe of the app is over: what waited for it may go on, also the pause."""
        self._do(self._policy.probed(request, time.monotonic()))

    def ask_ready(self, request: Held, answer: Callable[[bool], None]) -> None:
        """Call `answer` with whether the app is ready: asked if it runs, else as it was when it was paused."""
        if self._knative:
            answer(True)  # pkg/queue/sharedmain/main.go of 1.5 on: with the endpoint set, the app is not asked
            return
        found = self._policy.probe(request)
        if found is not ProbeAnswer.ASK:
            answer(found is ProbeAnswer.READY)
            return

        def over(ready: bool) -> None:
            answer(ready)
            self.probed(request)

        self._prober.ask(over)

    # --- within

    def _do(self, actions: list[Action[Held]]) -> None:
        for action in actions:
            match action:
                case Forward(key):
                    self._count()
                    key.let_in()
                case Refuse(key, why):
                    self._log.seldom("kept-out", why=why)
                    key.keep_out(why)
                case Command.CHECK:
                    self._prober.ask(self._checked)
                case Command.PAUSE:
                    self._start(PAUSE)
                case Command.RESUME:
                    self._start(RESUME)
        self._arm()

    def _count(self) -> None:
        now = time.monotonic()
        if not self._forwarded:
            self._first_at = now
        self._forwarded += 1
        self._last_at = now

    def _span(self) -> dict[str, float]:
        """How many requests were forwarded since the last pause, the first and the last of them when."""
        spans = {"firstAt": self._first_at, "lastAt": self._last_at} if self._forwarded else {}
        return {"forwarded": self._forwarded, **spans}

    def _end_stretch(self, event: str, **what: float) -> None:
        self._log.event(event, **what, **self._span())
        self._forwarded = 0

    def _checked(self, ready: bool) -> None:
        self._do(self._policy.checked(ready, time.monotonic()))

    def _start(self, action: str) -> None:
        task = asyncio.get_running_loop().create_task(self._act(action))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, action: str) -> None:
        began = time.monotonic()
        policy = self._policy
        try:
            await self._client.act(action)
        except FreezerError as failed:
            why = str(failed)
            self._log.seldom(f"{action}-failed", why=why)
            now = time.monotonic()
            if action == PAUSE:
                if not failed.certain:  # no request goes to the app until it is resumed, as after a pause
                    self._end_stretch(MAYBE_PAUSED, began=began)
                self._do(policy.pause_failed(now, why, certain=failed.certain))
            else:
                self._do(policy.resume_failed(now, why))
            return
        now = time.monotonic()
        took_ms = round((now - began) * 1e3, 3)
        if action == PAUSE:
            self._end_stretch(PAUSED, began=began, tookMs=took_ms)
            self._do(policy.paused(now))
        else:
            waiting = policy.waiting
            self._do(policy.resumed(now))  # before it is reported: they have waited long enough
            self._log.event(RESUMED, began=began, tookMs=took_ms, waiting=waiting)

    def _arm(self) -> None:
        """Look at the clock when the machine next depends on it."""
        at = self._policy.next_at()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            wait_s = max(0.0, at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        self._timer = None
        self._do(self._policy.tick(time.monotonic()))
