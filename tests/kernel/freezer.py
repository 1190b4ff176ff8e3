"""A freezer daemon as a process, that acts on cgroups, and how a test asks it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from cgroups.group import Cgroup
from emu.daemon.freezer.pods import FreezerPod, Target, write_pods
from emu.daemon.queue_proxy.freezer_client import FreezerClient
from tests.kernel.support import DEADLINE_S, eventually

TOKEN = "the-pods-token"


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("freezer", timeout=DEADLINE_S)
        self._path = str(path)

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(self._path)


class Freezer:
    """A daemon that acts on these pods."""

    def __init__(
        self, folder: Path, pods: Iterable[FreezerPod], words: tuple[str, ...] = (), method: str = "cgroup"
    ) -> None:
        self.pods = folder / "pods.json"
        self.socket = folder / "socket"
        self.events = folder / "events.jsonl"
        self._words = words
        self._method = method
        self._log = folder / "log"
        write_pods(self.pods, pods)
        self.start()

    def name(self, *groups: Cgroup) -> None:
        """Write which containers the one pod has."""
        write_pods(self.pods, [one_pod(*groups)])

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "emu", "freezer", "--pods", str(self.pods), "--method", self._method,
                    "--listen", f"unix:{self.socket}", "--events", str(self.events), *self._words,
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            return self.page("/status") != ""
        except OSError:
            return False

    def page(self, path: str) -> str:
        """A page of it."""
        connection = Connection(self.socket)
        connection.request("GET", path)
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def said(self, event: str) -> int:
        """How often its log has that."""
        return self._log.read_text().count(f'"event":"{event}"')

    def ask(self, action: str, token: str | None = TOKEN) -> int:
        """The status of an action."""
        connection = Connection(self.socket)
        connection.request("POST", "/", json.dumps({"action": action}), {} if token is None else {"Token": token})
        status = connection.getresponse().status
        connection.close()
        return status

    def cycle(self, times: int) -> None:
        """Pause and resume so often, over one connection."""
        connection = Connection(self.socket)
        for action in ("pause", "resume") * times:
            connection.request("POST", "/", json.dumps({"action": action}), {"Token": TOKEN})
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
        connection.close()

    def kill(self) -> None:
        """As the kernel's OOM killer would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """The end."""
        self.process.terminate()
        self.process.wait(DEADLINE_S)


def one_pod(*groups: Cgroup) -> FreezerPod:
    """A pod whose containers are these cgroups."""
    return FreezerPod("pod", TOKEN, tuple(target(group) for group in groups))


def target(group: Cgroup) -> Target:
    """A container that is this cgroup."""
    return Target(group.path.name, 0, f"id-{group.path.name}", group.path)


def frozen(group: Cgroup) -> bool:
    """By the kernel's word."""
    return group.events().frozen is True


def resident(pid: int) -> int:
    """Resident memory of a process, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def client(freezer: Freezer, folder: Path, pod: FreezerPod) -> FreezerClient:
    """queue-proxy's way to a daemon, with the token of a pod."""
    token = folder / f"token-of-{pod.name}"
    token.write_text(pod.token)
    return FreezerClient(f"unix:{freezer.socket}", token)
