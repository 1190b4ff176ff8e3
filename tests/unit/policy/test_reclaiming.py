"""How much to reclaim, and the reason where less came back."""

from __future__ import annotations

import pytest

from emu.policy.reclaiming import Held, SwapRoom, read_amount, wanted_bytes, why_not_all

MIB = 1 << 20
GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "held", "wanted"),
    [
        ("all", 100 * MIB, 100 * MIB),
        ("50%", 100 * MIB, 50 * MIB),
        (" 12.5 % ", 80 * MIB, 10 * MIB),
        ("64Mi", 100 * MIB, 64 * MIB),
        ("64Mi", 10 * MIB, 10 * MIB),
        (4096, MIB, 4096),
    ],
)
def test_an_amount_is_all_a_share_or_bytes(text: str | int, held: int, wanted: int) -> None:
    """Never more than is held; the one form that it is kept in reads the same."""
    amount = read_amount(text)
    assert wanted_bytes(amount, held) == wanted
    assert read_amount(amount) == amount


@pytest.mark.parametrize("text", ["", "0%", "101%", "-5", "half", "5 %%", "1e3%"])
def test_anything_else_is_refused_with_the_forms_that_there_are(text: str) -> None:
    """One line."""
    with pytest.raises(ValueError, match=r"all|above 0 %"):
        read_amount(text)


BEFORE = Held(100 * MIB, 80 * MIB, 15 * MIB, 0)
STAYED = Held(85 * MIB, 80 * MIB, 0, 0)


@pytest.mark.parametrize(
    ("swap", "why"),
    [
        (SwapRoom(0, 0, None), "this machine has no swap"),
        (SwapRoom(GIB, GIB, 0), "memory.swap.max is 0"),
        (SwapRoom(GIB, 0, None), "the machine's swap is full"),
        (SwapRoom(GIB, GIB, None), "no more pages"),
    ],
)
def test_it_says_why_anonymous_memory_stayed(swap: SwapRoom, why: str) -> None:
    """With how much of it."""
    said = why_not_all(100 * MIB, BEFORE, STAYED, swap)
    assert why in said
    assert said.startswith("80 MiB of anonymous memory")


def test_a_limit_on_swap_that_is_reached_is_reported() -> None:
    """memory.swap.max, not the machine's swap."""
    after = Held(60 * MIB, 60 * MIB, 0, 20 * MIB)
    assert "20 MiB is reached" in why_not_all(100 * MIB, BEFORE, after, SwapRoom(GIB, GIB, 20 * MIB))


def test_nothing_is_said_where_all_came_back() -> None:
    """Page tables and the like stay, and need no reason."""
    room = SwapRoom(GIB, GIB, None)
    assert why_not_all(100 * MIB, BEFORE, Held(MIB // 2, 0, 0, 80 * MIB), room) == ""
    assert why_not_all(10 * MIB, BEFORE, Held(90 * MIB, 80 * MIB, 5 * MIB, 0), room) == ""


def test_a_resume_that_came_between_is_the_reason() -> None:
    """Not the want of swap."""
    assert "resumed before" in why_not_all(100 * MIB, BEFORE, STAYED, SwapRoom(0, 0), cut_short=True)


def test_what_is_not_anonymous_is_reported_as_such() -> None:
    """Pages that are in use."""
    after = Held(50 * MIB, 0, 5 * MIB, 80 * MIB)
    assert "pages in use" in why_not_all(100 * MIB, BEFORE, after, SwapRoom(GIB, GIB, None))
