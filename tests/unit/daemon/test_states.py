"""The states of a client's connection: the table is whole, and what it does not know is refused."""

from __future__ import annotations

import pytest

from emu.daemon.http.endings import Endings
from emu.daemon.http.registry import Registry
from emu.daemon.http.states import CLOSED, LINGERING, MOVES, SWITCHED, State


def test_every_state_is_in_the_table_and_can_be_reached() -> None:
    """From the two in which a connection begins."""
    assert set(MOVES) == set(State)
    assert set().union(*MOVES.values()) | {State.FRESH} == set(State)


@pytest.mark.parametrize("state", State)
def test_a_client_may_hang_up_in_any_state(state: State) -> None:
    """Then the connection is closed."""
    assert CLOSED in MOVES[state]


@pytest.mark.parametrize("end", [LINGERING, SWITCHED, CLOSED])
def test_an_end_is_an_end(end: State) -> None:
    """From there a connection is closed, or remains so, and never serves another request."""
    assert MOVES[end] == {CLOSED}


def test_an_impossible_move_fails_loudly() -> None:
    """A request whose answer is out gets no other."""
    connection = Endings(Registry())
    connection.state = State.DISCARDING
    with pytest.raises(AssertionError, match="a connection that is DISCARDING does not become ANSWERING"):
        connection.move(State.ANSWERING)
    assert connection.state is State.DISCARDING
