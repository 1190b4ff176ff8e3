"""What a run costs beside its load: the wall time of `emu run` on a scenario of ten seconds, less those ten seconds.

Images are built by then (a first run does it, and is not counted). In the sandbox the boot is part of it. Beside it,
in the same minutes, what of it is the sandbox's alone: booting it, running `true` and ending it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from place import scratch

ROUNDS = 5
LOAD_S = 10
EMU = (sys.executable, "-m", "emu")
SCENARIO = f"""
name: overhead
question: What does a run cost beside its load?
load:
  drain: 0s
  settle: 0s
  phases:
    - {{name: load, type: constant, rate: 10, duration: {LOAD_S}s}}
"""


def wall(*words: str) -> tuple[float, str]:
    """Seconds that a command takes, and what it printed."""
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return time.monotonic() - began, done.stdout


def main() -> None:
    """Measure, print JSON."""
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        scenario = Path(folder) / "overhead.yaml"
        scenario.write_text(SCENARIO)
        where = ""
        runs: list[float] = []
        boots: list[float] = []
        for number in range(ROUNDS + 1):
            seconds, said = wall(*EMU, "run", str(scenario), "--out", f"{folder}/run{number}", "--json")
            where = json.loads(said)["where"]
            boot = wall(*EMU, "sandbox", "run", "--quiet", "--", "true")[0] if where != "host" else 0.0
            if number > 0:
                runs.append(seconds - LOAD_S)
                boots.append(boot)
    print(json.dumps({"where": where, "overhead_s": _spread(runs), "of_it_sandbox_s": _spread(boots)}, indent=2))


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
        "rounds": len(values),
    }


if __name__ == "__main__":
    main()
