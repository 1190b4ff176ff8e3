"""The OOM verdict on every kind of kill, from made-up runs with known truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from emu.report.summary import summarize
from emu.report.topics.kill_headline import kill_headline
from emu.study.model.instances import Instance
from emu.study.model.kills import OomVerdict
from emu.study.study import read_study
from tests import fake_runs
from tests.fakes import MIB, FakeRun

CASES = {
    # run: (container, level, child, invoker, evidence, contradicts) of each kill
    "oom": [
        ("queue-proxy", "container", False, "queue_proxy", ("memory.events", "kmsg", "exit-code", "docker-flag"), ()),
        (
            "queue-proxy",
            "container",
            False,
            "queue_proxy",
            ("memory.events", "kmsg", "exit-code"),
            ("docker-flag: false",),
        ),
    ],
    "rate_limited": [
        ("queue-proxy", "container", False, "queue_proxy", ("memory.events", "kmsg", "exit-code", "docker-flag"), ()),
        ("queue-proxy", "container", False, None, ("memory.events", "kmsg", "exit-code"), ("docker-flag: false",)),
    ],
    "pod_level": [
        ("queue-proxy", "pod", False, "app", ("memory.events", "kmsg", "exit-code", "docker-flag"), ()),
    ],
    "host_level": [
        ("app", "host", False, "kswapd-helper", ("memory.events", "kmsg", "exit-code", "docker-flag"), ()),
    ],
    "child_killed": [("app", "container", True, "app", ("memory.events", "kmsg"), ())],
    "group_killed": [("app", "container", False, "app", ("memory.events", "kmsg", "exit-code", "docker-flag"), ())],
    "docker_kill": [],
    "unseen": [("queue-proxy", "container", False, None, ("memory.events", "exit-code"), ("docker-flag: false",))],
    "page_cache": [],
    "stalled": [],
    "swap": [],
    "engine_lost": [],
    "neighbours": [("app", "container", False, "app", ("memory.events", "kmsg", "exit-code", "docker-flag"), ())],
    "replicas": [("app", "container", False, "app", ("memory.events", "kmsg", "exit-code", "docker-flag"), ())],
    "plain_killed": [
        ("hoarder", "container", False, "hoarder", ("memory.events", "kmsg", "exit-code", "docker-flag"), ())
    ],
    "refused": [],
    "probe_killed": [],
    "asked_to_end": [],
    "scaled": [],
    "cut_off": [],
}


def seen(kill: OomVerdict) -> tuple[object, ...]:
    """A verdict in the order of CASES."""
    return (kill.container, kill.level, kill.child, kill.invoker, kill.evidence, kill.contradicts)


@pytest.mark.parametrize("name", CASES)
def test_each_story_gets_its_verdict(name: str) -> None:
    """Level, victim, invoker and witnesses are right for each kind of run, and nothing else is called a kill."""
    assert [seen(kill) for kill in fake_runs.study_of(name).kills] == CASES[name]


def test_every_run_has_a_case() -> None:
    """No made-up run is without its verdict here."""
    assert set(CASES) == set(fake_runs.ALL)


REASONS = {
    "oom": {"queue-proxy": ["OOMKilled", "OOMKilled", "Completed"], "app": ["Completed"]},
    "docker_kill": {"queue-proxy": ["Error"], "app": ["Completed"]},
    "child_killed": {"queue-proxy": ["Completed"], "app": ["OOMKilled"]},
    "unseen": {"queue-proxy": ["OOMKilled"], "app": ["Completed"]},
    "cut_off": {"queue-proxy": [None], "app": [None]},
}


@pytest.mark.parametrize("name", REASONS)
def test_a_reason_is_oomkilled_only_by_our_verdict(name: str) -> None:
    """Exit 137 alone is Error, a killed child makes any end OOMKilled, and what still runs has no reason."""
    study = fake_runs.study_of(name)
    for container, reasons in REASONS[name].items():
        assert [one.reason for one in study.instances_of(container)] == reasons


def test_a_kill_says_what_the_requests_were_doing() -> None:
    """In flight, the limit, what the victim held, and the time since the first request belong to the verdict."""
    kill = fake_runs.study_of("oom").kills[0]
    assert kill.in_flight == 800
    assert kill.limit_bytes == kill.usage_bytes == 64 * MIB
    assert kill.anon_rss_bytes == 52 * MIB
    assert kill.after_first_request_s == pytest.approx(2.1, abs=0.05)
    assert [line.split()[0] for line in kill.log] == ["queue_proxy", kill.log[1].split()[0], "Memory"]


def test_a_kill_says_what_the_memory_was() -> None:
    """By the kernel's own statistics where the block is there, by the last sample where it was rate limited."""
    with_block, without = fake_runs.study_of("rate_limited").kills
    assert with_block.held == {"anon": 63 * MIB, "page_cache": 0, "shmem": 0, "kernel": MIB, "sock": 0}
    assert without.held == with_block.held


def test_a_kill_line_alone_is_joined_by_pid() -> None:
    """Rate limiting leaves the kill line, which names no cgroup: the process is known from cgroup.procs."""
    kill = fake_runs.study_of("rate_limited").kills[1]
    assert (kill.victim, kill.pid) == ("queue_proxy", 4003)
    assert kill.limit_bytes == 64 * MIB


def test_a_kill_at_a_limit_of_its_own_stays_one_beside_another_at_the_pod_s(tmp_path: Path) -> None:
    """A resize may do both: the container's cgroup is gone before its counter is read, and the pod's `oom` rises for
    the other kill. The kernel's log names the cgroup of each.
    """
    run = FakeRun(tmp_path / "run")
    for name in ("app", "side"):
        run.start(name, memory_max=64 * MIB)
    run.advance(1.0)
    run.oom("app", seen=False)
    run.oom("side", level="pod")
    run.advance(2.0)
    kills = read_study(run.finish()).kills
    assert {kill.container: kill.level for kill in kills} == {"app": "container", "side": "pod"}


def test_a_level_whose_counter_is_read_too_late_is_the_log_s(tmp_path: Path) -> None:
    """On a busy machine the pod's `oom` is read seconds after the container's `oom_kill`. That it had not risen by
    then is no reason to lay the kill to the machine: the kernel's log names the pod.
    """
    run = FakeRun(tmp_path / "run")
    for name in ("app", "side"):
        run.start(name, memory_max=64 * MIB)
    run.advance(1.0)
    run.oom("app", level="pod", late=True)
    run.advance(3.0)
    run.count("side", local=False, oom=1)
    run.advance(4.0)
    (kill,) = read_study(run.finish()).kills
    assert (kill.level, kill.contradicts) == ("pod", ())


def test_a_kill_line_of_a_process_never_seen_is_joined_by_time(tmp_path: Path) -> None:
    """A child forked between two samples is in no cgroup.procs; the counter that rose then shows whose it was."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.advance(1.0)
    run.live["app"].pids.append(31337)
    run.oom("app", child=True, log="kill")
    run.advance(2.0)
    directory = run.finish()
    fake_runs.rewrite_samples(directory.path, b"31337\n", b"00001\n")
    (kill,) = read_study(directory).kills
    assert (kill.container, kill.pid, kill.child) == ("app", 31337, True)


def test_a_group_kill_is_one_kill_of_several_processes() -> None:
    """memory.oom.group logs and counts the first victim twice; it is one kill, and each process counts once."""
    (kill,) = fake_runs.study_of("group_killed").kills
    assert kill.pids == (4001, 9998, 9999)
    assert not kill.child


def test_kills_of_others_on_the_machine_are_not_ours(tmp_path: Path) -> None:
    """The kernel's log is the whole machine's: a kill in another cgroup, or of an unknown pid, is no verdict."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.advance(1.0)
    for dt, pid in ((0.0, 77), (0.1, 78)):
        summary = (
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
            f"oom_memcg=/system.slice/other,task_memcg=/system.slice/other,task=java,pid={pid},uid=0"
        )
        if pid == 77:
            run.kernel(6, summary, dt)
        kill = f"Memory cgroup out of memory: Killed process {pid} (java) total-vm:9kB, anon-rss:8kB, file-rss:0kB, "
        run.kernel(3, f"{kill}shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0", dt + 0.01)
    run.advance(2.0)
    run.exit("app", 137)
    study = read_study(run.finish())
    assert study.kills == []
    assert study.instances[0].reason == "Error"


def test_docker_flag_true_without_oom_kill_is_a_lie(tmp_path: Path) -> None:
    """Where memory.events was read and shows nothing, Docker's flag makes no verdict."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.advance(1.0)
    run.exit("app", 137, docker_oom_killed=True)
    study = read_study(run.finish())
    assert study.kills == []
    assert study.instances[0].reason == "Error"


def test_docker_flag_is_taken_where_nothing_else_was_recorded(tmp_path: Path) -> None:
    """With neither samples nor counters the flag and exit 137 are all there is, and the verdict says so."""
    directory = fake_runs.oom(tmp_path / "run")
    directory.samples.unlink()
    directory.kmsg.unlink()
    lines = directory.events.read_text().splitlines(keepends=True)
    directory.events.write_text(
        "".join(line for line in lines if '"memory-events"' not in line and "logged" not in line)
    )
    (kill,) = read_study(directory).kills
    assert kill.evidence == ("exit-code", "docker-flag")


def test_the_log_alone_makes_a_verdict(tmp_path: Path) -> None:
    """Without any counter the kernel's log still names the container by its id, and the level by oom_memcg."""
    directory = fake_runs.pod_level(tmp_path / "run")
    directory.samples.unlink()
    lines = directory.events.read_text().splitlines(keepends=True)
    directory.events.write_text("".join(line for line in lines if '"memory-events"' not in line))
    (kill,) = read_study(directory).kills
    assert (kill.level, kill.container) == ("pod", "queue-proxy")
    assert kill.evidence == ("kmsg", "exit-code", "docker-flag")


def test_the_counters_alone_make_a_verdict(tmp_path: Path) -> None:
    """Where /dev/kmsg cannot be read, memory.events.local of both levels shows whose limit it was."""
    directory = fake_runs.pod_level(tmp_path / "run")
    directory.kmsg.unlink()
    lines = directory.events.read_text().splitlines(keepends=True)
    directory.events.write_text("".join(line for line in lines if "oom-kill-logged" not in line))
    (kill,) = read_study(directory).kills
    assert (kill.level, kill.container, kill.child) == ("pod", "queue-proxy", False)
    assert kill.evidence == ("memory.events", "exit-code", "docker-flag")
    assert kill.limit_bytes == 128 * MIB


def test_two_children_killed_apart_are_two_kills(tmp_path: Path) -> None:
    """Without memory.oom.group each killed child is a kill of its own, though the container lives on."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB, processes=3)
    run.advance(1.0)
    run.oom("app", child=True)
    run.advance(1.3)
    run.oom("app", child=True)
    run.advance(2.0)
    study = read_study(run.finish())
    assert [(kill.pid, kill.child) for kill in study.kills] == [(4002, True), (4001, True)]
    assert (study.instances[0].reason, study.instances[0].is_finding) == ("OOMKilled", False)


def test_a_child_killed_long_before_a_plain_kill_does_not_explain_it(tmp_path: Path) -> None:
    """An OOM kill of a child, then `docker kill` of the container much later. Kubernetes would say OOMKilled; we say
    so too, and that it was ended by another hand.
    """
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB, processes=2)
    run.advance(1.0)
    run.oom("app", child=True, log="none")
    run.advance(15.0)
    run.exit("app", 137)
    study = read_study(run.finish())
    assert [kill.child for kill in study.kills] == [True]
    assert (study.instances[0].reason, study.instances[0].oom_ended) == ("OOMKilled", False)
    assert "app was ended by SIGKILL from outside" in " ".join(summarize(study)["verdict"]["sentences"])


def test_a_sample_and_an_event_of_the_same_rise_count_once() -> None:
    """The recorder reports a counter twice, as a sample and as an event; it is still one kill."""
    study = fake_runs.study_of("child_killed")
    marks = [mark for mark in study.memory_marks if mark.label == "app" and "oom_kill" in mark.delta]
    assert marks
    assert len(study.kills) == 1
    assert replace(study.kills[0], time_s=0.0).pid == 9999


@pytest.mark.parametrize(("backlog", "ending"), [(None, ""), (8, ""), (120, ", 120 of them not accepted yet")])
def test_who_was_not_accepted_yet_is_counted(tmp_path: Path, backlog: int | None, ending: str) -> None:
    """A client's request is sent once the kernel has it; a few are not worth a word."""
    run = FakeRun(tmp_path / "run")
    run.backlog = backlog
    run.start("sandbox")
    run.start("app", memory_max=256 * MIB)
    run.start("queue-proxy", memory_max=64 * MIB)
    run.requests(800, 0.5, 1.9, done_s=2.1, status=None, error="closed")
    run.advance(2.0, {"queue-proxy": {"anon": 63 * MIB}})
    run.oom("queue-proxy")
    run.advance(3.0)
    study = read_study(run.finish())
    assert (study.kills[0].in_flight, study.kills[0].in_backlog) == (800, backlog)
    assert f"while 800 requests were waiting for an answer{ending};" in summarize(study)["verdict"]["headline"]


def test_kills_are_in_order_of_time_and_their_pods_are_counted(tmp_path: Path) -> None:
    """Whichever pod was made first."""
    first = FakeRun(tmp_path / "run", name="both", pod=f"{fake_runs.REPLICAS}-aaaaa")
    second = first.beside(f"{fake_runs.REPLICAS}-bbbbb")
    for pod in (first, second):
        pod.start("app", memory_max=64 * MIB)
        pod.sample()
    first.advance(1.0)
    second.oom("app")
    first.advance(2.0)
    first.oom("app")
    first.advance(3.0)
    study = read_study(first.finish())
    assert [kill.pod[-5:] for kill in study.kills] == ["bbbbb", "aaaaa"]
    assert summarize(study)["verdict"]["headline"].startswith("app was OOM-killed twice in 2 pods, first 1.0 s into")


def test_what_a_killed_process_held_has_its_shared_memory() -> None:
    """A model in /dev/shm is most of it: without it the process looks small."""
    study = fake_runs.study_of("oom")
    kills = [replace(kill, anon_rss_bytes=4 * MIB, shmem_rss_bytes=92 * MIB) for kill in study.kills]
    (said, *_) = summarize(replace(study, kills=kills))["verdict"]["sentences"]
    assert said.endswith("held 4 MiB of anonymous memory, 4 MiB of file pages and 92 MiB of shared memory.")


def test_an_init_container_that_is_killed_keeps_the_others_from_starting(tmp_path: Path) -> None:
    """The headline says so; once a container of the pod has started it does not."""
    run = FakeRun(tmp_path / "run", name="init")
    run.start("storage-initializer", memory_max=48 * MIB).values.update(anon=47 * MIB)
    run.sample()
    run.advance(2.0)
    run.oom("storage-initializer")
    study = read_study(run.finish())
    study.instances = [replace(one, role="init") for one in study.instances]
    assert kill_headline(study).endswith("was reached; the pod's containers were never started")
    study.instances += [Instance("app", 0, pod=study.instances[0].pod, started_s=3.0)]
    assert "never started" not in kill_headline(study)
