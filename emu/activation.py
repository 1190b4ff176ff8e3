"""A run's activator: the process that the load generator talks to where the pod may be scaled to zero.

Started before the pod, told where that is, started anew on the same port when it dies. It ends when its standard
input does, so that it outlives no run.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from subprocess import PIPE, Popen, TimeoutExpired
from types import TracebackType
from typing import Self

from emu import command
from emu.errors import EmuError
from emu.events import EventLog, Note, now
from emu.messages import Pointed, Told
from emu.rundir import RunDir
from emu.spec import PodSpec

_START_S = 60.0
_END_S = 10.0


class RunActivator:
    """The process of one run. A context manager."""

    def __init__(self, spec: PodSpec, run: RunDir, log: EventLog) -> None:
        self._spec = spec
        self._run = run
        self._log = log
        self._pointed = Pointed()
        self._lines: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._process: Popen[bytes] | None = None
        self.port = 0
        """Where it listens, on loopback."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def point(self, pointed: Pointed) -> None:
        """Say where the pod is."""
        self._pointed = pointed
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(pointed.to_line().encode())
            process.stdin.flush()
        except BrokenPipeError:
            return  # `hear` finds that it has ended, and starts another

    def hear(self, wait_s: float = 0.0) -> Iterator[Told]:
        """All that it said since; the first line is waited for so long."""
        self._keep()
        while True:
            try:
                yield self._lines.get(timeout=wait_s) if wait_s else self._lines.get_nowait()
            except queue.Empty:
                return
            wait_s = 0.0

    def _keep(self) -> None:
        """Start it again if it has died, as its Deployment would; the requests that it held are lost."""
        process = self._process
        if process is None or process.poll() is None:
            return
        why = f"its process ended with status {process.returncode}; it was started again"
        self._log.append(Note(now(), "the activator ended before the run did", why, "error"))
        self._end()
        self._start()
        self.point(self._pointed)

    def _start(self) -> None:
        spec = self._spec
        with (self._run.processes / "activator.log").open("ab") as errors:
            process = self._process = command.spawn(
                [
                    sys.executable, "-m", "emu.daemon.activator",
                    "--port", str(self.port), "--events", str(self._run.events),
                    "--concurrency", str(spec.container_concurrency), "--timeout", str(spec.timeout_seconds),
                    "--response-start-timeout", str(spec.response_start_timeout_seconds),
                    "--idle-timeout", str(spec.idle_timeout_seconds),
                ],
                stdin=PIPE, stdout=PIPE, stderr=errors.fileno(),
            )  # fmt: skip
        lines = self._lines = queue.SimpleQueue()
        threading.Thread(target=_read, args=(process, lines), daemon=True).start()
        try:
            self.port = lines.get(timeout=_START_S).port
        except queue.Empty:
            self.port = 0
        if not self.port:
            said = (self._run.processes / "activator.log").read_text(errors="replace").strip()[-2000:]
            raise EmuError(
                "the activator did not start", said or "it said nothing", "tell us: this should not happen"
            )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_END_S)
        except TimeoutExpired:
            process.kill()
            process.wait()


def _read(process: Popen[bytes], lines: queue.SimpleQueue[Told]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(Told.from_line(line))
    lines.put(Told("ended", now()))
