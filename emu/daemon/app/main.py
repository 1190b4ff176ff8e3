"""The app of a pod: an HTTP server whose requests do what their query string asks (`emu.messages.work.Work`).

    python -m emu.daemon.app [--port N] [--host ADDRESS]
    python -m emu.daemon.app make-file PATH BYTES

The port is PORT's, as Knative sets it, else 8080. Files are those of DATA_DIR (/emu-data). `GET /healthz` answers
200, or 503 for as long as a request wanted it. SIGTERM lets what is in flight finish for EMU_APP_GRACE_SECONDS (30),
then the exit status is 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from emu.daemon import loop as runtime
from emu.daemon.app import work
from emu.daemon.app.exchange import App
from emu.daemon.http.server import Server
from emu.messages import APP, LISTENING, STARTED, USER_PORT

GRACE_S = 30.0


async def serve(host: str, port: int, grace_s: float, log: runtime.Log) -> int:
    """Serve until SIGTERM; the exit status."""
    app = App(log)
    server = Server(app.exchange)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bound = await server.listen(host, port, runtime.LISTEN_BACKLOG)
    log.event(LISTENING, port=bound)
    await stop.wait()
    log.event("stopping", inFlight=sum(connection.busy for connection in server.connections))
    finished = await server.stop(grace_s)
    log.event("stopped", finished=finished)
    app.pool.shutdown(wait=False, cancel_futures=True)
    return 0


def _make_file(argv: list[str]) -> int:
    try:
        name, size = argv
        work.make_file(Path(name), int(size))
    except ValueError:
        print("usage: python -m emu.daemon.app make-file PATH BYTES", file=sys.stderr)
        return 2
    except OSError as failed:
        print(f"cannot make a file of {size} bytes: {failed}", file=sys.stderr)
        return 1
    return 0


def _address(argv: list[str], port: int) -> tuple[str, int]:
    host = "0.0.0.0"  # noqa: S104  queue-proxy comes from the same network namespace
    if not argv:
        return host, port
    # A container has no arguments, and its start is not to pay for argparse, a tenth of it.
    import argparse

    parser = argparse.ArgumentParser(prog="python -m emu.daemon.app", description=__doc__)
    parser.add_argument("--port", type=int, default=port)
    parser.add_argument("--host", default=host)
    asked = parser.parse_args(argv)
    return asked.host, asked.port


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the app, or make a file; the exit status."""
    if argv[:1] == ["make-file"]:
        return _make_file(argv[1:])
    host, port = _address(argv, int(environ.get("PORT") or USER_PORT))
    log = runtime.Log(APP)
    log.event(STARTED, pid=os.getpid())
    grace_s = float(environ.get("EMU_APP_GRACE_SECONDS") or GRACE_S)
    code = runtime.run(lambda: serve(host, port, grace_s, log))
    # Threads may still be at work; they are not waited for.
    os._exit(code)
