"""When a pod is removed and when there is one again, by the rules of Knative's autoscaler."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.policy.autoscaling.timing import Timing
from emu.policy.scaling import NEVER_ACHIEVED, Scaling, ScalingRule

TICK_S, LOOK_AGAIN_S = Timing().tick_s, Timing().look_again_s
ACTIVATION_TIMEOUT_S = ScalingRule().progress_deadline_s + Timing().activation_buffer_s
RULE = ScalingRule(window_s=6.0, grace_s=6.0)
STEP_S = 0.25


@dataclass
class Played:
    """A pod through time: queue-proxy is asked each second, the activator reports what it had under way."""

    rule: ScalingRule = RULE
    start_s: float = 1.0
    """From when a pod is wanted to when it is ready."""
    t: float = 0.0
    changes: list[tuple[float, int]] = field(default_factory=list)
    """When `pods` changed, and to what."""

    def __post_init__(self) -> None:
        self.scaling = Scaling(self.rule, 0.0)
        self._ready_at: float | None = self.start_s
        self._pods = 1

    def until(self, end: float, requests: tuple[tuple[float, float], ...] = ()) -> Played:
        """Let time pass; requests are under way from one time to another."""
        while self.t < end:
            self.t += STEP_S
            self._turn(requests)
        return self

    def _turn(self, requests: tuple[tuple[float, float], ...]) -> None:
        now = self.t
        if self._ready_at is not None and now >= self._ready_at:
            self.scaling.readiness(now, True)
            self._ready_at = None
        if now % 1 == 0:
            if self._pods and self._ready_at is None:
                self.scaling.record(now, 0.0)
            busy = sum(max(0.0, min(now, to) - max(now - 1, since)) for since, to in requests)
            if busy:
                self.scaling.report(now, busy)
        if any(now - STEP_S < since <= now for since, _ in requests):
            self.scaling.report(now, 1.0)
        if now >= self.scaling.next_at():
            self.scaling.step(now)
        if self.scaling.pods != self._pods:
            self._pods = self.scaling.pods
            self.changes.append((now, self._pods))
            self._ready_at = now + self.start_s if self._pods else None


def removed_at(played: Played) -> float | None:
    """When the pod was removed first."""
    return next((t for t, pods in played.changes if pods == 0), None)


def test_an_idle_pod_is_removed_a_window_and_a_look_after_its_last_request() -> None:
    """Active for a window, idle for one, marked inactive at a tick, and removed at the look after that."""
    t = removed_at(Played().until(60.0, ((10.0, 20.0),)))
    assert t is not None
    assert 20.0 + RULE.window_s + LOOK_AGAIN_S <= t <= 20.0 + RULE.window_s + LOOK_AGAIN_S + TICK_S + 2.0


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        ({}, 29.0, 33.0),
        ({"scale_down_delay_s": 10.0}, 37.0, 43.0),  # the largest number of the last 10 s counts, in slots of 2 s
        ({"retention_s": 15.0}, 41.0, 45.0),  # counted from when the pod became inactive
        ({"retention_s": 15.0, "grace_s": 3600.0}, 3600.0, 3602.0),  # and the activator is not long enough there
        ({"grace_s": 50.0}, 50.0, 52.0),  # from the beginning on
        ({"grace_s": 20.0}, 29.0, 33.0),  # over before it matters
        ({"window_s": 20.0}, 43.0, 47.0),
    ],
)
def test_each_setting_defers_the_removal(change: dict[str, float], least: float, most: float) -> None:
    """Given requests until 20 s and a window of 6 s: when the pod goes."""
    t = removed_at(Played(replace(RULE, **change)).until(3700.0 if most > 100 else 100.0, ((10.0, 20.0),)))
    assert t is not None
    assert least <= t <= most


def test_a_pod_that_was_never_asked_is_removed_too() -> None:
    """A window after it became active, and a look later."""
    t = removed_at(Played(start_s=4.0).until(60.0))
    assert t is not None
    assert 4.0 + RULE.window_s + LOOK_AGAIN_S <= t <= 4.0 + RULE.window_s + LOOK_AGAIN_S + TICK_S + 2.0


def test_without_scale_to_zero_the_pod_stays() -> None:
    """enable-scale-to-zero: false."""
    assert Played(replace(RULE, to_zero=False)).until(600.0).changes == []


def test_a_request_to_no_pod_is_decided_on_at_once() -> None:
    """Not at the next tick: the activator's first word is enough."""
    played = Played().until(40.25)
    assert played.changes[-1][1] == 0
    played.until(42.0, ((41.0, 45.0),))
    assert played.changes[-1] == (41.0, 1)


def test_a_request_to_an_inactive_pod_keeps_it() -> None:
    """Marked inactive and not removed yet: it is active again, for a window at least."""
    played = Played(replace(RULE, retention_s=30.0)).until(30.0, ((2.0, 10.0), (25.0, 26.0)))
    assert played.changes == []
    assert played.scaling.active == "active"
    t = removed_at(played.until(120.0))
    assert t is not None
    assert t >= 26.0 + RULE.window_s + 30.0


def test_a_pod_that_does_not_become_ready_is_waited_for() -> None:
    """For progress-deadline and 30 s; then it is given up."""
    played = Played(start_s=1e9).until(ACTIVATION_TIMEOUT_S + 20.0)
    assert removed_at(played) is None  # nothing was reported: no data, no decision
    played = Played().until(40.0)
    played.start_s = 1e9
    played.until(60.0, ((50.0, 55.0),))
    assert played.changes[-1] == (50.0, 1)
    played.until(50.0 + ACTIVATION_TIMEOUT_S - 1.0)
    assert played.scaling.pods == 1


def test_a_shorter_deadline_is_kept() -> None:
    """And the time after it; the sentence has Knative's status, as the revision was never ready."""
    played = Played(replace(RULE, progress_deadline_s=20.0), start_s=1e9).until(100.0, ((1.0, 40.0),))
    assert [(pods, t > 50.0) for t, pods in played.changes] == [(0, True)]
    given_up = [one for one in played.scaling.verdicts() if one.given_up]
    assert given_up[0].before == 1 and given_up[0].why.endswith(NEVER_ACHIEVED)


def test_where_nothing_is_reported_nothing_changes() -> None:
    """No scrape succeeds and nobody asks: the decision is invalid, and the pod stays."""
    scaling = Scaling(RULE, 0.0)
    scaling.readiness(1.0, True)
    for t in range(2, 200):
        scaling.step(float(t))
    assert scaling.pods == 1


def test_a_crowd_is_a_panic_that_outlasts_the_window() -> None:
    """Twice the target in the panic window keeps the number for a stable window after the panic window is calm."""
    crowd = tuple((10.0, 20.0) for _ in range(150))
    calm = removed_at(Played(replace(RULE, window_s=20.0)).until(200.0, ((10.0, 20.0),)))
    panic = removed_at(Played(replace(RULE, window_s=20.0)).until(200.0, crowd))
    assert calm is not None
    assert panic is not None
    assert panic > calm


RULES = st.builds(
    ScalingRule,
    window_s=st.integers(6, 20).map(float),
    scale_down_delay_s=st.integers(0, 12).map(float),
    retention_s=st.integers(0, 12).map(float),
    grace_s=st.integers(1, 40).map(float),
)
REQUESTS = st.lists(
    st.tuples(st.integers(4, 240), st.integers(1, 60)).map(lambda one: (one[0] * STEP_S, (one[0] + one[1]) * STEP_S)),
    max_size=5,
).map(tuple)


@settings(max_examples=150, deadline=None)
@given(rule=RULES, requests=REQUESTS, start_s=st.sampled_from([0.5, 3.0]))
def test_a_pod_is_never_removed_too_early(
    rule: ScalingRule, requests: tuple[tuple[float, float], ...], start_s: float
) -> None:
    """Not while a request is under way, nor within the window, the delay (less a slot of it) or the retention period
    after one, nor before the activator was in the path for the grace period; and always sometime.
    """
    played = Played(rule, start_s).until(180.0, requests)
    assert played.changes[-1][1] == 0
    for t, pods in played.changes:
        if pods:
            assert any(since <= t <= to + 1.0 for since, to in requests)
            continue
        ends = [to for since, to in requests if since <= t]
        assert all(to < t for to in ends)
        assert t >= max([*ends, start_s]) + rule.window_s + rule.retention_s
        assert all(t >= to + rule.window_s + rule.scale_down_delay_s - TICK_S for to in ends)
        assert t >= rule.grace_s


def test_min_scale_does_not_keep_a_revision_that_no_route_leads_to() -> None:
    """It is scaled to zero once its window is empty; with a route again its pods come back, and not for a request."""
    rule = replace(RULE, min_scale=1)
    kept = Played(rule).until(40.0)
    assert kept.scaling.pods == 1
    gone = Played(rule).until(10.0)
    gone.scaling.route(gone.t, routed=False)
    assert gone.until(40.0).scaling.pods == 0
    gone.scaling.route(gone.t, routed=True)
    assert gone.scaling.pods == 1
    assert gone.scaling.why.endswith("raised to 1 by min-scale")


def test_a_decision_for_no_pod_says_why_there_is_one_yet() -> None:
    """Also where nothing is looked at: active for too short a time, or retained."""
    busy = Played(replace(RULE, window_s=20.0)).until(10.0)
    assert "wanted 0 = ceil(0 / 70), kept until it was active for 20 s" in {
        one.why for one in busy.scaling.verdicts()
    }
    retained = Played(replace(RULE, retention_s=30.0)).until(25.0)
    words = {one.why for one in retained.scaling.verdicts()}
    assert "wanted 0 = ceil(0 / 70), inactive: the last pod goes at a later look" in words


def test_the_activators_are_those_for_the_pods_that_are_left() -> None:
    """Three for a burst of 211, and four while a pod takes another hundred."""
    made = Played(replace(RULE, burst_capacity=211.0)).until(40.25).scaling.verdicts()
    assert {one.activators for one in made if one.ready and one.pods} == {4}
    assert made[-1].pods == 0 and made[-1].activators == 3
