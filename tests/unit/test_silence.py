"""Silence counts only while somebody listens."""

from __future__ import annotations

from emu.machine.silence import MOST_S, Silence


def test_silence_is_the_time_since_something_was_heard() -> None:
    """By looks of a second each."""
    silence = Silence(100.0)
    assert [silence.seconds(100.0 + second) for second in range(1, 4)] == [1.0, 2.0, 3.0]
    silence.broken(104.0)
    assert silence.seconds(105.0) == 1.0


def test_who_was_stopped_for_an_hour_has_heard_nothing_in_it() -> None:
    """And gives nobody up for it, however often that happens: each pause counts as one late look."""
    silence = Silence(0.0)
    assert silence.seconds(3600.0) == MOST_S
    assert silence.seconds(3601.0) == MOST_S + 1
    assert silence.seconds(7200.0) == 2 * MOST_S + 1
