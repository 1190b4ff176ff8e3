"""Which phases begin with a sample, and how long they wait for it."""

from __future__ import annotations

import pytest

from emu.policy.loadplan import Phase, RequestSpec
from emu.policy.sampling import WAIT_S, begins_with_a_sample, sample_wait_s


@pytest.mark.parametrize(
    ("when", "waits"),
    [({}, False), ({"start_s": 3.0}, False), ({"follows": True}, True), ({"after_answers": True}, True)],
)
def test_a_phase_whose_time_has_come_waits_for_nothing(when: dict[str, float], waits: bool) -> None:
    """One that begins when something has happened has a sample of what came before it."""
    phase = Phase(
        **{"name": "p", "kind": "burst", "start_s": 0.0, "duration_s": 1.0, "request": RequestSpec(), **when}
    )
    assert begins_with_a_sample(phase) is waits


def test_a_recorder_that_hangs_is_waited_for_once() -> None:
    """Until all that it was asked for has come."""
    assert [sample_wait_s(unanswered) for unanswered in (0, 1, 2)] == [WAIT_S, 0.0, 0.0]
