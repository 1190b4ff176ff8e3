"""Kernel log → OOM kills. Whole logs were captured; lines of other kernels are in the words of their printk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cgroups import NO_LIMIT, kmsg, parse
from cgroups.kmsg import KmsgGap, KmsgRecord
from cgroups.oom import OomParser, parse_oom, scan_oom

FIXTURES = Path(__file__).parents[2] / "fixtures"
KB = 1024


def captured(name: str) -> list[KmsgRecord]:
    """The records of a captured log, from /dev/kmsg or from dmesg."""
    content = (FIXTURES / name).read_bytes()
    if "/kmsg" in name:
        return [kmsg.parse_record(line) for line in content.splitlines()]
    return kmsg.parse_dmesg(content.decode())


def lines(text: str, caller: str | None = None, start: int = 1) -> list[KmsgRecord]:
    """Records of these lines, a millisecond apart."""
    return [
        KmsgRecord(6, 0, number, 5_000_000 + number * 1000, line, caller=caller)
        for number, line in enumerate(text.strip().splitlines(), start)
    ]


def report(pid: int, memcg: str, comm: str = "hog", kb: int = 65536) -> str:
    """A short report of kernel 6.1's form."""
    return f"""
{comm} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
CPU: 0 PID: {pid} Comm: {comm} Not tainted 6.1.0 #1
memory: usage {kb}kB, limit {kb}kB, failcnt 24
swap: usage 0kB, limit 9007199254740988kB, failcnt 0
Memory cgroup stats for {memcg}:
anon 66920448
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[ {pid:6}]     0 {pid:5}    38655    16450   167936        0             0 {comm}
{summary(pid, memcg, comm)}
{kill(pid, comm)}
"""


def summary(pid: int, memcg: str, comm: str = "hog") -> str:
    """The oom-kill line."""
    return (
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0-1,3,"
        f"oom_memcg={memcg},task_memcg={memcg},task={comm},pid={pid},uid=0"
    )


def kill(pid: int, comm: str = "hog") -> str:
    """The kill line."""
    return (
        f"Memory cgroup out of memory: Killed process {pid} ({comm}) total-vm:154620kB, anon-rss:65148kB, "
        "file-rss:4kB, shmem-rss:648kB, UID:0 pgtables:164kB oom_score_adj:0"
    )


def test_a_container_that_hit_its_own_limit() -> None:
    """Every field of the first kill in a captured kmsg."""
    first = parse_oom(captured("debian-6.1/kmsg-memcg-oom.txt"))[0]
    assert (first.invoker, first.invoker_pid, first.pid, first.comm, first.uid) == ("hog", 105, 105, "hog", 0)
    assert (first.gfp_mask, first.order, first.constraint) == ("0xcc0(GFP_KERNEL)", 0, "CONSTRAINT_MEMCG")
    assert first.oom_memcg == first.task_memcg == "/kubepods.slice/pod/app"
    assert first.global_oom is False
    assert (first.usage_bytes, first.limit_bytes) == (64 << 20, 64 << 20)
    assert (first.swap_usage_bytes, first.swap_limit_bytes) == (0, NO_LIMIT)
    assert (first.total_vm_bytes, first.anon_rss_bytes) == (154620 * KB, 65148 * KB)
    assert (first.file_rss_bytes, first.shmem_rss_bytes) == (4 * KB, 648 * KB)
    assert (first.pgtables_bytes, first.oom_score_adj) == (168 * KB, 0)
    assert first.memory_stat is not None
    assert parse.parse_memory_stat(first.memory_stat).anon == 66916352
    assert first.tasks is not None and [task.pid for task in first.tasks] == [105]
    assert (first.sequence, first.timestamp_us, first.complete) == (410, 3317633, True)


def test_a_pod_limit_may_kill_in_another_container_than_the_one_that_asked() -> None:
    """The invoker is the app's, the victim queue-proxy's, the limit the pod's."""
    second = parse_oom(captured("debian-6.1/kmsg-memcg-oom.txt"))[1]
    assert second.invoker_pid == 108
    assert (second.pid, second.oom_score_adj) == (106, 999)
    assert (second.oom_memcg, second.task_memcg) == ("/kubepods.slice/pod", "/kubepods.slice/pod/qp")
    assert second.tasks is not None and [task.oom_score_adj for task in second.tasks] == [-998, 999]


@pytest.mark.parametrize("log", ["debian-6.1/kmsg-memcg-oom.txt", "debian-6.1/dmesg-frozen-and-oomgroup.txt"])
def test_a_group_kill_logs_its_first_victim_twice(log: str) -> None:
    """Four kill lines for three processes: the last is marked as a repeat, and all name the group."""
    kills = parse_oom(captured(log))[-4:]
    assert len({found.pid for found in kills}) == 3
    assert [found.repeat for found in kills] == [False, False, False, True]
    assert kills[0].pid == kills[-1].pid
    assert {found.group for found in kills} == {kills[0].oom_memcg}
    assert {found.oom_memcg for found in kills} == {kills[0].oom_memcg}


def test_who_lowered_the_limit_is_the_invoker() -> None:
    """A write to memory.max kills in the writer's name, and the writer is not in the cgroup."""
    first = parse_oom(captured("debian-6.1/dmesg-frozen-and-oomgroup.txt"))[0]
    assert (first.invoker, first.invoker_pid, first.comm, first.pid) == ("fz", 257, "hog", 254)
    assert first.usage_bytes is not None and isinstance(first.limit_bytes, int)
    assert first.usage_bytes > first.limit_bytes


def test_a_cgroup_v1_host_with_kernel_6_18() -> None:
    """A table with three more columns, statistics in v1's words, and v1's other counters."""
    (only,) = parse_oom(captured("6.18-v1/dmesg-memcg-oom.txt"))
    assert (only.oom_memcg, only.invoker_pid, only.limit_bytes) == ("/ksim_probe", 25887, 64 << 20)
    assert only.swap_limit_bytes is None
    assert only.tasks is not None
    (task,) = only.tasks
    assert task.rss_pages == 17910
    assert (task.rss_anon_pages, task.rss_file_pages, task.rss_shmem_pages) == (1696, 1654, 14560)
    assert (task.pgtables_bytes, task.name) == (200704, "python3")
    assert only.pgtables_bytes == task.pgtables_bytes
    assert only.memory_stat is not None and only.memory_stat.startswith("cache 59654144\nrss 7069696")


def test_a_kernel_without_cpusets() -> None:
    """Its oom-kill line names no cpuset and no mems_allowed; swap.max 0 is a limit of 0, not none."""
    (only,) = parse_oom(captured("uml-6.1/kmsg-memcg-oom.txt"))
    assert only.complete
    assert (only.comm, only.task_memcg, only.oom_memcg) == ("python", *["/cgroups-test-52c4238c/pod"] * 2)
    assert (only.swap_usage_bytes, only.swap_limit_bytes) == (0, 0)


def test_dmesg_and_kmsg_have_the_same_lines() -> None:
    """The transport changes nothing but the record's number."""
    for log in ("debian-6.1/dmesg-container-and-pod-oom.txt", "debian-6.1/kmsg-memcg-oom.txt"):
        first = parse_oom(captured(log))[0]
        assert first.complete and first.anon_rss_bytes == 65148 * KB
        assert first.memory_stat is not None and "workingset_activate_file 0" in first.memory_stat


def test_a_kill_line_without_its_block() -> None:
    """The rate limit takes blocks, never kill lines: who died is known, not in which cgroup; a note counts them."""
    log = scan_oom(lines(f"{report(7, '/a')}{kill(8)}\n{kill(9)}\noom_kill_process: 2 callbacks suppressed"))
    assert [(found.pid, found.complete, found.oom_memcg) for found in log.kills] == [
        (7, True, "/a"),
        (8, False, None),
        (9, False, None),
    ]
    assert log.kills[1].invoker is None and log.kills[1].tasks is None
    assert log.kills[1].uid == 0 and log.kills[1].global_oom is False
    assert [(note.kind, note.count) for note in log.notes] == [("suppressed", 2)]


def test_a_captured_burst_of_kills() -> None:
    """After the tenth report in five seconds four kills come bare; the next report says that four were held back."""
    log = scan_oom(captured("uml-6.1/kmsg-rate-limited.txt"))
    assert [found.complete for found in log.kills] == [True] * 2 + [False] * 4 + [True]
    assert [found.oom_memcg for found in log.kills] == ["/burst"] * 2 + [None] * 4 + ["/burst"]
    assert len({found.pid for found in log.kills}) == 7
    assert [(note.kind, note.count) for note in log.notes] == [("suppressed", 4)]


def test_a_kill_is_given_as_soon_as_its_line_comes() -> None:
    """A follower need not wait for what comes after."""
    parser = OomParser()
    *before, last = lines(report(7, "/a"))
    assert [parser.feed(record) for record in before] == [None] * len(before)
    kill_seen = parser.feed(last)
    assert kill_seen is not None and kill_seen.complete


def test_interleaved_blocks_are_kept_apart_by_who_printed() -> None:
    """With the caller noted, each kill gets its own block."""
    a, b = lines(report(7, "/a", kb=4096), caller="T7"), lines(report(8, "/b", kb=8192), caller="T8")
    kills = parse_oom([record for pair in zip(a, b, strict=True) for record in pair])
    assert [(found.pid, found.oom_memcg, found.usage_bytes) for found in kills] == [
        (7, "/a", 4096 * KB),
        (8, "/b", 8192 * KB),
    ]
    assert all(found.complete for found in kills)


def test_interleaved_blocks_are_not_mixed_silently() -> None:
    """Without it each kill keeps only what its own two lines say."""
    a, b = lines(report(7, "/a", comm="one")), lines(report(8, "/b", comm="two"))
    for order in ([r for pair in zip(a, b, strict=True) for r in pair], [*a[:5], *b[:2], *a[5:], *b[2:]]):
        kills = sorted(parse_oom(order), key=lambda found: found.pid)
        assert [(found.pid, found.oom_memcg, found.complete) for found in kills] == [
            (7, "/a", False),
            (8, "/b", False),
        ]
        assert [found.invoker for found in kills] == [None, None]
        assert [found.tasks for found in kills] == [None, None]


def test_a_gap_ends_the_report_under_way() -> None:
    """What came before the gap is not joined with what comes after it."""
    whole = lines(report(7, "/a"))
    (found,) = parse_oom([*whole[:6], KmsgGap(6, 9), *whole[8:]])
    assert not found.complete
    assert (found.pid, found.oom_memcg, found.invoker) == (7, "/a", None)


def test_a_report_that_never_ended_does_not_spoil_the_next() -> None:
    """A block cut short is forgotten once its time is over."""
    cut = lines(report(7, "/a"))[:4]
    later = [replace(record, timestamp_us=record.timestamp_us + 60_000_000) for record in lines(report(8, "/b"))]
    (found,) = parse_oom([*cut, *later])
    assert found.complete and found.invoker_pid == 8


def test_other_lines_may_stand_between() -> None:
    """Anything else in the log, in the middle of a report, changes nothing."""
    whole = lines(report(7, "/a"))
    noise = KmsgRecord(6, 0, None, 5_000_500, "usb 1-1: new device")
    noisy = [record for line in whole for record in (noise, line)]
    assert parse_oom(noisy) == parse_oom(whole)


def test_a_process_cannot_forge_a_kill() -> None:
    """Lines of another facility than the kernel's are not believed."""
    forged = [replace(record, facility=1) for record in lines(report(7, "/a"))]
    assert parse_oom(forged) == []


@pytest.mark.parametrize(
    "comm",
    [
        "a,b c",
        "(sd-pam)",
        "x) total-vm:1kB",
        "p,pid=1,uid=2",
        ",task=evil",
        "tab\tname",
        "x Not tainted",
        "kworker/0:1",
    ],
)
def test_names_with_punctuation(comm: str) -> None:
    """A process may call itself what it likes; the numbers are still the kernel's."""
    (found,) = parse_oom(lines(report(7, "/a", comm=comm)))
    assert (found.comm, found.invoker, found.pid, found.oom_memcg) == (comm, comm, 7, "/a")
    assert found.total_vm_bytes == 154620 * KB
    assert found.complete
    assert found.tasks is not None and found.tasks[0].name == comm


def test_a_global_oom() -> None:
    """The machine itself ran out: no memory cgroup's limit, usage or statistics."""
    (found,) = parse_oom(
        lines("""
systemd invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO), order=0, oom_score_adj=0
CPU: 3 PID: 1 Comm: systemd Tainted: G        W  OE     5.15.0-91-generic #101-Ubuntu
Mem-Info:
active_anon:1 inactive_anon:2 isolated_anon:0
Node 0 active_anon:4kB inactive_anon:8kB
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[    412]     0   412     8191      120    94208        0          -250 systemd-journal
oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,b,task=java,pid=9,uid=5
Out of memory: Killed process 9 (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:5
""")
    )
    assert found.global_oom is True
    assert (found.oom_memcg, found.task_memcg, found.uid) == (None, "/a,b", 5)
    assert (found.usage_bytes, found.limit_bytes, found.memory_stat) == (None, None, None)
    assert (found.invoker, found.invoker_pid, found.complete) == ("systemd", 1, True)


def test_kernel_4_19_names_victim_and_limit_on_other_lines() -> None:
    """Before 5.0: "Task in", then the choice, then a kill line that says nothing of its kind."""
    found, *more = parse_oom(
        lines("""
hog invoked oom-killer: gfp_mask=0x6000c0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=0
hog cpuset=/ mems_allowed=0
CPU: 0 PID: 121 Comm: hog Not tainted 4.19.0-26-amd64 #1 Debian 4.19.304-1
Task in /pod/app killed as a result of limit of /pod
memory: usage 65536kB, limit 65536kB, failcnt 24
memory+swap: usage 65536kB, limit 9007199254740988kB, failcnt 0
kmem: usage 376kB, limit 9007199254740988kB, failcnt 0
Memory cgroup stats for /pod: cache:0KB rss:0KB rss_huge:0KB
Memory cgroup stats for /pod/app: cache:0KB rss:65160KB rss_huge:63488KB
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[    121]     0   121    38655    16450   167936        0             0 hog
Memory cgroup out of memory: Kill process 121 (hog) score 995 or sacrifice child
Killed process 121 (hog) total-vm:154620kB, anon-rss:65148kB, file-rss:4kB, shmem-rss:648kB
oom_reaper: reaped process 121 (hog), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB
Killed process 122 (hog) total-vm:4kB, anon-rss:4kB, file-rss:4kB, shmem-rss:0kB
""")
    )
    assert (found.oom_memcg, found.task_memcg, found.global_oom) == ("/pod", "/pod/app", False)
    assert (found.uid, found.pgtables_bytes, found.constraint) == (None, None, None)
    assert found.memory_stat is not None and "rss:65160KB" in found.memory_stat
    assert found.complete
    assert [(other.complete, other.global_oom) for other in more] == [(False, None)]


def test_kernel_4_19_may_kill_a_child_instead() -> None:
    """The chosen one's child dies: it has the block, and not the chosen one's cgroup."""
    (found,) = parse_oom(
        lines("""
hog invoked oom-killer: gfp_mask=0x6000c0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=0
Task in /pod/app killed as a result of limit of /pod
Memory cgroup out of memory: Kill process 121 (hog) score 995 or sacrifice child
Killed process 130 (child) total-vm:154620kB, anon-rss:65148kB, file-rss:4kB, shmem-rss:648kB
""")
    )
    assert (found.pid, found.oom_memcg, found.task_memcg, found.complete) == (130, "/pod", None, True)


@pytest.mark.parametrize(
    ("tail", "pgtables_bytes"),
    [
        ("", None),
        (", UID:0 pgtables:167936kB oom_score_adj:0", 164 * KB),
        (", UID:0 pgtables:164kB oom_score_adj:0", 164 * KB),
    ],
)
def test_kill_lines_of_5_x(tail: str, pgtables_bytes: int | None) -> None:
    """5.3 ends after shmem-rss; some later ones print bytes of page tables and call them kB."""
    text = kill(7).split(", UID:")[0]
    (found,) = parse_oom(lines(text + tail))
    assert found.pgtables_bytes == pgtables_bytes


def test_a_group_kill_under_the_rate_limit() -> None:
    """Without a block the group's name still marks its kills, the repeat included."""
    text = f"{kill(7)}\nTasks in /g are going to be killed due to memory.oom.group set\n{kill(8)}\n{kill(7)}"
    kills = parse_oom(lines(text))
    assert [(found.pid, found.group, found.repeat, found.complete) for found in kills] == [
        (7, "/g", False, False),
        (8, "/g", False, False),
        (7, "/g", True, False),
    ]


def test_a_kill_after_a_group_that_is_not_of_it() -> None:
    """A process that the group's block did not list was killed for another reason."""
    text = f"{report(7, '/g')}Tasks in /g are going to be killed due to memory.oom.group set\n{kill(7)}\n{kill(99)}"
    stranger = parse_oom(lines(text))[-1]
    assert (stranger.pid, stranger.group, stranger.oom_memcg, stranger.complete) == (99, None, None, False)


def test_oom_without_a_victim_is_a_note() -> None:
    """Nothing to kill is said, and the next report is whole."""
    nothing = "Out of memory and no killable processes..."
    head = report(7, "/a").strip().splitlines()[:5]
    log = scan_oom(lines("\n".join([*head, nothing, *report(8, "/b").strip().splitlines()])))
    assert [note.kind for note in log.notes] == ["no_victim"]
    assert [(found.pid, found.complete) for found in log.kills] == [(8, True)]


def test_a_log_without_oom_has_none() -> None:
    """Ordinary lines, and none at all."""
    assert parse_oom([]) == []
    assert parse_oom(lines("usb 1-1: new device\nKilled by signal\nMemory cgroup stats for nobody")) == []


def test_a_kill_is_a_value() -> None:
    """Kills compare by what they say, so a recorded log gives the same again."""
    records = captured("debian-6.1/kmsg-memcg-oom.txt")
    assert parse_oom(records) == parse_oom(records)
