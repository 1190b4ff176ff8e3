"""From proposals to a size: stabilization, policies, bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emu.policy.hpa.replicas import Proposal
from emu.policy.hpa.sizing import History, Size, sync
from emu.policy.hpa.spec import Behavior, HpaSpec, ScalingPolicy, ScalingRules, defaulted

OLD = HpaSpec(100)
NEW = HpaSpec(100, behavior=Behavior())


def run(spec: HpaSpec, proposals: list[int], start: int, step_s: float = 15.0) -> list[Size]:
    """The sizes, one a sync."""
    sizes, current, history = [], start, History()
    for number, proposal in enumerate(proposals):
        sizes.append(sync(spec, proposal, current, history, number * step_s))
        current, history = sizes[-1].replicas, sizes[-1].history
    return sizes


def test_an_empty_behavior_is_not_the_same_as_none() -> None:
    """From one pod the old rule allows 4 in a sync, the default policies 5."""
    assert [one.replicas for one in run(OLD, [30] * 4, 1)] == [4, 8, 16, 30]
    assert [one.replicas for one in run(NEW, [30] * 4, 1)] == [5, 10, 20, 30]


def test_the_drop_comes_a_sync_later_without_behavior() -> None:
    """A proposal that is exactly 300 s old counts there, and does not with `behavior`."""
    assert [one.replicas for one in run(OLD, [10] + [2] * 23, 10)].index(2) == 21
    assert [one.replicas for one in run(NEW, [10] + [2] * 23, 10)].index(2) == 20


def test_why_is_in_the_sentence() -> None:
    """What held it, and for how long; what cut it, and to what."""
    held = run(NEW, [10, 2], 10)[-1]
    assert held.sentence == "2 proposed; 10 was proposed in the last 300 s, so 10 is held"
    assert (held.able, held.limit, held.limited) == ("ScaleDownStabilized", "DesiredWithinRange", False)
    cut = run(NEW, [30], 1)[-1]
    assert cut.sentence == "30 proposed; 5: the policies (4 pods in 15 s or 100 % in 15 s) allow no more than 5"
    assert run(HpaSpec(3), [9], 2)[-1].sentence == "9 proposed; 3 by maxReplicas 3"
    assert run(HpaSpec(3), [1], 5)[-1].sentence == "5 is above max 3: 3 at once, whatever the metrics say"


def test_no_metric_changes_nothing() -> None:
    """The size stays, and nothing is remembered but the first size."""
    size = sync(OLD, Proposal(None, "x", error="no answer"), 4, History(), 7.0)
    assert (size.replicas, size.how, size.history) == (4, "no metrics", History(((7.0, 4),)))


def test_none_stays_none() -> None:
    """Without replicas the autoscaler is off, unless minReplicas is 0."""
    assert run(OLD, [5], 0)[-1].how == "disabled"
    assert run(HpaSpec(10, 0), [5], 0)[-1].replicas == 4


def test_a_policy_counts_from_the_size_at_the_start_of_its_period() -> None:
    """One pod a minute is one pod a minute, however often the controller looks."""
    slow = ScalingRules((ScalingPolicy("Pods", 1, 60.0),))
    sizes = run(HpaSpec(10, behavior=Behavior(slow)), [9] * 9, 1)
    assert [one.replicas for one in sizes] == [2, 2, 2, 2, 3, 3, 3, 3, 4]
    never = ScalingRules(select="Disabled")
    assert [one.replicas for one in run(HpaSpec(10, behavior=Behavior(down=never)), [9, 1, 1], 9)] == [9, 9, 9]
    least = ScalingRules((ScalingPolicy("Pods", 1, 15.0), ScalingPolicy("Percent", 100, 15.0)), "Min", 0.0)
    assert [one.replicas for one in run(HpaSpec(10, behavior=Behavior(least, least)), [9, 1, 1], 4)] == [5, 4, 3]


def test_a_policy_beyond_32_bits_allows_nothing() -> None:
    """The controller adds in 32 bits: the largest number of pods wraps around. As a percentage it does not fit."""
    for kind in ("Pods", "Percent"):
        most = ScalingRules((ScalingPolicy(kind, 2**31 - 1, 15.0),))  # type: ignore[arg-type]
        size = run(HpaSpec(100, behavior=Behavior(up=most)), [30], 300)[-1]
        assert size.how == "above max"
        size = run(HpaSpec(1000, behavior=Behavior(up=most)), [900], 300)[-1]
        assert (size.replicas, size.limit) == (300, "ScaleUpLimit")


def test_a_longer_window_up_takes_the_least_of_what_was_proposed() -> None:
    """One high proposal in the window is not followed."""
    calm = HpaSpec(50, behavior=Behavior(ScalingRules(window_s=60.0)))
    sizes = run(calm, [2, 9, 2, 9, 9, 9, 9], 2)
    assert [one.replicas for one in sizes] == [2, 2, 2, 2, 2, 2, 6]
    assert sizes[1].able == "ScaleUpStabilized"


def test_kubernetes_fills_in_what_is_absent() -> None:
    """minReplicas 1, cpu at 80 %, and the policies of `behavior`; without that, none."""
    assert defaulted(OLD).behavior is None
    filled = defaulted(NEW)
    assert filled.min_replicas == 1 and [metric.text for metric in filled.metrics] == ["cpu at 80 % of the requests"]
    assert filled.behavior is not None and filled.behavior.up is not None and filled.behavior.down is not None
    assert (filled.behavior.up.window_s, filled.behavior.down.window_s) == (0.0, None)
    kept = defaulted(HpaSpec(2, behavior=Behavior(ScalingRules(window_s=30.0)))).behavior
    assert kept is not None and kept.up is not None and kept.up.window_s == 30.0 and len(kept.up.policies) == 2


rules = st.builds(
    ScalingRules,
    st.lists(
        st.builds(ScalingPolicy, st.sampled_from(["Pods", "Percent"]), st.integers(1, 300), st.floats(1, 600)),
        max_size=3,
    ).map(tuple),
    st.sampled_from(["Max", "Min", "Disabled"]),
    st.none() | st.floats(0, 600),
)


@given(
    st.none() | st.builds(Behavior, st.none() | rules, st.none() | rules),
    st.integers(1, 5),
    st.integers(0, 40),
    st.integers(1, 50),
    st.lists(st.integers(0, 60), max_size=30),
)
def test_a_size_is_within_bounds_and_towards_what_is_wanted(
    behavior: Behavior | None, least: int, more: int, start: int, proposals: list[int]
) -> None:
    """Whatever the behavior, a size is within min and max, and metrics never move it past every recent proposal."""
    spec = HpaSpec(least + more, least, (), behavior)
    before = start
    for size in run(spec, proposals, start):
        assert least <= size.replicas <= least + more
        if size.how == "metrics":
            seen = [number for _, number in size.history.proposals]
            assert min([before, least, *seen]) <= size.replicas <= max([before, least, *seen])
        before = size.replicas
