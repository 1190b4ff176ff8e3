"""Numbers, durations and texts as Go reads and prints them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.golang import (
    SECOND,
    format_duration,
    format_float,
    is_whole_seconds,
    parse_bool,
    parse_duration,
    parse_float,
    parse_int,
    parse_int32,
    parse_seconds,
    quote,
    round_duration,
)

Value = TypeVar("Value")


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


def read(parse: Callable[[str], Value], text: str) -> Value | None:
    """What a parser makes of a text; None where it refuses."""
    try:
        return parse(text)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+3", 3),
        ("007", 7),
        ("-2147483648", -(2**31)),
        ("2147483648", None),
        ("9" * 5000, None),
        ("0" * 5000, 0),
        ("1.0", None),
        (" 1", None),
        ("1_000", None),
        ("", None),
        ("\u0661", None),
    ],
)
def test_integers(text: str, value: int | None) -> None:
    """Digits and a sign, nothing else."""
    assert read(parse_int32, text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5.", 5.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1_0", 10.0),
        ("1__0", None),
        ("_1", None),
        ("0x1p4", 16.0),
        ("0x_1p4", 16.0),
        ("0x1", None),
        ("Inf", math.inf),
        ("-infinity", -math.inf),
        ("infinit", None),
        ("+nan", None),
        ("1e400", None),
        ("1e-400", 0.0),
        ("1e", None),
        (".", None),
        ("5 ", None),
        ("", None),
    ],
)
def test_floats(text: str, value: float | None) -> None:
    """As Go's literals, with infinities and NaN; what is too large is refused."""
    assert read(parse_float, text) == value
    assert math.isnan(parse_float("NaN"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("1m30s", 90.0),
        ("1.5s", 1.5),
        (".5m", 30.0),
        ("5.s", 5.0),
        ("-5s", -5.0),
        ("3µs", 3e-6),
        ("90", None),
        ("1d", None),
        ("1e3s", None),
        ("", None),
        ("s", None),
        ("2540400h10m10s", 9145440610.0),
        ("9223372036.854775808s", None),
        ("0.9999999999s", 0.999999999),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    """Numbers with units; nanoseconds are the least."""
    assert read(parse_seconds, text) == seconds


def test_second_precision_is_what_rounding_leaves() -> None:
    """The longest duration is left as it is, as none longer fits."""
    assert round_duration(2_500_000_000) == 3 * SECOND
    assert round_duration(-2_500_000_000) == -3 * SECOND
    assert is_whole_seconds(6 * SECOND)
    assert not is_whole_seconds(6 * SECOND + 1)
    assert is_whole_seconds(2**63 - 1)
    assert is_whole_seconds(-(2**63))


def test_booleans() -> None:
    """Twelve words."""
    assert [read(parse_bool, text) for text in ("T", "true", "1", "f", "0", "False", "yes", "tRUE", "")] == [
        True,
        True,
        True,
        False,
        False,
        False,
        None,
        None,
        None,
    ]
