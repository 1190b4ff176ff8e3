"""A run's activator: the process that the load generator talks to where the pod may be scaled to zero.

Started before the pod, sent its address, restarted on the same port when it dies. It ends when its standard
input does, so that it outlives no run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from emu.helpers.helper import START_S, Helper
from emu.messages.endpoints import ActivatorReport, Endpoint, Endpoints
from emu.policy.stats import REPORT_PERIOD_S
from emu.record.events import EventLog
from emu.record.rundir import RunDir
from emu.spec import PodSpec


@dataclass(frozen=True)
class Traced:
    """Each request is reported, none is limited, and a pod is probed often enough to see when it is ready."""

    timeout_s: float
    """How long a request may take, the start that it waits for included."""
    probe_every_s: float = 0.025

    @property
    def words(self) -> list[str]:
        """What the process is started with."""
        return ["--traced", "--timeout", str(self.timeout_s), "--probe-every", str(self.probe_every_s)]


class RunActivator:
    """The process of one run. A context manager."""

    def __init__(
        self,
        spec: PodSpec,
        run: RunDir,
        log: EventLog,
        on_line: Callable[[], None] = lambda: None,
        *,
        traced: Traced | None = None,
        revision: str = "",
        time_scale: float = 1.0,
    ) -> None:
        """`on_line` is called, in a thread, when `reports` has something to give. `revision`: whose requests it has,
        where a run has several activators. `time_scale` divides the time between two reports.
        """
        self._spec = spec
        self._run = run
        self._log = log
        self._on_line = on_line
        self._traced = traced
        self._report_every_s = REPORT_PERIOD_S / time_scale
        self._endpoints = Endpoints()
        self._found: set[str] = set()
        """The addresses of pods that its probes found ready."""
        self._revision = revision
        of, suffix = (f" of {revision}", f"-{revision}") if revision else ("", "")
        self._helper = Helper(f"the activator{of}", run.processes / f"activator{suffix}.log")
        self.port = 0
        """Where it listens, on loopback."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._helper.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._helper.end()

    def update(self, endpoints: Endpoints) -> None:
        """Say where the pods are."""
        self._endpoints = endpoints
        self._helper.send(endpoints.to_line())

    def reaches(self, pod: Endpoint) -> bool:
        """Whether its probe found this pod ready, as far as `reports` has given that."""
        return pod.host_port in self._found

    def reports(self) -> Iterator[ActivatorReport]:
        self._keep()
        for line in self._helper.lines():
            report = ActivatorReport.from_line(line)
            if report.what == "ready":
                self._found.add(report.pod)
            yield report

    def _of_revision(self) -> list[str]:
        spec = self._spec
        return [
            "--concurrency", str(spec.container_concurrency), "--timeout", str(spec.timeout_seconds),
            "--response-start-timeout", str(spec.response_start_timeout_seconds),
            "--idle-timeout", str(spec.idle_timeout_seconds), "--report-every", str(self._report_every_s),
        ]  # fmt: skip

    def _keep(self) -> None:
        """Start it again if it has died, as its Deployment would; the requests that it held are lost."""
        if self._helper.status is None:
            return
        self._log.append(self._helper.ended_early("it was started again", "error"))
        self._helper.end()
        self._found.clear()
        self._start()
        self.update(self._endpoints)

    def _start(self) -> None:
        words = self._of_revision() if self._traced is None else self._traced.words
        self._helper.start(
            "emu.daemon.activator",
            ["--port", str(self.port), "--events", str(self._run.events), "--revision", self._revision, *words],
            on_line=self._on_line,
        )
        line = self._helper.line(START_S)
        if not line:
            raise self._helper.not_started()
        self.port = ActivatorReport.from_line(line).port
