"""containerConcurrency N: N run, 10·N wait, the next is refused; first come, first served."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.breaker import Admission, Breaker


def test_ten_run_a_hundred_wait_and_the_hundred_and_eleventh_is_refused() -> None:
    """The total is 11 x containerConcurrency, as the real queue-proxy showed."""
    breaker: Breaker[int] = Breaker(10)
    admissions = [breaker.enter(number) for number in range(111)]
    assert admissions == [Admission.RUN] * 10 + [Admission.WAIT] * 100 + [Admission.REFUSE]
    assert (breaker.running, breaker.waiting) == (10, 100)


def test_waiters_run_in_the_order_in_which_they_came() -> None:
    """Each place that is given up goes to whoever waited longest."""
    breaker: Breaker[str] = Breaker(1)
    for key in "abcd":
        breaker.enter(key)
    assert [breaker.leave(key) for key in "abcd"] == ["b", "c", "d", None]
    assert (breaker.running, breaker.waiting) == (0, 0)


def test_a_waiter_that_gives_up_loses_its_place_and_nobody_runs_for_it() -> None:
    """The place in the queue is free again; the one that runs goes on."""
    breaker: Breaker[str] = Breaker(1, depth=1)
    breaker.enter("runs")
    breaker.enter("waits")
    assert breaker.enter("refused") is Admission.REFUSE
    assert breaker.leave("waits") is None
    assert breaker.enter("next") is Admission.WAIT
    assert breaker.leave("runs") == "next"


def test_leaving_twice_or_without_being_inside_changes_nothing() -> None:
    """A request that ended both by timeout and by its client leaves once."""
    breaker: Breaker[str] = Breaker(1)
    breaker.enter("a")
    breaker.enter("b")
    assert breaker.leave("stranger") is None
    assert breaker.leave("a") == "b"
    assert breaker.leave("a") is None
    assert breaker.running == 1


def test_zero_is_no_limit() -> None:
    """At containerConcurrency 0 nothing waits, nothing is refused."""
    breaker: Breaker[int] = Breaker(0)
    assert {breaker.enter(number) for number in range(10_000)} == {Admission.RUN}
    assert breaker.leave(0) is None
    assert breaker.running == 9_999


def test_a_negative_limit_is_an_error() -> None:
    """It names the value and what would do."""
    with pytest.raises(ValueError, match="containerConcurrency is -1"):
        Breaker(-1)


@given(limit=st.integers(1, 4), steps=st.lists(st.integers(0, 9), max_size=60))
def test_whatever_comes_and_goes_the_limits_hold_and_nobody_overtakes(limit: int, steps: list[int]) -> None:
    """Even steps arrive, odd ones leave; waiters run in the order of their numbers, and no place stays empty."""
    breaker: Breaker[int] = Breaker(limit)
    inside: list[int] = []
    woken: list[int] = []
    for number, step in enumerate(steps):
        if step % 2 == 0:
            if breaker.enter(number) is not Admission.REFUSE:
                inside.append(number)
        elif inside:
            successor = breaker.leave(inside.pop(step % len(inside)))
            if successor is not None:
                woken.append(successor)
        assert breaker.running <= limit
        assert breaker.waiting <= 10 * limit
        assert breaker.running == limit or breaker.waiting == 0
    assert all(sooner < later for sooner, later in pairwise(woken))
