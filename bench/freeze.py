"""What resuming a frozen container costs beyond the kernel and the engine, as JSON. Milliseconds.

    python bench/freeze.py [cgroup] [request] [cycles] [docker]

Without words it measures all that can be measured here: `docker` needs an engine, the others cgroup v2 and root.

- `cgroup`: a process in a cgroup; from queue-proxy's own client, through the daemon, to the kernel's word and back,
  beside `freeze_poll.c`, which writes cgroup.freeze and polls;
- `request`: a request through queue-proxy to a frozen app, beside one to an app that runs (freeze_request.py);
- `cycles`: the daemon's resident memory over ten thousand pauses and resumes;
- `docker`: a container; the same client through the daemon, beside the engine's own unpause call through its library.

What is compared alternates in blocks, so that both see the same minute of a shared machine. What else runs there
still makes the slowest of a hundred slower; `chrt -f 10 python bench/freeze.py` keeps it out.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import freeze_request
from freezing import Asking, clock_ms, container, daemon_process, figures, process, resident_kib
from place import scratch

from emu.daemon.freezer.pods import Target
from emu.errors import EmuError
from emu.runtime import images
from emu.runtime.docker import Engine

BLOCKS = 5
ROUNDS = {"cgroup": 200, "docker": 10}
"""In a block."""
WARM_UP = 20
CYCLES, LOOK_EACH = 10_000, 1000


def polls(program: Path, target: Target, rounds: int) -> list[float]:
    """How long each thaw took the C program."""
    said = subprocess.run([program, target.cgroup, str(rounds)], capture_output=True, text=True, check=True).stdout
    return [float(line) / 1e3 for line in said.split()]


def unpauses(engine: Engine, target: Target, rounds: int) -> list[float]:
    """How long each of the engine's own calls took."""
    took = []
    for _ in range(rounds):
        engine.pause(target.id)
        took.append(clock_ms(lambda: engine.unpause(target.id)))
    return took


def compare(target: Target, method: str, floor_of: Callable[[int], list[float]], folder: Path) -> dict[str, Any]:
    """One method beside what it stands on."""
    ours: list[float] = []
    floor: list[float] = []
    rounds = ROUNDS[method]
    with daemon_process(folder, target, method), Asking(folder) as asking:
        asking.resumes(WARM_UP)
        for _ in range(BLOCKS):
            ours += asking.resumes(rounds)
            floor += floor_of(rounds)
    mine, other = figures(ours), figures(floor)
    return {
        "resume_ms": mine,
        "floor_ms": other,
        "more_p50_ms": round(mine["p50"] - other["p50"], 3),
        "more_p99_ms": round(mine["p99"] - other["p99"], 3),
        "ratio_p50": round(mine["p50"] / other["p50"], 2),
        "rounds": len(ours),
    }


def of_cgroup(folder: Path) -> dict[str, Any]:
    """Beside the C program."""
    program = scratch() / "freeze_poll"
    subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("freeze_poll.c")], check=True)
    with process() as target:
        return compare(target, "cgroup", lambda rounds: polls(program, target, rounds), folder)


def of_docker(folder: Path) -> dict[str, Any]:
    """Beside the engine's own call."""
    engine = Engine()
    engine.connect()
    images.ensure(engine, images.prepare())
    with container(engine) as target:
        return compare(target, "docker", lambda rounds: unpauses(engine, target, rounds), folder)


def of_cycles(folder: Path) -> dict[str, Any]:
    """Resident memory as it goes."""
    with process() as target, daemon_process(folder, target, "cgroup") as pid, Asking(folder) as asking:
        asking.resumes(WARM_UP)
        held = [resident_kib(pid)]
        for _ in range(CYCLES // LOOK_EACH):
            asking.resumes(LOOK_EACH)
            held.append(resident_kib(pid))
    return {"cycles": CYCLES, "resident_kib": held, "rose_kib": max(held) - held[0]}


PARTS = {"cgroup": of_cgroup, "request": freeze_request.measure, "cycles": of_cycles, "docker": of_docker}


def possible() -> list[str]:
    """What can be measured here."""
    try:
        Engine().connect()
    except EmuError:
        return [part for part in PARTS if part != "docker"]
    return list(PARTS)


def main(parts: list[str]) -> None:
    """Measure, print JSON."""
    if unknown := [part for part in parts if part not in PARTS]:
        raise SystemExit(f"freeze.py measures {', '.join(PARTS)}, not {unknown[0]}")
    found: dict[str, Any] = {
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "real_time": os.sched_getscheduler(0) == os.SCHED_FIFO,
        "load": os.getloadavg(),
    }
    for part in parts or possible():
        with TemporaryDirectory(dir="/tmp") as folder:
            found[part] = PARTS[part](Path(folder))
    print(json.dumps({**found, "load_after": os.getloadavg()}, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
