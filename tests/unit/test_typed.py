"""Values of a record have the types that their dataclass says, or are refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from emu.files import typed


@dataclass(frozen=True)
class Thing:
    """One of everything."""

    whole: int
    number: float
    text: str = ""
    flag: bool = False
    maybe: int | None = None
    word: Literal["a", "b"] = "a"
    many: list[tuple[str, float]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    any: dict[str, Any] = field(default_factory=dict)


GOOD: dict[str, Any] = {"whole": 1, "number": 1.5}


@pytest.mark.parametrize(
    "values",
    [
        {"number": 3},
        {"maybe": None},
        {"maybe": 2**62},
        {"word": "of a later version"},
        {"many": [["a", 1], ["b", 2.5]]},
        {"counts": {"a": 1}},
        {"any": {"a": [None, True, {"b": 1.5}]}},
        {"unknown": object()},
    ],
)
def test_what_fits_is_taken(values: dict[str, Any]) -> None:
    """So is a list for a tuple, a whole number for a float, and a name that is not known is left out."""
    made = typed.make(Thing, GOOD | values)
    assert {**vars(made), **{name: value for name, value in values.items() if name != "unknown"}} == vars(made)


@pytest.mark.parametrize(
    "values",
    [
        {"whole": 1.0},
        {"whole": True},
        {"whole": "1"},
        {"whole": None},
        {"whole": 2**63},
        {"whole": -(10**400)},
        {"number": True},
        {"number": float("nan")},
        {"number": float("-inf")},
        {"number": 1e300},
        {"number": 10**400},
        {"text": 1},
        {"text": None},
        {"flag": 1},
        {"maybe": "x"},
        {"word": 5},
        {"many": [["a"]]},
        {"many": [["a", "b"]]},
        {"many": {}},
        {"counts": {"a": None}},
        {"counts": [1]},
        {"any": {"a": [{"b": 1e308}]}},
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any]) -> None:
    """Nothing is turned into something else, and no number is beyond what a kernel counts."""
    with pytest.raises(ValueError, match="cannot be that"):
        typed.make(Thing, GOOD | values)


def test_what_is_missing_is_refused() -> None:
    """A field without a default is needed."""
    with pytest.raises(ValueError, match="number is missing"):
        typed.make(Thing, {"whole": 1})


def test_only_what_fits_is_kept() -> None:
    """A mapping that others extend gives what can be used of it."""
    assert typed.fitting(Thing, {"whole": "x", "number": 2, "flag": True, "more": 1}) == {"number": 2, "flag": True}
    assert typed.fitting(Thing, {"whole": 1, "flag": True}, ("flag",)) == {"flag": True}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "1", "NaN", '{"a": NaN}', '{"a": -Infinity}', "{", "[" * 10**5, '{"a": ' * 9999, b"\xff", "9" * 5000],
)  # fmt: skip
def test_what_is_no_object_is_a_value_error(text: str | bytes) -> None:
    """Nesting without end and numbers of thousands of digits too."""
    with pytest.raises(ValueError):
        typed.parse_object(text)
