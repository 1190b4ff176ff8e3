"""`emu doctor`: what this machine offers, what is missing, and what each place of a run has."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from emu.errors import EXIT_BAD_INPUT, EXIT_OK
from emu.machine import output

if TYPE_CHECKING:
    from emu.doctor.places import Place
    from emu.doctor.requirements import Requirement


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def doctor(as_json: bool) -> None:
    """Report what this machine offers, why it matters, and how to get what is missing; then what a run has on this
    host, in the sandbox and in the virtual machine (emu run --on).

    Exits 0 if a run can take place somewhere (on this host or in the sandbox), 2 if nowhere.

    \b
    Examples:
      emu doctor
      emu doctor --json | jq -r '.requirements[] | select(.status != "ok") | .fix'
    """
    from emu.doctor.facts import gather_facts
    from emu.doctor.places import places
    from emu.doctor.requirements import possible_place, requirements

    facts = gather_facts()
    rows, place = requirements(facts), possible_place(facts)
    without = possible_place(facts, docker=False)
    if as_json:
        document = {
            "where": place,
            "where_without_docker": without,
            "places": [asdict(one) for one in places(facts)],
            "facts": facts.to_json(),
            "requirements": [asdict(row) for row in rows],
        }
        output.echo(output.to_json(document, indent=2))
    else:
        _print_requirements(rows, place, without)
        _print_places(places(facts))
    sys.exit(EXIT_OK if place or without else EXIT_BAD_INPUT)


def _print_requirements(rows: list[Requirement], place: str | None, without: str | None) -> None:
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "degraded": "yellow", "missing": "red"}
    table = Table("", "what", "found", "why it matters", box=None, pad_edge=False)
    for row in rows:
        table.add_row(Text(row.status, style=colours[row.status]), row.name, Text(row.found), Text(row.why))
    console = output.console()
    console.print(table)
    todo = [row for row in rows if row.fix]
    if todo:
        console.print("\nHow to get the rest:")
    for row in todo:
        console.print(Text(f"  {row.name}: {row.fix}"), soft_wrap=True)
    verdict = {
        "host": "Runs take place on this host.",
        "sandbox": "Runs take place in the User-Mode Linux sandbox, because this host lacks something.",
    }
    console.print("\n" + verdict.get(place or "", "No run can take place here yet."), soft_wrap=True)
    if without is not None and without != place:
        there = "on this host" if without == "host" else "in the sandbox"
        console.print(f"With pod.runtime: process, which needs no Docker, they take place {there}.")


def _print_places(table: list[Place]) -> None:
    from rich.table import Table
    from rich.text import Text

    from emu.doctor.places import headings, rows

    shown = Table(*headings(table), box=None, pad_edge=False)
    for row in rows(table):
        shown.add_row(*map(Text, row))
    console = output.console()
    console.print("\nWhat each place offers:")
    console.print(shown)
