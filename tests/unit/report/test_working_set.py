"""The topic of working sets: four answers to how much memory is used, and an eviction that page cache caused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from emu.policy.kubelet.node import docker_stats, working_set
from emu.record.events import Owner
from emu.record.rundir import RunDir
from emu.record.samples import NODE
from emu.report.summary import summarize
from emu.report.topics.evictions import EVICTIONS
from emu.report.topics.topic import View
from emu.report.topics.working_set import WORKING_SET
from emu.study.model.instances import Instance, Stop
from emu.study.model.requests import PhaseSpan
from emu.study.model.study import Happening, Study
from emu.study.model.timeline import Timeline
from emu.study.pods import named
from emu.study.study import read_study
from emu.study.working_sets import moments
from tests.fakes import FakeRun

MIB = 2**20
LOW = "The node was low on resource: memory. Threshold quantity: 100Mi, available: "


def _line(owner: Owner, anon: int, active: int, inactive: int, limit: int | None = None) -> Timeline:
    """A cgroup sampled three times, in MiB; before the second read of its file all of it is inactive."""
    whole, end = (anon + active + inactive) * MIB, None if limit is None else limit * MIB
    return Timeline(
        owner,
        t=[0.0, 1.0, 2.0],
        memory_max=[end] * 3,
        memory_current=[whole] * 3,
        anon=[anon * MIB] * 3,
        active_file=[0, active * MIB, active * MIB],
        inactive_file=[(active + inactive) * MIB, inactive * MIB, inactive * MIB],
        working_set=[anon * MIB, (anon + active) * MIB, (anon + active) * MIB],
    )


def _study() -> Study:
    """`read-once` has 64 MiB of inactive page cache, `read-twice` of active from the second sample on."""
    study = Study(RunDir(Path("sets")), duration_s=2.5)
    study.phases = [PhaseSpan("first", 0.0, 0.5, 0.9), PhaseSpan("look", 0.9, 1.5, 1.5)]
    for pod, active, inactive in (("read-once", 0, 64), ("read-twice", 64, 0)):
        study.instances.append(Instance("app", 0, pod=pod))
        for owner in (Owner(pod, "app", 0), Owner(pod, "", None)):
            study.timelines[owner] = _line(owner, 14, active, inactive)
    study.node = _line(NODE, 28, 64, 64, 180)
    return study


def _evicted(t: float, pod: str, available: str) -> Happening:
    return Happening(t, "pod-evicted", "", f"{LOW}{available}. ", {"grace_s": 1}, pod)


def test_what_the_run_stopped_is_not_looked_at() -> None:
    """The last phase goes on to the run's end; the sample is one from before its processes were killed."""
    study = _study()
    study.instances[0] = replace(study.instances[0], stop=Stop("run", 0.5, 0.0))
    assert [one.time_s for one in moments(study)] == [0.0, 0.0]


@pytest.mark.parametrize(("current", "inactive", "docker", "kubelet"), [(9, 2, 7, 7), (9, 9, 9, 0), (9, 12, 9, 0)])
def test_docker_and_the_kubelet_differ_only_where_all_is_cold(
    current: int, inactive: int, docker: int, kubelet: int
) -> None:
    """Both subtract inactive_file; where it is not below memory.current docker subtracts nothing, the kubelet all."""
    assert (docker_stats(current, inactive), working_set(current, inactive)) == (docker, kubelet)


def test_four_answers_of_one_sample() -> None:
    """Each phase has what the last sample before the next one says, of each container and of the node."""
    first, look = (WORKING_SET.figures(_study())["working_set"][name] for name in ("first", "look"))
    assert (first["time_s"], look["time_s"]) == (0.0, 1.0)
    before, after = (one["containers"]["read-twice/app"] for one in (first, look))
    assert before["docker_stats_bytes"] == before["working_set_bytes"] == 14 * MIB
    assert after["docker_stats_bytes"] == after["working_set_bytes"] == after["memory_current_bytes"] == 78 * MIB
    assert (after["anon_bytes"], after["active_file_bytes"], after["inactive_file_bytes"]) == (14 * MIB, 64 * MIB, 0)
    assert (first["node"]["available_bytes"], look["node"]["available_bytes"]) == (152 * MIB, 88 * MIB)
    assert look["node"]["memory_bytes"] == 180 * MIB


def test_what_was_not_there_is_null() -> None:
    """A container that ended before, a sample without memory.stat, and a node that was not recorded."""
    study = _study()
    gone = study.timelines[Owner("read-twice", "app", 0)]
    gone.t, gone.memory_current, gone.active_file = gone.t[:1], gone.memory_current[:1], gone.active_file[:1]
    study.timelines[Owner("read-once", "app", 0)].inactive_file = [None] * 3
    study.node = None
    look = WORKING_SET.figures(study)["working_set"]["look"]
    assert set(look["containers"]["read-twice/app"].values()) == {None}
    once = look["containers"]["read-once/app"]
    assert (once["memory_current_bytes"], once["docker_stats_bytes"], once["working_set_bytes"]) == (
        78 * MIB,
        None,
        None,
    )
    assert look["node"]["available_bytes"] is None


def test_a_working_set_of_page_cache_is_explained() -> None:
    """Beside the container that holds as much and looks small; the table has the same."""
    study = named(_study())
    said = " ".join(WORKING_SET.sentences(study, {}))
    assert "At the end of look, read-twice/app had a memory.current of 78 MiB, a working set of 78 MiB" in said
    assert "read-once/app had about the same memory.current (78 MiB) and a working set of 14 MiB" in said
    assert "A kubelet calls 88 MiB of the node's 180 MiB available then." in said
    assert "there were 152 MiB to be had" in said
    listing, note = WORKING_SET.parts(View(study, study, {}))
    assert [row[:4] for row in listing.rows] == [  # type: ignore[union-attr]
        ("read-once/app", 78 * MIB, 14 * MIB, 14 * MIB),
        ("read-twice/app", 78 * MIB, 78 * MIB, 78 * MIB),
        ("node", 156 * MIB, 92 * MIB, 92 * MIB),
    ]
    assert "when look had ended" in note.text  # type: ignore[union-attr]


def test_a_heap_is_no_page_cache() -> None:
    """Where anonymous memory is most of a working set nothing is said of it."""
    study = _study()
    study.timelines[Owner("read-twice", "app", 0)] = _line(Owner("read-twice", "app", 0), 78, 20, 0)
    study = named(study)
    assert WORKING_SET.sentences(study, {}) == []
    assert not [*WORKING_SET.parts(View(study, study, {}))]


def test_an_eviction_for_page_cache_is_said_to_be_one() -> None:
    """Where less would have been short without it; where memory was short all the same, nothing is added."""
    study = replace(_study(), evictions=[_evicted(1.5, "read-twice", "88Mi")])
    headline = EVICTIONS.headline(study, EVICTIONS.figures(study))[0]
    assert headline.endswith("though 64 MiB of what it counted as used was page cache that can be dropped")
    assert EVICTIONS.figures(study)["evictions"][0]["active_file_bytes"] == 64 * MIB
    for short in (replace(study, evictions=[_evicted(1.5, "read-twice", "10Mi")]), replace(study, node=None)):
        headline = EVICTIONS.headline(short, EVICTIONS.figures(short))[0]
        assert headline.endswith("because the node was low on memory")


def test_a_run_with_an_eviction_is_headed_by_it(tmp_path: Path) -> None:
    """Its processes were killed, though not by the kernel: that nothing was killed would be wrong."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(2.0)
    study = read_study(run.finish())
    assert summarize(study)["verdict"]["headline"].startswith("Nothing was OOM-killed")
    study.evictions = [_evicted(1.5, "read-twice", "10Mi")]
    headline = summarize(study)["verdict"]["headline"]
    assert headline.startswith("The kubelet evicted the pod read-twice because the node was low on memory; ")
    assert headline.endswith("nothing was OOM-killed") and "nothing was killed" not in headline


@pytest.mark.parametrize(
    ("available", "needless"), [("-4Mi", False), ("92274688", True), ("1e7", False), ("?", False)]
)
def test_an_eviction_s_quantities_are_kubernetes(available: str, needless: bool) -> None:
    """More may be used than there is, and a quantity has many forms; what is none leaves the headline as it is."""
    study = replace(_study(), evictions=[_evicted(1.5, "read-twice", available)])
    headline = EVICTIONS.headline(study, EVICTIONS.figures(study))[0]
    assert ("page cache" in headline) == needless


def test_the_headline_names_who_was_evicted_in_order() -> None:
    """Three of them; of more it has the number."""
    every = [_evicted(1.4 + 0.1 * n, pod, "10Mi") for n, pod in enumerate("abcde")]
    for several, words in ((every[:2], "a, then b"), (every, "a, then b, then c and 2 more")):
        study = replace(_study(), evictions=several)
        (said,) = EVICTIONS.headline(study, EVICTIONS.figures(study))
        assert said == f"the kubelet evicted the pod {words} because the node was low on memory"


def test_the_node_s_condition_is_in_the_sentences() -> None:
    """Also where nobody was evicted, until it ended."""
    words = ("kubelet has insufficient memory available", "kubelet has sufficient memory available")
    changes = [
        Happening(t, "node-condition", "node", text, {"condition": "MemoryPressure", "status": status, "reason": "R"})
        for t, text, status in zip((1.0, 301.0), words, (True, False), strict=True)
    ]
    study = replace(_study(), node_conditions=changes)
    summary = EVICTIONS.figures(study)
    assert [one["status"] for one in summary["node_conditions"]] == [True, False]
    (said,) = EVICTIONS.sentences(study, summary)
    assert said == f"The node had the condition MemoryPressure from 1.0 s to 5 min 1 s: {words[0]}."
    assert "from 1.0 s on" in EVICTIONS.sentences(replace(study, node_conditions=changes[:1]), summary)[0]


def test_an_eviction_that_did_not_help_is_said_to_be_one() -> None:
    """What the first pod had read is still charged to the node when the second is evicted; if it went, it is not."""
    study = replace(_study(), evictions=[_evicted(1.4, "read-twice", "88Mi"), _evicted(1.6, "read-once", "94956Ki")])
    said = EVICTIONS.sentences(study, EVICTIONS.figures(study))[-1]
    assert said.startswith("The eviction of read-twice left 64 MiB of active page cache charged to the node")
    assert "so read-once was evicted too" in said
    assert study.node is not None
    study.node.active_file = [0, 0, 0]
    assert not any("left" in said for said in EVICTIONS.sentences(study, EVICTIONS.figures(study)))
