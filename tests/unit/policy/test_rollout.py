"""Knative's gradual rollout: the steps that its own code took for the same input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.golang import SECOND
from emu.policy.rollout import (
    Rollout,
    advance,
    by_host,
    effective,
    goal_of,
    in_rollout,
    progress,
)
from emu.policy.routing import Share, Traffic, whole

OLD, NEW, NEWER = "a-00001", "a-00002", "a-00003"
BEGAN = 100 * SECOND
Step = tuple[float, list[int]]


def latest(revision: str, percent: int = 100, tag: str = "") -> Share:
    """A target with `latestRevision: true`."""
    return Share(revision, percent, tag, latest=True)


def percents(rollout: Rollout) -> list[int]:
    """Of the revisions, from the oldest to the newest."""
    return [part.percent for part in rollout[""].parts]


def played(percent: int, duration_s: float, ready_after_s: float) -> list[Step]:
    """The steps of a rollout, from when the ingress has the first percent; the route looks when a step is due."""
    before = (latest(OLD, percent), Share("b", 100 - percent))
    after = (latest(NEW, percent), Share("b", 100 - percent))
    now = BEGAN
    rollout = advance(after, goal_of(before), now, duration_s)
    steps = [(0.0, percents(rollout))]
    now += int(ready_after_s * SECOND)
    while not rollout[""].done:
        rollout = advance(after, rollout, now, duration_s)
        steps.append((round((now - BEGAN) / SECOND, 3), percents(rollout)))
        now = rollout[""].next
    return steps


@pytest.mark.parametrize(
    ("given_", "number", "first", "last"),
    [
        ((100, 60, 0.3), 52, [(1.3, [97, 3]), (2.3, [95, 5])], (50.3, [100])),
        ((100, 60, 1.5), 35, [(3.5, [96, 4]), (5.5, [93, 7])], (67.5, [100])),
        ((100, 10, 0.3), 11, [(1.3, [88, 12]), (2.3, [77, 23])], (9.3, [100])),
        ((50, 20, 0.3), 19, [(1.3, [46, 4]), (2.3, [43, 7])], (17.3, [50])),
        ((100, 2, 0.3), 3, [(1.3, [100])], (1.3, [100])),
        ((100, 1, 5.0), 3, [(6.0, [100])], (6.0, [100])),
        ((2, 60, 0.3), 3, [(59.3, [2])], (59.3, [2])),
        ((100, 600, 0.3), 101, [(6.351, [98, 2]), (12.401, [97, 3])], (599.3, [100])),
    ],
)
def test_a_rollout_goes_in_knative_s_steps(
    given_: tuple[int, float, float], number: int, first: list[Step], last: Step
) -> None:
    """One percent first; how long the ingress took for that is how long a step is."""
    steps = played(*given_)
    percent = given_[0]
    assert steps[0] == (0.0, [percent - 1, 1])
    assert (len(steps), steps[2 : 2 + len(first)], steps[-1]) == (number, first, last)


def test_without_a_duration_all_moves_at_once() -> None:
    """And with one, where nothing was before."""
    assert percents(advance(whole(NEW, latest=True), goal_of(whole(OLD, latest=True)), BEGAN, 0)) == [100]
    assert percents(advance(whole(NEW, latest=True), {}, BEGAN, 60)) == [100]


def test_a_revision_that_is_named_moves_at_once() -> None:
    """Only the latest revision is rolled out: a rollback by name is not, nor is what follows it."""
    assert advance(whole(OLD), goal_of(whole(NEW, latest=True)), BEGAN, 60) == {}
    assert percents(advance(whole(NEW, latest=True), goal_of(whole(OLD)), BEGAN, 60)) == [100]


def test_a_newer_revision_takes_from_the_newest_first() -> None:
    """The one that was being rolled out gives its percent, and then each step."""
    rollout: Rollout = goal_of(whole(OLD, latest=True))
    for at_s, revision in ((0, NEW), (0.3, NEW), (1.3, NEW), (2.3, NEW), (3, NEWER), (3.2, NEWER), (4.2, NEWER)):
        rollout = advance(whole(revision, latest=True), rollout, BEGAN + int(at_s * SECOND), 60)
    assert [tuple(part) for part in rollout[""].parts] == [(OLD, 95), (NEW, 2), (NEWER, 3)]
    assert in_rollout(rollout) == {OLD, NEW, NEWER}


def test_a_share_that_changes_meanwhile() -> None:
    """More is the newest revision's, less is taken from the oldest."""
    rollout = goal_of((latest(OLD, 50), Share("b", 50)))
    rollout = advance((latest(NEW, 50), Share("b", 50)), rollout, BEGAN, 600)
    more = advance((latest(NEW, 60), Share("b", 40)), rollout, BEGAN, 600)
    less = advance((latest(NEW, 20), Share("b", 80)), rollout, BEGAN, 600)
    assert (percents(more), percents(less)) == ([49, 11], [19, 1])


def test_what_requests_see_of_it() -> None:
    """At the service's own Host, and at that of a tag, which is rolled out by itself."""
    before: Traffic = (latest(OLD, 90, "next"), Share("b", 10))
    after: Traffic = (latest(NEW, 90, "next"), Share("b", 10))
    rollout = advance(after, goal_of(before), BEGAN, 60)
    assert by_host(after, rollout) == {OLD: 89, NEW: 1, "b": 10}
    assert by_host(after, rollout, "next") == {OLD: 99, NEW: 1}
    assert [one[:2] for one in effective(after, rollout)] == [(OLD, 89), (NEW, 1), ("b", 10)]


def test_each_step_says_what_it_does() -> None:
    """Seconds are the run's: half of the cluster's with a time scale of 2."""
    after, said = whole(NEW, latest=True), []
    rollout: Rollout = goal_of(whole(OLD, latest=True))
    for at_s in (0, 0.3, 1.3, 2.3):
        before, rollout = rollout, advance(after, rollout, BEGAN + int(at_s * SECOND), 3)
        said.append(progress(before, rollout, 2))
    assert said[0] == "a-00002 begins with 1 %; how long that takes decides the next steps"
    assert said[2] == "a-00002 gets 50 % more every 0.5 s"
    assert said[3] == "the last step: a-00002 has all 100 %"


@given(
    percent=st.integers(1, 100),
    duration_s=st.integers(1, 3600),
    moves=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 4)), max_size=40),
)
def test_nothing_gets_lost_on_the_way(percent: int, duration_s: int, moves: list[tuple[float, int]]) -> None:
    """Whatever happens when, the parts add up to the target's percent."""
    now, rollout, newest = BEGAN, goal_of((latest("a-00001", percent), Share("b", 100 - percent))), 1
    for wait_s, revision in moves:
        now += int(wait_s * SECOND)
        newest = max(newest, revision)
        traffic = (latest(f"a-{newest:05d}", percent), Share("b", 100 - percent))
        rollout = advance(traffic, rollout, now, duration_s)
        assert sum(percents(rollout)) == percent and all(one > 0 for one in percents(rollout))
        assert sum(by_host(traffic, rollout).values()) == 100
