"""What the freezer's benchmarks share: something to freeze, a daemon and a client of it, figures. Milliseconds."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from cgroups.freeze import thaw
from cgroups.group import Cgroup, own_cgroup
from cgroups.mount import find_cgroup2
from emu.daemon.freezer.pods import FreezerPod, Target, write_pods
from emu.daemon.loop import new_loop
from emu.daemon.queue_proxy.freezer_client import FreezerClient, FreezerError
from emu.messages import PAUSE, RESUME
from emu.runtime import images
from emu.runtime.docker import LABEL_RUN, ContainerRequest, Engine

TOKEN = "token"  # noqa: S105  of a daemon that lives for a minute
START_S = 60.0
SLEEP = ("sleep", "infinity")


@contextmanager
def process(argv: Sequence[str] = SLEEP, env: dict[str, str] | None = None) -> Iterator[Target]:
    """A process in a cgroup of its own, which needs neither an engine nor the memory controller."""
    with Cgroup(find_cgroup2().path / f"emu-bench-{os.getpid()}-{time.monotonic_ns()}") as group:
        child = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL)
        try:
            group.add(child.pid)
            yield Target("app", 0, "", group.path)
        finally:
            thaw(group)
            child.kill()
            child.wait()


@contextmanager
def container(engine: Engine) -> Iterator[Target]:
    """A container that sleeps."""
    name = f"emu-bench-freeze-{time.monotonic_ns()}"
    made = engine.create(ContainerRequest(name, images.BASE, {LABEL_RUN: name}, command=list(SLEEP)))
    try:
        engine.start(made)
        yield Target("app", 0, made, own_cgroup(engine.state(made).pid).path)
    finally:
        engine.remove(made)


@contextmanager
def daemon_process(folder: Path, target: Target, method: str) -> Iterator[int]:
    """The daemon as a process, listening on `socket` in the folder; its process id."""
    pods = folder / "pods.json"
    write_pods(pods, [FreezerPod("bench", TOKEN, (target,))])
    words = ["--pods", str(pods), "--listen", f"unix:{folder}/socket", "--method", method]
    words += ["--events", f"{folder}/events.jsonl"]  # as in a run
    child = subprocess.Popen([sys.executable, "-m", "emu", "freezer", *words], stdout=subprocess.DEVNULL)
    try:
        yield child.pid
    finally:
        child.terminate()
        child.wait()


class Asking:
    """queue-proxy's own client of a daemon, on queue-proxy's own kind of loop."""

    def __init__(self, folder: Path) -> None:
        token = folder / "token"
        token.write_text(TOKEN)
        self._client = FreezerClient(f"unix:{folder}/socket", token)
        self._loop = new_loop()

    def __enter__(self) -> Self:
        """Wait until the daemon answers."""
        until = time.monotonic() + START_S
        while True:
            try:
                self._loop.run_until_complete(self._client.act(RESUME))
                return self
            except FreezerError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._loop.close()

    def resumes(self, rounds: int) -> list[float]:
        """How long each resume took; a pause goes before each."""
        return self._loop.run_until_complete(self._resumes(rounds))

    async def _resumes(self, rounds: int) -> list[float]:
        took = []
        for _ in range(rounds):
            await self._client.act(PAUSE)
            began = time.monotonic()
            await self._client.act(RESUME)
            took.append((time.monotonic() - began) * 1e3)
        return took


def resident_kib(pid: int) -> int:
    """Resident memory of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def clock_ms(call: Callable[[], object]) -> float:
    """How long a call took."""
    began = time.monotonic()
    call()
    return (time.monotonic() - began) * 1e3


def figures(took: Sequence[float]) -> dict[str, float]:
    """The middle, and the edge."""
    ordered = sorted(took)
    return {"p50": round(statistics.median(ordered), 3), "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 3)}
