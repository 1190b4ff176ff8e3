"""Which pods are removed for one of higher priority, what is said where none is, and who gets the room."""

from __future__ import annotations

import itertools
import random

import pytest

from emu.policy.preemption import Bound, Preemption, preempt, short_of, total
from emu.policy.scheduling import Scheduler, Verdict

NODE = {"memory": 100}
SHORT = "0/1 nodes are available: 1 Insufficient memory."
NO_VICTIMS = f"{SHORT} preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."


def bound(name: str, memory: int, priority: int = 0, since: float = 0.0) -> Bound:
    """A pod on the node."""
    return Bound(name, {"memory": memory}, priority, since)


@pytest.mark.parametrize(
    ("memory", "there", "victims"),
    [
        (40, [bound("a", 50), bound("b", 50)], ["b"]),
        (40, [bound("young", 50, since=2.0), bound("old", 50, since=1.0)], ["young"]),
        (40, [bound("low", 50, 1), bound("lower", 50, -1)], ["lower"]),
        (60, [bound("a", 50, 2), bound("b", 50, 1)], ["a", "b"]),
        (40, [bound("large", 60, 1), bound("small", 40, 0)], ["small"]),
        (50, [bound("large", 60, 1), bound("small", 40, 0)], ["large"]),
        (50, [bound("equal", 50, 10), bound("lower", 50, 9)], ["lower"]),
        (30, [bound("a", 40, 3), bound("b", 30, 2), bound("c", 30, 1)], ["c"]),
        (70, [bound("a", 40, 3), bound("b", 30, 2), bound("c", 30, 1)], ["a", "c"]),
    ],
)
def test_the_least_important_pods_go_and_no_more_of_them_than_it_takes(
    memory: int, there: list[Bound], victims: list[str]
) -> None:
    """Pods of lower priority are spared one by one while the new one still fits: by priority, and of equal ones the
    one that has had the node longest. So a large important pod may go where a small one would not do.
    """
    assert preempt({"memory": memory}, 10, there, {}, NODE) == Preemption(tuple(victims))


@pytest.mark.parametrize(
    ("memory", "there", "kept", "why"),
    [
        (101, [bound("low", 50)], {}, "1 Preemption is not helpful for scheduling."),
        (60, [bound("equal", 50, 10)], {}, "1 No preemption victims found for incoming pod."),
        (60, [bound("equal", 50, 10), bound("low", 50)], {}, "1 Insufficient memory."),
        (60, [bound("low", 50)], {"memory": 50}, "1 Insufficient memory."),
    ],
)
def test_why_no_pod_is_removed(memory: int, there: list[Bound], kept: dict[str, int], why: str) -> None:
    """It is larger than the node; nothing is less important; all that is would not be enough, with what is kept for
    another one.
    """
    assert preempt({"memory": memory}, 10, there, kept, NODE) == Preemption((), f"0/1 nodes are available: {why}")


def test_the_victims_make_room_and_none_of_them_could_stay() -> None:
    """Of a thousand nodes."""
    chance = random.Random(11)
    for _ in range(1000):
        there = [
            Bound(str(number), {"memory": chance.randint(0, 40)}, chance.randint(0, 3), chance.random())
            for number in range(chance.randint(1, 6))
        ]
        wanted = {"memory": chance.randint(1, 100)}
        victims, why = preempt(wanted, 2, there, {}, NODE)
        staying = [one.requests for one in there if one.name not in victims]
        if why or short_of(wanted, total(one.requests for one in there), NODE) == []:
            continue
        assert victims
        assert not short_of(wanted, total(staying), NODE)
        for one in there:
            if one.name in victims:
                assert one.priority < 2
                assert short_of(wanted, total([*staying, one.requests]), NODE)


def full() -> Scheduler:
    """Two pods of priority 0 have the node, and one of priority 10 has had the younger one removed at 10 s."""
    node = Scheduler(NODE)
    for number, name in enumerate(("old", "young")):
        node.add(name, {"memory": 50})
        assert node.attempt(name, float(number)) == Verdict()
    node.add("high", {"memory": 40}, 10)
    assert node.attempt("high", 10.0) == Verdict(SHORT, ("young",))
    return node


def test_a_pod_gets_the_node_once_those_that_were_removed_for_it_have_gone() -> None:
    """Not before, and no sooner than its back-off is over."""
    node = full()
    assert node.nominated("high")
    assert node.attempt("high", 100.0) is None
    node.remove("young")
    assert node.attempt("high", 10.9) is None
    assert node.attempt("high", 100.0) == Verdict()
    assert not node.nominated("high")


def test_what_a_pod_made_room_for_itself_is_not_given_to_one_of_lower_priority() -> None:
    """The pod in the place of the one that was removed would fit, and waits; one of a higher priority takes it."""
    node = full()
    node.remove("young")
    node.add("instead", {"memory": 50})
    node.add("urgent", {"memory": 50}, 20)
    assert node.attempt("instead", 10.5) is None  # it is the urgent one's turn
    assert node.attempt("urgent", 10.5) == Verdict()
    assert node.attempt("instead", 10.6) == Verdict(NO_VICTIMS)
    assert node.attempt("high", 11.0) == Verdict(SHORT, ("old",))
    node.remove("old")
    assert node.attempt("high", 20.0) == Verdict()
    assert node.attempt("instead", 20.0) == Verdict(NO_VICTIMS)


def test_no_second_pod_is_removed_while_the_first_one_ends() -> None:
    """Something else has gone, which was not enough; the scheduler says what it waits for."""
    node = Scheduler(NODE)
    for name, memory in (("a", 10), ("b", 90)):
        node.add(name, {"memory": memory})
        assert node.attempt(name, 0.0) == Verdict()
    node.add("high", {"memory": 60}, 10)
    assert node.attempt("high", 1.0) == Verdict(SHORT, ("b",))
    node.remove("a")
    assert node.attempt("high", 5.0) == Verdict(
        f"{SHORT} preemption: not eligible due to a terminating pod on the nominated node."
    )


def test_a_pod_that_is_ending_anyway_is_not_removed_again() -> None:
    """It is a victim as any, and the pod waits for its end."""
    node = Scheduler(NODE)
    node.add("leaving", {"memory": 90})
    assert node.attempt("leaving", 0.0) == Verdict()
    node.add("high", {"memory": 60}, 10)
    assert node.attempt("high", 1.0, {"leaving"}) == Verdict(SHORT, ())
    assert node.nominated("high")
    node.remove("leaving")
    assert node.attempt("high", 5.0) == Verdict()


def test_a_pod_that_must_not_preempt_waits() -> None:
    """preemptionPolicy: Never; it is tried before those of lower priority all the same."""
    node = Scheduler(NODE)
    node.add("low", {"memory": 90})
    assert node.attempt("low", 0.0) == Verdict()
    node.add("polite", {"memory": 60}, 10, preempts=False)
    said = f"{SHORT} preemption: not eligible due to preemptionPolicy=Never."
    assert node.attempt("polite", 1.0) == Verdict(said)
    node.add("later", {"memory": 60})
    assert node.attempt("later", 1.0) == Verdict(NO_VICTIMS)
    node.remove("low")
    assert node.attempt("later", 5.0) is None
    assert node.attempt("polite", 5.0) == Verdict()
    assert node.attempt("later", 5.0) == Verdict(NO_VICTIMS)


def test_a_more_important_pod_takes_over_the_room_of_one_that_is_nominated() -> None:
    """That one is nominated no more, and is tried again at once."""
    node = full()
    node.add("higher", {"memory": 60}, 20)
    assert node.attempt("higher", 10.5, {"young"}) == Verdict(SHORT, ("old",))
    assert not node.nominated("high")
    assert node.nominated("higher")
    for name in ("old", "young"):
        node.remove(name)
    times = itertools.count(20)
    assert node.attempt("high", next(times)) is None
    assert node.attempt("higher", next(times)) == Verdict()
    assert node.attempt("high", next(times)) == Verdict()


def test_the_room_of_a_nominated_pod_that_goes_away_is_for_others() -> None:
    """It was scaled away before it had the node: who was refused for its sake is tried again, though no pod has left
    the node since.
    """
    node = full()
    node.remove("young")
    node.add("instead", {"memory": 50})
    assert node.attempt("instead", 10.5) == Verdict(NO_VICTIMS)
    node.remove("high")
    assert node.attempt("instead", 11.4) is None
    assert node.attempt("instead", 11.5) == Verdict()


def test_the_end_of_a_pod_that_waits_without_a_nomination_helps_nobody() -> None:
    """Nothing was kept for it."""
    node = Scheduler(NODE)
    node.add("there", {"memory": 90})
    assert node.attempt("there", 0.0) == Verdict()
    for name in ("first", "second"):
        node.add(name, {"memory": 50})
        assert node.attempt(name, 1.0) == Verdict(NO_VICTIMS)
    node.remove("first")
    assert node.attempt("second", 100.0) is None
