"""Whether a phase of the load begins only once the recorder has taken a sample, and how long it waits for that.

Whatever a container has read before that sample counts to the phases before, and whatever it reads after it to this
one and the later ones: to the byte, on any machine.
"""

from __future__ import annotations

from emu.policy.loadplan import Phase

WAIT_S = 10.0
"""A machine that swaps is slow to read some files. A recorder that takes longer than this hangs."""


def begins_with_a_sample(phase: Phase) -> bool:
    """If what it begins with is that something has happened. One that begins at its time does so, for an open loop
    waits for nothing.
    """
    return phase.after_answers or phase.follows


def sample_wait_s(unanswered: int) -> float:
    """How long to wait for a sample while so many that were asked for before have not come: a recorder that hangs
    delays a run once.
    """
    return 0.0 if unanswered else WAIT_S
