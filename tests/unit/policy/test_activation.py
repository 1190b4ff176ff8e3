"""What the activator reports to the autoscaler of its requests."""

from __future__ import annotations

import pytest

from emu.policy.activation import Reporter, next_probe_at


def test_the_first_request_is_reported_at_once_and_not_twice() -> None:
    """As one request under way; the next report is less by that one (concurrency_reporter.go)."""
    reporter = Reporter(0.0)
    assert reporter.report(1.0) is None
    assert reporter.arrived(1.25)
    assert not reporter.arrived(1.25)
    assert reporter.report(2.25) == pytest.approx(1.0)  # two under way, less the one that was reported
    assert reporter.report(3.25) == pytest.approx(2.0)


def test_idleness_is_reported_once() -> None:
    """A whole second without a request is a 0; the next request is a first one again."""
    reporter = Reporter(0.0)
    reporter.arrived(0.5)
    reporter.left(0.75)
    assert reporter.report(1.5) == 0.0
    assert reporter.report(2.5) == 0.0
    assert reporter.report(3.5) is None
    assert reporter.arrived(4.0)


def test_a_request_that_goes_on_is_reported_again_and_again() -> None:
    """One under way for a long time is one in each second."""
    reporter = Reporter(0.0)
    reporter.arrived(0.0)
    assert [reporter.report(float(t)) for t in (1, 2, 3)] == [0.0, 1.0, 1.0]


def test_a_pod_is_probed_by_a_ticker_and_at_once_if_that_ticked_meanwhile() -> None:
    """As Knative's activator (1.23, commit 98e5ef90) did: each 200 ms where a pod refuses, each 300 ms, which is how
    long a probe may take, where it does not answer.
    """
    assert next_probe_at(began=1.05, now=1.06, ticker=0.0, every_s=0.2) == pytest.approx(1.2)
    assert next_probe_at(began=1.2 - 1e-9, now=1.21, ticker=0.0, every_s=0.2) == pytest.approx(1.4)
    assert next_probe_at(began=1.05, now=1.35, ticker=0.0, every_s=0.2) == pytest.approx(1.35)
    assert next_probe_at(began=1.05, now=1.06, ticker=0.03, every_s=0.2) == pytest.approx(1.23)
    assert next_probe_at(began=1.25, now=1.26, ticker=1.25, every_s=0.25) == pytest.approx(1.5)
