"""A sidecar's stand-in, for what a service mesh or an agent adds to a pod: it takes a while, holds memory, listens.

    python -m emu.daemon.app.sidecar

PORT is where it answers 200 to every request once it is ready (nowhere if not set). EMU_START_SECONDS is how long it
takes to be, EMU_HOLD_BYTES the anonymous memory it then holds. SIGTERM ends it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Mapping

from emu.daemon import loop
from emu.daemon.app.memory import fill, reserve
from emu.messages import HOLD_VARIABLE, LISTENING, START_VARIABLE, STARTED

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_REQUEST_BYTES = 4096
_PATIENCE_S = 1.0
"""How long a client may take to ask; it is served alone meanwhile."""


def main(environ: Mapping[str, str]) -> int:
    """Start, hold, listen, until SIGTERM; the exit status."""
    signal.signal(signal.SIGTERM, _end)
    log = loop.Log("sidecar")
    log.event(STARTED, pid=os.getpid())
    time.sleep(float(environ.get(START_VARIABLE) or 0.0))
    size = int(environ.get(HOLD_VARIABLE) or 0)
    space = reserve(size) if size else None
    if space is not None:
        fill(space)
    log.event("holds", bytes=size)
    port = environ.get("PORT")
    if not port:
        signal.pause()
        return 0
    with socket.create_server(("", int(port)), backlog=loop.LISTEN_BACKLOG) as listener:
        log.event(LISTENING, port=listener.getsockname()[1])
        while True:
            _serve(listener.accept()[0])


def _serve(connection: socket.socket) -> None:
    """Answer one request; a client that asks nothing, as a TCP probe, is let go."""
    with connection:
        connection.settimeout(_PATIENCE_S)
        try:
            if connection.recv(_REQUEST_BYTES):
                connection.sendall(_OK)
        except OSError:
            return


def _end(number: int, frame: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main(os.environ))
