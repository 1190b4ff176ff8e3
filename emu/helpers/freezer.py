"""A run's freezer daemon: started beside the pods, informed of the containers, restarted when it dies.

queue-proxy reaches it through a folder of this machine that is mounted in its container: the daemon's socket, and the
token of its pod, as Kubernetes would project it.
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
    QUEUE_PROXY,
    SANDBOX,
)
from emu.record.events import EventLog, now
from emu.record.rundir import RunDir
from emu.spec import FreezerSpec

if TYPE_CHECKING:
    from emu.kubelet.pod import Instance

HOME = Path("/run/emu/freezer")
"""A folder for each run with a daemon, named by the run's id; sockets need a file system of the machine itself."""
_SOCKET, _PODS = "socket", "pods.json"
_LOOK_S = 0.02
NOT_PAUSED = (QUEUE_PROXY, SANDBOX)
"""Containers that it leaves alone."""


class RunFreezer:
    """The daemon of one run, for its pods, whose queue-proxies run as `user`. A context manager; leaving ends the
    daemon and removes its folder.
    """

    def __init__(self, spec: FreezerSpec, run: RunDir, run_id: str, log: EventLog, user: int) -> None:
        self._user = user
        self._spec = spec
        self._run = run
        self._run_id = run_id
        self._log = log
        self._home = HOME / run_id
        self._tokens: dict[str, str] = {}
        """Of each pod that is there."""
        self._targets: dict[tuple[str, str], Target] = {}
        """The newest instance of each container, by pod and container."""
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
            FREEZER_MODE_VARIABLE: spec.mode,
            FREEZER_PATIENCE_VARIABLE: f"{spec.patience:g}",
        }
        if spec.grace is not None:
            environment[FREEZER_GRACE_VARIABLE] = f"{spec.grace:g}"
        return Access(self._shared, environment)

    def follow(self, pod: str) -> None:
        """A pod was made: it gets a token of its own, a file that bears its name."""
        self._tokens[pod] = secrets.token_urlsafe(32)
        fd = os.open(self._shared / pod, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with os.fdopen(fd, "w", encoding="ascii") as token:
            os.fchown(fd, self._user, self._user)
            token.write(self._tokens[pod])
        self._write()

    def forget(self, pod: str) -> None:
        """A pod is gone, and its token with it."""
        del self._tokens[pod]
        (self._shared / pod).unlink(missing_ok=True)
        self._targets = {key: target for key, target in self._targets.items() if key[0] != pod}
        self._write()

    def announce(self, instance: Instance) -> None:
        """A container's next instance was made; the daemon forgets the one before."""
        if instance.container not in NOT_PAUSED:
            target = Target(instance.container, instance.attempt, instance.id, instance.cgroup)
            self._targets[instance.pod, instance.container] = target
            self._write()

    def keep(self) -> None:
        """Start the daemon again if it has died, as a DaemonSet would be; what is frozen stays so meanwhile."""
        if self._helper.status is None:
            return
        self._log.append(self._helper.ended_early("it was started again"))
        self._helper.end()
        self._start()

    def _make_home(self) -> None:
        """With a folder for queue-proxy's user alone: no other user can reach the tokens and the socket in it."""
        self._home.mkdir(parents=True)
        self._home.chmod(0o711)
        self._shared.mkdir(mode=0o700)
        os.chown(self._shared, self._user, self._user)

    def _write(self) -> None:
        pods = (
            FreezerPod(pod, token, tuple(target for (owner, _), target in self._targets.items() if owner == pod))
            for pod, token in self._tokens.items()
        )
        write_pods(self._home / _PODS, pods)

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
        return self._shared / _SOCKET

    @property
    def _shared(self) -> Path:
        """What queue-proxies find at MOUNT."""
        return self._home / "pod"

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
