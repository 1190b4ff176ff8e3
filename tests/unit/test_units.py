"""Bytes and seconds, to and from text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.units import format_bytes, format_number, format_seconds, parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        (4096, 4096),
        (1e3, 1000),
        ("64Mi", 64 * 2**20),
        ("64MiB", 64 * 2**20),
        ("64 MiB", 64 * 2**20),
        (" 1.5Gi ", 1536 * 2**20),
        ("2Ti", 2**41),
        ("500k", 500_000),
        ("500K", 500_000),
        ("64MB", 64_000_000),
        ("1G", 10**9),
        ("10B", 10),
        ("0.5", 0),
    ],
)
def test_sizes_are_read_as_kubernetes_and_people_write_them(text: str | int | float, count: int) -> None:
    """Binary and decimal units, with and without B, and bare bytes."""
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    "text", ["", "x", "-1", -1, "64Mx", "64mi", "1e3", "1_000", "٣", True, None, [], {}, 1.5, float("nan"), "9" * 999]
)
def test_what_is_no_size_is_a_value_error(text: object) -> None:
    """Whatever it is, ValueError with the forms that do; never another error."""
    with pytest.raises(ValueError, match="size"):
        parse_bytes(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 10.0), (10, 10.0), (0.25, 0.25), ("250ms", 0.25), ("1m30s", 90.0), ("2h", 7200.0), ("5us", 5e-6)],
)
def test_durations_are_read_as_go_writes_them(text: str | int | float, seconds: float) -> None:
    """Numbers with units, several of them added, or bare seconds."""
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1s",
        -1,
        "1:30",
        "3d",
        "1s 2s",
        "1e3",
        True,
        None,
        [],
        float("inf"),
        float("nan"),
        10**400,
        "9" * 999,
    ],
)
def test_what_is_no_duration_is_a_value_error(text: object) -> None:
    """Whatever it is, ValueError with the forms that do; never another error."""
    with pytest.raises(ValueError, match="duration"):
        parse_seconds(text)  # type: ignore[arg-type]


@given(st.text(max_size=80))
def test_any_text_is_read_or_a_value_error(text: str) -> None:
    """No text raises anything else, and what is read is finite and not negative."""
    for parse in (parse_bytes, parse_seconds):
        try:
            assert 0 <= parse(text) < float("inf")
        except ValueError as error:
            assert len(str(error)) < 300


@given(st.integers(0, 2**46))
def test_whole_bytes_survive_text(count: int) -> None:
    """A count written as a bare number is read as the same count."""
    assert parse_bytes(str(count)) == count


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (33_030_144, "31.5 MiB"),
        (64 * 2**20, "64 MiB"),
        (2**40, "1024 GiB"),
        (-2048, "-2 KiB"),
    ],
)
def test_sizes_are_written_for_people(count: int | None, text: str) -> None:
    """Binary units, one decimal at most, and a dash for what was not measured."""
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 s"),
        (0.000412, "412 us"),
        (0.0032, "3.2 ms"),
        (0.25, "250 ms"),
        (2.1, "2.1 s"),
        (0.9996, "1.0 s"),
        (0.0009996, "1 ms"),
        (119.97, "2 min 0 s"),
        (200, "3 min 20 s"),
    ],
)
def test_durations_are_written_for_people(seconds: float | None, text: str) -> None:
    """The unit that leaves few digits, and a dash for what was not measured."""
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10330.0, "10330"),
        (1234567.8, "1234568"),
        (12.3456, "12.35"),
        (0.5, "0.5"),
        (0.00012345, "0.0001234"),
        (0.0, "0"),
    ],
)
def test_figures_have_no_exponent(value: float, text: str) -> None:
    """Four digits, more where a whole number has more."""
    assert format_number(value) == text
