"""Numbers, durations and texts as Go reads and prints them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.manifests.golang import (
    format_duration,
    format_float,
    parse_bool,
    parse_duration,
    parse_float,
    parse_int,
    quote,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h", 3600), ("1m30s", 90), ("1500ms", 1.5), (".5s", 0.5), ("5.s", 5), ("-10s", -10), ("0", 0), ("+1h", 3600)],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    """Units may follow each other, and only 0 needs none."""
    assert parse_duration(text) == seconds * 1e9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 'time: invalid duration ""'),
        ("30", 'time: missing unit in duration "30"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("ü", 'time: invalid duration "\\xc3\\xbc"'),
    ],
)
def test_a_bad_duration_is_refused_in_gos_words(text: str, words: str) -> None:
    """The words are what a webhook's refusal quotes."""
    with pytest.raises(ValueError, match="time:") as refused:
        parse_duration(text)
    assert str(refused.value) == words


@given(st.integers(-(2**62), 2**62))
def test_what_is_printed_as_a_duration_is_read_back(nanoseconds: int) -> None:
    """format_duration loses nothing."""
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01, "0.01"), (100.0, "100"), (100000.0, "100000"), (1e6, "1e+06"), (1e-5, "1e-05"), (-2.5e-7, "-2.5e-07")],
)
def test_floats_are_printed_as_go_prints_them(value: float, text: str) -> None:
    """From a million on with an exponent."""
    assert format_float(value) == text


def test_numbers_are_not_pythons() -> None:
    """No spaces, no other digits than 0 to 9; underscores between digits and base 16 are Go's."""
    assert (parse_float("1_000"), parse_float("0x1p4"), parse_int("+3"), parse_bool("T")) == (1000, 16, 3, True)
    for wrong in (" 1", "1 ", "٣", "1e400", "0x1", ""):
        with pytest.raises(ValueError, match="strconv"):
            parse_float(wrong)


def test_quotes_are_gos() -> None:
    """What cannot be printed is escaped."""
    assert quote('a"\n\x01ü\u00a0') == '"a\\"\\n\\x01ü\\u00a0"'
