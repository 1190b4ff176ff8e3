"""The memory lab: what the report says of page cache and swap equals the kernel's own counters, read here by no
code of the report's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from cgroups.parse import parse_flat, parse_io_max
from emu.record.events import (
    ContainerCreated,
    ContainerStopping,
    KubeletEvent,
    Note,
    PodEvicted,
    PodStatus,
    RunBegan,
    read_events,
)
from emu.record.rundir import RunDir
from emu.record.samples import HOST, NODE, Sample, read_samples
from emu.scenario.reading import load_scenario
from emu.serving.explained import victims
from tests.scenario.support import Finished
from tests.scenario.test_scenarios import part_of

pytestmark = pytest.mark.scenario
EmuRun = Callable[..., Finished]
PAGE = 4096
MIB = 2**20
WRITTEN = re.compile(rb"^(\d+:\d+) .*?\bwbytes=(\d+)", re.MULTILINE)
DISK = re.compile(rb"^(\d+:\d+) .*?\brbytes=(\d+)", re.MULTILINE)
REFAULTS = re.compile(rb"^workingset_refault_file (\d+)$", re.MULTILINE)


def _readings(run: RunDir, pod: str, file: str) -> Iterator[tuple[float, bytes]]:
    """Every text of a control file of a pod's app, with its time."""
    for sample in read_samples(run.samples):
        for owner, files in sample.files.items():
            if (owner.pod, owner.container) == (pod, "app") and file in files:
                yield sample.t, files[file]


def _began(run: RunDir) -> float:
    """CLOCK_MONOTONIC of the run's begin."""
    return next(event.t for event in read_events(run.events) if isinstance(event, RunBegan))


def _devices(run: RunDir) -> dict[str, dict[str, str]]:
    """What each disk was for."""
    found: dict[str, dict[str, str]] = next(
        one.machine["devices"] for one in read_events(run.events) if isinstance(one, RunBegan)
    )
    return found


def _last(run: RunDir, pod: str, file: str) -> bytes:
    *_, (_, text) = _readings(run, pod, file)
    return text


@part_of("page-cache-curve")
def test_a_curve_s_figures_are_the_kernel_s(emu_run: EmuRun) -> None:
    """page-cache-curve: each read is what io.stat and memory.stat rose by between two samples, to the byte and to the
    page, and both reads of a pod are all that it read.
    """
    done = emu_run("page-cache-curve")
    reads = done.summary["page_cache"]["reads"]
    pods = list(dict.fromkeys(one["pod"] for one in reads))
    assert len(pods) == 5
    for pod in pods:
        mine = [one for one in reads if one["pod"] == pod]
        refaults = int(REFAULTS.findall(_last(done.run, pod, "memory.stat"))[0])
        rbytes = sum(int(count) for _, count in DISK.findall(_last(done.run, pod, "io.stat")))
        assert sum(one["refault_bytes"] for one in mine) == refaults * PAGE
        assert sum(one["disk_read_bytes"] for one in mine) == rbytes
        figures = done.summary["pods"][pod]["containers"]["app"]
        assert (figures["io_read_bytes"], figures["refault_bytes"]) == (rbytes, refaults * PAGE)
    marks = list(_marks(done.run))
    assert len(marks) == len(reads) + 1  # before the load, between two phases, and after it
    for one, before, after in zip(reads, marks, marks[1:], strict=False):
        risen = [now - then for then, now in zip(before[one["pod"]], after[one["pod"]], strict=True)]
        assert [one["disk_read_bytes"], one["refault_bytes"]] == risen, one["phase"]
    assert done.summary["page_cache"]["read_again_up_to_bytes"] == 256 * 2**20
    assert done.summary["page_cache"]["kept_from_bytes"] == 288 * 2**20
    assert "a second read of model came from disk again" in done.summary["verdict"]["headline"]


def _marks(run: RunDir) -> Iterator[dict[str, list[int]]]:
    """Of each sample between two phases: what each pod's app had read from disk and read again, in bytes."""
    for sample in read_samples(run.samples):
        if sample.why == "phase":
            yield {
                owner.pod: [
                    sum(int(count) for _, count in DISK.findall(files["io.stat"])),
                    int(REFAULTS.findall(files["memory.stat"])[0]) * PAGE,
                ]
                for owner, files in sample.files.items()
                if owner.container == "app"
            }


@part_of("page-cache-owner")
def test_the_owner_of_a_page_is_who_read_it_first(emu_run: EmuRun) -> None:
    """page-cache-owner: the first reader's memory.stat has the file, the second one's never does, and the pod of the
    first has it after its container's end.
    """
    done = emu_run("page-cache-owner")
    charged = {
        pod: max(
            int(re.findall(rb"^file (\d+)$", text, re.MULTILINE)[0])
            for _, text in _readings(done.run, pod, "memory.stat")
        )
        for pod in ("first", "second")
    }
    assert charged["first"] >= 64 * 2**20 > 4 * 2**20 >= charged["second"]
    assert "first/app read model first and pays for" in done.summary["verdict"]["headline"]
    assert any("stayed charged to its pod" in one for one in done.summary["verdict"]["sentences"])


@part_of("anon-limit")
def test_swap_is_what_decides_how_long_it_lives(emu_run: EmuRun) -> None:
    """anon-limit: what is said of swap is what io.stat and memory.swap.current say."""
    done = emu_run("anon-limit")
    for pod in ("little", "enough"):
        figures = done.summary["pods"][pod]["containers"]["app"]
        swap = [int(text) for _, text in _readings(done.run, pod, "memory.swap.current")]
        assert figures["swap_peak_bytes"] == max(swap)
        written = re.findall(rb"wbytes=(\d+)", _last(done.run, pod, "io.stat"))
        assert figures["io_write_bytes"] == sum(map(int, written))
    assert [kill["pod"] for kill in done.summary["oom_kills"]] == ["none", "little"]
    assert [kill["swap_left"] for kill in done.summary["oom_kills"]] == ["not-allowed", "limit"]
    headline = done.summary["verdict"]["headline"]
    assert re.search(r"little/app was OOM-killed too \S+ m?s after its first request, at its pod's limit", headline)
    assert "with its swap limit (memory.swap.max) of 32 MiB used up" in headline


@part_of("anon-limit-compressed")
def test_what_zswap_holds_is_the_kernel_s_count(emu_run: EmuRun) -> None:
    """anon-limit-compressed: what went into zswap and what it took are those of memory.stat, to the page and
    the byte; a disk saw none of it, and what is on zram is said to be.
    """
    done = emu_run("anon-limit-compressed")
    plays = dict(zip(done.summary["variants"], done.plays, strict=True))
    for name, (run, summary) in plays.items():
        figures = summary["pods"]["batch"]["containers"]["app"]
        stats = [parse_flat(text) for _, text in _readings(run, "batch", "memory.stat")]
        assert figures["zswap_out_bytes"] == stats[-1]["zswpout"] * PAGE
        assert figures["zswap_in_bytes"] == stats[-1]["zswpin"] * PAGE
        for kind in ("zswap", "zswapped"):
            assert figures[f"{kind}_peak_bytes"] == max(one[kind] for one in stats)
        assert all(one["zswap"] <= one["kernel"] + MIB for one in stats)  # it is charged, in steps
        written = sum(int(count) for _, count in WRITTEN.findall(_last(run, "batch", "io.stat")))
        assert figures["swap_io_write_bytes"] == written
        assert (name == "zswap") == (figures["zswap_out_bytes"] > 0)
        said = summary["verdict"]["headline"]
        assert ("compressed in memory" in said) == (name == "zswap"), said
        assert ("memory of the node (zram), where" in said) == (name == "zram"), said
        texts = list(_zram_texts(run))
        for column, figure in ((0, "zram_stored_peak_bytes"), (2, "zram_peak_bytes")):
            assert summary["host"][figure] == max((int(text.split()[column]) for text in texts), default=None)
        assert bool(texts) == (name == "zram")
    devices = _devices(plays["zram"][0])
    assert [one["name"] for one in devices.values() if one["role"] == "swap"] == ["zram0"]


def _zram_texts(run: RunDir) -> Iterator[bytes]:
    for sample in read_samples(run.samples):
        yield from (text for file, text in sample.files.get(HOST, {}).items() if file.endswith(".mm_stat"))


@part_of("memory-high")
def test_memory_high_is_named(emu_run: EmuRun) -> None:
    """memory-high: nothing is called an OOM, and the words say what held both containers back, as often as the
    kernel counted it.
    """
    done = emu_run("memory-high")
    for pod in ("waits", "probed"):
        app = done.summary["pods"][pod]["containers"]["app"]
        [one] = [one for one in app["held_back"] if one["by"] == "memory.high"]
        assert one["bound_bytes"] == 48 * MIB
        if app["restarts"] == 0:
            assert one["times"] == app["memory_events"]["high"] >= 1
    said = " ".join([done.summary["verdict"]["headline"], *done.summary["verdict"]["sentences"]])
    for pod in ("waits", "probed"):
        assert f"{pod}/app was throttled at its memory.high of 48 MiB" in said, said
    assert done.summary["oom_kills"] == []


@part_of("victim-order")
def test_they_die_in_the_order_that_explain_gives(emu_run: EmuRun) -> None:
    """victim-order: with the whole container as with one process, the kernel's log names the victims in the order of
    the oom_score_adj that `emu explain` prints beforehand, and nobody met a limit of its own.
    """
    done, spec = emu_run("victim-order"), load_scenario("victim-order")
    predicted = victims(spec, spec.node.rules(320 * MIB, 0))
    for run, summary in done.plays:
        lines = [line for line in run.kmsg.read_text().splitlines() if "oom-kill:constraint=" in line]
        died = [next(one.pod for one in predicted if f"/pod{one.pod}/" in line.replace("_", "-")) for line in lines]
        assert list(dict.fromkeys(died)) == [one.pod for one in predicted[:-1]]
        known = {one["pod"]: one["oom_score_adj"] for one in summary["oom_kills"][0]["candidates"]}
        assert known == {one.pod: one.oom_score_adj for one in predicted}
        assert all(pod["memory_events_local"]["oom"] == 0 for pod in summary["pods"].values())
    assert done.summary["variants"]["process"]["oom_kills"][0]["child"]


@part_of("victim-order-pod")
def test_whose_limit_it_was_decides_who_dies(emu_run: EmuRun) -> None:
    """victim-order-pod: at the container's own limit the kernel's log has the app; at the pod's it has queue-proxy
    first, as in the order that `emu explain` gives, and no limit of its own was met by any.
    """
    done, spec = emu_run("victim-order-pod"), load_scenario("victim-order-pod")
    plays = dict(zip(done.summary["variants"], done.plays, strict=True))
    first = victims(spec, spec.node.rules(100 * MIB, 0))[0].container
    for name, (run, summary) in plays.items():
        logged = re.findall(r"oom-kill:constraint=.*?oom_memcg=([^,]*),task_memcg=([^,]*)", run.kmsg.read_text())
        assert logged and all((limit == task) == (name == "container") for limit, task in logged)
        assert summary["oom_kills"][0]["container"] == {"container": "app", "pod": first}[name]
        assert summary["containers"]["queue-proxy"]["memory_events"]["oom"] == 0
        assert (summary["containers"]["app"]["memory_events"]["oom"] > 0) == (name == "container")
        assert (summary["pod"]["memory_events_local"]["oom"] > 0) == (name == "pod")
    known = {one["container"]: one["oom_score_adj"] for one in plays["pod"][1]["oom_kills"][0]["candidates"]}
    assert known == {"queue-proxy": 999, "app": 120}
    assert (
        "container: app was OOM-killed at its own limit of 72 MiB; pod: queue-proxy was OOM-killed at the pod's"
        in (done.summary["verdict"]["headline"])
    )


@part_of("eviction")
def test_an_evicted_pod_s_status_and_events_are_in_the_kubelet_s_words(emu_run: EmuRun) -> None:
    """eviction: the pod furthest above its request is chosen, of those that are above it; its figure is its working
    set; it has 1 s to end; its STATUS is Evicted while it runs, then how it ended; it is not started again.
    """
    slow, summary = emu_run("eviction").plays[0]
    events = list(read_events(slow.events))
    (evicted,) = [one for one in events if isinstance(one, PodEvicted)]
    assert (evicted.pod, evicted.grace_s) == ("above", 1)
    said = re.fullmatch(
        r"The node was low on resource: memory\. Threshold quantity: 20Mi, available: (\d+)(Ki|Mi)?\. "
        r"Container web was using (\d+)(Ki|Mi)?, request is 16Mi, has larger consumption of memory\. ",
        evicted.message,
    )
    assert said, evicted.message
    unit = {None: 1, "Ki": 1024, "Mi": MIB}
    available, using = (int(said[n]) * unit[said[n + 1]] for n in (1, 3))
    assert available < 20 * MIB
    held = [_working_set(sample, "above") for sample in read_samples(slow.samples) if sample.t <= evicted.t]
    assert abs(max(one for one in held if one is not None) - using) < MIB
    known = [(one.type, one.reason, one.message) for one in events if isinstance(one, KubeletEvent)]
    killing = ("Normal", "Killing", "Stopping container web")
    assert [one for one in known if one[1] in ("Evicted", "Killing")] == [
        ("Warning", "Evicted", evicted.message),
        killing,
    ]
    assert [one.what for one in events if isinstance(one, Note)].count("EvictionThresholdMet") == 1
    shown = [one.status for one in events if isinstance(one, PodStatus) and one.pod == "above"]
    assert shown.index("Evicted") == len(shown) - 2
    assert shown[-1] in ("Completed", "Error")
    assert summary["pods"]["above"]["containers"]["web"]["restarts"] == 0
    (stopping,) = [one for one in events if isinstance(one, ContainerStopping) and one.why == "evicted"]
    assert (stopping.pod, stopping.grace_s) == ("above", 1)


def _working_set(sample: Sample, pod: str) -> int | None:
    """memory.current less inactive_file of a pod's container, read from the same sample."""
    for owner, files in sample.files.items():
        if (owner.pod, owner.container) == (pod, "web") and "memory.current" in files and "memory.stat" in files:
            inactive = re.findall(rb"^inactive_file (\d+)$", files["memory.stat"], re.MULTILINE)
            return int(files["memory.current"]) - int(inactive[0])
    return None


@part_of("working-set")
def test_four_answers_are_of_one_sample_of_the_kernel_s(emu_run: EmuRun) -> None:
    """working-set: of each container and the node at each phase's end, memory.current and memory.stat of the sample
    that is named give the same figures; the words say that page cache alone made the kubelet evict, and that nothing
    was reclaimed.
    """
    done = emu_run("working-set")
    origin, times = _began(done.run), {one["time_s"] for one in done.summary["working_set"].values()}
    samples = {
        t: {owner: dict(files) for owner, files in one.files.items()}
        for one in read_samples(done.run.samples)
        if (t := round(one.t - origin, 6)) in times
    }
    evicted = {one.pod: one.t - origin for one in read_events(done.run.events) if isinstance(one, PodEvicted)}
    for known in done.summary["working_set"].values():
        files = {f"{owner.pod}/{owner.container}": of for owner, of in samples[known["time_s"]].items()}
        files["node"] = samples[known["time_s"]][NODE]
        for name, figures in {**known["containers"], "node": known["node"]}.items():
            if figures["memory_current_bytes"] is None:
                assert name not in files or "memory.current" not in files[name]
                assert known["time_s"] > evicted[name.partition("/")[0]], "it was there until it was evicted"
                continue
            current, stat = int(files[name]["memory.current"]), parse_flat(files[name]["memory.stat"])
            assert figures["memory_current_bytes"] == current
            assert figures["docker_stats_bytes"] == figures["working_set_bytes"] == current - stat["inactive_file"]
            assert [figures[f"{part}_bytes"] for part in ("anon", "active_file", "inactive_file")] == [
                stat[part] for part in ("anon", "active_file", "inactive_file")
            ]
    headline = done.summary["verdict"]["headline"]
    assert "evicted the pod read-twice, then read-once because the node was low on memory, though 6" in headline
    assert "of what it counted as used was page cache that can be dropped" in headline
    assert any("The eviction of read-twice left 6" in one for one in done.summary["verdict"]["sentences"])
    assert done.summary["node"]["reclaimed_bytes"] == 0


@part_of("kernel-memory")
def test_kernel_memory_is_the_kernel_s_own_breakdown(emu_run: EmuRun) -> None:
    """kernel-memory: the parts of a kill are those of the block that the kernel logged for it, to the byte; the peaks
    before it are those of memory.stat; and the headline names what filled the limit.
    """
    done = emu_run("kernel-memory")
    text = done.run.kmsg.read_text().replace("\\x0a", "\n").partition("Memory cgroup stats for")[2]
    text = text.partition("Tasks state")[0]
    logged = {name: int(size) for name, size in re.findall(r"^(?:.*;)?([a-z_]+) (\d+)$", text, re.MULTILINE)}
    (kill,) = done.summary["oom_kills"]
    parts = ("slab_reclaimable", "slab_unreclaimable", "kernel_stack", "pagetables", "percpu")
    assert {name: kill["held_kernel"][name] for name in parts} == {name: logged[name] for name in parts}
    assert kill["held_kernel"]["kernel_other"] == logged["kernel"] - sum(logged[name] for name in parts)
    assert [kill["held"][name] for name in ("anon", "kernel", "sock")] == [
        logged[name] for name in ("anon", "kernel", "sock")
    ]
    sampled = [parse_flat(text) for _, text in _readings(done.run, "web", "memory.stat")]
    for name in ("slab_reclaimable", "kernel_stack", "pagetables", "sock"):
        most = max(logged[name], *(one[name] for one in sampled))
        assert done.summary["containers"]["app"][f"{name}_peak_bytes"] == most
    headline = done.summary["verdict"]["headline"]
    assert "its own limit of 96 MiB was reached" in headline
    for word in ("of kernel memory", "buffers of pipes", "page tables", "stacks of threads"):
        assert word in headline, word


@part_of("protection")
def test_what_was_reclaimed_is_the_kernel_s_count(emu_run: EmuRun) -> None:
    """protection: what was taken from each container is what pgsteal of its memory.stat rose by since the node was
    full, to the page, and what was scanned for it pgscan.
    """
    for run, summary in emu_run("protection").plays:
        assert {one["pod"] for one in summary["reclaim"]} == {"web", "batch"}
        for one in summary["reclaim"]:
            counted = [_since_full(run, one["pod"], name) for name in ("pgsteal", "pgscan")]
            assert [one["reclaimed_bytes"], one["scanned_bytes"]] == [pages * PAGE for pages in counted]


def _counted(stat: bytes, name: bytes) -> int:
    return int(re.findall(rb"^%s (\d+)$" % name, stat, re.MULTILINE)[0])


def _since_full(run: RunDir, pod: str, name: str) -> int:
    """How far a counter of memory.stat of a pod's app rose after the last sample in which the node had never met its
    limit.
    """
    full, before, value = False, 0, 0
    for sample in read_samples(run.samples):
        node = sample.files.get(NODE, {})  # the first sample is from before it is watched
        full = full or _counted(node.get("memory.events.local", b"max 0"), b"max") > 0
        for owner, files in sample.files.items():
            if (owner.pod, owner.container) == (pod, "app") and "memory.stat" in files:
                value = _counted(files["memory.stat"], name.encode())
        before = before if full else value
    assert full
    return value - before


@part_of("reclaim-order")
def test_cold_page_cache_goes_first(emu_run: EmuRun) -> None:
    """reclaim-order: what each container gave is what pgsteal of its memory.stat rose by, to the page; cold page
    cache went before hot, anonymous memory without swap was not even looked at, and each kind held is memory.stat's
    when the node was full.
    """
    done = emu_run("reclaim-order")
    reclaim = {one["pod"]: one for one in done.summary["reclaim"]}
    assert set(reclaim) == {"hot", "cold", "idle", "batch"}
    for pod, one in reclaim.items():
        names = {"pgsteal": "reclaimed", "pgscan": "scanned", "workingset_refault_file": "refault"}
        for name, figure in names.items():
            assert one[f"{figure}_bytes"] == _since_full(done.run, pod, name) * PAGE
        for kind in ("inactive_file", "active_file", "anon"):
            known = {_counted(text, kind.encode()) for _, text in _readings(done.run, pod, "memory.stat")}
            assert one[f"{kind}_bytes"] in known
    assert reclaim["batch"]["scanned_bytes"] < MIB
    assert reclaim["cold"]["first_s"] < min(reclaim[pod]["first_s"] for pod in ("hot", "idle"))
    assert reclaim["cold"]["inactive_file_bytes"] >= 90 * MIB
    assert reclaim["hot"]["active_file_bytes"] >= 44 * MIB
    said = " ".join(done.summary["verdict"]["sentences"])
    assert "reclaim began with cold/app at" in said
    assert "next to nothing from batch/app" in done.summary["verdict"]["headline"]


@part_of("dirty-pages-slow-disk")
def test_a_slow_disk_holds_up_who_may_not_leave_it_dirty(emu_run: EmuRun) -> None:
    """dirty-pages-slow-disk: what was written is io.stat's to the byte, and no more than io.max allows in that time;
    the words name the disk's rate and who waited for it.
    """
    done = emu_run("dirty-pages-slow-disk")
    for pod in ("small", "large"):
        written = sum(int(count) for _, count in WRITTEN.findall(_last(done.run, pod, "io.stat")))
        assert done.summary["pods"][pod]["containers"]["app"]["io_write_bytes"] == written
    [held] = done.summary["node"]["held_back"]
    assert (held["by"], held["bound_bytes"]) == ("io.max", 8 * MIB)
    _keeps_to_rate(done.run, "small", WRITTEN, 8 * MIB)
    headline = done.summary["verdict"]["headline"]
    assert "small/app wrote" in headline and "io.max of 8 MiB/s" in headline, headline


@part_of("noisy-io")
def test_a_noisy_neighbour_is_held_to_its_rate(emu_run: EmuRun) -> None:
    """noisy-io: a pod swaps to its neighbour's disk. What it read was swap, to the page, and its neighbour's none;
    with io.max it keeps to that rate, and is said to.
    """
    done = emu_run("noisy-io")
    plays = dict(zip(done.summary["variants"], done.plays, strict=True))
    for run, summary in plays.values():
        for pod in ("web", "noisy"):
            read = sum(int(count) for _, count in DISK.findall(_last(run, pod, "io.stat")))
            figures = summary["pods"][pod]["containers"]["app"]
            assert figures["io_read_bytes"] == read
            swapped_in = parse_flat(_last(run, pod, "memory.stat")).get("pswpin")
            if swapped_in is not None:
                assert figures["swap_io_read_bytes"] == swapped_in * PAGE == read - figures["disk_read_bytes"]
        roles = [one["role"] for one in _devices(run).values()]
        assert [role for role in roles if "swap" in role] == ["files and swap"]
    run, summary = plays["limited"]
    _keeps_to_rate(run, "noisy", DISK, 2 * MIB)
    [created] = [one for one in read_events(run.events) if isinstance(one, ContainerCreated) and one.io_max]
    assert (created.pod, parse_io_max(created.io_max[0]).popitem()[1].rbps) == ("noisy", 2 * MIB)
    [held] = summary["pods"]["noisy"]["containers"]["app"]["held_back"]
    assert (held["by"], held["bound_bytes"]) == ("io.max", 2 * MIB)
    assert "noisy/app was held to its io.max of 2 MiB/s" in summary["verdict"]["headline"]


def _keeps_to_rate(run: RunDir, pod: str, counts: re.Pattern[bytes], rate: int) -> None:
    """No more than io.max allows in any two seconds; what the kernel lets through at once is less than a second's."""
    known = [(t, sum(int(count) for _, count in counts.findall(text))) for t, text in _readings(run, pod, "io.stat")]
    for begin, before in known:
        end, moved = next((one for one in known if one[0] >= begin + 2.0), known[-1])
        assert moved - before <= rate * (end - begin + 1.0), (moved - before, end - begin)


@part_of("resize")
def test_a_resize_is_written_or_refused_as_a_whole(emu_run: EmuRun) -> None:
    """resize: memory.max of the container and of the pod is what was carried out, and nothing that was refused; the
    refusal names the limit and what the pod used, page cache included. What was reclaimed before the kill is pgsteal
    of memory.stat, and a peak is compared with the limit of its time.
    """
    done = emu_run("resize")
    taken = max(_counted(text, b"pgsteal") for _, text in _readings(done.run, "web", "memory.stat"))
    assert done.summary["resizes"][3]["reclaimed_bytes"] == taken * PAGE >= 63 * MIB
    assert done.summary["containers"]["app"]["memory_limit_at_peak_bytes"] in (192 * MIB, 144 * MIB)
    assert done.summary["containers"]["app"]["memory_limit_bytes"] == 128 * MIB
    read = [text.strip() for _, text in _readings(done.run, "web", "memory.max")]
    limits = [int(text) // MIB for text in read if text != b"max"]  # as which a cgroup is born
    assert list(dict.fromkeys(limits)) == [192, 144, 48, 128]
    of_pod = [
        int(files["memory.max"]) // MIB
        for sample in read_samples(done.run.samples)
        for owner, files in sample.files.items()
        if (owner.pod, owner.label) == ("web", "pod") and files.get("memory.max", b"max").strip() != b"max"
    ]
    assert list(dict.fromkeys(of_pod)) == [192, 144, 48, 128]
    for refused, limit in zip(done.summary["resizes"][:2], (48, 96), strict=True):
        pod, app = (f"attempting to set {what} memory limit" for what in ("pod", 'container "app"'))
        words = rf"cannot decrease memory limits: \[{pod} \({limit * MIB}\) below current usage \((\d+)\), "
        said = re.fullmatch(rf"{words}{app} \({limit * MIB}\) below current usage \(\1\)\]", refused["message"])
        assert said, refused["message"]
        assert int(said[1]) >= limit * MIB
    known = [(one.type, one.reason) for one in read_events(done.run.events) if isinstance(one, KubeletEvent)]
    outcomes = [reason for _, reason in known if reason.startswith("Resize") and reason != "ResizeStarted"]
    assert outcomes == ["ResizeError", "ResizeError", "ResizeCompleted", "ResizeCompleted", "ResizeCompleted"]
    headline = done.summary["verdict"]["headline"]
    assert "set by a resize, was reached; 2 resizes before that were refused" in headline


@part_of("shm-and-tmpfs")
def test_what_a_container_left_in_memory_is_the_pod_s(emu_run: EmuRun) -> None:
    """shm-and-tmpfs: the file is in shmem of the container that wrote it, then in the pod's alone."""
    done = emu_run("shm-and-tmpfs")
    shmem = [
        int(re.findall(rb"^shmem (\d+)$", text, re.MULTILINE)[0])
        for _, text in _readings(done.run, "web", "memory.stat")
    ]
    assert max(shmem) >= 64 * MIB
    headline = done.summary["verdict"]["headline"]
    assert "after a restart the pod's limit of 128 MiB was reached, 64 MiB of it files in memory (shmem)" in headline
    assert done.summary["oom_kills"][1]["held"]["shmem"] >= 64 * MIB
    restarted = done.summary["phases"]["second"]["containers"]["app"]
    assert restarted["shmem_peak_bytes"] < MIB


@part_of("warm-up-policies")
def test_what_a_pod_that_came_back_read_is_the_kernel_s(emu_run: EmuRun) -> None:
    """warm-up-policies: io.stat has as many bytes as were read before and for its first request, memory.stat as many
    refaults.
    """
    for run, summary in emu_run("warm-up-policies").plays:
        last = summary["warm_ups"][-1]
        io, stat = (
            [text for _, text in _readings(run, last["pod"], name)][-1] for name in ("io.stat", "memory.stat")
        )
        read = last["start_disk_read_bytes"] + last["request_disk_read_bytes"]
        assert read == sum(map(int, re.findall(rb"rbytes=(\d+)", io)))
        assert last["refault_bytes"] == PAGE * int(REFAULTS.findall(stat)[0])
