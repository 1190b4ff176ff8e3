"""Kills because all pods together reached the node's limit: the level, the words, the figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.record.events import MemoryEventsRose
from emu.record.samples import NODE
from emu.report.finish import finish
from emu.report.journal import entries
from emu.report.page.figures import run_figure
from emu.report.summary import summarize
from emu.report.topics.reclaim import RECLAIM, reclaim_words
from emu.study.study import read_study
from tests.fakes import MIB, PAGE, FakeRun

LIMIT = 128 * MIB
PATH = "/sys/fs/cgroup/emu/emu-full-node"


def full_node(path: Path) -> FakeRun:
    """A run whose queue-proxy is killed because the node is full; the kernel's log cannot be read."""
    run = FakeRun(path, name="full-node")
    run.start("sandbox")
    run.start("app", memory_max=256 * MIB)
    run.start("queue-proxy", memory_max=None)
    stat = f"anon {120 * MIB}\nfile {4 * MIB}\nshmem 0\nkernel {4 * MIB}\nsock 0\n"
    texts = {"memory.current": f"{LIMIT}\n", "memory.max": f"{LIMIT}\n", "memory.stat": stat}
    for file, text in texts.items():
        run.put(NODE, file, f"{PATH}/{file}", text)
    run.advance(2.0, {"app": {"anon": 100 * MIB}, "queue-proxy": {"anon": 20 * MIB}})
    for local in (True, False):
        run.event(
            MemoryEventsRose(
                t=run.t, label="node", attempt=None, path=PATH, local=local, delta={"oom": 1}, values={"oom": 1}
            )
        )
    run.oom("queue-proxy", level="host", log="none")
    run.advance(3.0)
    return run


def test_a_full_node_is_neither_a_container_nor_the_machine(tmp_path: Path) -> None:
    """The counters of the cgroup above the pods decide; its limit and what all pods held are reported."""
    study = read_study(full_node(tmp_path / "run").finish())
    (kill,) = study.kills
    assert (kill.level, kill.container, kill.limit_bytes, kill.usage_bytes) == ("node", "queue-proxy", LIMIT, LIMIT)
    assert kill.held["anon"] == 120 * MIB
    assert [pod.pod for pod in study.pods] == ["emu-fake"]


def test_the_words_name_the_node(tmp_path: Path) -> None:
    """Headline, journal and page say whose memory ran out; no figure of a container or pod has it."""
    run = full_node(tmp_path / "run").finish()
    study, summary = read_study(run), finish(run).summary
    assert "all pods together reached the node's limit of 128 MiB" in summary["verdict"]["headline"]
    assert any(
        text.startswith("All pods together held 120 MiB of anonymous") for text in summary["verdict"]["sentences"]
    )
    node = summary["node"]
    assert (node["memory_limit_bytes"], node["memory_peak_bytes"], node["oom_kills"]) == (LIMIT, LIMIT, 1)
    assert node["memory_events_local"]["oom"] == 1
    said = [entry.text for entry in entries(study)]
    assert "memory.events of node: oom +1" in said
    assert "node, all pods together · peak 128 MiB · 1 OOM kill" in run.report.read_text()


def test_what_was_not_recorded_of_reclaim_is_null(tmp_path: Path) -> None:
    """A memory.stat without pgsteal and pgscan says nothing of reclaim, which is not 0; nor do the words."""
    run = full_node(tmp_path / "run")
    full = {"delta": {"max": 1}, "values": {"max": 1}}
    run.event(MemoryEventsRose(t=run.t, label="node", attempt=None, path=PATH, local=True, **full))
    study = read_study(run.finish())
    summary = summarize(study)
    assert {one["container"] for one in summary["reclaim"]} == {"app", "queue-proxy"}
    for one in summary["reclaim"]:
        assert (one["reclaimed_bytes"], one["scanned_bytes"], one["refault_bytes"]) == (None, None, 0)
        assert summary["containers"][one["container"]]["reclaimed_bytes"] is None
    assert "reclaimed" not in summary["verdict"]["headline"]


def test_reclaim_counts_from_when_the_node_was_full(tmp_path: Path) -> None:
    """What was read again under a container's own limit before is no part of it."""
    run = full_node(tmp_path / "run")
    run.advance(3.5, {"app": {"refault_file": 400}})
    run.advance(3.6)
    full = {"delta": {"max": 1}, "values": {"max": 1}}
    run.event(MemoryEventsRose(t=run.t, label="node", attempt=None, path=PATH, local=True, **full))
    run.advance(4.0, {"app": {"refault_file": 1000}})
    summary = summarize(read_study(run.finish()))
    (app,) = (one for one in summary["reclaim"] if one["container"] == "app")
    whole = summary["containers"]["app"]["refault_bytes"]
    assert 0 < app["refault_bytes"] <= whole - 400 * PAGE


def test_what_was_reclaimed_from_each_container_is_drawn_over_time(tmp_path: Path) -> None:
    """Where the node was full: each curve ends at what the table says. Else there is no such panel."""
    run = full_node(tmp_path / "run")
    full = {"delta": {"max": 1}, "values": {"max": 1}}
    run.event(MemoryEventsRose(t=run.t, label="node", attempt=None, path=PATH, local=True, **full))
    run.advance(4.0, {"app": {"refault_file": 1000}})
    run.advance(5.0)
    recorded = run.finish()
    study, summary = read_study(recorded), finish(recorded).summary
    drawn = [
        (trace["meta"]["of"], trace["y"][-1])
        for trace in run_figure(study, summary).data
        if (trace.get("meta") or {}).get("kind") == "reclaimed"
    ]
    assert [one["refault_bytes"] for one in summary["reclaim"] if one["container"] == "app"] == [1000 * PAGE]
    assert drawn == [("emu-fake/app read again", pytest.approx(1000 * PAGE / MIB))]
    never = FakeRun(tmp_path / "never")
    never.start("app")
    never.advance(2.0, {"app": {"refault_file": 1000}})
    study = read_study(never.finish())
    assert not [
        one for one in run_figure(study, summarize(study)).data if (one.get("meta") or {}).get("kind") == "reclaimed"
    ]


def _given(pod: str, reclaimed: int, first_s: float | None, **held: int) -> dict[str, object]:
    kinds = {"inactive_file_bytes": 0, "active_file_bytes": 0, "anon_bytes": 0, **held}
    return {"pod": pod, "container": "app", "reclaimed_bytes": reclaimed, "first_s": first_s, **kinds}


def test_the_words_say_who_gave_which_share_and_in_which_order(tmp_path: Path) -> None:
    """The headline is by size, the sentence by time; each is said to have held what it could give: page cache, cold
    and hot, or else anonymous memory.
    """
    reclaim = [
        _given("hot", 60 * MIB, 9.0, active_file_bytes=48 * MIB, anon_bytes=10 * MIB),
        _given("cold", 30 * MIB, 4.0, inactive_file_bytes=96 * MIB),
        _given("swapped", 10 * MIB, 9.5, anon_bytes=40 * MIB),
        _given("idle", 0, None, anon_bytes=40 * MIB),
    ]
    assert reclaim_words(reclaim) == (
        "the kernel reclaimed 60 MiB (60 %) from hot/app, 30 MiB (30 %) from cold/app and 10 MiB (10 %) from "
        "swapped/app, next to nothing from idle/app"
    )
    study = read_study(full_node(tmp_path / "run").finish())
    assert RECLAIM.sentences(study, {"reclaim": reclaim}) == [
        "When the node was full reclaim began with cold/app at 4.0 s (it held 96 MiB of cold page cache); then came "
        "hot/app at 9.0 s (it held 48 MiB of hot page cache) and swapped/app at 9.5 s (it held 40 MiB of anonymous "
        "memory)."
    ]
    assert RECLAIM.sentences(study, {"reclaim": reclaim[1:2] + reclaim[3:]}) == []


def test_an_older_run_has_no_node(tmp_path: Path) -> None:
    """It was not recorded, which is not 0."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(1.0)
    assert summarize(read_study(run.finish()))["node"] is None
