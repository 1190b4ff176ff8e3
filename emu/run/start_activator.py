"""The activator of a run that measures starts: it is sent where the pod is, and its reports are waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from emu.errors import EmuError
from emu.helpers.activator import RunActivator, Traced
from emu.messages.endpoints import ActivatorReport, Endpoint, Endpoints
from emu.record.events import EventLog, now
from emu.record.rundir import RunDir
from emu.run.start_client import Asking
from emu.spec import PodSpec

TURN_S = 0.25
"""How long reports are waited for before the run is looked after again."""
_LAG_S = 1.0
"""How long after its answer a request's reports are waited for."""
_GRACE_S = 60.0
"""How much longer than the deadline the activator holds a request."""


class StartActivator:
    """A context manager; leaving it ends the process."""

    def __init__(self, spec: PodSpec, run: RunDir, log: EventLog, check: Callable[[], None]) -> None:
        """`check` is called while a report is waited for."""
        self._check = check
        self._timeout_s = spec.ready_timeout
        self._news = threading.Event()
        """The activator has reported something."""
        traced = Traced(self._timeout_s + _GRACE_S)
        self._activator = RunActivator(spec, run, log, self._news.set, traced=traced)
        self._pods: tuple[Endpoint, ...] = ()
        """What the activator was sent last."""

    def __enter__(self) -> Self:
        self._activator.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._activator.__exit__(kind, error, trace)

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return self._activator.port

    def publish(self, *pods: Endpoint) -> None:
        """Send it where the pods are."""
        self._pods = pods
        self._activator.update(Endpoints(pods))

    def withdraw(self) -> None:
        """There is no pod from now on."""
        if self._pods:
            self.publish()

    def wait_for(self, what: str, deadline: float, asking: Asking | None = None) -> ActivatorReport | None:
        """The activator's next report of this kind; None where the client's request is over and there is none. Others
        are passed over: each kind is waited for in the order in which they come.
        """
        since = 0.0 if asking is None else asking.answer.sent
        over_at = None
        while True:
            self._news.clear()
            if over_at is None and asking is not None and asking.over():
                over_at = now()
            for report in self._activator.reports():
                if report.what == what and report.t >= since:
                    return report
            if over_at is not None and now() > over_at + _LAG_S:
                return None
            self._check()
            if now() > deadline:
                raise EmuError(
                    "the pod did not become ready" if what == "ready" else "the activator does not report",
                    f"there was no {what!r} within {self._timeout_s:g} s",
                    "see logs/ and processes/activator.log, or raise pod.readyTimeout",
                )
            self._news.wait(TURN_S)
