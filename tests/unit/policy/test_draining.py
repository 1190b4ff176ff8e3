"""When a drain ends: quiet for a while, restarted by each request; called off if only the hook asked for it."""

from emu.policy.draining import Draining


def test_a_drain_ends_once_it_was_quiet_for_long_enough() -> None:
    """30 s after the signal, if nothing comes."""
    draining = Draining(30)
    assert not draining.active
    draining.terminate(now=100)
    assert draining.active
    assert draining.left(now=129) == 1
    assert draining.left(now=130) <= 0


def test_each_request_starts_the_quiet_time_again() -> None:
    """Without a bound: ten seconds of traffic are ten seconds more."""
    draining = Draining(30)
    draining.terminate(now=0)
    for second in range(11):
        draining.request(now=second)
    assert draining.left(now=10) == 30


def test_requests_before_the_signal_do_not_count() -> None:
    """The time begins with the signal."""
    draining = Draining(30)
    draining.request(now=5)
    assert draining.left(now=5) == 0
    draining.terminate(now=10)
    assert draining.left(now=10) == 30


def test_a_drain_that_only_the_hook_asked_for_is_called_off() -> None:
    """The app is restarted, the pod is not ended: probes pass again."""
    draining = Draining(30)
    draining.hook(now=0)
    assert draining.active
    assert draining.hook_waited()
    assert not draining.active


def test_a_signal_within_the_hooks_second_makes_it_last() -> None:
    """And the quiet time counts from the hook, which came first."""
    draining = Draining(30)
    draining.hook(now=0)
    draining.terminate(now=0.5)
    assert not draining.hook_waited()
    assert draining.active
    assert draining.left(now=0.5) == 29.5
