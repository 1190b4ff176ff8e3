"""What a scenario expects: comparisons on the names of summary.json, so that a scenario is a test.

    expect:
      containers.queue-proxy.oom_kills: ">= 1"
      containers.app.memory_peak_bytes: "<= 64Mi"
      requests.by_status.503: "between 100 and 900"
      containers.queue-proxy.final_reason: "== OOMKilled"
      oom_kills.0.level: "container"
      oom_kills.count: "1"
      phases.again.containers.app.io_read_bytes: ">= 0.95 * phases.first.containers.app.io_read_bytes"
      variants.small.pod.cpu_s: "<= variants.large.pod.cpu_s"

A name is a path into summary.json: keys joined by dots, a list's element by its index from 0 (`-1` is the last),
and `count` for how many elements a list or a mapping has. What is compared with is a number, a size (`64Mi`), a
word, `true`, `false`, `null`, another name, or a factor times another name (`2 * …`); `==` may be left out.
Comparisons: `==`, `!=`, `<`, `<=`, `>`, `>=`, and `between A and B`, both included.

A figure that was not measured is null: it meets nothing but `== null`. Within `errors`, `by_status` and a container's
`events` a key that is not there is 0, because nothing of its kind was seen, as long as any was recorded.

A run that was cut off decides only what its rest could not have changed: a count that only grows and has passed its
bound. `== 0` is not met by a run that was cut off before the first.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from emu.units import format_bytes, format_number, parse_bytes

ROOTS = (
    "scenario",
    "where",
    "machine",
    "containers",
    "pod",
    "pods",
    "node",
    "requests",
    "oom_kills",
    "stalls",
    "thrashing",
    "reclaim",
    "evictions",
    "node_conditions",
    "preemptions",
    "resizes",
    "freezes",
    "freezer",
    "autoscaling",
    "services",
    "page_cache",
    "disk_shares",
    "warm_ups",
    "working_set",
    "starts",
    "phases",
    "recorder",
    "host",
    "duration_s",
    "time_scale",
    "ended",
    "interrupted",
    "failed",
    "load",
    "variants",
)
"""The names at the top of summary.json that an expectation may begin with."""
COUNT = "count"
VARIANTS = "variants"
"""Where a run with variants has the summary of each."""
COUNTED = ("errors", "by_status", "events")
FIXED = ("scenario", "where", "machine", "ended", "interrupted", "failed")
"""What does not change during a run."""
_GROWING = re.compile(
    r"(.*\.)?(oom_kills|oom_kills\.count|restarts|sent|answered|by_status\.\w+|errors\.(?!unanswered)[\w-]+|\w+_peak_bytes)"
)
"""Figures that only grow during a run."""
UNDECIDED = "not decided: the run was cut off before its end"
_REASONS = "reasons"
"""Below it each outcome has its reasons: `requests.reasons.503.queue-full`."""
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda got, wanted: bool(got == wanted),
    "!=": lambda got, wanted: bool(got != wanted),
    "<=": lambda got, wanted: bool(got <= wanted),
    ">=": lambda got, wanted: bool(got >= wanted),
    "<": lambda got, wanted: bool(got < wanted),
    ">": lambda got, wanted: bool(got > wanted),
}
_COMPARISON = re.compile(r"(?P<sign>==|!=|<=|>=|<|>)?\s*(?P<value>[^\s=<>!].*)", re.DOTALL)
_BETWEEN = re.compile(r"between\s+(?P<low>.+?)\s+and\s+(?P<high>.+)", re.DOTALL)
_SCALED = re.compile(r"(?P<factor>\d+(?:\.\d+)?)\s*\*\s*(?P<name>\S+)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z][\w:/+-]*|\d+/\d+")
"""A word of the field: `OOMKilled`, `Init:0/1`, and READY's `2/3`."""
_CONSTANTS = {"true": True, "false": False, "null": None}
_FORMS = "write '>= 1', '<= 64Mi', '== OOMKilled', 'between 1 and 3' or '> 2 * phases.a.requests.sent'"


class NotMeasuredError(LookupError):
    """A name that leads to nothing, or to null."""


@dataclass(frozen=True)
class Operand:
    """What a figure is compared with: a value, or `factor` times the figure that `name` leads to."""

    text: str
    value: Any = None
    name: str | None = None
    factor: float = 1.0

    def resolve(self, summary: Mapping[str, Any]) -> Any:
        """The value to compare with. NotMeasuredError where the name leads to nothing."""
        if self.name is None:
            return self.value
        found = look_up(summary, self.name)
        if found is None:
            raise NotMeasuredError(f"{self.name} was not measured")
        if self.factor == 1.0:
            return found
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise NotMeasuredError(f"{self.name} is not a number")
        return found * self.factor


@dataclass(frozen=True)
class Outcome:
    """Whether an expectation came true."""

    what: str
    wanted: str
    got: Any
    met: bool | None
    """None where it is not decided, as the run was cut off."""
    why: str = ""
    """Why it could not be compared, in words; empty where it was."""

    def to_data(self) -> dict[str, Any]:
        """As summary.json has it."""
        why = {"why": self.why} if self.why else {}
        return {"what": self.what, "wanted": self.wanted, "got": self.got, "met": self.met, **why}


@dataclass(frozen=True)
class Expectation:
    """One line of a scenario's `expect:`."""

    name: str
    text: str
    checks: tuple[tuple[str, Operand], ...]

    @property
    def compares_variants(self) -> bool:
        """It speaks of variants by name, and so of the whole run rather than of each."""
        return self.name.startswith(f"{VARIANTS}.")

    @property
    def names(self) -> list[str]:
        """All names of summary.json in it."""
        return [self.name, *(operand.name for _, operand in self.checks if operand.name is not None)]

    def check(self, summary: Mapping[str, Any], *, whole: bool = True) -> Outcome:
        """Compare with a summary. `whole`: the run came to its end, so that nothing more could have happened."""
        found = self._check(summary)
        if whole or self.name.split(".")[0] in FIXED:
            return found
        met = self._decided(found.got)
        return replace(found, met=met, why="" if met is not None else UNDECIDED)

    def _decided(self, got: Any) -> bool | None:
        """What the rest of the run could not have changed."""
        if not _GROWING.fullmatch(self.name) or isinstance(got, bool) or not isinstance(got, int | float):
            return None
        each = [_decided(got, sign, operand) for sign, operand in self.checks]
        return False if False in each else True if all(each) else None

    def _check(self, summary: Mapping[str, Any]) -> Outcome:
        got: Any = None
        try:
            got = look_up(summary, self.name)
            met = all(_compare(got, sign, operand.resolve(summary)) for sign, operand in self.checks)
        except NotMeasuredError as nothing:
            return Outcome(self.name, self.text, got, False, str(nothing))
        except TypeError:
            return Outcome(self.name, self.text, got, False, f"{got!r} cannot be compared with that")
        return Outcome(self.name, self.text, got, met)


def parse_expectation(name: str, text: object) -> Expectation:
    """Read one line of `expect:`. ValueError, in one line, for what can never be compared."""
    check_name(name)
    written = str(text).lower() if isinstance(text, bool) else "null" if text is None else str(text).strip()
    between = _BETWEEN.fullmatch(written)
    if between:
        low, high = _operand(name, between["low"]), _operand(name, between["high"])
        for side in (low, high):
            _check_order(name, side)
        if low.name is None and high.name is None and low.value > high.value:
            raise ValueError(f"{name}: no value is between {low.text} and {high.text}; name the smaller one first")
        return Expectation(name, written, ((">=", low), ("<=", high)))
    comparison = _COMPARISON.fullmatch(written)
    if comparison is None:
        raise ValueError(f"{name}: no valid comparison; {_FORMS}")
    sign, operand = comparison["sign"] or "==", _operand(name, comparison["value"])
    if sign not in ("==", "!="):
        _check_order(name, operand)
    return Expectation(name, written, ((sign, operand),))


def _check_order(name: str, operand: Operand) -> None:
    if operand.name is None and (isinstance(operand.value, bool) or not isinstance(operand.value, int | float)):
        raise ValueError(f"{name}: {operand.text!r} has no order; compare with a number, or with ==")


def check_name(name: str) -> None:
    """ValueError, with the nearest known name, for one that no summary has."""
    root, *rest = name.split(".")
    if root not in ROOTS:
        near = difflib.get_close_matches(root, ROOTS, n=1, cutoff=0.5)
        hint = f"did you mean {'.'.join((near[0], *rest))!r}?" if near else f"known: {', '.join(ROOTS)}"
        raise ValueError(f"{name!r} is not a name in summary.json; {hint}")
    if not all(rest):
        raise ValueError(f"{name!r} has an empty part between its dots")
    if root == VARIANTS and len(rest) > 1:
        _check_below_variant(name, rest)


def _check_below_variant(name: str, rest: list[str]) -> None:
    """What a variant has are the names of a summary of its own."""
    variant, below = rest[0], rest[1:]
    if below[0] in (*ROOTS, "met") and below[0] != VARIANTS:
        return
    near = difflib.get_close_matches(below[0], ROOTS, n=1, cutoff=0.5)
    hint = (
        f"did you mean {'.'.join((VARIANTS, variant, *near, *below[1:]))!r}?"
        if near
        else f"known: {', '.join(ROOTS)}"
    )
    raise ValueError(f"{name!r} is not a name in summary.json; {hint}")


def look_up(summary: Mapping[str, Any], name: str) -> Any:
    """The figure that a name leads to, None if it was not measured. NotMeasuredError where the path ends early."""
    found: Any = summary
    parts = name.split(".")
    for depth, part in enumerate(parts):
        here = ".".join(parts[:depth]) or "summary.json"
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif part == COUNT and isinstance(found, Mapping | list):
            found = len(found)
        elif isinstance(found, Mapping) and depth and parts[depth - 1] in COUNTED:
            found = 0
        elif isinstance(found, Mapping) and _REASONS in parts[max(0, depth - 2) : depth]:
            return 0  # none of that outcome, or none for that reason
        elif isinstance(found, Mapping):
            known = ", ".join(map(str, found)) or "nothing"
            raise NotMeasuredError(f"{here} has no {part} (it has: {known})")
        elif isinstance(found, list):
            found = _element(found, part, here)
        elif found is None:
            raise NotMeasuredError(f"{here} was not measured")
        else:
            raise NotMeasuredError(f"{here} is {found!r} and has no {part}")
    return found


def _element(found: list[Any], part: str, here: str) -> Any:
    if not re.fullmatch(r"-?\d+", part):
        raise NotMeasuredError(f"{here} is a list: give an index or {COUNT}, not {part}")
    try:
        return found[int(part)]
    except IndexError:
        have = {0: f"there is none in {here}", 1: f"{here} has 1 element, at 0"}
        raise NotMeasuredError(
            have.get(len(found), f"{here} has {len(found)} elements, the last at {len(found) - 1}")
        ) from None


def _compare(got: Any, sign: str, wanted: Any) -> bool:
    if wanted is None:
        return (got is None) == (sign == "==")
    if got is None:
        raise NotMeasuredError("not measured")
    if isinstance(got, bool) != isinstance(wanted, bool):
        return sign == "!="
    return _COMPARE[sign](got, wanted)


def _decided(got: float, sign: str, operand: Operand) -> bool | None:
    """Of a figure that can only grow: whether the comparison will hold, None where that is open."""
    wanted = operand.value
    if operand.name is not None or isinstance(wanted, bool) or not isinstance(wanted, int | float):
        return None
    if sign in (">=", ">"):
        return True if _COMPARE[sign](got, wanted) else None
    if sign in ("<=", "<"):
        return None if _COMPARE[sign](got, wanted) else False
    return (sign == "!=") if got > wanted else None


def _operand(name: str, text: str) -> Operand:
    text = text.strip()
    if text in _CONSTANTS:
        return Operand(text, _CONSTANTS[text])
    if _NUMBER.fullmatch(text):
        return Operand(text, float(text) if re.search(r"[.eE]", text) else int(text))
    if scaled := _SCALED.fullmatch(text):
        check_name(scaled["name"])
        return Operand(text, name=scaled["name"], factor=float(scaled["factor"]))
    try:
        return Operand(text, parse_bytes(text))
    except ValueError:
        pass
    if "." in text and text.split(".")[0] in ROOTS:
        return Operand(text, name=text)
    if _WORD.fullmatch(text):
        return Operand(text, text)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return Operand(text, text[1:-1])
    raise ValueError(f"{name}: cannot compare with {text!r}; {_FORMS}")


def show_figure(name: str, value: Any, *, met: bool | None = False) -> str:
    """A figure as a person reads it: sizes for names that end in _bytes, otherwise as it is. One that is null was not
    measured, or does not apply: where that was expected (`met`), it is as wanted.
    """
    if value is None:
        return "null" if met else "not measured"
    if name.endswith("_bytes") and isinstance(value, int | float) and not isinstance(value, bool):
        return format_bytes(value)
    if isinstance(value, float):
        return format_number(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def show_wanted(name: str, wanted: str) -> str:
    """What a figure is compared with, in the same units: `<= 4 MiB * phases.a.duration_s` of a name that ends in
    _bytes. A size that would have to be rounded for that stays as it is written.
    """
    return _SIZE.sub(lambda size: _in_units(size[0]), wanted) if name.endswith("_bytes") else wanted


_SIZE = re.compile(r"(?<![\w.:/-])\d+(?:\.\d+)?(?:[KMGT]i?B?|k)?(?![\w.:/-])")
"""A number or a size by itself, and no part of a name."""


def _in_units(size: str) -> str:
    shown = format_bytes(parse_bytes(size))
    return shown if parse_bytes(shown.replace(" ", "")) == parse_bytes(size) >= 1024 else size
