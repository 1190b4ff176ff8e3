"""How many streams a client may reset."""

from __future__ import annotations

from emu.policy.resets import BURST, PER_SECOND, ResetBudget


def test_a_burst_is_taken_and_then_so_many_a_second() -> None:
    """The one after the burst is too many; a second later there is room for 33."""
    budget = ResetBudget()
    assert all(budget.take(100.0) for _ in range(BURST))
    assert not budget.take(100.0)
    budget = ResetBudget()
    for _ in range(BURST):
        budget.take(100.0)
    assert all(budget.take(101.0) for _ in range(int(PER_SECOND)))
    assert not budget.take(101.0)


def test_a_client_that_gives_up_now_and_then_is_never_cut() -> None:
    """Thirty a second for an hour."""
    budget = ResetBudget()
    assert all(budget.take(at / 30) for at in range(30 * 3600))
