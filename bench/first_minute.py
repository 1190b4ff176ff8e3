"""Where the time of a run goes: each step that `emu run` names, from its line to the next, for a load of ten seconds.

Images are built by then (a first run does it, and is not counted). Several trees are compared in rounds that
alternate, so that other work on the machine meets all of them:

    python bench/first_minute.py                        this tree
    python bench/first_minute.py ../before .            two trees, side by side
    python bench/first_minute.py --set pod.runtime=process --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from place import scratch

LOAD_S = 10
SCENARIO = f"""
name: first-minute
question: Where does the time of a run go?
load:
  drain: 0s
  settle: 0s
  phases:
    - {{name: load, type: constant, rate: 10, duration: {LOAD_S}s}}
"""
_STEP = "· "
_FIGURES = re.compile(r" \(.*\)|\d+(?:\.\d+)? s\b| …$")


def play(tree: Path, words: list[str], *, own_cache: bool) -> dict[str, float]:
    """Seconds of each step of a run, in order, and `all of it`. `own_cache`: another tree has other images."""
    began = last = time.monotonic()
    step = "start of emu"
    steps: dict[str, float] = {}
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if own_cache:
        environment["XDG_CACHE_HOME"] = str(tree / "build" / "cache")
    running = subprocess.Popen(
        [sys.executable, "-m", "emu", "run", *words], cwd=tree, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert running.stdout is not None
    for line in running.stdout:
        moment = time.monotonic()
        if line.startswith(_STEP):
            steps[step] = steps.get(step, 0.0) + moment - last
            step, last = _FIGURES.sub("", line.removeprefix(_STEP).strip()).strip(), moment
    if running.wait() != 0:
        raise SystemExit(f"emu run in {tree} ended with status {running.returncode}")
    ended = time.monotonic()
    steps[step] = steps.get(step, 0.0) + ended - last
    steps["all of it"] = ended - began
    steps["beside its load"] = ended - began - LOAD_S
    return steps


def main() -> None:
    """Measure, print JSON: for each tree the median of each step, and every round's time beside the load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", nargs="*", type=Path, default=[Path.cwd()], help="checkouts of emu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], help="as of emu run")
    wanted = parser.parse_args()
    settings = [word for setting in wanted.set for word in ("--set", setting)]
    played: dict[str, list[dict[str, float]]] = {str(tree): [] for tree in wanted.trees}
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        scenario = Path(folder) / "first-minute.yaml"
        scenario.write_text(SCENARIO)
        for number in range(wanted.rounds + 1):
            for place, tree in enumerate(wanted.trees):
                out = f"{folder}/run{number}-{place}"
                words = [str(scenario), "--out", out, *settings]
                steps = play(tree.absolute(), words, own_cache=len(wanted.trees) > 1)
                if number > 0:
                    played[str(tree)].append(steps)
    print(json.dumps({tree: _spreads(rounds) for tree, rounds in played.items()}, indent=2, ensure_ascii=False))


def _spreads(rounds: list[dict[str, float]]) -> dict[str, object]:
    steps = {step: [one[step] for one in rounds if step in one] for step in rounds[0]}
    return {
        "median_s": {step: round(statistics.median(seconds), 1) for step, seconds in steps.items()},
        "beside_its_load_s": [round(one["beside its load"], 1) for one in rounds],
    }


if __name__ == "__main__":
    main()
