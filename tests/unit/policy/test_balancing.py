"""Which pod a request goes to, and which pods an activator has. tests/unit/test_decisions.py has the real code's."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from emu.policy.balancing import Balancer, assigned


def test_pods_with_the_same_load_are_chosen_equally_often() -> None:
    """With three pods as with two: each gets its share, within what chance allows."""
    for pods in (2, 3, 5):
        balancer: Balancer[int] = Balancer(0, Random(7).randrange)
        balancer.update(range(pods))
        chosen: Counter[int] = Counter()
        for _ in range(2000):
            load = balancer.choose()
            assert load is not None
            chosen[load.pod] += 1
            balancer.release(load)
        assert set(chosen) == set(range(pods))
        assert min(chosen.values()) > 0.7 * 2000 / pods


def test_the_round_goes_on_behind_the_only_pod_when_others_come() -> None:
    """Round robin: the pod that was alone has had its turn if it took the last request, but not if it was full."""
    for refused, expected in ((False, "b"), (True, "a")):
        balancer: Balancer[str] = Balancer(4, Random(1).randrange)
        balancer.update(["a"])
        loads = [load for _ in range(5 if refused else 4) if (load := balancer.choose())]
        assert len(loads) == 4
        balancer.release(loads[0])
        balancer.update(["a", "b"])
        following = balancer.choose()
        assert following is not None
        assert following.pod == expected


def test_the_most_loaded_of_several_is_never_chosen() -> None:
    """It loses against each other one."""
    balancer: Balancer[str] = Balancer(0, Random(3).randrange)
    balancer.update("a")
    for _ in range(5):
        balancer.choose()
    balancer.update("abcd")
    for _ in range(300):
        load = balancer.choose()
        assert load is not None
        assert load.pod != "a"
        balancer.release(load)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 100))
def test_every_pod_has_an_activator(pods: int, activators: int, concurrency: int) -> None:
    """The shares cover all pods; they overlap only where activators are more than pods."""
    shares = [assigned(range(pods), index, activators, concurrency) for index in range(activators)]
    taken = Counter(pod for share in shares for pod in share)
    assert set(taken) == set(range(pods))
    if 1 < activators <= pods:
        assert set(taken.values()) == {1}
