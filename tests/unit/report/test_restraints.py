"""What held a container back is named: limits that slow, swap that is used up, processors, devices, the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emu.report.journal import entries
from emu.report.summary import summarize
from emu.study.study import read_study
from tests.fakes import MIB, FakeRun


def _reported(run: FakeRun) -> tuple[dict[str, Any], str]:
    """The summary, and all that is said of it."""
    study = read_study(run.finish())
    summary = summarize(study)
    journal = [entry.to_text() for entry in entries(study)]
    return summary, "\n".join([summary["verdict"]["headline"], *summary["verdict"]["sentences"], *journal])


def _begun(path: Path, **limits: Any) -> FakeRun:
    run = FakeRun(path / "run", name="made-up")
    run.start("queue-proxy", memory_max=64 * MIB).values.update(anon=40 * MIB)
    run.start("app", **limits).values.update(anon=40 * MIB)
    run.advance(1.0)
    return run


def test_an_app_throttled_at_memory_high_is_said_to_be(tmp_path: Path) -> None:
    """In the headline, the figures, the journal; and again where its liveness probe then kills it."""
    run = _begun(tmp_path, memory_max=128 * MIB, high=48 * MIB)
    run.advance(2.0, {"app": {"anon": 52 * MIB}})
    run.count("app", high=3000)
    run.advance(10.0)
    run.exit("app", 137, killed_for="liveness")
    summary, said = _reported(run)
    [one] = summary["containers"]["app"]["held_back"]
    assert (one["by"], one["times"], one["bound_bytes"]) == ("memory.high", 3000, 48 * MIB)
    assert one["seconds"] == pytest.approx(8.0, abs=0.5)
    assert summary["verdict"]["headline"].startswith("app was killed for its failing liveness probe")
    assert "app was throttled at its memory.high of 48 MiB, above it for" in summary["verdict"]["headline"]
    assert "from here on: app was throttled at its memory.high" in said


def test_memory_high_that_memory_qos_derived_is_said_to_be(tmp_path: Path) -> None:
    """The headline says who set it, and a sentence how it came about."""
    how = "request 32 MiB + memoryThrottlingFactor 0.5 * (limit 64 MiB - request) (Kubernetes 1.27 to 1.36)"
    run = _begun(tmp_path, memory_max=64 * MIB, high=48 * MIB, high_from=how)
    run.advance(2.0, {"app": {"anon": 52 * MIB}})
    run.count("app", high=3000)
    run.advance(10.0)
    summary, said = _reported(run)
    assert summary["containers"]["app"]["held_back"][0]["derived_from"] == how
    assert (
        "app was throttled at its memory.high of 48 MiB (set by Memory QoS), above it"
        in summary["verdict"]["headline"]
    )
    assert f"Memory QoS set the memory.high of app: {how}." in said


def test_memory_high_that_reclaim_could_keep_is_no_headline(tmp_path: Path) -> None:
    """Page cache is reclaimed at memory.high without slowing anybody: a sentence, no more."""
    run = _begun(tmp_path, memory_max=128 * MIB, high=48 * MIB)
    run.advance(2.0, {"app": {"file": 8 * MIB}})
    run.count("app", high=30)
    run.advance(10.0)
    summary, said = _reported(run)
    assert "app was kept to its memory.high of 48 MiB by reclaim (memory.events high: 30 in all)." in said
    assert summary["verdict"]["headline"] == "Nothing was OOM-killed: app peaked at 48 of 48 MiB (memory.high)"


def test_io_max_is_named_where_a_container_is_at_its_rate(tmp_path: Path) -> None:
    """What a container writes at the rate of its io.max waits for it; what it reads well below it does not. A line
    that a damaged record made illegible says nothing.
    """
    run = FakeRun(tmp_path / "run")
    lines = ("98:16 rbps=4194304 wbps=4194304 riops=max wiops=max", "nonsense")
    run.start("app", memory_max=64 * MIB, io_max=lines)
    run.advance(2.0, {"app": {"read": 4 * MIB}})
    run.advance(12.0, {"app": {"write": 40 * MIB}})
    run.advance(14.0)
    summary, said = _reported(run)
    [one] = summary["containers"]["app"]["held_back"]
    assert (one["by"], one["times"], one["bound_bytes"], one["way"]) == ("io.max", None, 4 * MIB, "wbps of ubdb")
    assert one["seconds"] == pytest.approx(10.0, abs=1.5)
    assert "app was held to its io.max of 4 MiB/s (wbps of ubdb) for" in summary["verdict"]["headline"]
    assert "from here on: app was held to its io.max of 4 MiB/s" in said


def test_swap_that_is_used_up_is_a_case_of_its_own(tmp_path: Path) -> None:
    """The container's own swap limit, or the machine's swap: the two look alike in memory.events."""
    run = _begun(tmp_path / "own", memory_max=64 * MIB, swap_max=32 * MIB)
    run.advance(4.0, {"app": {"swap": 32 * MIB, "swap_event_max": 7, "swap_event_fail": 7}})
    run.advance(8.0)
    summary, said = _reported(run)
    assert [one["by"] for one in summary["containers"]["app"]["held_back"]] == ["memory.swap.max"]
    assert summary["containers"]["app"]["swap_events"] == {"high": 0, "max": 7, "fail": 7}
    assert "app had used up its swap limit (memory.swap.max) of 32 MiB" in summary["verdict"]["headline"]
    run = _begun(tmp_path / "machine", memory_max=64 * MIB, swap_max=None)
    run.advance(4.0, {"app": {"swap": 500 * MIB}})
    run.swap_free_kb = 0
    run.advance(8.0, {"app": {"swap_event_fail": 3}})
    summary, said = _reported(run)
    assert [one["by"] for one in summary["containers"]["app"]["held_back"]] == ["machine-swap"]
    assert "the machine's swap of 512 MiB was full for 3.9 s while app swapped" in said


def test_processors_and_devices_are_named(tmp_path: Path) -> None:
    """cpu.max and a slow disk, where they cost more than a twentieth of the run."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    run.advance(10.0, {"app": {"throttled_usec": 4e6, "io_full_usec": 3e6}, "queue-proxy": {"throttled_usec": 1e4}})
    summary, said = _reported(run)
    assert [one["by"] for one in summary["containers"]["app"]["held_back"]] == ["cpu.max", "io"]
    assert summary["containers"]["queue-proxy"]["held_back"] == []
    assert "app was throttled by cpu.max for 4.0 s" in said
    assert "all of app waited for a device for 3.0 s (io.pressure, full)" in said


def test_the_quiet_headline_is_of_the_nearest_to_its_limit(tmp_path: Path) -> None:
    """Not always queue-proxy's peak: the app stood at all of its limit, of reclaimable slab."""
    run = _begun(tmp_path, memory_max=48 * MIB)
    run.advance(5.0, {"app": {"anon": 4 * MIB, "kernel": 44 * MIB, "slab_reclaimable": 43 * MIB}})
    run.count("app", max=5)
    summary, said = _reported(run)
    assert summary["verdict"]["headline"] == "Nothing was OOM-killed: app peaked at 48 of 48 MiB"
    figures = summary["containers"]["app"]
    assert figures["slab_reclaimable_peak_bytes"] == 43 * MIB
    assert figures["kernel_unreclaimable_peak_bytes"] == MIB
    assert "app held up to 43 MiB of reclaimable slab" in said


def test_stacks_of_threads_are_not_slab(tmp_path: Path) -> None:
    """Kernel memory that goes only with the threads is named as what it is."""
    run = _begun(tmp_path, memory_max=48 * MIB)
    run.advance(5.0, {"app": {"anon": 4 * MIB, "kernel": 40 * MIB, "kernel_stack": 38 * MIB}})
    assert (
        "40 MiB of kernel memory that cannot be reclaimed, most of it stacks of threads (38 MiB)" in _reported(run)[1]
    )


def test_pages_on_their_way_to_swap_are_not_dirty_files(tmp_path: Path) -> None:
    """The kernel counts both as file_writeback: what the swap cache holds of it is reported apart."""
    run = _begun(tmp_path, memory_max=64 * MIB, swap_max=None)
    run.advance(5.0, {"app": {"file_dirty": 2 * MIB, "file_writeback": 9 * MIB, "swapcached": 8 * MIB}})
    figures = _reported(run)[0]["containers"]["app"]
    assert (figures["dirty_peak_bytes"], figures["swap_writeback_peak_bytes"]) == (3 * MIB, 8 * MIB)


def test_a_machine_that_runs_short_is_reported_though_nobody_dies(tmp_path: Path) -> None:
    """In the headline, in a sentence and in the journal, at the time when it was shortest."""
    run = _begun(tmp_path, memory_max=None)
    run.available_kb, run.stalls = 5_300, 142
    run.advance(3.0)
    run.available_kb = None
    run.advance(5.0)
    summary, said = _reported(run)
    words = "the machine itself ran short of memory: 5.2 MiB of 1 GiB available"
    assert words in summary["verdict"]["headline"]
    assert summary["host"]["ran_short"] is True
    assert summary["host"]["reclaim_stalls"] == 42
    assert "42 allocations had to wait for that" in said
    assert "reclaims from everybody" in said and f"emu: {words}" in said


def test_a_killed_container_does_not_live_on_swap(tmp_path: Path) -> None:
    """And the kill's cause names the swap limit that was used up, or the machine's swap that was full."""
    for where, swap_max, free_kb, words in (
        ("own", 32 * MIB, 524_288, "with its swap limit (memory.swap.max) of 32 MiB used up"),
        ("machine", None, 0, "with the machine's swap full"),
        ("none", 0, 524_288, "its own limit of 64 MiB was reached"),
    ):
        run = _begun(tmp_path / where, memory_max=64 * MIB, swap_max=swap_max)
        run.swap_free_kb = free_kb
        swapped = 0 if swap_max == 0 else 32 * MIB
        run.advance(4.0, {"app": {"anon": 63 * MIB, "swap": swapped, "swap_out": swapped}})
        run.oom("app")
        summary, said = _reported(run)
        assert words in summary["verdict"]["headline"]
        assert "lives on swap" not in said
        left = {"own": "limit", "machine": "machine-full", "none": "not-allowed"}[where]
        assert summary["oom_kills"][0]["swap_left"] == left


@pytest.mark.parametrize("seen", [True, False])
def test_a_probes_command_is_not_the_app(tmp_path: Path, seen: bool) -> None:
    """The process that held most was the readiness probe's: by its pid, else by its name and the time."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    group = run.live["app"]
    main, other = group.pids[0], 9100
    group.pids.append(other)
    group.rss_pages = {main: 3000, other: 12_979}
    run.advance(4.0, {"app": {"anon": 63 * MIB}})
    run.oom("app", group=True)
    run.command("app", "readiness", ["/bin/app", "-c", "hold"], 3.0, [other] if seen else [])
    summary, said = _reported(run)
    [kill] = summary["oom_kills"]
    assert (kill["victim_is"], kill["culprit"]["kind"]) == ("main", "readiness")
    assert kill["culprit"]["command"] == "/bin/app -c hold"
    assert "its own limit of 64 MiB was reached by the readiness probe's command" in summary["verdict"]["headline"]
    assert "The readiness probe's command (/bin/app -c hold) held 50.7 of 64 MiB" in said


def test_a_killed_command_alone_is_named(tmp_path: Path) -> None:
    """Without memory.oom.group the probe's process dies, and the container lives on."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    run.live["app"].pids.append(9100)
    run.advance(4.0, {"app": {"anon": 63 * MIB}})
    run.oom("app", child=True)
    run.command("app", "liveness", ["/bin/check"], 3.0, [9100])
    run.advance(5.0)
    headline = _reported(run)[0]["verdict"]["headline"]
    assert headline.startswith("the liveness probe's command in app was OOM-killed")
    assert "; the container lived on" in headline and "for that probe" not in headline


def test_a_container_that_was_killed_for_the_probe_whose_command_was_is_not_only_said_to_live_on(
    tmp_path: Path,
) -> None:
    """It did, until the kubelet restarted it because of that."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    run.live["app"].pids.append(9100)
    run.advance(4.0, {"app": {"anon": 63 * MIB}})
    run.oom("app", child=True)
    run.command("app", "liveness", ["/bin/check"], 3.0, [9100])
    run.advance(5.0)
    run.exit("app", 0, killed_for="liveness")
    headline = _reported(run)[0]["verdict"]["headline"]
    assert "; the container lived on, and was killed once for that probe, which failed" in headline


def test_children_of_the_app_are_distinguished(tmp_path: Path) -> None:
    """Processes that the app started held it, and no probe ran then."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    group = run.live["app"]
    group.pids.append(9100)
    group.rss_pages = {group.pids[0]: 2000, 9100: 12_000}
    run.command("app", "readiness", ["/bin/app"], 0.2, [])
    run.advance(4.0, {"app": {"anon": 63 * MIB}})
    run.oom("app", group=True)
    summary, said = _reported(run)
    assert summary["oom_kills"][0]["culprit"]["kind"] == "child"
    assert "Most of it was held by processes that app's main process had started: 46.9 of 64 MiB." in said


def test_pages_that_processes_share_are_not_counted_for_each(tmp_path: Path) -> None:
    """After fork each process maps what its parent held; the cgroup is charged for a page once."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    group = run.live["app"]
    group.pids += [9100, 9101]
    group.rss_pages = {group.pids[0]: 12_000, 9100: 12_000, 9101: 12_000}
    run.advance(4.0, {"app": {"anon": 63 * MIB}})
    run.oom("app", group=True)
    summary, said = _reported(run)
    assert summary["oom_kills"][0]["culprit"]["processes"] == 3
    assert "The 3 processes of app share pages: their memory adds up to 140.6 MiB, and each page is" in said
    assert "Most of it was held by" not in said


def test_pages_are_shared_at_the_pod_s_limit_too(tmp_path: Path) -> None:
    """A pod of one container meets its own limit first; more than ran out is never said to be a part of it."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    run.pod.limit = 64 * MIB
    group = run.live["app"]
    group.pids += [9100, 9101]
    group.rss_pages = {group.pids[0]: 12_000, 9100: 20_000, 9101: 20_000}
    run.advance(4.0, {"app": {"anon": 23 * MIB}})
    run.oom("app", group=True, level="pod")
    summary, said = _reported(run)
    assert summary["oom_kills"][0]["level"] == "pod"
    assert "The 3 processes of app share pages" in said
    assert "of 64 MiB" not in said.partition("share pages")[2].partition(".")[0]


def test_a_pod_that_makes_room_at_its_own_limit_is_said_to(tmp_path: Path) -> None:
    """Where each container has a limit the pod has their sum, and with one container meets it first."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    run.pod.limit = 128 * MIB
    run.advance(4.0, {"app": {"file": 50 * MIB}})
    run.count("app", local=False, max=966)
    run.advance(5.0)
    _, said = _reported(run)
    assert "The pod touched its limit of 128 MiB 966 times (memory.events max) and the kernel made room" in said
    assert "app touched" not in said


def test_a_kill_for_kernel_memory_says_which(tmp_path: Path) -> None:
    """Stacks of threads and dentries look alike in `kernel`; the kernel's own report distinguishes them."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    run.advance(4.0, {"app": {"anon": 10 * MIB, "kernel": 53 * MIB, "kernel_stack": 48 * MIB}})
    run.oom("app")
    summary, said = _reported(run)
    [kill] = summary["oom_kills"]
    assert kill["held_kernel"]["kernel_stack"] == 48 * MIB
    assert "53 MiB of kernel memory (48 MiB of it stacks of threads and 5 MiB buffers of pipes and the like)" in said


def test_page_cache_that_was_not_on_disk_yet_is_said_to_have_filled_a_limit(tmp_path: Path) -> None:
    """What is dirty or being written cannot be dropped; less of it is in a sentence alone."""
    for number, (megs, filled) in enumerate(((40, True), (8, False))):
        run = _begun(tmp_path / str(number), memory_max=64 * MIB)
        held = {"file": 44 * MIB, "file_dirty": (megs - 4) * MIB, "file_writeback": 4 * MIB}
        run.advance(4.0, {"app": {"anon": 18 * MIB, **held}})
        run.oom("app")
        summary, said = _reported(run)
        assert summary["oom_kills"][0]["dirty_bytes"] == megs * MIB
        assert f"44 MiB of page cache ({megs} MiB of it not on disk yet, which cannot be dropped)" in said
        words = f", {megs} MiB of it page cache that was not on disk yet"
        assert (words in summary["verdict"]["headline"]) == filled


def test_a_limit_that_the_kernel_s_memory_filled_is_said_to_be(tmp_path: Path) -> None:
    """The headline has its parts, the largest first, and what memory.stat has no name for: pipes."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    held = {"kernel": 48 * MIB, "kernel_stack": 12 * MIB, "pagetables": 8 * MIB, "slab_reclaimable": MIB, "percpu": 0}
    run.advance(4.0, {"app": {"anon": 8 * MIB, "sock": 6 * MIB, **held}})
    run.oom("app")
    summary, _ = _reported(run)
    assert summary["oom_kills"][0]["held_kernel"]["kernel_other"] == 27 * MIB
    assert summary["containers"]["app"]["kernel_other_peak_bytes"] == 27 * MIB
    assert (
        "; it held 48 MiB of kernel memory (27 MiB of it buffers of pipes and the like, 12 MiB stacks of threads and "
        "8 MiB page tables) and 6 MiB of socket buffers; queue-proxy used"
    ) in summary["verdict"]["headline"]


def test_a_heap_s_kill_says_nothing_of_kernel_memory(tmp_path: Path) -> None:
    """In the headline, where most of it was anonymous."""
    run = _begun(tmp_path, memory_max=64 * MIB)
    run.advance(4.0, {"app": {"anon": 40 * MIB, "kernel": 23 * MIB, "kernel_stack": 20 * MIB}})
    run.oom("app")
    assert "kernel memory" not in _reported(run)[0]["verdict"]["headline"]


def test_a_bus_error_with_a_full_tmpfs_is_explained(tmp_path: Path) -> None:
    """SIGBUS with all of /dev/shm used: no limit of memory is in play."""
    run = _begun(tmp_path, memory_max=512 * MIB)
    run.advance(4.0, {"app": {"shmem": 64 * MIB}})
    run.exit("app", 135)
    headline = _reported(run)[0]["verdict"]["headline"]
    assert headline.startswith("app was ended by SIGBUS at 4.0 s (exit code 135), with 64 MiB of shared memory")
    assert "/dev/shm has 64 MiB by default" in headline


def test_files_that_another_container_had_in_the_page_cache_are_not_read_again(tmp_path: Path) -> None:
    """An init container wrote them, and its limit had them dropped: the app reads each page once."""
    run = _begun(tmp_path, memory_max=80 * MIB)
    run.advance(4.0, {"app": {"file": 70 * MIB, "read": 70 * MIB, "refault_file": 69 * MIB / 4096}})
    summary, said = _reported(run)
    headline = summary["verdict"]["headline"]
    assert "69 MiB of which the page cache had held before and dropped" in headline and "again" not in headline
    assert "which it had written, or another container had held" in said


def test_files_that_are_read_over_and_over_are_the_reader_s(tmp_path: Path) -> None:
    """However often: it had read all of them once. Nor are they another's where they are not read from a disk."""
    for number, (read, again) in enumerate(((2000, 1900), (4, 60))):
        run = _begun(tmp_path / str(number), memory_max=80 * MIB)
        run.advance(4.0, {"app": {"file": 70 * MIB, "read": read * MIB, "refault_file": again * MIB / 4096}})
        summary, said = _reported(run)
        assert "again after the page cache had dropped it" in summary["verdict"]["headline"]
        assert "another container" not in said


def test_what_held_a_container_back_that_was_not_killed_is_in_the_headline_of_a_kill(tmp_path: Path) -> None:
    """Requests to it failed for that, and not for the kill of another one."""
    run = _begun(tmp_path, memory_max=128 * MIB)
    run.advance(9.0, {"app": {"throttled_usec": 6e6}, "queue-proxy": {"throttled_usec": 5e6}})
    run.requests(5, 2.0, 2.1, done_s=8.0, error="timeout")
    run.oom("queue-proxy")
    summary, _ = _reported(run)
    headline = summary["verdict"]["headline"]
    assert "; app was throttled by cpu.max for 6.0 s; all 5 requests were given up" in headline
    assert "queue-proxy was throttled" not in headline
