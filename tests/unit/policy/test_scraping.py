"""Which pods are asked, and what their answers say of all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.autoscaling.scraping import PodStat, for_all, sample, sample_size


@pytest.mark.parametrize(
    ("pods", "asked"),
    [(-1, 0), (0, 0), (1, 1), (3, 3), (4, 4), (6, 5), (10, 7), (100, 14), (500, 15), (1000, 16), (10**6, 16)],
)
def test_a_sample_is_never_more_than_sixteen(pods: int, asked: int) -> None:
    """All of up to three; after that ever fewer of many."""
    assert sample_size(pods) == asked


def test_young_pods_are_asked_last() -> None:
    """Of ten pods three are younger than the window; seven answers are enough, so the old ones are shuffled."""
    started = [(f"old-{number}", 0.0) for number in range(7)] + [(f"young-{number}", 95.0) for number in range(3)]
    shuffled: list[list[str]] = []
    order, enough = sample(started, 100.0, 60.0, lambda pods: shuffled.append(list(pods)))
    assert enough == 7
    assert order[7:] == ["young-0", "young-1", "young-2"]
    assert shuffled == [order[:7]]


def test_where_old_pods_are_too_few_the_young_are_drawn() -> None:
    """All old ones are asked then."""
    started = [("old", 0.0)] + [(f"young-{number}", 95.0) for number in range(9)]
    order, enough = sample(started, 100.0, 60.0, lambda pods: pods.reverse())
    assert (enough, order[:2]) == (7, ["old", "young-8"])


def test_a_sample_speaks_for_all() -> None:
    """Its mean times the pods; what came through the activator is left out of what is recorded."""
    stat = for_all([PodStat(4.0, 1.0, 10.0, 2.0), PodStat(2.0, 1.0, 30.0, 0.0)], 10)
    assert stat == PodStat(30.0, 10.0, 200.0, 10.0)
    assert (stat.own_concurrency, stat.own_rps) == (20.0, 190.0)
    assert for_all([], 3) is None


@given(st.lists(st.tuples(st.integers(), st.floats(0, 200)), unique_by=lambda one: one[0], max_size=60))
def test_every_ready_pod_is_in_the_order_once(started: list[tuple[int, float]]) -> None:
    """A pod that does not answer is made up for by the next."""
    order, enough = sample(started, 200.0, 60.0, lambda pods: pods.reverse())
    assert sorted(order) == sorted(pod for pod, _ in started)
    assert enough <= len(order)
