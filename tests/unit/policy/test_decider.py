"""How many pods a revision wants, and the sentence that says why."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from emu.policy.autoscaling.decider import Decider, Decision, Observed, Panic, Status, decide
from emu.policy.autoscaling.settings import Settings
from emu.policy.autoscaling.timing import Timing, scaled

RULE = Settings(target=0.7, total=1.0)


def decided(rule: Settings, stable: float, panic: float, ready: int, held: int = 0, now: float = 0.0) -> Decision:
    """One decision, with a panic that began at 0 if it holds pods."""
    return decide(rule, Panic(0.0 if held else None, held), Observed(stable, panic), ready, now)


@pytest.mark.parametrize(
    ("decision", "why"),
    [
        (decided(replace(RULE, target=70.0), 30.0, 30.0, 1), "wanted 1 = ceil(30 / 70)"),
        (decided(RULE, 0.0, 0.0, 0), "wanted 0 = ceil(0 / 0.7)"),
        (
            decided(RULE, 31.2, 31.2, 10),
            "wanted 45 = ceil(31.2 / 0.7), in panic until 60 s",
        ),
        (
            decided(RULE, 3.5, 5.6, 10, held=12, now=41.0),
            "wanted 8 = ceil(5.6 over the panic window / 0.7), held at 12 by the panic until 60 s",
        ),
        (
            decided(replace(RULE, max_scale_up_rate=1.5), 31.2, 3.0, 10),
            "wanted 45 = ceil(31.2 / 0.7), limited to 15 by max-scale-up-rate",
        ),
        (decided(RULE, 0.7, 0.7, 9), "wanted 1 = ceil(0.7 / 0.7), kept at 4 by max-scale-down-rate"),
        (
            decided(replace(RULE, activation_scale=3), 0.5, 0.5, 1),
            "wanted 1 = ceil(0.5 / 0.7), raised to 3 by activation-scale",
        ),
    ],
)
def test_a_decision_says_why(decision: Decision, why: str) -> None:
    """The division first, then whatever changed its result, in order."""
    assert decision.why == why


def test_the_delay_is_the_last_reason() -> None:
    """scale-down-delay keeps the largest number of the time that it spans, panic included."""
    decider = Decider(replace(RULE, scale_down_delay_s=10.0, stable_window_s=6.0), 0.0)
    decider.record(0.2, 7.0)
    first = decider.scale(0.3, 10)
    assert first is not None
    decider.record(7.2, 0.0)
    later = decider.scale(7.3, 10)
    assert later is not None
    assert (first.desired, later.undelayed, later.desired) == (10, 5, 10)
    assert later.why == "wanted 0 = ceil(0 / 0.7), kept at 5 by max-scale-down-rate, kept at 10 by scale-down-delay"


def test_without_data_there_is_no_decision() -> None:
    """And a panic does not end meanwhile."""
    decider = Decider(RULE, 0.0, ready=5)
    assert decider.scale(1.0, 5) is None
    assert decider.panic == Panic(0.0, 5)


def test_a_restart_with_several_pods_keeps_them_for_a_window() -> None:
    """The autoscaler knows nothing yet of what they do."""
    decider = Decider(RULE, 0.0, ready=5)
    decider.record(1.0, 0.0)
    decision = decider.scale(2.0, 5)
    assert decision is not None
    assert (decision.desired, decision.panicking) == (5, True)
    decider.record(60.5, 0.0)
    decision = decider.scale(61.0, 5)
    assert decision is not None
    assert (decision.desired, decision.panicking) == (2, False)


def test_a_report_is_decided_on_at_once_only_where_no_pod_is_wanted() -> None:
    """Before the first decision it is not known what is wanted."""
    decider = Decider(RULE, 0.0)
    assert not decider.pokes(1.0)
    decider.status.update(0, -1)
    assert decider.pokes(1.0)
    assert not decider.pokes(0.0)
    decider.status.update(1, -1)
    assert not decider.pokes(1.0)


def test_one_request_makes_two_pods_with_a_concurrency_of_one() -> None:
    """70 % of one request is exceeded by one."""
    decider = Decider(RULE, 0.0)
    decider.record(5.0, 1.0)
    decision = decider.scale(5.0, 0)
    assert decision is not None
    assert decision.desired == 2
    assert decision.why == "wanted 2 = ceil(1 / 0.7), in panic until 65 s"


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1e6)
RULES = st.builds(
    Settings,
    metric=st.sampled_from(["concurrency", "rps"]),
    target=st.floats(0.01, 1e4),
    total=st.floats(0.01, 1e4),
    target_burst_capacity=st.sampled_from([-1.0, 0.0, 211.0]) | st.floats(0, 1e4),
    panic_threshold=st.floats(1.1, 10),
    max_scale_up_rate=st.floats(1.01, 1000),
    max_scale_down_rate=st.floats(1.01, 1000),
    activation_scale=st.integers(0, 10),
    reachable=st.booleans(),
    weighted=st.booleans(),
    scale_down_delay_s=st.integers(0, 30).map(float),
)


@examples(max_examples=300, deadline=None)
@given(rule=RULES, stable=st.floats(0, 1e6), panic=st.floats(0, 1e6), ready=st.integers(0, 1000))
def test_a_decision_stays_within_its_rates(rule: Settings, stable: float, panic: float, ready: int) -> None:
    """Not above max-scale-up-rate (or activation-scale), nor below max-scale-down-rate; and each is a sentence."""
    decision = decided(rule, stable, panic, ready)
    pods = max(1, ready)
    assert decision.desired <= max(math.ceil(rule.max_scale_up_rate * pods), rule.activation_scale)
    if rule.reachable:
        assert decision.desired >= math.floor(pods / rule.max_scale_down_rate)
    assert decision.why.startswith(f"wanted {max(decision.stable_pods, decision.panic_pods):.0f}") or (
        decision.why.startswith(f"wanted {decision.stable_pods:.0f}")
    )


@examples(max_examples=200, deadline=None)
@given(rule=RULES, reports=st.lists(st.tuples(st.floats(0, 5), NUMBERS, st.integers(0, 50)), max_size=40))
def test_whatever_is_reported_can_be_decided_on(rule: Settings, reports: list[tuple[float, float, int]]) -> None:
    """Infinite and no numbers too; in a panic the number never falls; each decision fits an int32."""
    decider = Decider(rule, 0.0)
    t, before = 0.0, None
    for wait, value, ready in reports:
        t += wait
        decider.record(t, value, value)
        decision = decider.scale(t, ready)
        assert decision is not None or not rule.scraped or decider.windows.average(t) is None
        if decision is None:
            continue
        assert -(2**31) <= decision.desired < 2**31
        assert decision.why
        if before is not None and before.panicking and decision.panicking:
            assert decision.held >= before.held
        before = decision


@examples(max_examples=200, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(-1, 9), st.integers(-9, 9)), min_size=1))
def test_a_reconcile_follows_a_change(steps: list[tuple[int, int]]) -> None:
    """Of the number, or of whether there is room for a burst; 0 is room."""
    status = Status()
    for desired, room in steps:
        changed = (desired, room >= 0) != (status.desired, status.excess_burst_capacity >= 0)
        assert status.update(desired, room) is changed


def test_every_time_is_scaled_at_once() -> None:
    """A minute becomes six seconds in settings and constants alike; numbers that are no times stay."""
    rule, timing = scaled(Settings(), 10), scaled(Timing(), 10)
    assert (rule.stable_window_s, rule.panic_window_s, rule.grace_s, rule.progress_deadline_s) == (6, 0.6, 3, 60)
    assert (rule.target, rule.panic_threshold, rule.max_scale_up_rate) == (70, 2, 1000)
    assert (timing.tick_s, timing.scrape_s, timing.bucket_s, timing.look_again_s) == (0.2, 0.1, 0.1, 0.3)


@examples(max_examples=100, deadline=None)
@given(
    rule=RULES.map(lambda rule: replace(rule, metric="concurrency")),
    reports=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300), st.integers(0, 20)), min_size=1, max_size=40),
    scale=st.sampled_from([2, 4, 8]),
)
def test_a_scaled_control_plane_decides_the_same_sooner(
    rule: Settings, reports: list[tuple[int, int, int]], scale: int
) -> None:
    """The same reports, that much faster: the same numbers."""
    real, fast = Decider(rule, 0.0), Decider(scaled(rule, scale), 0.0, timing=scaled(Timing(), scale))
    t = 0.5
    for wait, value, ready in reports:
        t += wait
        real.record(t, value)
        fast.record(t / scale, value)
        one, other = real.scale(t, ready), fast.scale(t / scale, ready)
        assert (one and (one.desired, one.panicking)) == (other and (other.desired, other.panicking))
