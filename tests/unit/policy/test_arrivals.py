"""When the requests of a phase are due."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.arrivals import due_times
from emu.policy.loadplan import Phase, RequestSpec


def phase(kind: Any, duration_s: float = 10.0, **fields: Any) -> Phase:
    """A phase of this kind, beginning at 0."""
    return Phase(name="p", kind=kind, start_s=0, duration_s=duration_s, request=RequestSpec(), **fields)


def times(asked: Phase, seed: int = 1) -> list[float]:
    """All its due times."""
    return list(due_times(asked, seed))


def test_a_constant_rate_begins_at_once_and_never_at_the_end() -> None:
    """4/s for 1 s: four requests, the first at 0."""
    assert times(phase("constant", 1.0, rate=4)) == [0, 0.25, 0.5, 0.75]


def test_no_rate_is_no_request() -> None:
    """Each open-loop kind with nothing to send."""
    for empty in (phase("constant"), phase("poisson"), phase("ramp"), phase("steps"), phase("burst")):
        assert times(empty) == []


def test_poisson_steps_keep_their_pauses() -> None:
    """Chance decides when within a share, never in one whose rate is 0; the same seed decides the same."""
    bursty = phase("poisson-steps", rates=(40.0, 0.0, 0.0, 40.0, 0.0))
    due = times(bursty)
    assert due == times(bursty) != times(bursty, seed=2)
    assert all(0 <= at < 2 or 6 <= at < 8 for at in due)
    assert sum(at < 2 for at in due) == pytest.approx(80, abs=40)
    assert due == sorted(due)
    assert times(phase("poisson-steps", rates=())) == []


def test_a_ramp_asks_for_the_integral_of_its_rate() -> None:
    """0 to 20/s in 10 s owes 100 requests, a quarter of them in the first half."""
    due = times(phase("ramp", rate=0, rate_to=20))
    assert len(due) == 100
    assert due[0] == 0
    assert sum(at < 5 for at in due) == 25


def test_a_ramp_down_is_the_mirror_of_a_ramp_up() -> None:
    """As many requests, most of them early."""
    down = times(phase("ramp", rate=20, rate_to=0))
    assert len(down) == 100
    assert sum(at < 5 for at in down) == 75


@given(rate=st.floats(0, 200), rate_to=st.floats(0, 200), duration_s=st.floats(0.01, 20))
def test_a_ramp_ascends_within_its_phase(rate: float, rate_to: float, duration_s: float) -> None:
    """Whatever the rates, times never go back and stay within the phase; their number is the integral."""
    due = times(phase("ramp", duration_s, rate=rate, rate_to=rate_to))
    assert all(sooner <= later for sooner, later in pairwise(due))
    assert all(0 <= at <= duration_s * (1 + 1e-9) for at in due)
    assert abs(len(due) - (rate + rate_to) / 2 * duration_s) <= 1


def test_steps_share_the_duration_equally() -> None:
    """10/s, nothing, 20/s for 3 s: ten requests, none, twenty."""
    due = times(phase("steps", 3.0, rates=(10.0, 0.0, 20.0)))
    assert [sum(begin <= at < begin + 1 for at in due) for begin in range(3)] == [10, 0, 20]


def test_a_poisson_process_is_the_same_for_the_same_seed_only() -> None:
    """And about as many come as the rate says (100 expected; 50 to 150 is beyond chance)."""
    asked = phase("poisson", rate=10)
    assert times(asked, 1) == times(asked, 1)
    assert times(asked, 1) != times(asked, 2)
    assert 50 < len(times(asked, 1)) < 150
    assert all(at < 10 for at in times(asked, 1))


def test_a_burst_without_a_rate_comes_once() -> None:
    """Five at 0."""
    assert times(phase("burst", size=5)) == [0.0] * 5


def test_bursts_with_a_rate_come_again_and_again() -> None:
    """Three at 0 and three at 0.5 of 1 s."""
    assert times(phase("burst", 1.0, size=3, rate=2)) == [0, 0, 0, 0.5, 0.5, 0.5]


def test_a_count_ends_a_phase_early() -> None:
    """The first three only."""
    assert times(phase("constant", rate=10, count=3)) == [0, 0.1, 0.2]


def test_a_closed_loop_has_no_times_beforehand() -> None:
    """Asking is an error that says why."""
    with pytest.raises(ValueError, match="closed loop"):
        times(phase("closed", clients=1))
