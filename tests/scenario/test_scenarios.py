"""Every built-in scenario, run for real: what it expects comes true, and independent witnesses agree."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from emu.record.events import DockerEvent, MemoryEventsRose, PodStatus, RunBegan, read_events
from emu.record.samples import HOST, read_samples
from emu.runtime.docker import Engine
from emu.scenario.reading import builtin_scenarios
from tests.scenario.support import Finished, leftovers

pytestmark = pytest.mark.scenario
EmuRun = Callable[..., Finished]
PROCESSES = ("pod.runtime=process",)
AS_PROCESSES = (
    "app-swap", "cold-starts", "crash-loop", "freezer-prefetch", "freezer-race", "freezer-reclaim", "graceful-stop",
    "idle-policies", "image-size", "page-cache-fits", "page-cache-reread", "queue-proxy-bounded", "queue-proxy-drain",
    "queue-proxy-keepalive", "queue-proxy-slow-bodies", "queue-proxy-timeouts", "queue-proxy-websocket", "sidecar",
)  # fmt: skip
"""Played without Docker, which takes longer: in these nothing but the kernel and emu is asked."""
FIRST_PART = (
    "cold-starts", "crash-loop", "freezer-prefetch", "freezer-race", "freezer-reclaim", "idle-policies",
    "page-cache-fits", "page-cache-reread", "sidecar",
)  # fmt: skip
"""Of four parts of about the same length, for as many sandboxes. The second has all with Docker, so that the others'
sandboxes need no engine; those without take turns. Tests that ask the same run are in the same part: it is run once.
"""
SECOND_PART = ("app-swap", "queue-proxy-bounded")
"""Without Docker, and compared with one of the second part."""
TURNS = (4, 2, 3, 1, 3, 4, 3, 4, 1, 3, 1, 3, 4, 3)
"""The first part has the longest, the second has Docker's: they have fewer of the others."""
BUILT_IN = {scenario.name: scenario.path.read_text(encoding="utf-8") for scenario in builtin_scenarios()}
NAMES = list(BUILT_IN)
HEAD = 2**16
"""Of a page, more than what is above its pictures."""
WITHOUT_DOCKER = [
    name
    for name, text in BUILT_IN.items()
    if name not in (*FIRST_PART, *SECOND_PART)
    if name in AS_PROCESSES or "runtime: process" in text  # each part collects this file: no scenario is read for it
]


def part_of(scenario: str) -> pytest.MarkDecorator:
    """The part of the tests that the scenario is played in."""
    number = 1 if scenario in FIRST_PART else 2
    if scenario in WITHOUT_DOCKER:
        number = TURNS[WITHOUT_DOCKER.index(scenario) % len(TURNS)]
    return pytest.mark.part(name=f"scenarios-{number}")


def play(emu_run: EmuRun, name: str) -> Finished:
    """A built-in scenario's run, the same one for all tests."""
    frozen = ("pod.freezer.method=cgroup",) if name == "cold-starts" else ()  # without Docker nothing else can
    return emu_run(name, *((*PROCESSES, *frozen) if name in AS_PROCESSES else ()))


every_scenario = pytest.mark.parametrize("name", [pytest.param(name, marks=part_of(name)) for name in NAMES])


@every_scenario
def test_what_it_expects_comes_true(engine_if_any: Engine | None, emu_run: EmuRun, name: str) -> None:
    """The scenario ends with 0, each of its expectations met, and leaves nothing behind."""
    done = play(emu_run, name)
    unmet = [entry for entry in done.summary["expectations"] if not entry["met"]]
    assert (done.status, unmet) == (0, []), json.dumps([unmet, done.summary["verdict"]], indent=1)
    assert done.summary["expectations"], "a scenario without expectations proves nothing"
    assert leftovers(engine_if_any) == []


@every_scenario
def test_every_request_is_accounted_for(emu_run: EmuRun, name: str) -> None:
    """sent = answered + errors: none is lost, none is counted twice."""
    for _, summary in play(emu_run, name).plays:
        requests = summary["requests"]
        assert requests["sent"] > 0
        assert requests["sent"] == requests["answered"] + sum(requests["errors"].values())


@every_scenario
def test_the_record_is_whole(emu_run: EmuRun, name: str) -> None:
    """The run directory has every file, and the page names what summary.json names."""
    done = play(emu_run, name)
    for run, summary in done.plays:
        for path in (run.scenario, run.events, run.samples, run.requests):
            assert path.stat().st_size > 0, path
        assert run.kmsg.stat().st_size > 0 or not summary["oom_kills"]  # a newer kernel says nothing of a new network
        assert any(path.stat().st_size for path in run.logs.rglob("*.log"))
        assert summary["recorder"]["samples"] > 10
    for run, summary in [(done.run, done.summary), *done.plays]:
        page = run.report.read_text()[:HEAD]  # all of it takes half a second, for each of so many runs
        page = " ".join(html.unescape(page).split())  # its spaces may be ones that do not break
        assert summary["verdict"]["headline"].split(":")[0] in page


@part_of("idle-policies")
def test_variants_meet_the_same_arrivals(emu_run: EmuRun) -> None:
    """idle-policies: each policy is asked the same requests, and the frozen ones did what the policy says."""
    summaries = dict(play(emu_run, "idle-policies").summary["variants"])
    assert len({summary["requests"]["sent"] for summary in summaries.values()}) == 1
    frozen = {name: (summary["freezer"] or {"frozen_s": 0.0})["frozen_s"] for name, summary in summaries.items()}
    assert frozen["never"] == 0.0 < frozen["after-grace"] < frozen["at-once"]


@part_of("scale-to-zero")
def test_a_pod_that_is_scaled_to_zero_is_gone_for_the_engine_and_the_kernel(emu_run: EmuRun) -> None:
    """scale-to-zero: three pods after each other; between them the recorder finds no cgroup, and the engine has
    removed every container.
    """
    done = emu_run("scale-to-zero")
    began = next(event.t for event in read_events(done.run.events) if isinstance(event, RunBegan))
    absences = [(one["gone_s"] + began, one["wanted_s"] + began) for one in done.summary["autoscaling"]["absences"]]
    assert len(absences) == 2
    reported = [event for event in read_events(done.run.events) if isinstance(event, DockerEvent)]
    for gone, wanted in absences:
        between = [list(sample.files) for sample in read_samples(done.run.samples) if gone <= sample.t <= wanted]
        assert between
        assert {owner for owners in between for owner in owners} == {HOST}
        made = [event.name for event in reported if event.action == "create" and event.t < gone]
        born = {name for name in made if ".sandbox." not in name}  # whose end the engine may report too late
        ended = {event.name for event in reported if event.action == "die" and event.t <= wanted}
        assert born
        assert born <= ended


@part_of("queue-proxy-oom")
def test_the_kernels_counters_and_its_log_show_the_same_kills(emu_run: EmuRun) -> None:
    """queue-proxy-oom: as many victims in memory.events as in the log, each of them queue-proxy's process."""
    done = emu_run("queue-proxy-oom")
    logged = {
        line.split("Killed process ")[1].split()[0]
        for line in done.run.kmsg.read_text().splitlines()
        if "Killed process" in line
    }
    rose = [event for event in read_events(done.run.events) if isinstance(event, MemoryEventsRose)]
    groups = sum(event.delta.get("oom_group_kill", 0) for event in rose if event.local)
    kills = done.summary["oom_kills"]
    assert {str(kill["pid"]) for kill in kills} == logged
    assert len(kills) == len(logged)
    assert all("kmsg" in kill["evidence"] for kill in kills)
    # A cgroup may be gone before the recorder, on a busy machine, has read its last count.
    assert groups <= sum("memory.events" in kill["evidence"] for kill in kills)


@part_of("node-oom")
def test_the_kernel_kills_whom_the_points_predicted(emu_run: EmuRun) -> None:
    """node-oom: the kernel's log names the cgroup above all pods as the one that ran out; oom_score_adj is what was
    derived before, no container and no pod met a limit of its own, and whoever has most points died.
    """
    done = emu_run("node-oom")
    (kill,) = done.summary["oom_kills"]
    run_id = done.summary["run_id"].replace("-", "_")
    (line,) = [line for line in done.run.kmsg.read_text().splitlines() if "oom-kill:constraint=" in line]
    ran_out = line.split("oom_memcg=")[1].split(",")[0].replace("-", "_")
    assert ran_out.removesuffix(".slice").endswith((f"{run_id}/kubepods", f"{run_id}_kubepods"))
    predicted = {"cheap": 1000, "usual": 1000 - 1000 * 80 // 192, "dear": -997}
    assert {one["pod"]: one["oom_score_adj"] for one in kill["candidates"]} == predicted
    whole = kill["limit_bytes"] + done.summary["machine"]["swap_bytes"]
    assert all(
        one["points_bytes"] == one["held_bytes"] + one["oom_score_adj"] * whole // 1000 for one in kill["candidates"]
    )
    assert max(kill["candidates"], key=lambda one: one["points_bytes"])["pod"] == kill["pod"] == "cheap"
    for pod in done.summary["pods"].values():
        assert pod["memory_events_local"]["oom"] == 0
        assert pod["containers"]["web"]["memory_events"]["max"] == 0
    assert done.summary["node"]["memory_events_local"]["oom"] >= 1


def _statuses(done: Finished) -> list[str]:
    return [event.status for event in read_events(done.run.events) if isinstance(event, PodStatus)]


def _waited(done: Finished) -> bool:
    """Whether a restart had to wait: the first of a container never does."""
    containers = done.summary["containers"].values()
    return any(back_off["delay_s"] > 0 for container in containers for back_off in container["back_offs"])


@part_of("queue-proxy-oom")
def test_the_pod_goes_into_crash_loop_back_off(emu_run: EmuRun) -> None:
    """queue-proxy-oom: kubectl would show Running, OOMKilled, and CrashLoopBackOff if it is killed again, for which a
    slow machine has no time.
    """
    done = emu_run("queue-proxy-oom")
    seen = _statuses(done)
    assert seen.index("Running") < seen.index("OOMKilled")
    assert ("CrashLoopBackOff" in seen) == _waited(done)
    assert seen.index("OOMKilled") < (seen.index("CrashLoopBackOff") if _waited(done) else len(seen))


@part_of("crash-loop")
def test_who_crashes_often_enough_waits(emu_run: EmuRun) -> None:
    """crash-loop: however slow the machine, there is a second crash."""
    done = play(emu_run, "crash-loop")
    assert _waited(done)
    assert "CrashLoopBackOff" in _statuses(done)


@part_of("queue-proxy-oom")
def test_the_limit_is_the_kernels(emu_run: EmuRun) -> None:
    """No sample of a container ever lies above its memory.max by more than the kernel's own batch of charges."""
    done = emu_run("queue-proxy-oom")
    limit = done.summary["containers"]["queue-proxy"]["memory_limit_bytes"]
    seen = [
        int(files["memory.current"])
        for sample in read_samples(done.run.samples)
        for owner, files in sample.files.items()
        if owner.container == "queue-proxy" and "memory.current" in files
    ]
    assert seen and max(seen) <= limit * 1.02
    peak = done.summary["containers"]["queue-proxy"]["memory_peak_bytes"]  # the kernel's own, also between samples
    assert 0.9 * limit <= peak <= limit * 1.02


@part_of("queue-proxy-oom")
def test_one_line_makes_the_difference(emu_run: EmuRun) -> None:
    """The same load kills an unlimited queue-proxy and not a bounded one, whose memory stays below."""
    unlimited, bounded = (play(emu_run, name).summary for name in ("queue-proxy-oom", "queue-proxy-bounded"))
    assert (
        unlimited["containers"]["queue-proxy"]["oom_kills"] > bounded["containers"]["queue-proxy"]["oom_kills"] == 0
    )
    peaks = [summary["containers"]["queue-proxy"]["memory_peak_bytes"] for summary in (unlimited, bounded)]
    assert peaks[1] < peaks[0]
    assert bounded["requests"]["by_status"]["503"] > 0


@part_of("app-oom")
def test_swap_is_what_saves_the_app(emu_run: EmuRun) -> None:
    """app-oom and app-swap differ in swap alone: one dies, the other writes to the swap device."""
    killed, lives = (play(emu_run, name).summary["containers"]["app"] for name in ("app-oom", "app-swap"))
    assert (killed["oom_kills"] > 0, lives["oom_kills"]) == (True, 0)
    assert killed["swap_io_write_bytes"] in (0, None)
    assert lives["swap_io_write_bytes"] > lives["memory_limit_bytes"]


@part_of("page-cache-reread")
def test_page_cache_is_read_again_only_if_it_does_not_fit(emu_run: EmuRun) -> None:
    """A second pass over a file reads it all from disk again under a small limit, nothing under a large one."""
    small, large = (
        play(emu_run, name).summary["phases"]["again"]["containers"]["app"]["io_read_bytes"]
        for name in ("page-cache-reread", "page-cache-fits")
    )
    size = 256 * 2**20
    assert small >= 0.95 * size
    assert large <= 0.1 * size


@part_of("freezer")
def test_two_witnesses_of_a_freeze_agree(emu_run: EmuRun) -> None:
    """freezer: Docker's own events and the daemon's are of the same pauses."""
    done = emu_run("freezer")
    actions = [event.action for event in read_events(done.run.events) if isinstance(event, DockerEvent)]
    assert actions.count("pause") == done.summary["freezer"]["pauses"]


@part_of("app-oom")
def test_the_journal_has_the_kernels_and_the_containers_lines(emu_run: EmuRun) -> None:
    """Where journald runs, `journalctl` shows the same kills, and what each container printed under its name."""
    done = emu_run("app-oom")
    if not Path("/run/systemd/journal/socket").exists():
        assert not done.run.journal.exists()
        return
    entries = [json.loads(line) for line in done.run.journal.read_text().splitlines()]
    assert any("Killed process" in str(entry["MESSAGE"]) for entry in entries if entry["_TRANSPORT"] == "kernel")
    names = {entry.get("CONTAINER_NAME", "").split(".", 2)[-1] for entry in entries}
    assert {"queue-proxy.0", "app.0", "app.1"} <= names
    ours = [entry for entry in entries if "CONTAINER_NAME" in entry]
    assert all(entry["SYSLOG_IDENTIFIER"] == entry["CONTAINER_NAME"] for entry in ours)


@part_of("queue-proxy-stall")
def test_an_image_s_pages_belong_to_who_reads_them_first(emu_run: EmuRun) -> None:
    """On a cold node a container pays for its executable's pages; on a warm one somebody else has."""
    warm, cold = (
        play(emu_run, name).summary["containers"]["queue-proxy"]["file_peak_bytes"]
        for name in ("queue-proxy-oom", "queue-proxy-stall")
    )
    assert cold > 4 * 2**20 > warm


@part_of("queue-proxy-oom")
def test_starts_of_docker_s_containers_are_as_warm_as_they_were_prepared(emu_run: EmuRun) -> None:
    """cold-starts, of which the rest is asked without Docker: the engine loads an image that is absent, and none
    that is there, whose program a start reads from disk.
    """
    asked = ("starts.trials=1", "starts.temperatures=[cold, warm-disk]")
    starts = emu_run("cold-starts", *asked).summary["starts"]
    assert (starts["trials"], starts["failed"], starts["mistaken"]) == (2, 0, 0)
    cold, disk = (starts["temperatures"][name] for name in ("cold", "warm-disk"))
    assert cold["stages_ms"]["image"] > 0
    assert "image" not in disk["stages_ms"]
    assert disk["io_read_bytes"] >= 2**20
    assert cold["held_bytes"] == disk["held_bytes"] == 0
