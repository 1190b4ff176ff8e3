"""The activator: in front of a pod that may be gone, it holds requests until there is one, and forwards them.

    python -m emu.daemon.activator --port 0 --events events.jsonl

It runs beside the pods, outside their cgroups. Standard input carries, a JSON line each, where the pods are
(`Endpoints`), and its end ends the process; standard output carries the autoscaler's input (`ActivatorReport`),
standard error the log. Rules from knative/serving, cmd/activator and pkg/activator: each request is forwarded once
queue-proxy has said that the app is ready, in the order of arrival, under the limit of containerConcurrency, and is
ended by the revision's timers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from emu.daemon import loop as runtime
from emu.daemon.activator.exchange import HeldExchange, TracedExchange
from emu.daemon.activator.front import Front, FrontSettings
from emu.daemon.activator.known import HeldRequests
from emu.daemon.http import http1
from emu.daemon.http.server import Server
from emu.daemon.queue_proxy.settings import HEAD_LIMIT_S
from emu.messages.endpoints import Endpoints
from emu.policy.activation import PROBE_EVERY_S
from emu.policy.stats import REPORT_PERIOD_S
from emu.record.events import EventLog

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.h2_downstream import DownstreamConnection2

_READ = 1 << 16


async def serve(front: Front, port: int) -> int:
    """Listen on loopback until SIGTERM or the end of standard input."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server, http2 = _server(front)
    bound = await server.listen("127.0.0.1", port, runtime.LISTEN_BACKLOG)
    front.forwarded.port = bound
    os.set_blocking(0, False)
    loop.add_reader(0, _Input(front, stop).read)
    front.send("listening", time.monotonic(), port=bound)
    reporting = loop.create_task(_every(front.settings.report_every_s, front))
    await stop.wait()
    loop.remove_reader(0)
    reporting.cancel()
    await server.stop(0.0)
    for connection in list(http2):
        connection.cut()
    front.ends.flush()
    front.forwarded.flush()
    front.record_loads(time.monotonic())
    return 0


def _server(front: Front) -> tuple[Server, set[DownstreamConnection2]]:
    """What serves clients, and those of them that speak HTTP/2. Traced ones are in HTTP/1, and go the long way."""
    connections: set[DownstreamConnection2] = set()
    if front.settings.traced:
        traced = Server(partial(TracedExchange, front), full_duplex=False, head_limit_s=HEAD_LIMIT_S)
        return traced, connections
    requests = HeldRequests(front)
    front.learn = requests.learn

    def speak_http2(
        transport: asyncio.Transport, peer: str, said: bytes, upgrade: tuple[bytes, http1.Head] | None
    ) -> None:
        # Imported only now: an activator whose clients speak HTTP/1 does not carry it.
        from emu.daemon.activator.streams import HeldConnection

        HeldConnection(front, peer, connections).begin(transport, said, upgrade)

    exchanges = partial(HeldExchange, front)
    server = Server(exchanges, full_duplex=False, http2=speak_http2, known=requests.known, head_limit_s=HEAD_LIMIT_S)
    return server, connections


async def _every(seconds: float, front: Front) -> None:
    while True:
        await asyncio.sleep(seconds)
        front.report()
        front.sweep()


class _Input:
    """Lines that come in pieces."""

    def __init__(self, front: Front, stop: asyncio.Event) -> None:
        self._front = front
        self._stop = stop
        self._rest = b""

    def read(self) -> None:
        part = os.read(0, _READ)
        if not part:
            self._stop.set()
            return
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            self._front.update(Endpoints.from_line(line))


def main(argv: list[str] | None = None) -> int:
    """Run it; its exit status."""
    parser = argparse.ArgumentParser(prog="emu.daemon.activator")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--revision", default="", help="whose requests it has, for the record")
    parser.add_argument("--concurrency", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=300.0)
    parser.add_argument("--response-start-timeout", type=float, default=0.0)
    parser.add_argument("--idle-timeout", type=float, default=0.0)
    parser.add_argument("--probe-every", type=float, default=PROBE_EVERY_S)
    parser.add_argument("--report-every", type=float, default=REPORT_PERIOD_S)
    parser.add_argument("--traced", action="store_true", help="report each request's arrival and forwarding")
    options = parser.parse_args(argv)
    settings = FrontSettings(
        options.timeout,
        options.response_start_timeout,
        options.idle_timeout,
        options.concurrency,
        options.probe_every,
        options.traced,
        options.revision,
        options.report_every,
    )

    async def run() -> int:
        log, out = runtime.Log("activator", fd=2), runtime.Log("activator")
        return await serve(Front(settings, log, out, EventLog(options.events)), options.port)

    try:
        return runtime.run(run)
    except OSError as failed:
        print(f"the activator cannot listen on port {options.port}: {failed}", file=sys.stderr, flush=True)
        return 1
