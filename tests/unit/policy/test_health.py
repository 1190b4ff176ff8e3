"""Whether a revision's pods fail: then it is unreachable, and its min-scale does not count."""

from __future__ import annotations

from emu.policy.autoscaling.health import Health, Rollout
from emu.policy.scaling import Scaling, ScalingRule


def test_a_revision_without_room_fails_until_there_is_some() -> None:
    """It goes by the first pod, and only while none is ready."""
    health = Health()
    health.look(0, scheduled=False, ended=False)
    assert health.is_failing(0) and not health.is_failing(1)
    health.look(0, scheduled=True, ended=False)
    assert not health.is_failing(0)


def test_an_app_that_ends_fails_until_a_pod_is_ready() -> None:
    """Also while its next instance runs, or its pod is replaced by another."""
    health = Health()
    health.look(0, scheduled=True, ended=True)
    health.look(0, scheduled=True, ended=False)
    assert health.is_failing(0)
    health.look(1, scheduled=True, ended=True)
    assert not health.is_failing(1)
    health.look(0, scheduled=True, ended=False)
    assert not health.is_failing(0)


def test_what_fails_is_unreachable() -> None:
    """Its min-scale is 0, with a route or before one was looked for."""
    rule = ScalingRule(min_scale=3, max_scale=5)
    for routed in (True, None):
        failing = rule.settings_when(routed=routed, failing=True)
        assert (failing.reachable, failing.min_scale) == (False, 0)
        assert rule.settings_when(routed=routed).min_scale == 3


def test_a_decision_says_that_min_scale_does_not_count() -> None:
    """What traffic wants is left of it, and the sentence says why."""
    scaling = Scaling(ScalingRule(min_scale=3, max_scale=5, target=10.0), 0.0)
    scaling.report(0.5, 1.0)
    scaling.step(2.0)
    assert scaling.pods == 3
    scaling.route(3.0, routed=True, failing=True)
    scaling.report(3.5, 1.0)
    scaling.step(4.0)
    assert scaling.pods == 1
    assert scaling.verdicts()[-1].why.endswith("; its pods fail and none is ready, so min-scale does not count")


def test_a_rollout_without_progress_is_late() -> None:
    """A pod that is made or becomes ready is progress; once all were ready it is never late again."""
    rollout = Rollout(10.0)
    assert not rollout.is_late(0.0, 1, 0)
    assert not rollout.is_late(9.0, 1, 0)
    assert rollout.is_late(10.0, 1, 0)
    assert not rollout.is_late(11.0, 2, 0)
    assert not rollout.is_late(20.0, 2, 1)
    assert rollout.is_late(30.0, 2, 1)
    assert not rollout.is_late(31.0, 2, 2)
    assert not rollout.is_late(99.0, 2, 0)


def test_a_late_revision_is_failing_until_a_pod_is_ready() -> None:
    """As one that has no room."""
    health = Health()
    health.look(0, scheduled=True, ended=False, late=True)
    assert health.is_failing(0)
    health.look(1, scheduled=True, ended=False, late=True)
    assert not health.is_failing(1)
