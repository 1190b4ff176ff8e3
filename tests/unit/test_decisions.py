"""Decision cases of the real code, and what plays them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.conformance import decisions
from emu.conformance.decision_cases import DecisionCase, Family, same
from emu.conformance.families import played
from emu.errors import EmuError

CASE: dict[str, Any] = {
    "id": "acc-1",
    "source": "by hand",
    "in": {"events": [[0.5, "in"], [1, "report"]]},
    "expect": {
        "columns": ["concurrency", "proxied concurrency", "count", "proxied count"],
        "reports": [[0.5, 0, 1, 0]],
    },
}


KEPT = sorted((Path(__file__).parents[1] / "fixtures" / "decisions").glob("*.json"))
"""Measured facts: what the real code decided."""


def write(path: Path, *cases: dict[str, Any], family: str = "request_accounting") -> Path:
    """A file with these cases."""
    path.write_text(json.dumps({"meta": {}, "families": {family: {"what": "", "cases": cases}}}), encoding="utf-8")
    return path


def ran(path: Path) -> tuple[int, str]:
    """What the program ends with, and what it prints."""
    result = CliRunner().invoke(decisions.main, [str(path)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.return_value, result.output


@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_emu_decides_as_the_real_code(path: Path) -> None:
    """Each kept case of Knative's, KServe's and Kubernetes' own code comes out the same."""
    verdict = decisions.play(path)
    assert verdict.status == 0, "\n".join(verdict.lines)
    assert verdict.passed > 0


def test_a_case_that_passes_is_counted(tmp_path: Path) -> None:
    """A count for each family, and exit status 0."""
    assert ran(write(tmp_path / "cases.json", CASE)) == (
        0,
        "request_accounting: 1 of 1 passed\n1 of 1 passed, 0 failed\n",
    )


def test_a_case_that_fails_is_shown(tmp_path: Path) -> None:
    """With its id, what was expected and what emu decides; exit status 1."""
    status, text = ran(write(tmp_path / "cases.json", CASE | {"expect": {"reports": [[0.6, 0, 1, 0]]}}))
    assert status == 1
    assert text.splitlines() == [
        "FAILED  acc-1 (request_accounting; by hand)",
        '        expected {"reports": [[0.6, 0, 1, 0]]}',
        '        got      {"reports": [[0.5, 0.0, 1, 0]]}',
        "request_accounting: 0 of 1 passed",
        "0 of 1 passed, 1 failed",
    ]


def test_a_family_without_a_player_counts_as_failed(tmp_path: Path) -> None:
    """It is reported, not passed over."""
    status, text = ran(write(tmp_path / "cases.json", CASE, family="moon_phase"))
    assert status == 1
    assert text.startswith("moon_phase: 0 of 1 passed: emu has no player for this family\n")


def test_a_reader_who_leaves_is_no_failed_case(tmp_path: Path) -> None:
    """`… | head -1` ends with 141, as for a program that SIGPIPE ended."""
    path = write(tmp_path / "cases.json", CASE)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "emu.conformance.decisions", str(path)]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=240, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_malformed_case_is_named_and_the_others_are_played(tmp_path: Path) -> None:
    """Its `in` is the file's fault: exit status 2, one line, no traceback."""
    status, text = ran(write(tmp_path / "cases.json", CASE | {"id": "odd", "in": {"events": 5}}, CASE))
    assert status == 2
    assert "BAD     odd (request_accounting): its `in` cannot be played" in text
    assert "request_accounting: 1 of 2 passed" in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1, column 1"),
        ("[]", "it is no object"),
        ("{}", "it has no families"),
        ('{"families": []}', "it has no families"),
        ('{"families": {"window": {"cases": []}}}', "it has no case"),
        ('{"families": NaN}', "it has no families"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path: Path, text: str, why: str) -> None:
    """It says where and why."""
    path = tmp_path / "cases.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EmuError) as error:
        ran(path)
    assert why in str(error.value)
    assert str(path) in error.value.what


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (1, "case 2: it is no object"),
        ({"in": {}}, "case 2: it has no id"),
        ({"id": "a", "in": {}}, "case 2: a: expect is no object"),
        ({"id": "a", "in": 1, "expect": {}}, "case 2: a: in is no object"),
        ({"id": "a", "in": {}, "expect": {"tolerance": -1}}, "case 2: a: tolerance is no number of 0 or more"),
        (CASE, "case 2: the id acc-1 stands twice"),
    ],
)
def test_an_entry_that_is_no_case_does_not_end_the_play(tmp_path: Path, entry: Any, why: str) -> None:
    """It is named and counted, and the others are played."""
    status, text = ran(write(tmp_path / "cases.json", CASE, entry, CASE | {"id": "acc-2"}))
    assert status == 2
    assert text.splitlines() == [
        f"BAD     family request_accounting, {why}",
        "request_accounting: 2 of 3 passed",
        "2 of 3 passed, 0 failed, 1 malformed",
    ]


def test_a_family_without_a_list_does_not_end_the_play(tmp_path: Path) -> None:
    """The next one is played."""
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"families": {"window": [], "request_accounting": {"cases": [CASE]}}}))
    status, text = ran(path)
    assert status == 2
    assert text.startswith("BAD     family window has no list of cases\n")
    assert text.endswith("1 of 2 passed, 0 failed, 1 malformed\n")


def test_a_file_that_is_none_does_not_end_the_play(tmp_path: Path) -> None:
    """The others are played before the error is reported."""
    result = CliRunner().invoke(
        decisions.main,
        [str(tmp_path / "none.json"), str(write(tmp_path / "cases.json", CASE))],
        standalone_mode=False,
    )
    assert isinstance(result.exception, EmuError)
    assert result.output.endswith("1 of 1 passed, 0 failed\n")


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    """A folder, nothing at all, bytes that are no text."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path, tmp_path / "none", binary):
        with pytest.raises(EmuError):
            ran(path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_never_ends_in_a_traceback(data: st.DataObject) -> None:
    """Bytes cut, doubled and overwritten: a status of 0, 1 or 2, or one EmuError."""
    whole = bytearray(json.dumps({"families": {"request_accounting": {"cases": [CASE]}}}).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        size = data.draw(st.integers(0, 8))
        whole[at : at + size] = data.draw(st.binary(max_size=4) | st.sampled_from([b"1", b"null", b"{}", b'"', b"-"]))
        if not whole:
            break
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cases.json"
        path.write_bytes(whole)
        with contextlib.suppress(EmuError):
            assert decisions.play(path).status in (0, 1, 2)


@cache
def cases() -> list[tuple[str, dict[str, Any]]]:
    """A few of the kept cases of each family: (family, `in`)."""
    return [
        (name, case["in"])
        for path in KEPT
        for name, family in json.loads(path.read_text(encoding="utf-8"))["families"].items()
        for case in family["cases"][:3]
    ]


ODD: tuple[Any, ...] = (None, True, 0, -1, 0.5, 2**70, 1e308, -1e308, 1e-308, "", "x", [], [1], {}, {"a": 1})


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_value_in_a_case_is_played_or_named(data: st.DataObject) -> None:
    """An odd number, another type, a missing key: the case passes, fails or is malformed, and soon."""
    family, whole = data.draw(st.sampled_from(cases()))
    whole = json.loads(json.dumps(whole))
    place: Any = whole
    for _ in range(data.draw(st.integers(0, 3))):
        inner = [value for value in (place.values() if isinstance(place, dict) else place) if value]
        inner = [value for value in inner if isinstance(value, dict | list)]
        if inner:
            place = data.draw(st.sampled_from(inner))
    key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    if isinstance(place, dict) and data.draw(st.booleans()):
        del place[key]
    else:
        place[key] = data.draw(st.sampled_from(ODD))
    verdict = decisions.Verdict()
    verdict.add(family, Family([DecisionCase(family, "odd", "", whole, {})]), played()[family])
    assert verdict.passed + verdict.failed + verdict.unplayable == 1


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1.0, 1.0000009, True),
        (1.0, 1.00001, False),
        (1, True, False),
        (0, False, False),
        (None, 0, False),
        ([1], [1, 2], False),
        ({"a": None}, {}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (10**400, 1.0, False),
        ("1", 1, False),
        (float("nan"), float("nan"), True),
        (float("nan"), 0.0, False),
    ],
)
def test_values_are_the_same_but_for_rounding(one: Any, other: Any, equal: bool) -> None:
    """A number is no flag, an absent key is not a null, and a float may be 1e-6 off."""
    assert same(one, other) is equal
    assert same(other, one) is equal
