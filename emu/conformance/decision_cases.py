"""Files of decision cases: families → cases, each with an id, its source, what goes in and what is expected."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emu.errors import EmuError
from emu.files.regular import read_regular

LARGEST_FILE = 64 * 2**20
"""Bytes."""
RELATIVE = 1e-6
"""How far a float may be from what is expected, where a case has no tolerance of its own."""
ABOUT = ("columns", "tolerance")
"""Keys of `expect` that describe it, and are nothing to compare."""
_FORM = 'the form is {"families": {NAME: {"cases": [{"id": …, "source": …, "in": {…}, "expect": {…}}]}}}'


@dataclass(frozen=True)
class DecisionCase:
    """One decision of the real code."""

    family: str
    id: str
    source: str
    given: Mapping[str, Any]
    expect: Mapping[str, Any]

    @property
    def wanted(self) -> dict[str, Any]:
        """The part of an outcome that is compared."""
        return {key: value for key, value in self.expect.items() if key not in ABOUT}

    def met_by(self, got: Mapping[str, Any]) -> bool:
        """Whether this result is the expected one."""
        return same(self.wanted, got, self.expect.get("tolerance"))


def same(expected: Any, got: Any, tolerance: float | None = None) -> bool:
    """Whether two values are the same but for the rounding of floats."""
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, int | float) and isinstance(got, int | float):
        if tolerance is None and isinstance(expected, int) and isinstance(got, int):
            return expected == got
        return _close(expected, got, tolerance)
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return expected.keys() == got.keys() and all(same(expected[key], got[key], tolerance) for key in expected)
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        return len(expected) == len(got) and all(
            same(one, other, tolerance) for one, other in zip(expected, got, strict=True)
        )
    return type(expected) is type(got) and bool(expected == got)


def _close(expected: float, got: float, tolerance: float | None) -> bool:
    if expected != expected or got != got:  # NaN is equal to nothing, itself among it
        return expected != expected and got != got
    try:
        if tolerance is None:
            return math.isclose(expected, got, rel_tol=RELATIVE, abs_tol=1e-12)
        return math.isclose(expected, got, rel_tol=min(tolerance, RELATIVE), abs_tol=tolerance)
    except OverflowError:  # an integer beyond every float
        return expected == got


@dataclass
class Family:
    """The cases of one family of decisions in a file, and the entries of that family that are none."""

    cases: list[DecisionCase] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What is no case, and why: one line each."""


def load(path: Path) -> dict[str, Family]:
    """A file's families. EmuError for a file that has none, or no case in any. An entry that is no case does not keep
    the others from being played.
    """
    families = _read(path).get("families")
    if not isinstance(families, dict) or not families:
        raise _bad(path, "it has no families")
    found = {name: _family(name, family) for name, family in families.items()}
    if not any(one.cases or one.faults for one in found.values()):
        raise _bad(path, "it has no case")
    return found


def _family(name: str, data: Any) -> Family:
    found = Family()
    entries = data.get("cases") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        found.faults.append(f"family {name} has no list of cases")
        return found
    ids: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        why = _fault(entry)
        if not why and entry["id"] in ids:
            why = f"the id {entry['id']} stands twice"
        if why:
            found.faults.append(f"family {name}, case {number}: {why}")
            continue
        ids.add(entry["id"])
        found.cases.append(DecisionCase(name, entry["id"], entry.get("source") or "", entry["in"], entry["expect"]))
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_regular(path, LARGEST_FILE, pipes=True))
    except OSError as error:
        why = error.strerror or str(error)
        raise EmuError(f"{path} cannot be read", why, "give a JSON file of decision cases") from error
    except json.JSONDecodeError as error:
        why = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise EmuError(f"{path} is not JSON", why, _FORM) from error
    except UnicodeDecodeError as error:
        raise EmuError(f"{path} is not JSON", f"byte {error.start} is not UTF-8", _FORM) from error
    except ValueError as error:
        raise _bad(path, str(error)) from error
    except RecursionError as error:
        raise _bad(path, "nested too deep") from error
    if not isinstance(data, dict):
        raise _bad(path, "it is no object")
    return data


def _fault(entry: Any) -> str:
    """What keeps an entry from being a case; empty where nothing does."""
    if not isinstance(entry, dict):
        return "it is no object"
    if not isinstance(entry.get("id"), str) or not entry["id"]:
        return "it has no id"
    if not isinstance(entry.get("source") or "", str):
        return f"{entry['id']}: source is no text"
    for key in ("in", "expect"):
        if not isinstance(entry.get(key), dict):
            return f"{entry['id']}: {key} is no object"
    tolerance = entry["expect"].get("tolerance")
    if tolerance is None:
        return ""
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        return f"{entry['id']}: tolerance is no number of 0 or more"
    return ""


def _bad(path: Path, why: str) -> EmuError:
    return EmuError(f"{path} is no file of decision cases", why, _FORM)
