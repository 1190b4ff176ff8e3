"""Kubernetes' replica calculator: one metric and some pods to a number."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.hpa.replicas import (
    HpaPod,
    Proposal,
    Sample,
    Timing,
    external_per_pod,
    external_value,
    propose,
    together,
)
from emu.policy.hpa.spec import Metric

CPU = Metric("cpu", target=80)
NOW = 10_000.0


def pod(name: str, request: int | None = 1000, **facts: Any) -> HpaPod:
    """A pod that has been ready for long."""
    return HpaPod(name, {"app": request}, **facts)


def proposed(
    usages: dict[str, int], pods: list[HpaPod], metric: Metric = CPU, current: int | None = None
) -> Proposal:
    """What is proposed for these pods, with fresh samples."""
    samples = {name: Sample(value, NOW, 30.0) for name, value in usages.items()}
    return propose(metric, pods, samples, len(pods) if current is None else current, NOW, Timing())


def test_the_sentence_has_the_inputs_and_the_sum() -> None:
    """What is used, what is wanted, and how the number came about."""
    made = proposed({"a": 1600, "b": 1600}, [pod("a"), pod("b")])
    assert made.replicas == 4
    assert made.sentence == "cpu is 160 % of the requests, 80 % wanted: 4 = ceil(2 * 2 ready)"
    memory = Metric("memory", type="AverageValue", target=80 * 2**20 * 1000)
    assert proposed({"a": 200 * 2**20 * 1000}, [pod("a")], memory).sentence == (
        "memory is 200Mi a pod, 80Mi wanted: 3 = ceil(2.5 * 1 ready)"
    )


def test_a_tenth_is_no_reason_to_change() -> None:
    """72 of 80 is within the tolerance, by the float that 1 - 0.9 is; 88 of 80 is not, by 1 - 1.1."""
    assert proposed({"a": 720}, [pod("a")], current=7).replicas == 7
    assert proposed({"a": 880}, [pod("a")], current=7).replicas == 2
    wide = propose(CPU, [pod("a")], {"a": Sample(880, NOW, 30.0)}, 7, NOW, Timing(tolerance_up=0.2))
    assert wide.replicas == 7


@pytest.mark.parametrize(
    ("pods", "usages", "replicas"),
    [
        ([pod("a"), pod("b", phase="Pending", ready=None)], {"a": 1600}, 2),
        ([pod("a"), pod("b", phase="Failed")], {"a": 1600, "b": 1}, 2),
        ([pod("a"), pod("b", deleted=True)], {"a": 1600, "b": 1}, 2),
        ([pod("a"), pod("b")], {"a": 1600}, 2),
        ([pod("a"), pod("b")], {"a": 100}, 2),
        ([pod("a"), pod("b", ready=None)], {"a": 1600, "b": 9000}, 2),
        ([pod("a"), pod("b", started_s=None)], {"a": 1600, "b": 9000}, 2),
        (
            [pod("a"), pod("b", ready="Unknown", started_s=NOW - 20, ready_changed_s=NOW - 40)],
            {"a": 800, "b": 2400},
            4,
        ),
        ([pod("a"), pod("b", started_s=NOW - 60, ready_changed_s=NOW - 25)], {"a": 800, "b": 2400}, 2),
        ([pod("a"), pod("b", started_s=NOW - 60, ready_changed_s=NOW - 30)], {"a": 800, "b": 2400}, 4),
        (
            [pod("a"), pod("b", started_s=NOW - 300, ready="False", ready_changed_s=NOW - 271)],
            {"a": 800, "b": 2400},
            2,
        ),
        (
            [pod("a"), pod("b", started_s=NOW - 300, ready="False", ready_changed_s=NOW - 270)],
            {"a": 800, "b": 2400},
            4,
        ),
    ],
)
def test_which_pods_count(pods: list[HpaPod], usages: dict[str, int], replicas: int) -> None:
    """A pod that is not ready, or whose CPU is that of its start, counts as using nothing on the way up; one without
    a sample as nothing on the way up, as all of its request on the way down.
    """
    assert proposed(usages, pods).replicas == replicas


def test_memory_does_not_ask_whether_a_pod_is_ready() -> None:
    """The rule for starting pods is for CPU."""
    pods = [pod("a"), pod("b", ready="False", started_s=NOW - 5, ready_changed_s=NOW - 5)]
    assert proposed({"a": 800, "b": 2400}, pods, Metric("memory", target=80)).replicas == 4


def test_errors_are_the_controllers() -> None:
    """No pods, no samples, a container without a request: in its words, and without a number."""
    assert proposed({}, []).error == "no pods returned by selector while calculating replica count"
    assert proposed({}, [pod("a")]).error == "did not receive metrics for targeted pods (pods might be unready)"
    queue_proxy = HpaPod("p-1", {"app": 1000, "queue-proxy": None})
    made = proposed({"p-1": 10}, [queue_proxy], Metric("memory", target=80))
    assert (made.replicas, made.error) == (None, "missing request for memory in container queue-proxy of Pod p-1")
    only_app = Metric("memory", "ContainerResource", target=80, container="app")
    assert proposed({"p-1": 1600}, [queue_proxy], only_app).replicas == 2
    assert proposed({"a": 1}, [pod("a", 0)]).error == "no metrics returned matched known pods"


def test_the_largest_of_several_metrics_counts() -> None:
    """One that fails keeps the pods from becoming fewer, not from becoming more; all failing decides nothing."""
    two, five, failed = Proposal(2, "two"), Proposal(5, "five"), Proposal(None, "x", error="no answer")
    assert together([two, five], 3) == five
    assert together([five, failed], 3).replicas == 5
    fewer = together([two, failed], 3)
    assert fewer.replicas is None and fewer.sentence == "two; but a metric failed, so there are no fewer: no answer"
    assert together([failed], 3).error == "no answer"


def test_an_external_metric_is_spread_over_the_pods() -> None:
    """By AverageValue the total is divided by the target; by Value the ratio is multiplied with the ready pods."""
    per_pod = Metric("waiting", "External", "AverageValue", 8000)
    assert external_per_pod(per_pod, 20_000, 1, Timing()).replicas == 3
    assert external_per_pod(per_pod, 25_000, 3, Timing()).replicas == 3
    value = Metric("waiting", "External", "Value", 8000)
    assert external_value(value, 20_000, 2, 2, Timing()).replicas == 5
    assert external_value(value, 20_000, 0, 0, Timing()).replicas == 3
    assert external_value(value, 8100, 2, 2, Timing()).replicas == 2


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.booleans(), st.booleans()), min_size=1, max_size=8),
    st.integers(1, 200),
)
def test_guesses_never_turn_the_direction(rows: list[tuple[int, bool, bool]], target: int) -> None:
    """Pods without a sample and pods that are not ready never lead to fewer pods when those that were measured use
    more than is wanted, nor to more when they use less.
    """
    pods = [pod(f"p{n}", phase="Running" if ready else "Pending") for n, (_, _, ready) in enumerate(rows)]
    usages = {f"p{n}": usage for n, (usage, seen, _) in enumerate(rows) if seen}
    made = proposed(usages, pods, Metric("cpu", target=target))
    if made.replicas is None or made.utilization is None:
        return
    if made.utilization > target:
        assert made.replicas >= min(len(pods), sum(seen and ready for _, seen, ready in rows))
    partial = len(usages) < len(pods)
    if made.utilization < target and partial:
        assert made.replicas <= len(pods)
