"""The tree of cgroups: who is in whom, and what each held at a moment, by the samples."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from emu.record.events import CgroupSeen, Owner
from emu.record.rundir import RunDir
from emu.record.samples import NODE
from emu.report.finish import look
from emu.report.page.figures import run_figure
from emu.report.page.packing import pack
from emu.report.page.render import render_html
from emu.report.topics.cgroup_tree import kill_words, sampled
from emu.report.topics.cgroup_tree import said as said_of
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.study import read_study
from emu.study.tree import OWN_BYTES, PARTS, Place, Stay, charges, moments, name_at, places
from tests import fake_runs
from tests.fakes import MIB, POD_NAME, FakeRun

RUNS = Path(__file__).parents[2] / "fixtures" / "runs"
KEPT = sorted(path.name for path in RUNS.iterdir())


def two_containers(path: Path) -> FakeRun:
    """A pod under 300 MiB with queue-proxy and app, which grows to 100 MiB in a second."""
    run = FakeRun(path, pod_limit=300 * MIB)
    run.start("queue-proxy", memory_max=64 * MIB)
    run.start("app", memory_max=256 * MIB)
    run.sample()
    run.advance(1.0, {"app": {"anon": 90 * MIB, "file": 10 * MIB}, "queue-proxy": {"anon": 20 * MIB}})
    run.advance(1.3)
    return run


def names(rows: list[Place]) -> list[tuple[str, int, str]]:
    """Level, depth and name of each row."""
    return [(row.level, row.depth, row.name) for row in rows]


def in_cgroups(run: FakeRun, **paths: str) -> None:
    """Report the node's cgroup, and where the pods' are in it."""
    run.event(CgroupSeen(t=run.t, label="node", attempt=None, path="/emu.slice"))
    for pod, path in paths.items():
        run._events.append(CgroupSeen(t=run.t, pod=pod.replace("_", "-"), label="pod", attempt=None, path=path))


def test_a_pod_has_its_containers_in_order_of_start(tmp_path: Path) -> None:
    """Rows of one pod; its own figures are the last sample's."""
    study = read_study(two_containers(tmp_path / "run").finish())
    rows = places(study)
    assert names(rows) == [("pod", 0, POD_NAME), ("container", 1, "queue-proxy"), ("container", 1, "app")]
    pod, proxy, app = charges(rows, 1.2)
    assert pod and proxy and app
    assert (pod.current, proxy.current, app.current) == (120 * MIB, 20 * MIB, 100 * MIB)
    assert app.parts["anon"] == 90 * MIB and app.parts["page_cache"] == 10 * MIB
    assert [one.limits.get("memory.max") for one in (pod, proxy, app)] == [300 * MIB, 64 * MIB, 256 * MIB]


def test_between_two_samples_the_earlier_one_counts(tmp_path: Path) -> None:
    """Nothing is interpolated."""
    study = read_study(two_containers(tmp_path / "run").finish())
    rows = places(study)
    line = study.timelines[Owner(POD_NAME, "app", 0)]
    for row in (3, 7):
        between = (line.t[row] + line.t[row + 1]) / 2
        found = charges(rows, between)[2]
        assert found is not None and found.current == line.memory_current[row] != line.memory_current[row + 1]


def test_what_is_gone_is_not_there_and_a_restart_takes_its_row(tmp_path: Path) -> None:
    """Before its first sample and after its last one a container has no figures; its next instance has its row."""
    run = two_containers(tmp_path / "run")
    run.exit("app", 1)
    run.advance(2.0)
    run.start("app", memory_max=128 * MIB)
    run.advance(3.0, {"app": {"anon": 7 * MIB}})
    run.advance(3.2)
    study = read_study(run.finish())
    rows = places(study)
    assert [row.name for row in rows] == [POD_NAME, "queue-proxy", "app"]
    before, down, again = (charges(rows, t)[2] for t in (-0.1, 1.5, 3.1))
    assert before is None and down is None
    assert again is not None and (again.current, again.limits["memory.max"]) == (7 * MIB, 128 * MIB)


def test_what_a_pod_is_charged_itself_is_a_row(tmp_path: Path) -> None:
    """Of all that its containers were not charged, kind by kind, once it ever was OWN_BYTES."""
    run = two_containers(tmp_path / "run")
    run.finish()
    study = read_study(run.run)
    line = study.timelines[Owner(POD_NAME, "", None)]
    assert line.shmem and "own" not in [row.level for row in places(study)]
    line.memory_current = [value and value + OWN_BYTES for value in line.memory_current]
    line.shmem = [(value or 0) + OWN_BYTES for value in line.shmem]
    rows = places(study)
    assert names(rows)[-1] == ("own", 1, "charged to the pod itself")
    own = charges(rows, 1.2)[-1]
    assert own is not None and own.current == OWN_BYTES
    assert {part: value for part, value in own.parts.items() if value} == {"shmem": OWN_BYTES}
    line.shmem = [(value or 0) + OWN_BYTES for value in line.shmem]  # was read a moment after memory.current
    own = charges(rows, 1.2)[-1]
    assert own is not None and own.parts["shmem"] == OWN_BYTES


def test_node_class_pod_and_container(tmp_path: Path) -> None:
    """Pods are in the class that their cgroup's path names, Guaranteed ones right in the node; a class's figures are
    those of its pods together, and what is in none of them the node was charged itself.
    """
    run = FakeRun(tmp_path / "run", pod="plain")
    paths = {"plain": "/emu.slice/BestEffort/plain", "kept": "/emu.slice/kept"}
    other, third = run.beside("web"), run.beside("kept")
    for pod in (run, other, third):
        pod.start("app")
    run.put(NODE, "memory.current", "/emu.slice/memory.current", f"{40 * MIB}\n")
    run.advance(1.0)
    for size, pod in zip((1, 4, 30), (run, other, third), strict=True):
        pod.live["app"].values["anon"] = size * MIB
    run.advance(1.8)
    in_cgroups(run, **paths, web="/emu.slice/emu-1-kubepods-burstable.slice/web.slice")
    study = read_study(run.finish())
    study.pod_cgroup = "/emu.slice"
    rows = places(study)
    assert names(rows) == [
        ("node", 0, "node"),
        ("pod", 1, "kept"), ("container", 2, "app"),
        ("class", 1, "Burstable"), ("pod", 2, "web"), ("container", 3, "app"),
        ("class", 1, "BestEffort"), ("pod", 2, "plain"), ("container", 3, "app"),
        ("own", 1, "charged to the node itself"),
    ]  # fmt: skip
    sizes = [one and one.current and one.current // MIB for one in charges(rows, 1.6)]
    assert sizes == [40, 30, 30, 4, 4, 4, 1, 1, 1, 5]


def test_pods_after_one_another_share_a_row_that_names_the_one_that_is_there(tmp_path: Path) -> None:
    """As they share a panel."""
    run = FakeRun(tmp_path / "run", pod="web-00001-deployment-7d94788b9d-aaaaa")
    run.start("app")
    run.advance(1.0)
    later = run.beside("web-00001-deployment-7d94788b9d-bbbbb")
    run.remove()
    run.advance(3.0)
    later.start("app")
    run.advance(4.0)
    study = read_study(run.finish())
    rows = places(study)
    assert [row.level for row in rows] == ["pod", "container"]
    assert name_at(rows[0], 0.5).endswith("aaaaa") and name_at(rows[0], 3.9).endswith("bbbbb")


def test_a_kill_is_the_first_moment_and_stands_in_its_row(tmp_path: Path) -> None:
    """The first kill is what a headline speaks of; the row says when, from then on."""
    run = two_containers(tmp_path / "run")
    run.oom("app")
    run.advance(2.0)
    study = read_study(run.finish())
    rows = places(study)
    first, kill = moments(study, rows)[0], study.kills[0]
    when = f"{kill.time_s:.3f} s"
    words = f"At {first.t:.3f} s, the last sample before app was OOM-killed at {when}."
    assert said_of(first.t, moments(study, rows)) == words
    assert (kill_words(rows[2], first.t - 0.01), kill_words(rows[1], 9.0)) == ("", "")
    assert kill_words(rows[2], first.t) == f"killed at {when}"
    tree = run_figure(study, look(run.run).summary).tree
    assert tree is not None
    assert [row.killed for row in tree.rows] == [False, False, True]


def test_a_sample_that_counted_the_kill_is_not_the_one_before_it(tmp_path: Path) -> None:
    """A sample's time is from before its files are read: one that is a little before a kill by the kernel's log may
    have the memory that the kill freed. The counter of the victim says so.
    """
    run = two_containers(tmp_path / "run")
    last = run.now
    run.now += 0.01
    run.live["app"].values["anon"] = 1 * MIB
    run.oom("app")
    study = read_study(run.finish())
    assert last + 0.01 < study.kills[0].time_s
    rows = places(study)
    first = moments(study, rows)[0]
    app = charges(rows, first.t)[2]
    assert first.t == pytest.approx(last)
    assert app is not None and app.current == 100 * MIB


def test_a_pods_own_limit_that_was_met_stands_in_the_pods_row(tmp_path: Path) -> None:
    """The victim's row says that it was killed, the pod's that its limit was met."""
    study = read_study(fake_runs.ALL["pod_level"](tmp_path / "run"))
    words = [kill_words(row, study.duration_s).split(" at ")[0] for row in places(study)]
    assert words.count("limit met") == 1 and words.count("killed") == 1
    assert words[0] == "limit met"


def test_without_a_kill_it_is_when_most_was_held(tmp_path: Path) -> None:
    """The moment of the largest sample of the pod."""
    run = two_containers(tmp_path / "run")
    run.advance(2.0, {"app": {"anon": 1 * MIB}})
    study = read_study(run.finish())
    rows = places(study)
    (peak,) = moments(study, rows)
    held = charges(rows, peak.t)[0]
    assert peak.words == "when the pod held most"
    assert held is not None and held.current == max(
        filter(None, study.timelines[Owner(POD_NAME, "", None)].memory_current)
    )


@pytest.mark.parametrize("name", KEPT)
def test_each_figure_of_a_kept_run_is_a_sample(name: str) -> None:
    """At any moment: memory.current and the kinds of the last sample, and of containers never more than of their pod
    by what can change while one is read after another.
    """
    study = read_study(RunDir(RUNS / name))
    rows = places(study)
    for step in range(21):
        t = study.duration_s * step / 20
        for row, held in zip(rows, charges(rows, t), strict=True):
            stay = row.stay_at(t)
            if stay is None:
                assert held is None or row.level in ("class", "own")
                continue
            at = max(n for n, when in enumerate(stay.line.t) if when <= t)
            assert held is not None and held.current == stay.line.memory_current[at]
            for part in PARTS:
                assert held.parts.get(part) == (getattr(stay.line, part) or [None] * (at + 1))[at]


@pytest.mark.parametrize("name", KEPT)
def test_the_page_grows_by_little(name: str, tmp_path: Path) -> None:
    """The tree's columns are those that the panels have, and are on the page once: it has at most 15 % more."""
    report = look(RunDir(RUNS / name))
    assert report.study is not None
    figure = run_figure(report.study, report.summary)
    assert figure.tree is not None
    with_tree = render_html(report.study, report.summary, library="plotly.js")
    figure_alone = pack("run", figure.data, figure.layout)
    both = pack("run", figure.data, figure.layout, figure.tree.script)
    assert len(both) - len(figure_alone) < 0.15 * len(with_tree)
    assert '<table id="tree"' in with_tree


def test_the_table_is_there_without_a_script(tmp_path: Path) -> None:
    """The first moment's figures are text in the page, and the page says which moment it is."""
    run = fake_runs.oom(tmp_path / "run")
    report = look(run)
    assert report.study is not None
    page = render_html(report.study, report.summary)
    kill = report.study.kills[0]
    assert f", the last sample before queue-proxy was OOM-killed at {kill.time_s:.3f} s." in page
    assert f"killed at {kill.time_s:.3f} s" in page


def test_a_run_without_samples_has_no_tree(tmp_path: Path) -> None:
    """And its page is made."""
    run = fake_runs.oom(tmp_path / "run")
    run.samples.unlink()
    report = look(run)
    assert report.study is not None
    assert "Memory of each cgroup" not in render_html(report.study, report.summary)


def unread_limit(study: Study) -> Study:
    """As a recorder that never read memory.max."""
    for line in study.timelines.values():
        line.memory_max = []
    return study


def test_a_limit_that_was_never_read_is_the_one_it_was_made_with(tmp_path: Path) -> None:
    """As in the panels."""
    study = unread_limit(read_study(two_containers(tmp_path / "run").finish()))
    rows = places(study)
    limits = [one and one.limits.get("memory.max") for one in charges(rows, 1.2)]
    assert limits == [None, 64 * MIB, 256 * MIB]


def test_protection_is_shown_where_it_is_set(tmp_path: Path) -> None:
    """memory.low of a container has a column and a mark; 0, which is none, has not."""
    run = two_containers(tmp_path / "run")
    app = run.live["app"].owner
    run.put(app, "memory.low", "/app/memory.low", f"{32 * MIB}\n")
    run.put(app, "memory.min", "/app/memory.min", "0\n")
    run.advance(2.0)
    run.finish()
    study = read_study(run.run)
    held = charges(places(study), 1.9)[2]
    assert held is not None and held.limits == {"memory.max": 256 * MIB, "memory.low": 32 * MIB}
    tree = run_figure(study, look(run.run).summary).tree
    assert tree is not None and list(tree.columns.values()) == ["charged", "memory.max", "of it", "memory.low"]
    assert tree.rows[2].kept in (0, 32 * MIB)


def test_rows_without_samples_are_left_out_and_the_others_numbered_again() -> None:
    """What was in one of them is in the next place above."""
    stay = Stay(Owner("p", "app", 0), Timeline(Owner("p", "app", 0)), math.inf, None)
    rows = [
        Place("node", "node", 0, None, (stay,)),
        Place("pod", "a", 1, 0),
        Place("container", "app", 2, 1, (stay,)),
        Place("pod", "b", 1, 0, (stay,)),
        Place("own", "charged to the pod itself", 2, 3),
    ]
    assert [(row.level, row.above) for row in sampled(rows)] == [
        ("node", None), ("container", 0), ("pod", 0), ("own", 2),
    ]  # fmt: skip
