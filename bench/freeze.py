"""What resuming a frozen container costs beyond the kernel and the engine, as JSON. Milliseconds.

Run it where runs take place (`make bench` goes to the sandbox if this host lacks something). One container, and

- `cgroup`: from queue-proxy's own client, through the daemon, to the kernel's word and back, beside `freeze_poll.c`,
  which writes cgroup.freeze and polls;
- `docker`: the same client through the daemon, beside the engine's own unpause call through its library;
- the daemon's resident memory before and after.

What is compared alternates in blocks, so that both see the same minute of a shared machine.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from place import scratch

from cgroups.group import own_cgroup
from emu import images
from emu.containers import LABEL_RUN, ContainerRequest, Engine
from emu.daemon.freezer_client import FreezerClient, FreezerError
from emu.daemon.freezer_pods import FreezerPod, Target, write_pods
from emu.messages import PAUSE, RESUME

BLOCKS = 5
ROUNDS = {"cgroup": 100, "docker": 10}
"""In a block."""
WARM_UP = 20
START_S = 60.0


@contextmanager
def container(engine: Engine) -> Iterator[Target]:
    """A container that sleeps."""
    name = f"emu-bench-freeze-{time.monotonic_ns()}"
    made = engine.create(ContainerRequest(name, images.BASE, {LABEL_RUN: name}, command=["sleep", "infinity"]))
    try:
        engine.start(made)
        yield Target("app", 0, made, own_cgroup(int(engine.state(made)["Pid"])).path)
    finally:
        engine.remove(made)


@contextmanager
def daemon(folder: Path, target: Target, method: str) -> Iterator[tuple[FreezerClient, int]]:
    """The daemon as a process, a client of it, and its process id."""
    pods, token, socket = folder / "pods.json", folder / "token", folder / "socket"
    write_pods(pods, [FreezerPod("bench", "token", (target,))])
    token.write_text("token")
    words = ["--pods", str(pods), "--listen", f"unix:{socket}", "--method", method]
    process = subprocess.Popen([sys.executable, "-m", "emu", "freezer", *words], stdout=subprocess.DEVNULL)
    try:
        yield FreezerClient(f"unix:{socket}", token), process.pid
    finally:
        process.terminate()
        process.wait()


async def resumes(client: FreezerClient, rounds: int) -> list[float]:
    """How long each resume took the client; a pause goes before each."""
    took = []
    for _ in range(rounds):
        await client.act(PAUSE)
        began = time.monotonic()
        await client.act(RESUME)
        took.append((time.monotonic() - began) * 1e3)
    return took


async def answers(client: FreezerClient) -> None:
    """Wait until the daemon does."""
    until = time.monotonic() + START_S
    while True:
        try:
            await client.act(RESUME)
            return
        except FreezerError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)


def unpauses(engine: Engine, target: Target, rounds: int) -> list[float]:
    """How long each of the engine's own calls took."""
    took = []
    for _ in range(rounds):
        engine.pause(target.id)
        began = time.monotonic()
        engine.unpause(target.id)
        took.append((time.monotonic() - began) * 1e3)
    return took


def polls(program: Path, target: Target, rounds: int) -> list[float]:
    """How long each thaw took the C program."""
    said = subprocess.run([program, target.cgroup, str(rounds)], capture_output=True, text=True, check=True).stdout
    return [float(line) / 1e3 for line in said.split()]


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1000, 1)


def figures(took: list[float]) -> dict[str, float]:
    """The middle, and the edge."""
    ordered = sorted(took)
    return {"p50": round(statistics.median(ordered), 3), "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 3)}


def measure(engine: Engine, target: Target, method: str, program: Path) -> dict[str, object]:
    """One method beside what it stands on."""
    ours: list[float] = []
    floor: list[float] = []
    rounds = ROUNDS[method]
    with TemporaryDirectory(dir="/tmp") as folder, daemon(Path(folder), target, method) as (client, pid):

        async def block(number: int) -> list[float]:
            return await resumes(client, number)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(answers(client))
        loop.run_until_complete(block(WARM_UP))
        before = resident_mb(pid)
        for _ in range(BLOCKS):
            ours += loop.run_until_complete(block(rounds))
            floor += polls(program, target, rounds) if method == "cgroup" else unpauses(engine, target, rounds)
        after = resident_mb(pid)
        client.close()
        loop.close()
    mine, other = figures(ours), figures(floor)
    return {
        "resume_ms": mine,
        "floor_ms": other,
        "more_p50_ms": round(mine["p50"] - other["p50"], 3),
        "more_p99_ms": round(mine["p99"] - other["p99"], 3),
        "ratio_p50": round(mine["p50"] / other["p50"], 2),
        "daemon_mb": [before, after],
        "rounds": len(ours),
    }


def main() -> None:
    """Measure both."""
    program = scratch() / "freeze_poll"
    subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("freeze_poll.c")], check=True)
    engine = Engine()
    engine.connect()
    images.ensure(engine, images.prepare())
    with container(engine) as target:
        print(json.dumps({method: measure(engine, target, method, program) for method in ROUNDS}, indent=2))


if __name__ == "__main__":
    main()
