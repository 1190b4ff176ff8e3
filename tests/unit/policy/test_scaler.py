"""What becomes of a decision: bounds, the last pod's rights, the condition, and the activator's place."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from emu.manifests.autoscalerconfig import read_autoscaler
from emu.policy.autoscaling.autoscaler import Autoscaler
from emu.policy.autoscaling.decider import Status
from emu.policy.autoscaling.scaler import Active, Facts, Outcome, Scaler, activators_for, bounded, bounds, mode_for
from emu.policy.autoscaling.settings import ClusterConfig, Settings, cluster_config, reachability, settings_for


def looked(scaler: Scaler, desired: int, ready: int, now: float = 0.0, room: int = -1) -> Outcome:
    """One look at a decision."""
    return scaler.apply(now, Status(desired, room), Facts(ready))


@pytest.mark.parametrize(
    ("rule", "desired", "pods", "why"),
    [
        (Settings(max_scale=10), 45, 10, "cut to 10 by max-scale"),
        (Settings(min_scale=2), 1, 2, "raised to 2 by min-scale"),
        (Settings(initial_scale=5, max_scale=3), 1, 5, "raised to 5 by initial-scale"),
        (Settings(initial_scale=5, max_scale=3), 7, 3, "cut to 3 by max-scale"),
        (Settings(initial_scale=5, reachable=False), 1, 1, "nothing was decided yet"),
    ],
)
def test_bounds_are_part_of_the_sentence(rule: Settings, desired: int, pods: int, why: str) -> None:
    """The least number wins over the largest; an initial scale is met even above max-scale."""
    outcome = looked(Scaler(rule, 0.0), desired, 0)
    assert (outcome.pods, outcome.why) == (pods, why)


def test_the_whole_sentence_from_a_burst_to_its_bound() -> None:
    """Division, panic, then max-scale."""
    autoscaler = Autoscaler(Settings(target=0.7, total=1.0, max_scale=10, target_burst_capacity=0.0), 0.0)
    autoscaler.readiness(1.0, 1)
    autoscaler.record(1.5, 31.2)
    outcome = autoscaler.step(2.0)
    assert outcome is not None
    assert outcome.why == "wanted 45 = ceil(31.2 / 0.7), in panic until 62 s, cut to 10 by max-scale"
    assert (outcome.pods, autoscaler.pods) == (10, 10)


def test_the_initial_scale_counts_once() -> None:
    """Once so many pods were ready, fewer are enough."""
    scaler = Scaler(Settings(initial_scale=3), 0.0)
    assert looked(scaler, 1, 1).pods == 3
    assert looked(scaler, 1, 3).condition.active == "active"
    assert looked(scaler, 1, 3).pods == 1
    assert scaler.initialized


def test_the_activator_leaves_when_there_is_room_for_a_burst() -> None:
    """And comes back when there is none, or no pod is wanted."""
    assert mode_for(1, 0) == "Serve"
    assert mode_for(1, -1) == "Proxy"
    assert mode_for(0, 5) == "Proxy"
    assert mode_for(-1, 5) == "Proxy"


def test_an_idle_revision_without_the_activator_waits_for_it() -> None:
    """target-burst-capacity 0: the grace period begins when the mode turns, 30 s more until the last pod goes."""
    autoscaler = Autoscaler(Settings(target_burst_capacity=0.0), 0.0)
    autoscaler.readiness(1.0, 1)
    gone = None
    for tenth in range(10, 2000):
        t = tenth / 10
        if tenth % 10 == 0:
            autoscaler.record(t, 1.0 if t < 20 else 0.0)
        if t >= autoscaler.next_at():
            autoscaler.step(t)
        if autoscaler.pods == 0 and gone is None:
            gone = t
    assert gone is not None
    assert 80 + 30 <= gone <= 80 + 30 + 4


def test_a_revision_that_is_rolled_away_from_loses_its_bounds() -> None:
    """No route leads to it: min-scale, delay, down rate and retention are over; the grace period is not."""
    rule = Settings(min_scale=3, max_scale_down_rate=1.1, scale_down_delay_s=600.0, retention_s=600.0)
    autoscaler = Autoscaler(rule, 0.0)
    autoscaler.readiness(1.0, 3)
    for second in range(1, 100):
        autoscaler.record(float(second), 250.0 if second < 30 else 0.0)
        if second >= autoscaler.next_at():
            autoscaler.step(float(second))
    assert autoscaler.pods == 4
    away = replace(rule, min_scale=0, retention_s=0.0, reachable=False)
    autoscaler.update(100.0, away)
    ended = None
    for second in range(100, 150):
        autoscaler.record(float(second), 0.0)
        if second >= autoscaler.next_at():
            autoscaler.step(float(second))
        if autoscaler.pods == 0 and ended is None:
            ended = second
    assert ended is not None
    assert 100 + rule.grace_s <= ended <= 100 + rule.grace_s + 4


@pytest.mark.parametrize(
    ("known", "word"),
    [
        (reachability(routed=None), ""),
        (reachability(routed=True), "Reachable"),
        (reachability(routed=False), "Unreachable"),
        (reachability(routed=True, desired=1, healthy=False), "Unreachable"),
        (reachability(routed=True, desired=1, resources_available=False), "Unreachable"),
        (reachability(routed=True, desired=1, ready=1, healthy=False), "Reachable"),
        (reachability(routed=True, desired=0, healthy=False), "Reachable"),
    ],
)
def test_what_can_be_reached(known: str, word: str) -> None:
    """What fails without a ready pod cannot, and what no route leads to."""
    assert known == word


def test_no_probe_is_needed_where_the_activator_never_leaves() -> None:
    """target-burst-capacity -1; else a probe that does not reach it keeps the pod."""
    for burst, kept in ((-1.0, False), (211.0, True)):
        scaler = Scaler(Settings(target_burst_capacity=burst, stable_window_s=6.0), 0.0, pods=1)
        facts = Facts(1, 100.0, activator_answers=False)
        scaler.apply(0.0, Status(1, -1), facts)
        scaler.apply(10.0, Status(0, -1), facts)
        outcome = scaler.apply(20.0, Status(0, -1), facts)
        assert outcome.probe_on is kept
        assert outcome.pods == int(kept)


def test_a_condition_counts_from_its_last_change_of_any_kind() -> None:
    """Another reason is a change: given up first, without traffic then."""
    rule = Settings(progress_deadline_s=10.0, initial_scale=1)
    scaler = Scaler(rule, 0.0, pods=1)
    looked(scaler, 0, 0, 1.0)
    assert looked(scaler, 0, 0, 42.0).condition.reason == "TimedOut"
    assert looked(scaler, 0, 0, 50.0).condition.reason == "NoTraffic"
    assert scaler.since == 50.0


def test_what_is_unknown_changes_nothing() -> None:
    """Before the first decision an inactive revision stays as it is, and the known number too."""
    scaler = Scaler(Settings(), 0.0, pods=2)
    looked(scaler, 2, 2)
    outcome = looked(scaler, -1, 2)
    assert (outcome.want, outcome.apply, outcome.pods, scaler.desired) == (-1, False, 2, 2)


def test_annotations_of_two_spellings_and_what_does_not_parse() -> None:
    """The first spelling counts even where it does not parse; then the cluster's value does."""
    group = "autoscaling.knative.dev"
    rule = settings_for(
        {f"{group}/min-scale": "two", f"{group}/minScale": "4", f"{group}/maxScale": "+9", f"{group}/target": "1_0"},
        cluster_config({"min-scale": "1", "container-concurrency-target-percentage": "80", "unknown": "x"}),
    )
    assert (rule.min_scale, rule.max_scale, rule.total, rule.target) == (1, 9, 10.0, 8.0)


def test_activators_cover_the_capacity_and_the_burst() -> None:
    """Two at least."""
    assert activators_for(Settings(), 0) == 3
    assert activators_for(Settings(), 100) == 103
    assert activators_for(Settings(target_burst_capacity=0.0), 100) == 2


RULES = st.builds(
    Settings,
    min_scale=st.integers(0, 5),
    max_scale=st.integers(0, 12),
    initial_scale=st.integers(0, 5),
    reachable=st.booleans(),
    scale_to_zero=st.booleans(),
    target_burst_capacity=st.sampled_from([-1.0, 0.0, 211.0]),
    grace_s=st.integers(1, 60).map(float),
    retention_s=st.integers(0, 60).map(float),
    stable_window_s=st.integers(6, 60).map(float),
).map(lambda rule: rule if rule.reachable else replace(rule, min_scale=0, retention_s=0.0))


@examples(max_examples=300, deadline=None)
@given(
    rule=RULES,
    looks=st.lists(st.tuples(st.floats(0, 90), st.integers(-1, 20), st.integers(0, 20), st.floats(0, 60))),
)
def test_the_number_stays_within_its_bounds(rule: Settings, looks: list[tuple[float, int, int, float]]) -> None:
    """Never above max-scale (or what min-scale and the initial scale ask for), never below min-scale while reachable,
    never none while scale to zero is off; no pod only by an inactive revision.
    """
    scaler = Scaler(rule, 0.0, pods=max(rule.min_scale, rule.initial_scale))
    t = 0.0
    for wait, desired, ready, proxied_s in looks:
        t += wait
        least, most = bounds(rule, scaler.initialized)
        outcome = scaler.apply(t, Status(desired, -1), Facts(ready, proxied_s))
        assert outcome.condition.active in get_args(Active)
        if not outcome.apply or outcome.want < 0:
            continue
        assert outcome.pods <= max(most or 20, least, 1)
        assert outcome.pods >= (least if most == 0 else min(least, most))
        assert outcome.pods > 0 or rule.scale_to_zero
        assert outcome.pods > 0 or outcome.condition.active == "inactive"
        assert outcome.bounded == bounded(least, most, desired)


def test_defaults_are_the_clusters() -> None:
    """No annotation at all gives the same as Knative's own defaults, twice."""
    assert settings_for(None, ClusterConfig()) == Settings()
    assert settings_for({}, cluster_config({})) == Settings()


def test_the_autoscaler_keeps_the_default_of_what_the_webhook_refuses() -> None:
    """One reader of config-autoscaler, and two answers to a value that does not parse, as Knative has them."""
    data = {"stable-window": "soon", "max-scale": "4"}
    with pytest.raises(ValueError, match=r'^failed to parse data: failed to parse "stable-window": '):
        read_autoscaler(data)
    config = cluster_config(data)
    assert (config.stable_window_s, config.max_scale) == (ClusterConfig().stable_window_s, 4)


def test_the_two_hold_the_same_defaults() -> None:
    """Without a config-autoscaler they go by the same numbers, one in nanoseconds and one in seconds."""
    assert cluster_config(None) == ClusterConfig()


def test_no_bound_raises_what_is_not_known_yet() -> None:
    """Without metrics the wanted number is -1, Knative's unknown; 0 is no least number that raised it."""
    scaler = Scaler(Settings(), 0.0)
    scaler.initialized = True
    assert looked(scaler, -1, 0).why == "not changed while it is activating"


def test_the_look_that_finds_the_first_pod_ready_says_that_the_activation_is_over() -> None:
    """It scales by the condition that was, and sets the one that is: the sentence goes with both."""
    scaler = Scaler(Settings(), 0.0)
    found = looked(scaler, -1, 1)
    assert (found.condition.active, found.why) == ("active", "not changed, for it was activating until now")
