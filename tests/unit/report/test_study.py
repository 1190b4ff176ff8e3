"""Reading a run directory: columns, clocks, and every way in which a record can be incomplete."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from emu.record.events import DockerEvent, Owner
from emu.record.rundir import RunDir
from emu.record.samples import HOST, SampleWriter
from emu.report.summary import summarize
from emu.study.model.requests import PhaseSpan
from emu.study.model.timeline import Timeline
from emu.study.study import read_study
from emu.study.timelines import read_timelines
from tests import fake_runs
from tests.fakes import DATA_DISK, MIB, PRINTK_BEHIND, READ_AFTER, FakeRun, container_id, owner


def test_columns_are_as_long_as_their_time(tmp_path: Path) -> None:
    """Every column of every timeline has a value, or None, for each sample."""
    for line in read_study(fake_runs.oom(tmp_path / "run")).timelines.values():
        columns = {**line.plain_columns(), **line.events, **line.events_all}
        assert line.t == sorted(line.t)
        assert {name: len(column) for name, column in columns.items()} == dict.fromkeys(columns, len(line.t))
        assert all(len(io.read_bytes) == len(line.t) == len(io.write_bytes) for io in line.io.values())


def test_each_sample_has_been_read_before_the_next_one_begins(tmp_path: Path) -> None:
    """When it had been, the record says; of a gap or of nonsense in it, the beginning of the next sample does."""
    writer = SampleWriter(tmp_path / "s")
    writer.open()
    source = writer.declare(Owner("a", "app", 0), "memory.current", "/x")
    for tenths, took in ((10, 0.05), (11, None), (12, 7.0), (13, 0.02)):
        writer.put(source, b"%d" % tenths)
        writer.end(tenths * 10**8, "tick", None if took is None else round(took * 10**9))
    writer.close()
    sampled = read_timelines(tmp_path / "s", 1.0)
    known = sampled.timelines[Owner("a", "app", 0)].known
    assert known == pytest.approx([0.05, 0.2, 0.3, 0.32])
    assert sampled.end == pytest.approx(1.32)
    assert Timeline(Owner("a", "app", 0), t=[1.0, 2.0, 3.0]).known == [2.0, 3.0, 3.0]


def test_pages_on_zram_are_those_of_all_its_devices(tmp_path: Path) -> None:
    """By the first and the third figure of mm_stat; none where the machine swaps to none."""
    writer = SampleWriter(tmp_path / "s")
    writer.open()
    for device, text in (("zram0", b"8192 900 4096 0 4096 0 0 0 0\n"), ("zram1", b"4096 50 4096 0 4096 0 0 0 0\n")):
        writer.put(writer.declare(HOST, f"{device}.mm_stat", f"/sys/block/{device}/mm_stat"), text)
    writer.end(10**9, "tick")
    writer.close()
    host = read_timelines(tmp_path / "s", 1.0).host
    assert (host.zram_stored, host.zram) == ([12288], [8192])
    study = read_study(fake_runs.swap(tmp_path / "run"))
    assert summarize(study)["host"]["zram_peak_bytes"] is None


def test_page_cache_is_file_without_shmem(tmp_path: Path) -> None:
    """Shared memory counts as `file` in memory.stat; it is kept apart, and cannot be dropped."""
    run = FakeRun(tmp_path / "run")
    run.start("app").values.update(file=10 * MIB, shmem=5 * MIB, anon=MIB)
    run.advance(0.1)
    line = read_study(run.finish()).timelines[owner("app", 0)]
    assert (line.page_cache[-1], line.shmem[-1], line.anon[-1]) == (10 * MIB, 5 * MIB, MIB)
    assert line.memory_current[-1] == 16 * MIB
    assert line.working_set[-1] == 6 * MIB


def test_what_rose_after_the_last_look_at_memory_peak_counts(tmp_path: Path) -> None:
    """memory.peak is read less often than memory.current: a killed recorder may have seen more than it says."""
    run = FakeRun(tmp_path / "run")
    app = run.start("app")
    app.values["anon"] = 8 * MIB
    run.advance(0.5)
    app.peak_is_old = True
    run.advance(1, {"app": {"anon": 12 * MIB}})
    assert read_study(run.finish()).timelines[owner("app", 0)].memory_peak == 12 * MIB


def test_a_restart_has_a_timeline_of_its_own(tmp_path: Path) -> None:
    """Each instance is its own cgroup; the pod's timeline spans them all."""
    study = read_study(fake_runs.oom(tmp_path / "run"))
    parts = study.timelines_of("queue-proxy")
    assert [part.owner.attempt for part in parts] == [0, 1, 2]
    assert all(before.t[-1] <= after.t[0] for before, after in pairwise(parts))
    assert study.timelines[owner()].t[0] <= parts[0].t[0]
    assert study.timelines[owner()].t[-1] >= parts[-1].t[-1]


def test_a_device_that_appears_later_did_nothing_before(tmp_path: Path) -> None:
    """io.stat names a device from its first byte on; until then its counter was 0, not unknown."""
    study = read_study(fake_runs.page_cache(tmp_path / "run"))
    reads = study.timelines[owner("app", 0)].io[DATA_DISK].read_bytes
    assert reads[0] == 0
    assert reads[-1] == 512 * MIB
    assert study.timelines[owner("queue-proxy", 0)].has_io
    assert not study.timelines[owner("queue-proxy", 0)].io


def test_the_kernels_clock_is_mapped_to_the_runs(tmp_path: Path) -> None:
    """A kernel line stands where it was written, within the time the quickest read took; both stamps are kept."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(1.5)
    run.kernel(6, "hello")
    (line,) = read_study(run.finish()).kernel_lines
    assert line.t == pytest.approx(1.5 + READ_AFTER, abs=1e-6)
    assert line.read_s == pytest.approx(1.5 + READ_AFTER, abs=1e-6)
    assert line.kernel_us == round((5001.5 - PRINTK_BEHIND) * 1e6)


def test_oom_lines_are_marked_and_others_are_not(tmp_path: Path) -> None:
    """The whole block from `invoked oom-killer` to the kill is marked, and nothing besides."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.kernel(6, "before")
    run.advance(1.0)
    run.oom("app")
    run.advance(2.0)
    run.kernel(6, "after")
    lines = read_study(run.finish()).kernel_lines
    assert [line.text for line in lines if not line.oom] == ["before", "after"]


def test_phases_reach_to_the_next_one(tmp_path: Path) -> None:
    """What a phase set going is counted to it until the next begins; the last one until the run ends."""
    study = read_study(fake_runs.page_cache(tmp_path / "run"))
    assert study.phases == [
        PhaseSpan("first", pytest.approx(0.5), pytest.approx(2.0), pytest.approx(2.0), bound_s=1.5),
        PhaseSpan("again", pytest.approx(2.0), pytest.approx(4.0), pytest.approx(4.0), bound_s=2.0),
    ]


def test_a_plan_that_reaches_beyond_the_run_is_cut_to_it(tmp_path: Path) -> None:
    """Phases carry the plan's times: where all answers came early the run's own end counts, not the plan's."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.phase("now", 0.5, 20.0)
    run.phase("never", 20.0, 30.0)
    run.advance(3.0)
    study = read_study(run.finish())
    assert study.duration_s == pytest.approx(3.0)
    assert [(phase.name, phase.end_s, phase.until_s) for phase in study.phases] == [("now", 3.0, 3.0)]


def test_in_flight_rises_and_falls(tmp_path: Path) -> None:
    """In flight is sent and not yet done, and is 0 in the end where all were done."""
    study = read_study(fake_runs.oom(tmp_path / "run"))
    assert max(study.in_flight.n) == 800
    assert study.in_flight.n[-1] == 0


def test_a_copied_directory_reports_the_same(tmp_path: Path) -> None:
    """A run is studied from its files alone, wherever they are."""
    here = fake_runs.pod_level(tmp_path / "run")
    there = RunDir(Path(shutil.copytree(here.path, tmp_path / "elsewhere")))
    assert json.dumps(summarize(read_study(there))) == json.dumps(summarize(read_study(here)))


def test_an_empty_directory_is_studied(tmp_path: Path) -> None:
    """Nothing recorded: everything empty or null, notes say what is missing, and there is no crash."""
    study = read_study(RunDir(tmp_path))
    assert study.requests is None
    assert not study.ended
    assert len(study.notes) >= 3
    summary = summarize(study)
    assert summary["met"] is False
    assert summary["requests"]["sent"] is None
    assert "Nothing to report" in summary["verdict"]["headline"]


def test_a_torn_run_is_studied_up_to_its_tear(tmp_path: Path) -> None:
    """A power cut tears the last line of each file; all before it is used."""
    study = read_study(fake_runs.cut_off(tmp_path / "run"))
    assert not study.ended
    assert study.requests is not None
    assert len(study.requests) == 99
    assert {request.error for request in study.requests} == {"unanswered"}
    assert study.timelines[owner("queue-proxy", 0)].t[-1] > 1.8
    assert any("cut off" in note.text for note in study.notes)


@pytest.mark.parametrize("name", ["events", "samples", "requests", "kmsg"])
@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "half"])
def test_any_file_may_be_missing_or_damaged(name: str, damage: str, tmp_path: Path) -> None:
    """Whatever happened to a file, the rest of the run is still reported."""
    run = fake_runs.oom(tmp_path / "run")
    file: Path = getattr(run, name)
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        middle = len(whole) // 2
        noise = whole[:middle] + b'\nS x\n{"kind":[]}\n\xff\x00{}\n[]\n7\nF 1\n' + whole[middle:]
        file.write_bytes({"empty": b"", "noise": noise, "half": whole[:middle]}[damage])
    study = read_study(run)
    summary = summarize(study)
    json.dumps(summary)
    assert summary["verdict"]["headline"]
    if name != "events" or damage == "noise":
        assert [one.container for one in study.instances][:3] == ["sandbox", "app", "queue-proxy"]


def test_what_was_not_measured_is_none_and_not_zero(tmp_path: Path) -> None:
    """A kernel without PSI has no pressure file: that is None, and the rest is there."""
    run = FakeRun(tmp_path / "run", psi=False)
    run.start("app").values.update(anon=MIB)
    run.advance(0.2)
    study = read_study(run.finish())
    line = study.timelines[owner("app", 0)]
    assert set(line.psi_some_usec) == {None}
    assert line.anon[-1] == MIB
    assert summarize(study)["containers"]["app"]["memory_stall_some_ms"] is None


def test_a_cgroup_seen_before_it_was_named_finds_its_container(tmp_path: Path) -> None:
    """Its directory's name holds the container's id: timeline, counters and processes are the container's."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB, named=False)
    run.advance(1.0, {"app": {"anon": 60 * MIB}})
    run.oom("app", log="kill")
    study = read_study(run.finish())
    assert study.containers == ["app"]
    assert max(value or 0 for value in study.timelines[owner("app", 0)].anon) == 60 * MIB
    assert [(kill.container, kill.evidence[:2]) for kill in study.kills] == [("app", ("memory.events", "kmsg"))]


def test_devices_have_their_role(tmp_path: Path) -> None:
    """Which device is swap was recorded when the run began."""
    devices = read_study(fake_runs.swap(tmp_path / "run")).machine.devices
    assert {device.name: device.is_swap for device in devices.values()} == {"ubdb": False, "ubdc": True}


def test_freezes_are_seen_in_cgroup_events(tmp_path: Path) -> None:
    """Frozen from the first sample that says so to the first that says no longer."""
    run = FakeRun(tmp_path / "run")
    group = run.start("app")
    group.frozen = False
    run.advance(1.0)
    group.frozen = True
    run.advance(2.0)
    group.frozen = False
    run.advance(3.0)
    (freeze,) = read_study(run.finish()).freezes
    assert (freeze.container, freeze.freeze_ms) == ("app", None)
    assert freeze.frozen_at_s == pytest.approx(1.05)
    assert freeze.thawed_at_s == pytest.approx(2.05)


def test_freezes_are_taken_from_docker_where_cgroup_events_was_not_recorded(tmp_path: Path) -> None:
    """Docker's pause and unpause; one that never ended has no end."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    for at, action in ((1.0, "pause"), (2.0, "unpause"), (3.0, "pause")):
        run.advance(at)
        run.event(DockerEvent(t=run.t, action=action, id=container_id("app", 0), name="emu-fake-app"))
    study = read_study(run.cut())
    assert [(one.frozen_at_s, one.thawed_at_s) for one in study.freezes] == [(1.0, 2.0), (3.0, None)]


def test_a_killed_process_ends_after_the_line_that_says_so(tmp_path: Path) -> None:
    """Its end may be seen before the kernel's line is read; the journal still has them in the order of what happened,
    and an end long after the kill says nothing of the clocks.
    """
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.advance(1.0)
    run.kernel(3, killed(run.live["app"].pids[0]), READ_AFTER)  # read twice as late after the end was seen
    run.exit("app", 137)
    run.start("app", memory_max=64 * MIB)
    run.advance(2.0)
    run.kernel(3, killed(run.live["app"].pids[0]), -2.0)
    run.advance(8.0)
    run.exit("app", 137)
    study = read_study(run.finish())
    first = study.instances[0]
    assert first.exited_s is not None
    line, early = study.kernel_lines[-2:]
    assert first.exited_s - 1e-5 < line.t < first.exited_s
    assert early.t == pytest.approx(line.t - 1 - READ_AFTER)


def killed(pid: int) -> str:
    """The kernel's line."""
    return (
        f"Memory cgroup out of memory: Killed process {pid} (app) total-vm:9000kB, anon-rss:3000kB, file-rss:4kB, "
        "shmem-rss:0kB, UID:0 pgtables:168kB oom_score_adj:999"
    )
