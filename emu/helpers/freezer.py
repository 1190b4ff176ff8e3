"""A run's freezer daemon: started beside the pod, informed of the containers, restarted when it dies.

queue-proxy reaches it through a folder of this machine that is mounted in its container: the daemon's socket, and the
pod's token, as Kubernetes would project it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from emu.daemon.freezer.pods import FreezerPod, Target, write_pods
from emu.helpers.freezer_access import MOUNT, Access
from emu.helpers.helper import START_S, Helper
from emu.messages import (
    FREEZER_ENDPOINT_VARIABLE,
    FREEZER_GRACE_VARIABLE,
    FREEZER_MODE_VARIABLE,
    FREEZER_PATIENCE_VARIABLE,
    FREEZER_TOKEN_VARIABLE,
)
from emu.record.events import EventLog, now
from emu.record.rundir import RunDir
from emu.spec import FreezerSpec

if TYPE_CHECKING:
    from emu.kubelet.pod import Instance

HOME = Path("/run/emu/freezer")
"""A folder for each run with a daemon, named by the run's id; sockets need a file system of the machine itself."""
_SOCKET, _TOKEN, _PODS = "socket", "token", "pods.json"
_LOOK_S = 0.02
_NOT_PAUSED = ("queue-proxy", "sandbox")


class RunFreezer:
    """The daemon of one run, with one pod, whose queue-proxy runs as `user`. A context manager; leaving ends the
    daemon and removes its folder.
    """

    def __init__(self, spec: FreezerSpec, run: RunDir, run_id: str, log: EventLog, user: int) -> None:
        self._user = user
        self._spec = spec
        self._run = run
        self._run_id = run_id
        self._log = log
        self._home = HOME / run_id
        self._token = secrets.token_urlsafe(32)
        self._targets: dict[str, Target] = {}
        self._helper = Helper("the freezer daemon", run.processes / "freezer.log")

    def __enter__(self) -> Self:
        try:
            self._make_home()
            self._write()
            self._start()
            self._await_start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def access(self) -> Access:
        """For queue-proxy."""
        spec = self._spec
        environment = {
            FREEZER_ENDPOINT_VARIABLE: f"unix:{MOUNT}/{_SOCKET}",
            FREEZER_TOKEN_VARIABLE: f"{MOUNT}/{_TOKEN}",
            FREEZER_MODE_VARIABLE: spec.mode,
            FREEZER_PATIENCE_VARIABLE: f"{spec.patience:g}",
        }
        if spec.grace is not None:
            environment[FREEZER_GRACE_VARIABLE] = f"{spec.grace:g}"
        return Access(self._home / "pod", environment)

    def announce(self, instance: Instance, cgroup: Path) -> None:
        """A container's next instance was made; the daemon forgets the one before."""
        if instance.container not in _NOT_PAUSED:
            self._targets[instance.container] = Target(instance.container, instance.attempt, instance.id, cgroup)
            self._write()

    def keep(self) -> None:
        """Start the daemon again if it has died, as a DaemonSet would be; what is frozen stays so meanwhile."""
        if self._helper.status is None:
            return
        self._log.append(self._helper.ended_early("it was started again"))
        self._helper.end()
        self._start()

    def _make_home(self) -> None:
        """With a folder for queue-proxy's user alone: no other user can reach the token and the socket in it."""
        pod = self._home / "pod"
        self._home.mkdir(parents=True)
        self._home.chmod(0o711)
        pod.mkdir(mode=0o700)
        fd = os.open(pod / _TOKEN, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with os.fdopen(fd, "w", encoding="ascii") as token:
            os.fchown(fd, self._user, self._user)
            token.write(self._token)
        os.chown(pod, self._user, self._user)

    def _write(self) -> None:
        write_pods(self._home / _PODS, [FreezerPod(self._run_id, self._token, tuple(self._targets.values()))])

    def _start(self) -> None:
        steps = [word for step in self._spec.reclaim for word in ("--reclaim", f"{step.amount}@{step.after:g}")]
        self._helper.start(
            "emu",
            [
                "freezer", "--pods", str(self._home / _PODS), "--listen", f"unix:{self._socket}",
                "--method", self._spec.method, "--mode", self._spec.mode, *steps,
                "--prefetch", self._spec.prefetch,
                "--events", str(self._run.events), "--run", self._run_id, "--follow-stdin",
            ],
            stdout=False,
        )  # fmt: skip

    @property
    def _socket(self) -> Path:
        return self._home / "pod" / _SOCKET

    def _await_start(self) -> None:
        deadline = now() + START_S
        while not self._answers():
            if self._helper.status is not None or now() > deadline:
                raise self._helper.not_started()
            time.sleep(_LOOK_S)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.connect(str(self._socket))
            except OSError:
                return False
        return True

    def _remove(self) -> None:
        self._helper.end()
        shutil.rmtree(self._home, ignore_errors=True)
        for folder in (HOME, HOME.parent):
            with suppress(OSError):
                folder.rmdir()


def folders() -> list[Path]:
    """The folder of each run that has, or had, a daemon. The daemons end with the runs that started them."""
    return sorted(HOME.iterdir()) if HOME.is_dir() else []
