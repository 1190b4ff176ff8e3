"""Which probe is due, and what its answers add up to."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.probing import (
    ContainerProbes,
    Kind,
    Outcome,
    ProbeRule,
    answered,
    begin,
    due,
    ending,
    hurried,
    next_due,
)

OUTCOMES: dict[str, Outcome] = {"+": "success", "-": "failure", "?": "error"}


def answer(state: ContainerProbes, kind: Kind, answers: str, now: float = 0.0) -> ContainerProbes:
    """Answer a probe so many times: + success, - failure, ? no answer to be had."""
    for sign in answers:
        state = answered(state, kind, OUTCOMES[sign], now)
    return state


def asked(state: ContainerProbes, until: float, step: float = 0.25) -> dict[Kind, list[float]]:
    """When each probe is asked, every one of them answered at once with success."""
    times: dict[Kind, list[float]] = {}
    for tick in range(int(until / step)):
        now = tick * step
        state, kinds = due(state, now)
        for kind in kinds:
            times.setdefault(kind, []).append(now)
            state = answered(state, kind, "success", now)
    return times


def test_the_defaults_are_kubernetes() -> None:
    """No initial delay, each 10 s, one success is enough, three failures in a row are."""
    assert ProbeRule() == ProbeRule(0.0, 10.0, 1, 3, None)


def test_without_probes_a_container_is_ready_once_it_runs() -> None:
    """No startup probe: started. No readiness probe: ready. No liveness probe: nothing kills it."""
    state = begin({}, 0.0)
    assert (state.started, state.ready, state.doomed, next_due(state)) == (True, True, None, None)


@pytest.mark.parametrize(
    ("kind", "answers", "doomed"),
    [
        ("liveness", "--", False),
        ("liveness", "---", True),
        ("liveness", "--+--", False),
        ("liveness", "--?-", True),
        ("liveness", "-?-?", False),
        ("startup", "--", False),
        ("startup", "---", True),
        ("readiness", "-----", False),
    ],
)
def test_three_failures_in_a_row_doom_a_container(kind: Kind, answers: str, doomed: bool) -> None:
    """Of liveness and startup; a success resets the count, an answer that could not be had counts for nothing."""
    state = answer(begin({kind: ProbeRule()}, 0.0), kind, answers)
    assert (state.doomed == kind) is doomed


@pytest.mark.parametrize(
    ("answers", "ready"),
    [("", False), ("+", False), ("++", True), ("++-", True), ("++--", False), ("++-+-", True), ("++--+", False)],
)
def test_readiness_turns_at_its_thresholds(answers: str, ready: bool) -> None:
    """Not ready at first; two successes make it so, two failures undo it, single ones change nothing."""
    rule = ProbeRule(success_threshold=2, failure_threshold=2)
    assert answer(begin({"readiness": rule}, 0.0), "readiness", answers).ready is ready


def test_the_startup_probe_holds_back_the_others() -> None:
    """Until it succeeds only it is asked; then it is asked no more and the others are due at once."""
    state = begin({"startup": ProbeRule(), "liveness": ProbeRule(), "readiness": ProbeRule()}, 0.0)
    state, kinds = due(state, 0.0)
    assert kinds == ("startup",)
    state = answered(state, "startup", "failure", 0.1)
    assert due(state, 9.0)[1] == ()
    state, kinds = due(state, 10.0)
    assert kinds == ("startup",)
    state = answered(state, "startup", "success", 10.1)
    assert not state.ready
    state, kinds = due(state, 10.1)
    assert set(kinds) == {"liveness", "readiness"}


@pytest.mark.parametrize(
    ("kind", "answers", "then", "doomed"),
    [
        ("liveness", "--", "-", True),  # two failures, then it ended of something else: one more is enough
        ("liveness", "--+", "--", False),
        ("liveness", "---", "--", False),  # killed for them: they are forgotten
        ("startup", "--", "-", True),
        ("startup", "+", "--", False),
    ],
)
def test_answers_in_a_row_count_on_in_the_next_instance(kind: Kind, answers: str, then: str, doomed: bool) -> None:
    """As the kubelet's worker counts, which lives as long as the pod."""
    before = answer(begin({kind: ProbeRule()}, 0.0), kind, answers)
    after = begin({kind: ProbeRule()}, 100.0, before)
    assert after.doomed is None and after.probes[kind].result is None
    assert answer(after, kind, then, 101.0).doomed == (kind if doomed else None)


def test_the_initial_delay_counts_from_the_start() -> None:
    """Nothing is asked before; then each period."""
    state = begin({"liveness": ProbeRule(initial_delay_s=5, period_s=2)}, 0.0)
    assert next_due(state) == 5
    assert asked(state, 12) == {"liveness": [5, 7, 9, 11]}


def test_an_initial_delay_may_outlast_the_startup_probe() -> None:
    """A liveness probe with a delay of 5 s is asked after 5 s, though the startup probe succeeded at once."""
    state = begin({"startup": ProbeRule(), "liveness": ProbeRule(initial_delay_s=5)}, 0.0)
    assert asked(state, 9) == {"startup": [0], "liveness": [5]}


def test_a_late_probe_does_not_shift_those_after_it() -> None:
    """Asked at 3.5 s instead of 2 s, the next is due at 4 s, the one missed is not made up for."""
    state, _ = due(begin({"liveness": ProbeRule(period_s=2)}, 0.0), 0.0)
    state = answered(state, "liveness", "success", 3.5)
    assert due(state, 3.5)[1] == ("liveness",)
    assert due(state, 3.5)[0].probes["liveness"].due_at == 4


def test_a_probe_is_not_asked_twice_at_a_time() -> None:
    """One that takes longer than its period is asked again only after its answer."""
    state, _ = due(begin({"liveness": ProbeRule(period_s=1)}, 0.0), 0.0)
    assert due(state, 5.0)[1] == ()
    assert next_due(state) is None
    assert due(answered(state, "liveness", "failure", 5.0), 5.0)[1] == ("liveness",)


def test_an_eager_probe_is_asked_often_until_it_succeeds() -> None:
    """Each tenth of a second in the container's first second, until the first success; then each period."""
    state = begin({"readiness": ProbeRule(period_s=1, eager_s=0.1, failure_threshold=1)}, 0.0)
    state, _ = due(state, 0.0)
    state = answered(state, "readiness", "failure", 0.01)
    assert next_due(state) == pytest.approx(0.1)
    state, _ = due(state, 0.1)
    state = answered(state, "readiness", "success", 0.11)
    state, _ = due(state, 0.2)
    assert state.probes["readiness"].due_at > 1


def test_an_eager_probe_is_asked_less_often_the_longer_that_takes() -> None:
    """A tenth of the time since the start passes between two, and a second at most: a container whose start takes
    long is seen to be ready within a tenth of that, and costs few looks.
    """
    state, now = begin({"readiness": ProbeRule(eager_s=0.1)}, 5.0), 5.0
    times: list[float] = []
    while now < 65.0:
        state, _ = due(state, now)
        state = answered(state, "readiness", "failure", now)
        times.append(now - 5.0)
        now = next_due(state) or 0.0
    gaps = [(after - before, before) for before, after in itertools.pairwise(times)]
    assert all(gap == pytest.approx(min(max(0.1, before / 10), 1.0)) for gap, before in gaps)
    assert len(times) < 90


def test_an_eager_probe_is_asked_once_its_container_prints_something() -> None:
    """It may be ready now. Not twice within a tenth of a second, however much it prints, nor after its success."""
    state = begin({"readiness": ProbeRule(eager_s=0.1), "liveness": ProbeRule()}, 0.0)
    state, _ = due(state, 0.0)
    state, _ = due(answered(answered(state, "readiness", "failure", 0.0), "liveness", "success", 0.0), 8.0)
    state = answered(state, "readiness", "failure", 8.0)
    assert next_due(hurried(state, 8.05)) == pytest.approx(8.1)
    assert next_due(hurried(state, 8.3)) == pytest.approx(8.3)
    assert next_due(hurried(state, 8.79)) == pytest.approx(8.79)
    assert hurried(state, 8.3).probes["liveness"] == state.probes["liveness"]
    state, _ = due(hurried(state, 8.3), 8.3)
    state = answered(state, "readiness", "success", 8.3)
    assert not state.eager and hurried(state, 8.4) == state


def test_what_is_printed_is_followed_by_two_looks() -> None:
    """Many a server says that it listens just before it does: after a long start the next look would be late."""
    state = begin({"readiness": ProbeRule(eager_s=0.1)}, 0.0)
    state, _ = due(hurried(state, 20.0), 20.0)
    state = answered(state, "readiness", "failure", 20.0)
    assert next_due(state) == pytest.approx(20.1)
    state, _ = due(state, 20.1)
    assert next_due(answered(state, "readiness", "failure", 20.1)) == pytest.approx(21.1)


def test_what_is_printed_shortens_no_initial_delay() -> None:
    """Which is asked for."""
    state = begin({"readiness": ProbeRule(initial_delay_s=5, eager_s=0.1)}, 0.0)
    assert next_due(hurried(state, 1.0)) == pytest.approx(5.0)


def test_a_probe_that_lost_its_success_is_not_eager_again() -> None:
    """Once it has succeeded, the period holds, whatever comes."""
    state = begin({"readiness": ProbeRule(period_s=10, eager_s=0.1)}, 0.0)
    for t, outcome in ((0.0, "success"), (0.1, "failure"), (10.1, "failure"), (20.1, "failure")):
        state, kinds = due(state, t)
        assert kinds == ("readiness",)
        state = answered(state, "readiness", outcome, t)
    assert not state.ready and next_due(state) == pytest.approx(30.1)


def test_a_probe_that_is_asked_once_is_not_asked_after_its_success() -> None:
    """It waits for the first success, which then stays."""
    state = begin({"readiness": ProbeRule(eager_s=0.1, once=True)}, 0.0)
    state, _ = due(state, 0.0)
    state, kinds = due(answered(state, "readiness", "failure", 0.0), 0.2)
    assert kinds == ("readiness",)
    state = answered(state, "readiness", "success", 0.2)
    assert state.ready and next_due(state) is None


def test_a_doomed_container_is_only_asked_whether_it_is_ready() -> None:
    """As by a kubelet, until it is killed; what still comes in of the liveness probe changes nothing."""
    state = begin({"liveness": ProbeRule(failure_threshold=1), "readiness": ProbeRule()}, 0.0)
    state = answer(state, "liveness", "-")
    assert due(state, 100.0)[1] == ("readiness",)
    assert answer(state, "readiness", "+").ready
    assert answer(state, "liveness", "+").doomed == "liveness"
    state = answer(begin({"startup": ProbeRule(failure_threshold=1), "readiness": ProbeRule()}, 0.0), "startup", "-")
    assert (state.doomed, next_due(state), state.ready) == ("startup", None, False)


def test_a_frozen_container_is_not_asked() -> None:
    """What is due passes by, the result stays, and after the thaw it goes on with the next tick."""
    state = answer(
        begin({"liveness": ProbeRule(period_s=2), "readiness": ProbeRule(period_s=2)}, 0.0), "readiness", "+"
    )
    for now in (0.0, 2.0, 4.0, 6.0):
        state, kinds = due(state, now, frozen=True)
        assert kinds == ()
    assert (state.doomed, state.ready) == (None, True)
    assert due(state, 7.0)[1] == ()
    assert set(due(state, 8.0)[1]) == {"liveness", "readiness"}


def test_while_the_pod_ends_only_readiness_is_asked() -> None:
    """A failing liveness probe kills nothing that is being ended already."""
    rules: dict[Kind, ProbeRule] = {"liveness": ProbeRule(failure_threshold=1), "readiness": ProbeRule()}
    state = ending(begin(rules, 0.0))
    assert due(state, 0.0)[1] == ("readiness",)
    assert ending(begin({"startup": ProbeRule(), **rules}, 0.0)).probes == {}


SIGNS = st.text(alphabet="+-?", max_size=30)


@given(SIGNS, st.integers(1, 5))
def test_doomed_means_a_run_of_failures(answers: str, threshold: int) -> None:
    """However answers are mixed: doomed if and only if as many failures as the threshold came without a success."""
    state = answer(begin({"liveness": ProbeRule(failure_threshold=threshold)}, 0.0), "liveness", answers)
    longest = max((len(run) for run in answers.replace("?", "").split("+")), default=0)
    assert (state.doomed is not None) == (longest >= threshold)


@given(SIGNS, st.integers(1, 4), st.integers(1, 4))
def test_ready_means_what_the_last_long_run_said(answers: str, successes: int, failures: int) -> None:
    """Readiness is that of the last run of like answers that reached its threshold, and False before the first."""
    rule = ProbeRule(success_threshold=successes, failure_threshold=failures)
    ready = False
    for sign, run in itertools.groupby(answers.replace("?", "")):
        if len(list(run)) >= (successes if sign == "+" else failures):
            ready = sign == "+"
    assert answer(begin({"readiness": rule}, 0.0), "readiness", answers).ready is ready


@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3), st.sampled_from("+-?"), st.booleans()), max_size=40),
    st.sampled_from([1.0, 2.5]),
)
def test_never_asked_more_often_than_each_period_nor_before_the_startup_probe(
    steps: list[tuple[float, float, str, bool]], period_s: float
) -> None:
    """In any course of waits, answers and freezes: n probes take at least n - 2 periods (one may have waited for the
    answer before it), liveness is never asked before the startup probe succeeded, and nothing while frozen.
    """
    rule = ProbeRule(period_s=period_s, failure_threshold=100)
    state, now = begin({"startup": rule, "liveness": rule}, 0.0), 0.0
    times: dict[Kind, list[float]] = {"startup": [], "liveness": []}
    for wait, takes, sign, frozen in steps:
        now += wait
        state, kinds = due(state, now, frozen=frozen)
        assert not (frozen and kinds)
        assert state.started or "liveness" not in kinds
        for kind in kinds:
            times[kind].append(now)
            now += takes
            state = answered(state, kind, OUTCOMES[sign], now)
    for asked_at in times.values():
        assert all((len(asked_at) - 2) * period_s <= asked_at[-1] - asked_at[0] + 1e-6 for _ in asked_at[:1])
