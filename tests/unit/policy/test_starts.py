"""Starts: their order, how warm one is, and where its time went. Given → then."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.starts import (
    COLD,
    CREATED,
    MEANINGS,
    TEMPERATURES,
    WARM_CPU,
    WARM_DISK,
    WARM_MEMORY,
    WARM_PAGE_CACHE,
    WARM_SWAP,
    Found,
    Stage,
    order,
    stages,
    temperature_of,
)


@given(trials=st.integers(1, 20), seed=st.integers(0, 2**63 - 1))
def test_each_round_has_every_temperature_once(trials: int, seed: int) -> None:
    """So that what drifts falls on all alike, whatever the seed."""
    found = order(TEMPERATURES, trials, seed)
    for begin in range(0, len(found), len(TEMPERATURES)):
        assert Counter(found[begin : begin + len(TEMPERATURES)]) == Counter(TEMPERATURES)
    assert len(found) == trials * len(TEMPERATURES)


def test_the_order_is_the_seed_s() -> None:
    """The same for the same seed, another for another; and not the same in each round."""
    assert order(TEMPERATURES, 10, 1) == order(TEMPERATURES, 10, 1)
    assert order(TEMPERATURES, 10, 1) != order(TEMPERATURES, 10, 2)
    rounds = {tuple(order(TEMPERATURES, 10, 1)[begin : begin + 7]) for begin in range(0, 70, 7)}
    assert len(rounds) > 1


def test_a_temperature_named_twice_is_tried_once_a_round() -> None:
    """A list in a file may repeat itself."""
    assert order([COLD, COLD], 2, 1) == [COLD, COLD]


@pytest.mark.parametrize(
    ("found", "temperature"),
    [
        (Found(image=False), COLD),
        (Found(image=True), WARM_DISK),
        (Found(image=True, cached_share=0.49), WARM_DISK),
        (Found(image=True, cached_share=0.5), WARM_PAGE_CACHE),
        (Found(image=True, created=True), CREATED),
        (Found(image=True, created=True, cached_share=1.0), CREATED),
        (Found(image=True, created=True, running=True), WARM_CPU),
        (Found(image=True, created=True, running=True, app_swap_bytes=9), WARM_CPU),
        (Found(image=True, created=True, running=True, frozen=True, app_bytes=10), WARM_MEMORY),
        (Found(image=True, created=True, running=True, frozen=True, app_bytes=10, app_swap_bytes=2), WARM_MEMORY),
        (Found(image=True, created=True, running=True, frozen=True, app_bytes=1, app_swap_bytes=9), WARM_SWAP),
        (Found(image=True, created=True, running=True, frozen=True), WARM_MEMORY),
    ],
)
def test_how_warm_a_start_is(found: Found, temperature: str) -> None:
    """The warmest thing that is there decides."""
    assert temperature_of(found) == temperature


def test_stages_follow_each_other() -> None:
    """Each begins where the one before ends."""
    found = stages(10.0, [("create", 11.0), ("start", 13.0), ("first byte", 13.5)])
    assert found == [Stage("create", 10.0, 11.0), Stage("start", 11.0, 13.0), Stage("first byte", 13.0, 13.5)]
    assert [stage.took_s for stage in found] == [1.0, 2.0, 0.5]


def test_what_was_not_seen_counts_to_the_next() -> None:
    """An app that logs nothing leaves no hole."""
    found = stages(0.0, [("start", 1.0), ("process", None), ("readiness", 3.0)])
    assert found == [Stage("start", 0.0, 1.0), Stage("readiness", 1.0, 3.0)]


def test_what_was_over_before_takes_no_time() -> None:
    """An app may listen before the engine says that it is started."""
    assert [stage.took_s for stage in stages(0.0, [("start", 2.0), ("listen", 1.5), ("readiness", 2.5)])] == [
        2,
        0,
        0.5,
    ]


@given(st.lists(st.tuples(st.sampled_from(sorted(MEANINGS)), st.none() | st.floats(0, 1e6))))
def test_stages_add_up_to_the_whole(stamps: list[tuple[str, float | None]]) -> None:
    """Whatever the stamps: no gap, no overlap, no negative time."""
    found = stages(1.0, stamps)
    seen = [t for _, t in stamps if t is not None]
    assert all(stage.took_s >= 0 for stage in found)
    assert all(one.end == after.begin for one, after in pairwise(found))
    if found:
        assert (found[0].begin, found[-1].end) == (1.0, max([1.0, *seen]))
