"""`python -m emu.conformance.decisions FILE…`: decision cases of the real code against emu's policies."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from emu.conformance.decision_cases import DecisionCase, Family, load
from emu.conformance.families import Play, played
from emu.errors import EXIT_BAD_INPUT, EXIT_OK, EXIT_UNMET, EmuError, SeveralErrors
from emu.machine import output, toplevel


@dataclass
class Verdict:
    """What became of a file's cases."""

    passed: int = 0
    failed: int = 0
    unplayable: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """What the program ends with."""
        if self.unplayable:
            return EXIT_BAD_INPUT
        return EXIT_UNMET if self.failed else EXIT_OK

    def add(self, name: str, family: Family, play: Play | None) -> None:
        """Play a family's cases."""
        self.unplayable += len(family.faults)
        self.lines += [f"BAD     {fault}" for fault in family.faults]
        count = len(family.cases) + len(family.faults)
        if play is None:
            self.failed += len(family.cases)
            self.lines.append(f"{name}: 0 of {count} passed: emu has no player for this family")
            return
        passed = sum(self._passes(case, play) for case in family.cases)
        self.passed += passed
        self.lines.append(f"{name}: {passed} of {count} passed")

    def _passes(self, case: DecisionCase, play: Play) -> bool:
        try:
            got = play(case.given)
            if case.met_by(got):
                return True
            shown = _text(case.wanted), _text(got)
        except Exception as error:  # whatever an `in` of another form leads to
            self.unplayable += 1
            self.lines.append(f"BAD     {case.id} ({case.family}): its `in` cannot be played: {_in_short(error)}")
            return False
        self.failed += 1
        self.lines += [
            f"FAILED  {case.id} ({case.family}; {case.source})",
            f"        expected {shown[0]}",
            f"        got      {shown[1]}",
        ]
        return False


def _text(value: Any) -> str:
    return output.to_json(value)


def _in_short(error: Exception) -> str:
    said = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def play(path: Path) -> Verdict:
    """Play a file. EmuError where it is no file of cases."""
    players = played()
    verdict = Verdict()
    for name, family in load(path).items():
        verdict.add(name, family, players.get(name))
    return verdict


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@output.to_a_reader()
def main(files: tuple[Path, ...]) -> int:
    """Play decision cases: JSON files with what goes into a decision of Knative, KServe or Kubernetes, and what their
    code made of it. Prints each case that fails, and a count for each family.

    The exit status is 1 if a case failed or emu has no player for its family, 2 if a file or a case is malformed;
    all others are played even so.
    """
    verdicts: list[Verdict] = []
    errors: list[EmuError] = []
    for path in files:
        try:
            verdict = play(path)
        except EmuError as error:
            errors.append(error)
            continue
        verdicts.append(verdict)
        for line in verdict.lines:
            output.echo(line)
    passed, failed, unplayable = (
        sum(getattr(one, name) for one in verdicts) for name in ("passed", "failed", "unplayable")
    )
    bad = f", {unplayable} malformed" if unplayable else ""
    if verdicts:
        output.echo(f"{passed} of {passed + failed + unplayable} passed, {failed} failed{bad}")
    if errors:
        raise errors[0] if len(errors) == 1 else SeveralErrors(errors)
    return max(one.status for one in verdicts)


if __name__ == "__main__":
    sys.exit(toplevel.run(lambda: main(standalone_mode=False)))
