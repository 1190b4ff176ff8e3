"""Measured rows become a profile that gives them back."""

from __future__ import annotations

import pytest

from emu.policy.calibration import Held, Idle, TooLittleError, profile

IDLE = Idle(3_400_000, 19_500_000, 4_000_000)


def test_a_profile_gives_back_what_was_measured() -> None:
    """Each row, and what waits: ten at the app cost what a plain request costs."""
    rows = [
        Held("plain", 1000, 59_000_000),
        Held("plain", 100, 9_600_000),
        Held("body", 1000, 70_000_000),
        Held("waiting", 110, 8_220_000),
    ]
    found = profile("mine", "a test", IDLE, rows)
    assert found.anon_bytes(100, 0, 0) == pytest.approx(9_600_000, abs=10)
    assert found.anon_bytes(1000, 0, 0) == pytest.approx(59_000_000, abs=100)
    assert found.anon_bytes(0, 1000, 0) == pytest.approx(70_000_000, abs=100)
    assert found.waiting_bytes == pytest.approx(42_000, abs=1)
    assert (found.executable_bytes, found.code_bytes) == (19_500_000, 4_000_000)


def test_what_was_not_measured_costs_what_a_plain_request_costs() -> None:
    """No bodies, nobody waiting."""
    found = profile("mine", "a test", IDLE, [Held("plain", 100, 9_400_000)])
    assert found.body_bytes == found.request_bytes == ((100, 60_000.0),)
    assert found.waiting_bytes == 60_000


def test_nothing_measured_makes_no_profile() -> None:
    """… rather than one of zeros."""
    with pytest.raises(TooLittleError):
        profile("mine", "a test", IDLE, [])
