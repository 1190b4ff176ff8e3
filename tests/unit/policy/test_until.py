"""What ends a phase before its time."""

from __future__ import annotations

import pytest

from emu.policy.loadplan import Until
from emu.policy.until import PodFacts, in_words, pod_met, requests_met


@pytest.mark.parametrize(
    ("until", "in_flight", "answered", "met"),
    [
        (Until(in_flight=10), 9, 99, False),
        (Until(in_flight=10), 10, 0, True),
        (Until(answered=10), 99, 9, False),
        (Until(answered=10), 0, 10, True),
        (Until(restarts=1), 99, 99, False),
    ],
)
def test_requests_are_counted_by_the_load(until: Until, in_flight: int, answered: int, met: bool) -> None:
    """Those under way of all phases, those answered of its own; never what is the pod's."""
    assert requests_met(until, in_flight, answered) is met


@pytest.mark.parametrize(
    ("until", "met"),
    [
        (Until(oom_kills=1, container="app"), False),
        (Until(oom_kills=2, container="queue-proxy"), True),
        (Until(oom_kills=3, container="queue-proxy"), False),
        (Until(oom_kills=2), True),
        (Until(restarts=3), True),
        (Until(restarts=2, container="app"), False),
        (Until(exits=1, container="app"), True),
        (Until(ready="2/2"), False),
        (Until(ready="1/2"), True),
        (Until(status="Running"), False),
        (Until(status="CrashLoopBackOff"), True),
        (Until(in_flight=1), False),
        (Until(ready_pods=3), True),
        (Until(ready_pods=2), False),
        (Until(oom_kills=9, status="CrashLoopBackOff"), True),
        (Until(oom_kills=9, exits=9, ready="2/2"), False),
        (Until(frozen=True), True),
        (Until(frozen=False), False),
        (Until(reclaimed=True), False),
        (Until(reclaimed=False), True),
    ],
)
def test_what_happened_to_the_pod(until: Until, met: bool) -> None:
    """One of the things that it waits for is enough; a container's counts are its own, or those of all."""
    facts = PodFacts(
        oom_kills={"queue-proxy": 2},
        restarts={"queue-proxy": 2, "app": 1},
        exits={"queue-proxy": 2, "app": 1},
        ready="1/2",
        status="CrashLoopBackOff",
        ready_pods=3,
        frozen=True,
    )
    assert pod_met(until, facts) is met


@pytest.mark.parametrize(
    ("until", "words"),
    [
        (Until(in_flight=1000), "1,000 requests in flight"),
        (Until(answered=1), "1 answer"),
        (Until(oom_kills=2, container="queue-proxy", answered=9), "2 OOM kills of queue-proxy or 9 answers"),
        (Until(restarts=1), "1 restart"),
        (Until(ready_pods=3), "3 ready pods"),
        (Until(ready="2/2"), "READY 2/2"),
        (Until(status="CrashLoopBackOff"), "STATUS CrashLoopBackOff"),
        (Until(frozen=True, status="Running"), "a pod that is frozen or STATUS Running"),
        (Until(frozen=False), "a pod that is not frozen"),
        (Until(reclaimed=True), "a pod that is frozen and reclaimed"),
    ],
)
def test_it_is_said_in_words(until: Until, words: str) -> None:
    """For reports of what did not come."""
    assert in_words(until) == words
