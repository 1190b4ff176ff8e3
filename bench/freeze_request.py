"""What a resume adds to a request through queue-proxy, beyond the thaw itself. Used by freeze.py. Milliseconds.

Two queue-proxies, each with an app in a cgroup of its own: one app is frozen before each request, the other never is.
They are asked in turn, after the same rest; queue-proxy's log says how long the resume took.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from freezing import Asking, daemon_process, figures, process

from emu.daemon.freezer.pods import Target
from emu.messages import FREEZER_ENDPOINT_VARIABLE, FREEZER_GRACE_VARIABLE, FREEZER_TOKEN_VARIABLE
from emu.serving.template import queue_proxy_environment

ROUNDS = 500
WARM_UP = 20
GRACE_S = 0.02
START_S = 60.0
_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Way:
    """A connection to a queue-proxy, and what that says of itself."""

    def __init__(self, port: int, proxy: subprocess.Popen[str]) -> None:
        self.connection = connect(port)
        self._proxy = proxy

    def ask(self) -> float:
        """How long a request took, to the first byte of its answer."""
        began = time.monotonic()
        self.connection.sendall(_REQUEST)
        answer = self.connection.recv(65536)
        took = time.monotonic() - began
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"queue-proxy answered {answer[:80]!r}")
        return took * 1e3

    def logged(self, event: str) -> dict[str, Any]:
        """The next line of its log about that."""
        assert self._proxy.stdout is not None
        for line in self._proxy.stdout:
            said: dict[str, Any] = json.loads(line)
            if said["event"] == event:
                return said
        raise SystemExit("queue-proxy has ended")


def connect(port: int) -> socket.socket:
    """A connection, as soon as somebody listens."""
    until = time.monotonic() + START_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=START_S)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@contextmanager
def app(stack: ExitStack) -> Iterator[tuple[Target, int]]:
    """An app in a cgroup of its own that listens, and its port."""
    port = free_port()
    words = [sys.executable, "-m", "emu.daemon.app", "--host", "127.0.0.1", "--port", str(port)]
    target = stack.enter_context(process(words))
    connect(port).close()
    yield target, port


@contextmanager
def queue_proxy(app_port: int, **more: str) -> Iterator[Way]:
    """A queue-proxy before an app."""
    port = free_port()
    env = queue_proxy_environment(10, app_port, "127.0.0.1", "bench")
    env |= {"QUEUE_SERVING_PORT": str(port), "QUEUE_SERVING_TLS_PORT": str(free_port())}
    env |= {"EMU_ADMIN_PORT": str(free_port()), "EMU_STATS_PORT": "0", "EMU_METRICS_PORT": "0"}
    env |= {"EMU_DRAIN_QUIET_SECONDS": "0.1", **more}
    words = [sys.executable, "-m", "emu.daemon.queue_proxy"]
    proxy = subprocess.Popen(words, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)
    try:
        yield Way(port, proxy)
    finally:
        proxy.terminate()
        proxy.communicate()


def measure(folder: Path) -> dict[str, Any]:
    """Requests to the frozen app and to the other, in turn."""
    with ExitStack() as stack:
        frozen, frozen_port = stack.enter_context(app(stack))
        _, running_port = stack.enter_context(app(stack))
        stack.enter_context(daemon_process(folder, frozen, "cgroup"))
        with Asking(folder):  # it answers by now
            pass
        options = {
            FREEZER_ENDPOINT_VARIABLE: f"unix:{folder}/socket",
            FREEZER_TOKEN_VARIABLE: f"{folder}/token",
            FREEZER_GRACE_VARIABLE: str(GRACE_S),
        }
        cold = stack.enter_context(queue_proxy(frozen_port, **options))
        warm = stack.enter_context(queue_proxy(running_port))
        took = [_round(cold, warm) for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
    to_frozen, to_running, resumes = zip(*took, strict=True)
    more = [frozen - running - resume for frozen, running, resume in took]
    return {
        "to_frozen_ms": figures(to_frozen),
        "to_running_ms": figures(to_running),
        "resume_ms": figures(resumes),
        "more_ms": figures(more),
        "rounds": len(took),
    }


def _round(cold: Way, warm: Way) -> tuple[float, float, float]:
    cold.logged("paused")
    to_frozen = cold.ask()
    resume = float(cold.logged("resumed")["tookMs"])
    time.sleep(GRACE_S)
    return to_frozen, warm.ask(), resume
