"""The states of a client's HTTP/1 connection, and the moves between them: all in one table. Pure.

Reading and answering overlap, as clients pipeline. A state says how far the answers are;
`RequestReader` keeps how far the request is that is being read.
"""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """What a connection does. The order counts: first the states without a turn, then those of one, then the ends."""

    FRESH = 0
    """Nothing was read yet, so that it may be HTTP/2."""
    IDLE = 1
    """Nothing was read of the next request."""
    READING = 2
    """The next request is being read; or it is there, and waits until the client reads the answers before it."""

    BEGUN = 3
    """A request has its turn; nothing of its answer was written."""
    ANSWERING = 4
    """A part of its answer was written."""
    HOLDING = 5
    """What is written of its answer is held back until the request is read."""
    ANSWERED = 6
    """The same, and its answer is whole."""
    DISCARDING = 7
    """Its answer is out; the rest of its body is read, and dropped."""

    LINGERING = 8
    """The last answer is out, and our direction closed. What the client still sends is read, and ignored."""
    SWITCHED = 9
    """The connection speaks another protocol, and belongs to whoever speaks it."""
    CLOSED = 10
    """It is closed, or about to be."""


FRESH, IDLE, READING, BEGUN, ANSWERING, HOLDING, ANSWERED, DISCARDING, LINGERING, SWITCHED, CLOSED = State

ENDS = (LINGERING, CLOSED)

MOVES: dict[State, frozenset[State]] = {
    FRESH: frozenset({READING, SWITCHED, CLOSED}),
    IDLE: frozenset({READING, BEGUN, *ENDS}),
    READING: frozenset({IDLE, BEGUN, *ENDS}),
    BEGUN: frozenset({ANSWERING, HOLDING, DISCARDING, SWITCHED, IDLE, READING, *ENDS}),
    ANSWERING: frozenset({HOLDING, DISCARDING, SWITCHED, IDLE, READING, *ENDS}),
    HOLDING: frozenset({ANSWERED, ANSWERING, CLOSED}),
    ANSWERED: frozenset({ANSWERING, CLOSED}),
    DISCARDING: frozenset({READING, *ENDS}),
    LINGERING: frozenset({CLOSED}),
    SWITCHED: frozenset({CLOSED}),
    CLOSED: frozenset({CLOSED}),
}
"""Where a connection may go from each state. A client may hang up, and so close it, at any time."""


def impossible(at: State, to: State) -> AssertionError:
    """The table knows no such move."""
    return AssertionError(f"a connection that is {at.name} does not become {to.name}")
