"""How fast the activator is beside queue-proxy alone, nginx, and any queue-proxy binary. JSON on standard output.

    python bench/activator.py [--rounds 5] [--seconds 2] [--pods 3] [--real QUEUE_PROXY]

Each is one process between the same client and the same app (nginx, which is never the slowest), at 32 connections.
The activator is the one that a run starts, with all that it puts on record, and knows the app as `--pods` pods; with
one it has as many HTTP/2 connections to the app as queue-proxy. They are loaded in turn, and ratios are taken within
a round. On few CPUs throughput also depends on what client and app take: CPU for a request is of the process alone.
Tools and peers are those of bench/protocols.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import protocols
from protocols import APP, APP_H2, Case
from queue_proxy import running, spread

from emu.helpers.activator import RunActivator
from emu.messages import QUEUE_PORT
from emu.messages.endpoints import Endpoint, Endpoints
from emu.record.events import EventLog
from emu.record.rundir import RunDir
from emu.spec import PodSpec

CASES = (
    Case("HTTP/1.1, 32 connections", ("-c32",)),
    Case("HTTP/1.1, 32 connections, answers of 100 KB", ("-c32",), path="/100k"),
    Case("h2c, 32 connections, 1 stream", ("-c32", "-m1"), http2=True),
    Case("h2c, 32 connections, 8 streams", ("-c32", "-m8"), http2=True),
)
READY_S = 20.0
QUEUE_SAYS = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nqueue"
Turn = dict[str, dict[str, float]]


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each burst, in whole seconds and at least 1")
    parser.add_argument("--limit", type=int, default=300, help="containerConcurrency; 0 is no limit")
    parser.add_argument("--pods", type=int, default=3)
    parser.add_argument("--case", default="", help="those with this in their name")
    parser.add_argument("--real", help="a queue-proxy binary to compare with")
    asked = parser.parse_args()
    protocols.need_tools()
    kinds = {"queue-proxy": [sys.executable, "-m", "emu.daemon.queue_proxy"]}
    if asked.real:
        kinds["real"] = [asked.real]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        protocols.files(folder)
        certs = protocols.certificates(folder)
        ours = {
            http2: stack.enter_context(activator(folder, APP_H2 if http2 else APP, asked.limit, asked.pods))
            for http2 in (False, True)
        }
        peer = stack.enter_context(protocols.app_and_peer(folder, certs, running))
        found = {}
        for case in CASES:
            if asked.case in case.name:
                turns = []
                for _ in range(asked.rounds):
                    turn = {"nginx": protocols.burst(case, protocols.peer_port(case), peer, asked.seconds, folder)}
                    turn["activator"] = protocols.burst(case, *ours[case.http2], asked.seconds, folder)
                    for kind, argv in kinds.items():
                        environment = protocols.environment(APP_H2 if case.http2 else APP, certs, asked.limit)
                        with running(argv, QUEUE_PORT, environment, 0) as process:
                            turn[kind] = protocols.burst(case, QUEUE_PORT, process.pid, asked.seconds, folder)
                    turns.append(turn)
                found[case.name] = row(turns)
    print(json.dumps(found, indent=2))


def row(turns: list[Turn]) -> dict[str, Any]:
    """Medians; and how many times the other's throughput, and its requests for the same CPU, the activator has."""
    found: dict[str, Any] = {
        name: {key: round(statistics.median(turn[name][key] for turn in turns), 1) for key in turns[0][name]}
        for name in turns[0]
    }
    for other in turns[0].keys() - {"activator"}:
        found[f"of_{other}"] = spread([turn["activator"]["rps"] / turn[other]["rps"] for turn in turns])
        found[f"of_{other}_by_cpu"] = spread([turn[other]["cpu_us"] / turn["activator"]["cpu_us"] for turn in turns])
    return found


@contextlib.contextmanager
def activator(folder: Path, port: int, limit: int, pods: int) -> Iterator[tuple[int, int]]:
    """One that found its pods ready, all of them the app on this port: its own port, and its process."""
    run = RunDir(folder / f"run-{port}")
    run.create()
    log = EventLog(run.events)
    with RunActivator(PodSpec.model_validate({"containerConcurrency": limit}), run, log) as made:
        addresses = [f"127.0.0.{number}" for number in range(1, pods + 1)]
        with probed(port):
            made.update(Endpoints(tuple(Endpoint(each, port, pod=f"bench-{each}") for each in addresses)))
            ready, until = set[str](), time.monotonic() + READY_S
            while len(ready) < pods:
                ready |= {report.pod for report in made.reports() if report.what == "ready"}
                if time.monotonic() > until:
                    raise SystemExit(f"the activator found {len(ready)} of {pods} pods ready")
                time.sleep(0.05)
        pid = made._helper.pid
        assert pid is not None
        yield made.port, pid


@contextlib.contextmanager
def probed(port: int) -> Iterator[None]:
    """For as long as it is probed, something that says that it is ready stands on the app's port."""
    listener = socket.create_server(("", port))

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    client.recv(4096)
                    client.sendall(QUEUE_SAYS)

    threading.Thread(target=answer, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


if __name__ == "__main__":
    main()
