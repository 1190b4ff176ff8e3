"""The headline of OOM kills: what a restart did not help against, and what the kubelet had refused before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from emu.record.events import Owner
from emu.record.rundir import RunDir
from emu.report.topics.kill_headline import kill_headline, while_resized
from emu.report.topics.kill_sentences import _compared, _culprit, _unseen
from emu.study.model.instances import Instance, Stop
from emu.study.model.kills import Candidate, Culprit, OomVerdict
from emu.study.model.study import Happening, Study
from emu.study.model.timeline import Timeline

MIB = 2**20
FIRST = OomVerdict(
    3.0, "app", 0, "container", limit_bytes=96 * MIB, held={"anon": 30 * MIB, "shmem": 64 * MIB}, pod="w"
)
AGAIN = replace(FIRST, time_s=6.0, attempt=1, level="pod", limit_bytes=128 * MIB)


def _study(*kills: OomVerdict, shmem: int = 0) -> Study:
    """A pod whose app holds so much in memory files of its own."""
    study = Study(RunDir(Path("x")), duration_s=9.0)
    study.kills = list(kills)
    study.instances = [Instance("app", number, pod="w") for number in (0, 1)]
    for owner, begin, held in (
        (Owner("w", "app", 1), 5.0, shmem),
        (Owner("w", "app", 0), 1.0, 64 * MIB),
        (Owner("w", "", None), 0.0, 64 * MIB),
    ):
        study.timelines[owner] = Timeline(owner, t=[begin, begin + 2], memory_current=[MIB] * 2, shmem=[held] * 2)
    return study


def test_what_outlived_a_container_fills_the_pod_s_limit() -> None:
    """A volume in memory: the next instance is killed at the pod's limit, for what the one before it wrote."""
    said = kill_headline(_study(FIRST, AGAIN))
    assert "its own limit of 96 MiB was reached, 64 MiB of it files in memory (shmem); after" in said
    assert "of it files" not in kill_headline(_study(replace(FIRST, held={"anon": 60 * MIB, "shmem": 34 * MIB})))
    assert (
        "; after a restart the pod's limit of 128 MiB was reached, 64 MiB of it files in memory (shmem) that "
        "outlived the container which wrote them"
    ) in said
    assert "outlived" not in kill_headline(_study(FIRST, AGAIN, shmem=64 * MIB))
    assert "; later the pod's limit" in kill_headline(_study(FIRST, replace(AGAIN, attempt=0)))
    assert "restart" not in kill_headline(_study(FIRST, replace(FIRST, time_s=6.0, attempt=1)))
    assert "restart" not in kill_headline(_study(FIRST, replace(AGAIN, pod="other")))


def test_who_was_first_the_kubelet_or_the_kernel() -> None:
    """Of a node that ran out; an eviction says nothing of a kill at a container's own limit."""
    evicted = [Happening(one, "eviction", "pod", "", {}, pod) for one, pod in ((1.0, "a"), (2.0, "b"))]
    study = _study(replace(FIRST, level="node"))
    study.evictions = evicted
    assert "; the kubelet evicted a 2.0 s before that, then b 1.0 s before that" in kill_headline(study)
    study.evictions = [evicted[0], *(replace(evicted[1], t=FIRST.time_s + later) for later in (1.0, 2.0, 3.0))]
    said = "a 2.0 s before that, then b 1.0 s after that, then b 2.0 s after that, and 1 more pod"
    assert said in kill_headline(study)
    study.evictions = [replace(evicted[0], t=FIRST.time_s + 3.0)]
    assert "; the kubelet evicted a 3.0 s after that" in kill_headline(study)
    study = _study(FIRST)
    study.evictions = evicted
    assert "evicted" not in kill_headline(study)


def test_resizes_that_were_refused_before_are_counted() -> None:
    """Those of the killed container; not what came after, nor what was done."""
    study = _study(FIRST)

    def resize(t: float, outcome: str, subject: str = "app") -> Happening:
        return Happening(t, "resize", subject, "", {"outcome": outcome, "memory_max": 96 * MIB}, "w")

    study.resizes = [
        resize(1.0, "error"),
        resize(2.0, "deferred"),
        resize(2.5, "error", "other"),
        resize(4.0, "error"),
    ]
    assert "; 2 resizes before that were refused" in kill_headline(study)
    study.resizes = [resize(FIRST.time_s - 0.1, "completed")]
    assert while_resized(study, FIRST)
    study.resizes = [resize(FIRST.time_s - 1.0, "completed")]
    assert not while_resized(study, FIRST)
    study.resizes = [resize(1.0, "completed"), resize(2.0, "error")]
    assert "96 MiB, set by a resize, was reached, 64 MiB of" in kill_headline(study)
    assert "; 1 resize before that was refused" in kill_headline(study)


def test_most_of_what_ran_out_is_more_than_half_of_it() -> None:
    """Of a pod's limit another container may have had more than the children of the one that was killed."""
    children = Culprit(kind="child", command=None, rss_bytes=48 * MIB, processes=2, all_rss_bytes=48 * MIB)
    kill = replace(FIRST, level="pod", limit_bytes=120 * MIB, culprit=children)
    assert _culprit(kill) == ["Processes that app's main process had started held 48 of 120 MiB."]
    assert _culprit(replace(kill, limit_bytes=64 * MIB))[0].startswith("Most of it was held by processes that app's")


def test_a_container_that_gave_up_without_its_child_did_not_live_on() -> None:
    """A server whose worker was killed may end by itself a moment later; another end much later is not for that."""
    study = _study(replace(FIRST, child=True))
    assert "; the container lived on" in kill_headline(study)
    ended = replace(study.instances[0], exited_s=FIRST.time_s + 0.7, exit_code=1)
    study.instances[0] = ended
    assert "; the container ended 700 ms later with exit code 1" in kill_headline(study)
    study.instances[0] = replace(ended, exit_code=None)  # its engine did not know
    assert "exit code" not in kill_headline(study)
    evicted = replace(ended, stop=Stop("evicted", FIRST.time_s + 0.5, 0.0))
    for other in (replace(ended, exited_s=60.0), replace(ended, asked=True), replace(ended, oom_ended=True), evicted):
        study.instances[0] = other
        assert "; the container lived on" in kill_headline(study)


def test_that_kubectl_shows_nothing_is_said_where_only_children_died() -> None:
    """Not where the container ended after all, was killed whole later, or lost a probe's command."""
    kill = replace(FIRST, child=True)
    (said,) = _unseen(_study(kill), kill)
    assert said.startswith("kubectl shows nothing of it: app did not end")
    ended = _study(kill)
    ended.instances[0] = replace(ended.instances[0], exited_s=5.0, exit_code=1)
    probe = replace(kill, victim_is="readiness")
    for study, one in ((ended, kill), (_study(kill, FIRST), kill), (_study(probe), probe), (_study(FIRST), FIRST)):
        assert not _unseen(study, one)


def test_files_in_memory_of_an_init_container_that_is_gone_are_named_in_the_first_kill() -> None:
    """They are charged to the pod then, whose limit another container reaches for them."""
    study = _study(replace(AGAIN, attempt=0))
    study.instances.append(Instance("download", 0, pod="w", role="init", exited_s=2.0, exit_code=0))
    study.timelines[Owner("w", "app", 0)].shmem = [0, 0]
    owner = Owner("w", "download", 0)
    study.timelines[owner] = Timeline(owner, t=[1.0, 2.0], memory_current=[MIB] * 2, shmem=[0, 64 * MIB])
    said = "64 MiB of it files in memory (shmem) that outlived download, which wrote them"
    assert said in kill_headline(study)
    study.instances[-1] = replace(study.instances[-1], exited_s=None)
    assert "outlived" not in kill_headline(study)


def test_what_oom_score_adj_counts_thousandths_of_is_said() -> None:
    """What ran out and the swap beside it: without it the order of the candidates cannot be followed."""
    chosen = Candidate("w", "app", 80 * MIB, 990, 80 * MIB + 2 * 990 * MIB)
    other = Candidate("w", "b", 86 * MIB, 968, 86 * MIB + 2 * 968 * MIB)
    kill = replace(FIRST, limit_bytes=160 * MIB, candidates=(chosen, other))
    assert "thousandths of 2.0 GiB (what ran out and swap): app held 80 MiB" in _compared(kill)
    assert "thousandths of 2.0 GiB (what ran out): app" in _compared(replace(kill, limit_bytes=2000 * MIB))
    host = replace(kill, level="host", limit_bytes=None)
    assert "of 2.0 GiB (the machine's memory and swap): app" in _compared(host)
    flat = replace(chosen, oom_score_adj=0, points_bytes=80 * MIB)
    assert "thousandths of what ran out: app" in _compared(replace(kill, candidates=(flat,)))


def test_a_limit_that_is_reached_again_for_files_in_memory_is_said_to_be() -> None:
    """A pod of one container meets its own limit each time: the restart did not help."""
    first = replace(FIRST, level="pod")
    again = replace(first, time_s=6.0, attempt=1)
    said = "; after a restart it was reached again, 64 MiB of it files in memory (shmem) that outlived the container"
    assert said in kill_headline(_study(first, again))
    assert "restart" not in kill_headline(_study(first, again, shmem=64 * MIB))
    alone = _study(first)  # its last sample is a little older than its kill
    alone.timelines[Owner("w", "app", 0)].shmem = [50 * MIB] * 2
    assert "outlived" not in kill_headline(alone)


def test_a_native_sidecar_that_never_started_keeps_the_others_from_starting() -> None:
    """As an init container does; its startup probe has to succeed before."""
    study = _study(replace(FIRST, container="mesh"))
    study.instances = [Instance("mesh", 0, pod="w", role="sidecar", started_s=1.0)]
    assert "; the pod's containers were never started" in kill_headline(study)
    study.instances.append(Instance("app", 0, pod="w", started_s=2.0))
    assert "never started" not in kill_headline(study)


def test_a_container_that_was_killed_before_it_was_ready_is_said_to_be() -> None:
    """Its limit is too small for its start, whatever was asked of it; an init container is never ready before."""
    begun = replace(FIRST, after_first_request_s=1.0)
    study = _study(begun, replace(FIRST, time_s=6.0, attempt=1))
    assert "1.0 s after the first request, each time before it was ready: its own limit" in kill_headline(study)
    study.instances[1] = replace(study.instances[1], ready_s=5.5)
    assert "ready" not in kill_headline(study)
    one = _study(begun)
    assert "after the first request, before it was ready: " in kill_headline(one)
    one.instances = [replace(one.instances[0], role="init")]
    assert "ready" not in kill_headline(one)
    assert "ready" not in kill_headline(_study(replace(begun, child=True)))
