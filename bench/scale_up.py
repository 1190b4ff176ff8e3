"""From the autoscaler's decision to pods that are ready, for one pod and for four at once, as JSON.

    python bench/scale_up.py [--on vm] [--rounds 3]

Each round is an `emu run` of two variants under the same clients, with containers as plain processes: one pod becomes
two, and one becomes five. By the record of each:

- `wait_ratio`: from the decision until all are ready, by what the start of their containers takes: from when the
  first one is made until the last one accepts connections;
- `four_by_one`: until the last of four is ready, by the same of one. Pods start as many at a time as there are CPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from place import scratch

from emu.record.rundir import RunDir
from emu.study.model.services import PodLife
from emu.study.model.study import Study
from emu.study.study import read_study

SCENARIO = """
name: scale-up
question: How long does it take from the decision until one pod more is ready, and four?
pod:
  runtime: process
  readyTimeout: 300s
  autoscaling: {target: 1, targetUtilizationPercentage: 100, minScale: 1}
  queueProxy: {env: {EMU_DRAIN_QUIET_SECONDS: "0.1"}}
load:
  drain: 30s
  phases:
    - {name: up, type: closed, clients: 20, duration: 10m, until: {readyPods: 2}, request: {do: {sleep: 2s}}}
variants:
  one: {pod.autoscaling.maxScale: 2}
  four: {pod.autoscaling.maxScale: 5, load.phases.up.until.readyPods: 5}
recorder: {interval: 1s}
"""
NEW = {"one": 1, "four": 4}


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--on", default="auto", help="as of emu run")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(dir=scratch()) as name:
        folder = Path(name)
        (folder / "scale-up.yaml").write_text(SCENARIO)
        rounds = [one_round(folder, f"run{number}", asked.on) for number in range(asked.rounds)]
    machine = rounds[0].pop("machine")
    found = {"machine": machine, "load": load, "load_after": os.getloadavg(), **_together(rounds)}
    print(json.dumps(found, indent=2))


def one_round(folder: Path, name: str, place: str) -> dict[str, Any]:
    """Its figures; `machine` is where it was."""
    words = [sys.executable, "-m", "emu", "run", str(folder / "scale-up.yaml"), "--on", place, "--json"]
    out = folder / name
    said = subprocess.run([*words, "--out", str(out)], stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, Any] = {}
    for variant, more in NEW.items():
        study = read_study(RunDir(out / "variants" / variant))
        took, own = starts(study, more)
        found |= {f"{variant}_s": took, f"{variant}_wait_ratio": took / own}
        machine = study.machine
        found["machine"] = {"where": json.loads(said)["where"], "kernel": machine.kernel, "cpus": machine.cpus}
    return {**found, "four_by_one": found["four_s"] / found["one_s"]}


def starts(study: Study, more: int) -> tuple[float, float]:
    """Seconds from the decision until all pods that came of it are ready, and the start of their containers alone."""
    (service,) = study.services
    decided = next(one.t for one in service.decisions if one.pods == 1 + more)
    lives = [one for one in service.pods if one.made_s >= decided]
    assert len(lives) == more, f"{len(lives)} pods came after the decision"
    names = {one.pod for one in lives}
    mine = [one for one in study.instances if one.pod in names]
    made = min(one.created_s for one in mine if one.created_s is not None)
    accepting = max(one.ready_s for one in mine if one.ready_s is not None)
    return max(_ready(one) for one in lives) - decided, accepting - made


def _ready(life: PodLife) -> float:
    return next(t for t, ready in life.readiness if ready)


def _together(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    figures = [name for name in rounds[0] if name != "machine"]
    return {name: _spread([one[name] for one in rounds]) for name in figures} | {"rounds": len(rounds)}


def _spread(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 2) for name, value in found.items()}


if __name__ == "__main__":
    main()
