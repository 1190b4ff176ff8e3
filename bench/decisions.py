"""What a decision of the autoscaler costs: a report, a decision, the scaler's look and the sentence, as JSON."""

from __future__ import annotations

import json
import statistics
import time

from emu.policy.autoscaling.decider import Decider
from emu.policy.autoscaling.scaler import Facts, Scaler
from emu.policy.autoscaling.settings import Settings

ROUNDS = 5000


def measured(settings: Settings) -> dict[str, dict[str, float]]:
    """Each part of a decision, in microseconds."""
    decider, scaler = Decider(settings, 0.0), Scaler(settings, 0.0)
    times: dict[str, list[int]] = {"decision": [], "look": [], "sentence": []}
    for second in range(ROUNDS):
        now, ready = second + 0.25, second % 20
        decider.record(now, float(second % 700))
        began = time.perf_counter_ns()
        decision = decider.scale(now, ready)
        times["decision"].append(time.perf_counter_ns() - began)
        assert decision is not None
        decider.status.update(decision.desired, decision.excess_burst_capacity)
        began = time.perf_counter_ns()
        outcome = scaler.apply(now, decider.status, Facts(ready), decision)
        times["look"].append(time.perf_counter_ns() - began)
        assert outcome.why
        began = time.perf_counter_ns()
        assert decision.why
        times["sentence"].append(time.perf_counter_ns() - began)
    return {part: figures(one) for part, one in times.items()}


def figures(nanoseconds: list[int]) -> dict[str, float]:
    """The median and the spread, in microseconds."""
    tenths = statistics.quantiles(nanoseconds, n=10)
    middle = statistics.median(nanoseconds)
    return {"median_us": middle / 1000, "p10_us": tenths[0] / 1000, "p90_us": tenths[8] / 1000}


def main() -> None:
    """Print the figures for the defaults, and for a long weighted window with a delay."""
    slow = Settings(stable_window_s=600.0, panic_window_s=60.0, weighted=True, scale_down_delay_s=600.0)
    print(json.dumps({"defaults": measured(Settings()), "weighted, 600 s": measured(slow)}, indent=1))


if __name__ == "__main__":
    main()
