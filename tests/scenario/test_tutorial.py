"""docs/tutorial.md, played by a newcomer who types every command in it and compares what is printed."""

from __future__ import annotations

import re

import pytest

from tests.scenario.tutorial import Tutorial

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="process")]

_NUMBER = r"\d[\d.,]*"
_VARIES = re.compile(rf"…|{_NUMBER} (?:[KMG]iB|B)\b|{_NUMBER} (?:us|ms|s)\b|{_NUMBER}")
"""What differs from run to run: what was left out, sizes, times, numbers."""
_FIXED = re.compile(r"limit of [\d.]+ MiB|of [\d.]+ MiB|^\d$|exit code \d+|>= 1|== 0|answered \d+ by|answered 200")
"""What does not, though it has numbers: limits, exit statuses, what was expected, how requests were answered."""


def shape(line: str) -> re.Pattern[str]:
    """A line as a pattern: numbers may differ, and `…` stands for anything; but what is fixed is fixed."""
    line = " ".join(line.split())
    fixed = [found.span() for found in _FIXED.finditer(line)]
    pattern, at = "", 0
    for found in _VARIES.finditer(line):
        pattern += re.escape(line[at : found.start()])
        at = found.end()
        if any(begin <= found.start() < end for begin, end in fixed):
            pattern += re.escape(found[0])
        elif found[0] == "…":
            pattern += ".*"
        else:
            pattern += _NUMBER + next(
                (
                    f" (?:{'|'.join(units)})"
                    for units in (("[KMG]iB", "B"), ("us", "ms", "s"))
                    if re.search(f" (?:{'|'.join(units)})$", found[0])
                ),
                "",
            )
    return re.compile(pattern + re.escape(line[at:]))


def not_printed(shown: list[str], printed: str) -> list[str]:
    """The lines that were not printed, or not in this order."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    return [line for line in shown if not any(shape(line).fullmatch(one) for one in lines)]


def test_the_tutorial_is_true(tutorial: Tutorial) -> None:
    """Each command that it gives runs as it says, in its order, and prints the lines that it shows."""
    assert tutorial.install.startswith("make install\n")  # whoever runs this test has done it
    assert len(tutorial.played) >= 8
    for step, printed in tutorial.played:
        assert step.shown, step.commands
        assert not_printed(step.shown, printed) == [], f"{step.commands}\n{printed}"
