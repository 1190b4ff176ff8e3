"""queue-proxy's three timers, with the time as an argument."""

import pytest

from emu.policy.timeouts import Deadlines, RequestTimeouts, dial_limits


def test_the_revision_timeout_ends_a_request_whatever_was_written() -> None:
    """It counts from the arrival; writes do not move it."""
    timeouts: RequestTimeouts[str] = RequestTimeouts(10)
    timeouts.begin("a", now=100)
    timeouts.begin("b", now=103)
    timeouts.wrote("a", now=109)
    assert timeouts.next_at() == 110
    assert timeouts.due(109.9) == []
    assert timeouts.due(110) == [("a", "response")]
    assert timeouts.next_at() == 113


def test_a_request_that_ended_is_never_due() -> None:
    """Its timers stop with it."""
    timeouts: RequestTimeouts[str] = RequestTimeouts(10, 5, 3)
    timeouts.begin("a", now=0)
    timeouts.end("a")
    assert timeouts.next_at() is None
    assert timeouts.due(1000) == []


def test_the_response_start_timeout_has_no_effect_after_the_first_write() -> None:
    """Of two requests, the one that wrote lives on to its revision timeout."""
    timeouts: RequestTimeouts[str] = RequestTimeouts(60, response_start_s=1)
    timeouts.begin("silent", now=0)
    timeouts.begin("writes", now=0)
    timeouts.wrote("writes", now=0.5)
    assert timeouts.due(1) == [("silent", "response-start")]
    assert timeouts.next_at() == 60


def test_the_idle_timeout_starts_again_with_each_write_and_runs_from_the_arrival() -> None:
    """Silence from the start counts; bytes from the app restart it."""
    timeouts: RequestTimeouts[str] = RequestTimeouts(60, idle_s=1)
    timeouts.begin("silent", now=0)
    timeouts.begin("streams", now=0)
    timeouts.wrote("streams", now=0.6)
    assert timeouts.due(1.0) == [("silent", "idle")]
    timeouts.wrote("streams", now=1.2)
    assert timeouts.due(2.1) == []
    assert timeouts.due(2.2) == [("streams", "idle")]


def test_a_request_that_several_timers_end_is_named_once() -> None:
    """All three fire at the same moment."""
    timeouts: RequestTimeouts[str] = RequestTimeouts(1, 1, 1)
    timeouts.begin("a", now=0)
    assert timeouts.due(1) == [("a", "response")]
    assert timeouts.due(2) == []


@pytest.mark.parametrize("revision_s", [0, -1])
def test_a_revision_timeout_of_nought_is_at_once_and_not_never(revision_s: float) -> None:
    """As Knative's timer does; the webhook turns 0 into 300 before it gets here."""
    timeouts: RequestTimeouts[str] = RequestTimeouts(revision_s)
    timeouts.begin("a", now=5)
    assert timeouts.due(5) == [("a", "response")]


def test_a_timer_that_is_off_is_never_due() -> None:
    """A period of None."""
    deadlines: Deadlines[str] = Deadlines(None)
    deadlines.start("a", now=0)
    assert deadlines.next_at() is None
    assert deadlines.due(1e9) == []


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_the_app_is_dialled_sixteen_times_with_growing_patience(chance: float) -> None:
    """50 ms first, then 1.4 times as long each time and up to a tenth more, 30 to 60 ms apart: about 20 s in all."""
    limits = list(dial_limits(lambda: chance))
    assert len(limits) == 16
    assert limits[0] == (0.05, 0.0)
    assert limits[2] == (pytest.approx(0.07 * (1 + 0.1 * chance)), pytest.approx(0.03 * (1 + chance)))
    assert 18 < sum(limit + pause for limit, pause in limits) < 23
