"""A run's recorder: the process that samples the pods, and what its end means for the run."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from emu.errors import EXIT_NOT_RECORDED
from emu.helpers.helper import START_S, Helper
from emu.kubelet.pod import Instance, Pod
from emu.record.events import EventLog
from emu.record.rundir import RunDir, cannot_record


class RunRecorder:
    """The recorder of one run, and whether what the run says of itself can still be written. A context manager."""

    def __init__(self, run: RunDir, log: EventLog, interval_s: float) -> None:
        self._run = run
        self._log = log
        self._interval_s = interval_s
        self._helper = Helper("the recorder", run.processes / "recorder.err")
        self._full = False
        self.asks: socket.socket | None = None
        """At which samples are asked for, while it records."""

    def __enter__(self) -> Self:
        self.asks, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = ["--run", str(self._run.path), "--interval", str(self._interval_s), "--asks", str(asked.fileno())]
        with asked:  # from here on the recorder's alone: whoever waits for it sees its end
            self._helper.start("emu.record.recorder", words, pass_fds=[asked.fileno()])
        if self._helper.line(START_S) != b"recording\n":
            self._end()
            raise self._helper.not_started()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if self._helper.status not in (0, EXIT_NOT_RECORDED):
            self._log.append(self._helper.ended_early("samples and kernel log lines stop there", "error"))

    def check(self) -> None:
        """EmuError if the record can no longer be written. The room set aside is given up then, to what follows:
        so the recorder, whose part is over, is ended first.
        """
        if self._full:
            return
        why = None
        if self._log.failure is not None:
            why = f"{self._run.events.name}: {self._log.failure.strerror}"
        elif self._helper.status == EXIT_NOT_RECORDED:
            why = self._helper.line(START_S).decode(errors="replace").strip()
        if why is None:
            return
        self._full = True
        self._helper.end(terminate=True)
        self._run.release()
        raise cannot_record(why)

    def follow(self, pod: Pod) -> None:
        """Watch a pod, whose cgroup is there; it ends by itself when that goes."""
        self._send({"pod": pod.name, "cgroup": str(pod.cgroup.path)})

    def follow_node(self, cgroup: Path) -> None:
        """Watch the cgroup that all pods are in, until the recording ends."""
        self._send({"node": str(cgroup)})

    def announce(self, instance: Instance) -> None:
        """Say whose cgroup will come; before the container is started."""
        self._send(
            {
                "pod": instance.pod,
                "id": instance.id,
                "container": instance.container,
                "attempt": instance.attempt,
            }
        )

    def _end(self) -> None:
        self._helper.end()
        if self.asks is not None:
            self.asks.close()

    def _send(self, line: Mapping[str, str | int]) -> None:
        self._helper.send(json.dumps(line) + "\n")
