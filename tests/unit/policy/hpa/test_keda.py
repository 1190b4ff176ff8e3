"""What KEDA adds to the autoscaler: its spec, and the way from none to some and back."""

from __future__ import annotations

from emu.policy.hpa.form import written
from emu.policy.hpa.keda import ScaledObject, Trigger, active, autoscaler, polled
from emu.policy.hpa.spec import Metric

WAITING = Trigger("prometheus", Metric("s0-prometheus", "External", "AverageValue", 8000))
CPU = Trigger("cpu", Metric("cpu", target=60))


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
    """Above the activation threshold, which is 0; cpu and memory always are, so with them nothing goes to 0."""
    assert not active(WAITING, 0.0) and active(WAITING, 0.5) and not active(WAITING, None)
    assert active(CPU, None)
    made = polled(ScaledObject((WAITING,), 0), True, 0, None, 50.0)
    assert (made.replicas, made.last_active_s, made.sentence) == (1, 50.0, "a trigger is active: from 0 to 1")
    assert polled(ScaledObject((WAITING,), 3), True, 0, None, 50.0).replicas == 3


def test_the_last_pods_stay_for_the_cooldown() -> None:
    """For longer than 300 s without an active trigger; with a minReplicaCount they stay."""
    scaled = ScaledObject((WAITING,), 0)
    assert polled(scaled, False, 2, 0.0, 300.0).replicas is None
    assert polled(scaled, False, 2, 0.0, 299.0).sentence == "no trigger is active: cooling down for another 1 s"
    assert polled(scaled, False, 2, 0.0, 301.0).replicas == 0
    assert polled(scaled, False, 2, None, 1.0).replicas == 0
    assert polled(ScaledObject((WAITING,), 2), False, 3, 0.0, 900.0).replicas is None
    assert polled(ScaledObject((WAITING,), 2), False, 1, 0.0, 900.0).replicas == 2
