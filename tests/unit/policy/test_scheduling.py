"""Which pods find room on the node, what is said of the others, and when they are tried again."""

from __future__ import annotations

import pytest

from emu.policy.effective import Amounts
from emu.policy.scheduling import Scheduler, Verdict, first_pending, refusal

NODE = {"memory": 100, "cpu": 1000}
FULL = (
    "0/1 nodes are available: 1 Insufficient memory. "
    "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
)


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ({"memory": 41}, FULL),
        ({"memory": 40, "cpu": 500}, ""),
        ({}, ""),
        ({"memory": 0}, ""),
        ({"storage": 10**9}, ""),
        ({"cpu": 501}, FULL.replace("memory", "cpu")),
        ({"memory": 41, "cpu": 501}, FULL.replace("1 Insufficient", "1 Insufficient cpu, 1 Insufficient")),
        (
            {"memory": 101},
            FULL.replace("No preemption victims found for incoming pod", "Preemption is not helpful for scheduling"),
        ),
    ],
)
def test_what_is_said_of_a_pod_that_finds_no_room(requests: Amounts, said: str) -> None:
    """Beside pods that request 60 of 100 bytes and 500 of 1000 millicores. A pod that is larger than the node is not
    helped by the removal of others, and that is said.
    """
    assert refusal(requests, {"memory": 60, "cpu": 500}, NODE) == said


def test_the_first_pod_that_finds_no_room_is_named_with_what_was_there_before() -> None:
    """In order; a pod that requests nothing always fits."""
    pods: list[tuple[str, Amounts]] = [("a", {"memory": 60}), ("b", {"memory": 41, "cpu": 1}), ("c", {})]
    assert first_pending(pods, NODE) == ("b", {"memory": 60}, FULL)
    assert first_pending(pods, {"cpu": 1}) is None


def fill() -> Scheduler:
    """A node that one pod takes; a second one was refused at 10 s."""
    node = Scheduler(NODE)
    node.add("a", {"memory": 60})
    assert node.attempt("a", 5.0) == Verdict()
    node.add("b", {"memory": 50})
    assert node.attempt("b", 10.0) == Verdict(FULL)
    return node


def test_a_pod_is_tried_again_only_once_another_one_has_gone() -> None:
    """However long that takes; what is taken then is the new pod's."""
    node = fill()
    assert node.attempt("b", 1000.0) is None
    node.remove("a")
    assert node.attempt("b", 1000.1) == Verdict()
    assert node.taken == {"memory": 50}


def test_a_pod_is_not_tried_again_before_its_back_off_is_over() -> None:
    """One second after the first failure, doubling up to ten; `time_scale` divides it."""
    node = fill()
    node.remove("a")
    assert node.attempt("b", 10.9) is None
    assert node.attempt("b", 11.0) == Verdict()
    for scale, waits in ((1.0, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]), (10.0, [0.1, 0.2, 0.4])):
        node, t = Scheduler({"memory": 1}, scale), 0.0
        node.add("large", {"memory": 2})
        for number, wait in enumerate(waits):
            assert node.attempt("large", t) is not None
            node.add(f"{number}", {})
            assert node.attempt(f"{number}", t) == Verdict()
            node.remove(f"{number}")
            assert node.attempt("large", t + wait * 0.99) is None
            t += wait


def test_a_pod_without_a_node_frees_no_room_when_it_goes() -> None:
    """Nobody is tried again for that."""
    node = fill()
    node.add("c", {"memory": 50})
    assert node.attempt("c", 10.0) == Verdict(FULL)
    node.remove("c")
    assert node.attempt("b", 100.0) is None
