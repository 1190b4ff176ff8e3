"""queue-proxy as heavy as Knative's: killed and stalled where the real one was, at limits named and not named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.support import Finished
from tests.scenario.test_scenarios import EmuRun

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="footprint")]
MIB = 2**20
LIMIT = "pod.queueProxy.resources.limits.memory"
WITHIN = 0.05 if os.uname().release.startswith("6.1.") else 0.08
"""The real one was measured on Linux 6.1. Linux 7.2 charges 2.4 kB more of slab for the connections of a request."""
EACH_BYTES, IDLE_BYTES = 60_000, 3_900_000
"""The rule that fitted every kill of the real one within 1 %: N = (memory.max - idle) / each."""
STALLED = {32: 413, 64: 970}
"""Where the real one stalled, by memory.max in MiB; other limits lie on the line through these two."""


def killed_at(done: Finished) -> int:
    """Requests inside at the first kill: what clients had sent, without what had not been accepted yet."""
    kill = done.summary["oom_kills"][0]
    assert kill["container"] == "queue-proxy" and kill["level"] == "container"
    return int(kill["in_flight"]) - int(kill["in_backlog"])


def steady(rate: int, duration_s: int, limit_mib: int) -> tuple[str, ...]:
    """One ramp of plain GETs, under a limit: so many, whatever becomes of them."""
    phase = "load.phases.steady"
    settings = (f"rate={rate}", f"duration={duration_s}s", "until=null")
    return (f"{LIMIT}={limit_mib}Mi", *(f"{phase}.{setting}" for setting in settings))


@pytest.mark.parametrize(("limit_mib", "real", "rate"), [(32, 485, 60), (64, 1054, 100)])
def test_killed_where_the_real_one_was(emu_run: EmuRun, limit_mib: int, real: int, rate: int) -> None:
    """File pages charged elsewhere: 484 to 486 requests under 32 MiB, 1,053 to 1,055 under 64 MiB."""
    settings = () if limit_mib == 64 else steady(rate, 1 + real // rate + 2, limit_mib)
    assert killed_at(emu_run("queue-proxy-oom", *settings)) == pytest.approx(real, rel=WITHIN)


@pytest.mark.parametrize("limit_mib", [48, 128])
def test_killed_by_the_rule_at_a_limit_that_nobody_measured(emu_run: EmuRun, limit_mib: int) -> None:
    """774 under 48 MiB, 2,172 under 128."""
    rule = (limit_mib * MIB - IDLE_BYTES) / EACH_BYTES
    done = emu_run("queue-proxy-oom", *steady(90, 2 + round(1.05 * rule / 90), limit_mib))
    assert killed_at(done) == pytest.approx(rule, rel=WITHIN)


def test_how_fast_they_come_makes_no_difference(emu_run: EmuRun) -> None:
    """At a rate that this machine may not keep up with, many wait to be accepted, and only who is inside counts.

    Less exactly: the accept queue is looked at ten times a second, in which forty come.
    """
    rule = (64 * MIB - IDLE_BYTES) / EACH_BYTES
    assert killed_at(emu_run("queue-proxy-oom", *steady(400, 6, 64))) == pytest.approx(rule, rel=4 * WITHIN)


def test_bodies_kill_sooner(emu_run: EmuRun) -> None:
    """A POST costs 63 to 69 kB and more of the kernel's memory: fewer of them fit, whatever the body's size."""
    settings = (*steady(60, 12, 32), "load.phases.steady.request.body=64Ki")
    bodied = killed_at(emu_run("queue-proxy-oom", *settings))
    assert 0.75 * 485 <= bodied <= 0.95 * 485


def test_clients_that_hang_up_at_once_kill_it_near_its_limit(emu_run: EmuRun) -> None:
    """Held at 96 % of the fatal number it lives, and dies as they all go; at 87 % it lives through that too."""
    quick = ("load.drain=3s", "load.settle=3s")
    near = emu_run("queue-proxy-oom", *steady(58, 8, 32), *quick).summary
    over = near["phases"]["steady"]["end_s"]
    assert [kill["time_s"] > over for kill in near["oom_kills"]] == [True]
    assert near["oom_kills"][0]["in_flight"] >= 450
    far = emu_run("queue-proxy-oom", *steady(60, 7, 32), *quick).summary
    assert far["oom_kills"] == []


def stalled_at(done: Finished) -> int:
    """Requests that had been taken in when the first one stalled, as queue-proxy itself logged."""
    lines: list[dict[str, Any]] = []
    for line in Path(done.run.container_logs("queue-proxy")[0]).read_text().splitlines():
        if '"stalled"' in line:
            lines.append(json.loads(line))
    assert lines, "it never stalled"
    return int(lines[0]["inFlight"])


@pytest.mark.parametrize("limit_mib", [24, 48, 96])
def test_stalled_on_the_line_at_limits_that_nobody_measured(emu_run: EmuRun, limit_mib: int) -> None:
    """274 under 24 MiB, 692 under 48, 1,527 under 96."""
    line = STALLED[32] + (STALLED[64] - STALLED[32]) * (limit_mib - 32) / 32
    done = emu_run("queue-proxy-stall", *steady(80, 2 + round(1.1 * line / 80), limit_mib))
    assert stalled_at(done) == pytest.approx(line, rel=WITHIN)


@pytest.mark.parametrize(("limit_mib", "real", "rate"), [(32, STALLED[32], 60), (64, STALLED[64], 90)])
def test_stalled_where_the_real_one_did(emu_run: EmuRun, limit_mib: int, real: int, rate: int) -> None:
    """Own, cold file pages: 411 to 415 under 32 MiB, 967 to 973 under 64 MiB; no kill while the load is there."""
    settings = () if limit_mib == 32 else steady(rate, 14, limit_mib)
    done = emu_run("queue-proxy-stall", *settings)
    assert stalled_at(done) == pytest.approx(real, rel=WITHIN)
    stall = done.summary["stalls"][0]
    assert stall["container"] == "queue-proxy"
    assert stall["refaults"] >= 50_000
    ends = [phase["end_s"] for phase in done.summary["phases"].values()]
    assert all(kill["time_s"] > max(ends) for kill in done.summary["oom_kills"])
    assert "thrashing" in done.summary["verdict"]["headline"] + " ".join(done.summary["verdict"]["sentences"])


def test_our_own_weight_would_have_lived(emu_run: EmuRun) -> None:
    """The same load without the footprint is no danger: what kills is the real one's weight."""
    done = emu_run("queue-proxy-oom", "pod.queueProxy.footprint=own")
    assert done.summary["containers"]["queue-proxy"]["oom_kills"] == 0
