"""What KEDA adds to the autoscaler: its spec, and the way from none to some and back."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from emu.policy.hpa.form import written
from emu.policy.hpa.keda import (
    Fallback,
    Keda,
    Reading,
    ScaledObject,
    Trigger,
    active,
    autoscaler,
    external_metric,
    polled,
    read,
    thousandths,
)
from emu.policy.hpa.spec import Metric

WAITING = Trigger("prometheus", external_metric(0, 8.0), query="sum(x)")
CPU = Trigger("cpu", Metric("cpu", target=60))
NAME = WAITING.metric.name


def test_the_autoscaler_never_has_less_than_one() -> None:
    """minReplicaCount 0 is KEDA's own affair; maxReplicaCount is 100 where it is absent."""
    spec = autoscaler(ScaledObject((CPU, WAITING), 0))
    assert (spec.min_replicas, spec.max_replicas) == (1, 100)
    assert [metric.source for metric in spec.metrics] == ["External", "Resource"]
    assert written(spec)["metrics"][0] == {
        "type": "External",
        "external": {"metric": {"name": "s0-prometheus"}, "target": {"type": "AverageValue", "averageValue": "8"}},
    }


def test_only_an_active_trigger_starts_pods() -> None:
    """Above the activation threshold, which is 0. cpu and memory count only where there is nothing else."""
    both, high = ScaledObject((CPU, WAITING)), ScaledObject((replace(WAITING, activation=5.0),))
    assert active(both, {NAME: Reading(0.0)}) == [] and active(both, {NAME: Reading(0.5)}) == [NAME]
    assert active(both, {NAME: Reading(None)}) == []
    assert active(high, {NAME: Reading(5.0)}) == [] and active(high, {NAME: Reading(5.1)}) == [NAME]
    assert active(ScaledObject((CPU,)), {}) == ["cpu"]
    made = polled(ScaledObject((WAITING,), 0), [NAME], 0, None, 50.0)
    assert (made.replicas, made.last_active_s) == (1, 50.0)
    assert made.sentence == "s0-prometheus is active: from 0 to 1"
    assert polled(ScaledObject((WAITING,), 3), [NAME], 0, None, 50.0).replicas == 3
    assert polled(ScaledObject((WAITING,), 0), [NAME], 2, None, 50.0).replicas is None


def test_the_last_pods_stay_for_the_cooldown() -> None:
    """For longer than 300 s without an active trigger; with a minReplicaCount they stay."""
    scaled = ScaledObject((WAITING,), 0)
    assert polled(scaled, [], 2, 0.0, 300.0).replicas is None
    assert polled(scaled, [], 2, 0.0, 299.0).sentence == "no trigger is active: cooling down for another 1 s"
    assert polled(scaled, [], 2, 0.0, 301.0).replicas == 0
    assert polled(ScaledObject((WAITING,), 2), [], 3, 0.0, 900.0).replicas is None
    assert polled(ScaledObject((WAITING,), 2), [], 1, 0.0, 900.0).replicas == 2


def test_a_cooldown_counts_from_a_whole_second() -> None:
    """Kubernetes keeps lastActiveTime in seconds: after ten polls of 30 s the cooldown of 300 s is over, though both
    polls came 20 ms after a second began; `second_s` is such a second where time is scaled.
    """
    scaled = ScaledObject((WAITING,), 0)
    made = polled(scaled, [], 2, 0.02, 300.02)
    assert made.replicas == 0
    assert made.sentence == "no trigger was active for 300 s, and cooldownPeriod (300 s) is over: to 0"
    assert polled(replace(scaled, cooldown_s=30.0), [], 2, 0.02, 30.019, second_s=0.1).replicas == 0
    assert polled(replace(scaled, cooldown_s=30.0), [], 2, 0.19, 30.099, second_s=0.1).replicas is None


def test_a_deployment_that_was_never_active_goes_at_once() -> None:
    """Unless an initial cooldown keeps it, from the creation of the ScaledObject on."""
    assert polled(ScaledObject((WAITING,), 0), [], 2, None, 1.0).replicas == 0
    kept = ScaledObject((WAITING,), 0, initial_cooldown_s=60.0)
    assert polled(kept, [], 1, None, 70.0, created_s=10.0).replicas is None
    assert polled(kept, [], 1, None, 71.0, created_s=10.0).replicas == 0


def test_idle_replicas_are_those_without_an_active_trigger() -> None:
    """After the cooldown to idleReplicaCount, and from there to minReplicaCount at once."""
    scaled = ScaledObject((WAITING,), 2, idle_replicas=0)
    assert polled(scaled, [], 2, 0.0, 301.0).replicas == 0
    assert polled(scaled, [], 0, 0.0, 400.0).replicas is None
    assert polled(scaled, [NAME], 0, 0.0, 400.0).replicas == 2


def test_a_failure_changes_nothing() -> None:
    """No trigger is active and one failed: the pods stay, past the cooldown too. With fallback.replicas 0 they go."""
    scaled = ScaledObject((WAITING,), 0)
    assert polled(scaled, [], 2, 0.0, 900.0, failed=True).replicas is None
    assert polled(replace(scaled, fallback=Fallback(3, 2)), [], 2, 0.0, 900.0, failed=True).replicas is None
    assert polled(replace(scaled, fallback=Fallback(3, 0)), [], 2, 0.0, 900.0, failed=True).replicas == 0
    assert polled(scaled, [NAME], 2, 5.0, 900.0, failed=True).last_active_s == 5.0


@pytest.mark.parametrize(
    ("found", "value", "strict"),
    [
        ([2.5], 2.5, 2.5),
        ([], 0.0, None),
        ([math.nan], 0.0, None),
        ([1.0, 2.0], None, None),
    ],
)
def test_a_result_is_one_series(found: list[float], value: float | None, strict: float | None) -> None:
    """None counts as 0 unless ignoreNullValues is false; several are a failure."""
    assert read(WAITING, found).value == value
    assert read(replace(WAITING, ignore_nulls=False), found).value == strict
    assert thousandths(2.5) == 2500
    assert (thousandths(-1.0), thousandths(math.inf), thousandths(0.0124)) == (0, 0, 12)


@pytest.mark.parametrize(
    ("behavior", "value"),
    [
        ("static", 16.0),
        ("currentReplicas", 40.0),
        ("currentReplicasIfHigher", 40.0),
        ("currentReplicasIfLower", 16.0),
    ],
)
def test_a_fallback_takes_the_place_of_failures(behavior: str, value: float) -> None:
    """After more than failureThreshold in a row: as much as leads to its pods; with Value for each ready one."""
    fallback = Fallback(1, 2, behavior)  # type: ignore[arg-type]
    keda = Keda(ScaledObject((WAITING,), 0, fallback=fallback), 0.0)
    both = {NAME: [1.0, 2.0]}
    assert keda.readings(both, 5, 4)[NAME].value is None
    reading = keda.readings(both, 5, 4)[NAME]
    assert (reading.value, reading.fell_back) == (value, True)
    assert active(keda.scaled, {NAME: reading}) == [NAME]
    assert keda.readings({NAME: [3.0]}, 5, 4)[NAME] == Reading(3.0)
    assert keda.readings(both, 5, 4)[NAME].value is None
    whole = Keda(
        ScaledObject((replace(WAITING, metric=external_metric(0, 8.0, by_value=True)),), 0, fallback=Fallback(0, 2)),
        0.0,
    )
    assert whole.readings(both, 5, 4)[NAME].value == 4.0 and whole.readings(both, 5, 0)[NAME].value is None
    assert whole.readings(both, 5, 6)[NAME].value == 2.666  # cut off: rounded up, six pods' shares would be three


def test_it_polls_from_its_creation_on() -> None:
    """At once, and then at every interval; a poll that was missed is dropped."""
    keda = Keda(ScaledObject((WAITING,), 0), 10.0)
    assert keda.next_poll_s == 10.0
    assert keda.poll(10.0, {NAME: Reading(1.0)}, 0).replicas == 1
    assert keda.next_poll_s == 40.0
    assert keda.poll(101.0, {NAME: Reading(0.0)}, 1).replicas is None
    assert keda.next_poll_s == 130.0
