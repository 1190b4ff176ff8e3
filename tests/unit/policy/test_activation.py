"""Which requests wait for a pod, and what the activator tells the autoscaler of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.activation import Reporter, Waiting


def test_those_who_waited_go_in_the_order_in_which_they_came() -> None:
    """First come, first served, each with the time that it waited; who left meanwhile is not among them."""
    waiting: Waiting[str] = Waiting()
    assert [waiting.enter(key, t) for key, t in (("a", 1.0), ("b", 2.0), ("c", 3.0))] == [False] * 3
    assert waiting.leave("b")
    assert waiting.let_in(5.0) == [("a", 4.0), ("c", 2.0)]
    assert waiting.enter("d", 6.0)
    assert not waiting.leave("d")


def test_a_pod_that_goes_leaves_nobody_through() -> None:
    """Once closed, the next ones wait again, until the next pod."""
    waiting: Waiting[str] = Waiting()
    waiting.let_in(0.0)
    waiting.close()
    assert not waiting.enter("a", 1.0)
    assert len(waiting) == 1


@given(st.lists(st.tuples(st.sampled_from(["enter", "leave", "open", "close"]), st.integers(0, 9)), max_size=60))
def test_every_request_goes_on_once_or_leaves(steps: list[tuple[str, int]]) -> None:
    """Whatever happens: none is let in twice, none that left is, and none is forgotten."""
    waiting: Waiting[int] = Waiting()
    inside: list[int] = []
    for t, (what, key) in enumerate(steps):
        if what == "enter" and key not in inside:
            if not waiting.enter(key, float(t)):
                inside.append(key)
        elif what == "leave" and key in inside:
            assert waiting.leave(key)
            inside.remove(key)
        elif what == "open":
            assert [one for one, _ in waiting.let_in(float(t))] == inside
            inside.clear()
        elif what == "close":
            waiting.close()
        assert len(waiting) == len(inside)


def test_the_first_request_is_told_at_once_and_not_twice() -> None:
    """As one request under way; the next report is less by that one (concurrency_reporter.go)."""
    reporter = Reporter(0.0)
    assert reporter.report(1.0) is None
    assert reporter.arrived(1.25)
    assert not reporter.arrived(1.25)
    assert reporter.report(2.25) == pytest.approx(1.0)  # two under way, less the one that was told
    assert reporter.report(3.25) == pytest.approx(2.0)


def test_idleness_is_told_once_and_then_there_is_nothing_to_tell() -> None:
    """A whole second without a request is a 0; the next request is a first one again."""
    reporter = Reporter(0.0)
    reporter.arrived(0.5)
    reporter.left(0.75)
    assert reporter.report(1.5) == 0.0
    assert reporter.report(2.5) == 0.0
    assert reporter.report(3.5) is None
    assert reporter.arrived(4.0)


def test_a_request_that_goes_on_keeps_being_told() -> None:
    """One under way for a long time is one in each second."""
    reporter = Reporter(0.0)
    reporter.arrived(0.0)
    assert [reporter.report(float(t)) for t in (1, 2, 3)] == [0.0, 1.0, 1.0]
