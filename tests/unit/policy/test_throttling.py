"""Which requests wait in the activator, for a pod or for room in one, and which pod each goes to."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from emu.policy.throttling import Throttler


def throttler(concurrency: int, *pods: str) -> Throttler[str]:
    """One with these pods."""
    made: Throttler[str] = Throttler(concurrency, Random(1).randrange)
    made.update(pods, 0.0)
    return made


def enter(one: Throttler[str], *keys: str) -> list[str | None]:
    """Where each goes."""
    return [one.placed[key].pod if one.enter(key, float(place)) else None for place, key in enumerate(keys)]


def test_those_who_waited_for_a_pod_go_in_order() -> None:
    """First come, first served, each with the time that it waited; who left meanwhile is not among them."""
    one = throttler(0)
    assert enter(one, "a", "b", "c") == [None] * 3
    assert one.leave("b") == 1.0
    assert one.update(["p"], 5.0) == [("a", 5.0), ("c", 3.0)]
    assert [key for key, _ in one.admit()] == ["a", "c"]
    assert enter(one, "d") == ["p"]
    assert one.leave("d") is None


def test_without_a_pod_the_next_ones_wait() -> None:
    """Those that are in the last pod stay there, and count until they are over."""
    one = throttler(0, "p")
    enter(one, "a")
    assert one.update([], 1.0) == []
    assert enter(one, "b") == [None]
    assert (one.running, one.waiting, one.loads()) == (1, 1, {"p": 1})
    assert one.leave("a") is None
    assert (one.running, one.admit()) == (0, [])


def test_each_pod_takes_as_many_as_its_limit() -> None:
    """Up to a limit of three the first pod is filled first; a place that is given back is taken by who waits."""
    one = throttler(2, "q", "p")
    assert enter(one, "a", "b", "c", "d", "e") == ["p", "p", "q", "q", None]
    one.leave("c")
    assert one.admit() == [("e", 4.0)]
    assert one.placed["e"].pod == "q"


def test_above_a_limit_of_three_pods_take_turns() -> None:
    """In the order of their addresses as text: that with .10 comes before that with .9."""
    one = throttler(4, "10.0.0.9:80", "10.0.0.10:80")
    assert enter(one, "a", "b", "c") == ["10.0.0.10:80", "10.0.0.9:80", "10.0.0.10:80"]


def test_a_new_pod_brings_room() -> None:
    """Those that waited for room go to it at once; they did not wait for a pod."""
    one = throttler(1, "p")
    enter(one, "a", "b", "c")
    assert one.update(["p", "q"], 7.0) == []
    assert one.admit() == [("b", 1.0)]
    assert one.placed["b"].pod == "q"


def test_what_a_pod_that_left_still_answers_counts_to_the_revision() -> None:
    """As in Knative: the new pod is empty, and yet its request waits until the one in the old pod is over."""
    one = throttler(1, "p")
    enter(one, "a", "b")
    one.update(["q"], 2.0)
    assert one.admit() == []
    one.leave("a")
    assert one.admit() == [("b", 1.0)]
    assert one.placed["b"].pod == "q"


def test_a_pod_that_comes_back_is_empty() -> None:
    """What its address still answers from before is no part of its load."""
    one = throttler(0, "p")
    enter(one, "a", "b")
    one.update([], 1.0)
    one.update(["p", "q"], 2.0)
    assert sorted(place or "" for place in enter(one, "c", "d")) == ["p", "q"]


def test_an_activator_has_its_share_of_the_pods() -> None:
    """With two activators and a limit, the second sends to the second half only."""
    one = throttler(4)
    one.update(["a", "b", "c", "d"], 0.0, index=1, activators=2)
    assert one.capacity == 8
    assert set(enter(one, *"tuvwxyz")) == {"c", "d"}


def test_requests_in_a_pod_count_when_it_is_this_activators_again() -> None:
    """Its share of the pods changes with the activators, and a pod takes no more than its limit for that."""
    one = throttler(3)
    pods = ["a", "b", "c", "d"]
    one.update(pods, 0.0, index=0, activators=2)
    assert enter(one, *"stu") == ["a"] * 3
    one.update(pods, 1.0, index=1, activators=2)
    one.leave("t")
    one.update(pods, 2.0, index=0, activators=2)
    assert enter(one, *"vw") == ["a", "b"]
    one.update(pods[1:], 3.0, index=0, activators=2)
    one.update(pods, 4.0, index=0, activators=2)
    assert enter(one, "x") == ["a"], "a pod that was away is another one"


_STEP = st.tuples(st.sampled_from(["enter", "leave", "pods"]), st.integers(0, 9))


@given(st.sampled_from([0, 1, 3, 4]), st.lists(_STEP, max_size=80))
def test_every_request_goes_once_or_leaves(concurrency: int, steps: list[tuple[str, int]]) -> None:
    """Whatever happens: none goes twice, none is forgotten, none goes beyond the limit, and without a limit none
    waits while there is a pod.
    """
    one: Throttler[int] = Throttler(concurrency, Random(2).randrange)
    waiting: list[int] = []
    running: set[int] = set()
    for t, (what, number) in enumerate(steps):
        if what == "enter" and number not in running and number not in waiting:
            if one.enter(number, float(t)):
                running.add(number)
            else:
                waiting.append(number)
        elif what == "leave":
            one.leave(number)
            running.discard(number)
            waiting = [key for key in waiting if key != number]
        elif what == "pods":
            one.update([f"p{place}" for place in range(number % 4)], float(t))
        going = [key for key, _ in one.admit()]
        assert going == waiting[: len(going)]
        waiting = waiting[len(going) :]
        running.update(going)
        assert (one.running, one.waiting) == (len(running), len(waiting))
        assert list(one.queue) == waiting
        if concurrency:
            assert not going or len(running) <= one.capacity
        else:
            assert not (waiting and one.open)


def test_the_most_in_a_pod_is_reported_once() -> None:
    """Where it grew since the last look, also of a pod that has left since; never lower than before."""
    one = throttler(4, "p")
    enter(one, "a", "b", "c")
    assert one.most() == {"p": 3}
    one.leave("a")
    enter(one, "d")
    assert one.most() == {}
    enter(one, "e")
    one.update(["q"], 9.0)
    assert one.most() == {"p": 4}
