"""`emu conformance`: wire cases against emu's queue-proxy or any other. `emu.cli.main` adds it to its group."""

from __future__ import annotations

import json
import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import click

from emu.machine import output

if TYPE_CHECKING:
    from emu.conformance import suite
    from emu.conformance.case import Case
    from emu.conformance.strings import Wire


@click.command()
@click.option("--target", metavar="URL", help="A running queue-proxy, such as http://127.0.0.1:8012.")
@click.option(
    "--program",
    metavar="PATH",
    help="Another queue-proxy's program: emu starts it with the settings that each case needs, on ports 8012, "
    "8022 and 9090.",
)
@click.option(
    "--app-port", default=8080, show_default=True, help="The port that the target forwards to; emu listens there."
)
@click.option(
    "--setting",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable with which the target was started; emu plays the cases that need exactly these.",
)
@click.option("--tls-port", type=int, help="The target's port for TLS; without it cases over TLS are skipped.")
@click.option("--only", metavar="TEXT", help="Only cases whose name contains this.")
@click.option("--list", "only_list", is_flag=True, help="List the cases without playing them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per case on standard output.")
def conformance(
    target: str | None,
    program: str | None,
    app_port: int,
    settings: tuple[str, ...],
    tls_port: int | None,
    only: str | None,
    only_list: bool,
    as_json: bool,
) -> None:
    """Play wire cases against a queue-proxy: the bytes to send, the expected answer, and what the app must receive.

    Without --target and --program emu starts its own queue-proxy with the settings that each case needs. With
    --target, a scripted app listens on --app-port, and cases that need other settings are skipped; --program plays
    all. --list shows for each group of cases the settings it needs, and the source of its expectations: observed on
    Knative's own queue-proxy, read in its sources, or chosen. The exit status is 1 if any case failed, except those
    in which the real one is known to differ.

    \b
    Examples:
      emu conformance
      emu conformance --only chunk
      emu conformance --target http://127.0.0.1:8012 --app-port 8080
      emu conformance --target http://127.0.0.1:8012 --setting CONTAINER_CONCURRENCY=1
      emu conformance --target http://127.0.0.1:8012 --tls-port 8112
      emu conformance --program ./queue
    """
    from emu.conformance import strings, suite
    from emu.conformance.cases import CASES

    cases = [case for case in CASES if only is None or only in case.name]
    wires = [wire for sheet in strings.sheets() for wire in sheet.wires]
    wires = [wire for wire in wires if only is None or only in f"{wire.topic}/{wire.name}"]
    if only_list:
        _list(cases, wires)
        return
    if target is not None and program is not None:
        raise click.UsageError(
            "--target and --program exclude each other: one is a running queue-proxy, the other a program to start"
        )
    foreign = target is not None or program is not None
    show = partial(_show, foreign=foreign, as_json=as_json)
    skipped: list[Case] = []
    if program is not None:
        skipped = [case for case in cases if case.read_only]
        results = suite.against_program([case for case in cases if not case.read_only], wires, program, show)
    elif target is not None:
        given = dict(setting.partition("=")[::2] for setting in settings)
        results = suite.against_target(cases, wires, target, app_port, given, show, skipped.append, tls_port)
    else:
        results = suite.against_ours(cases, wires, show)
    if _conclude(results, skipped, foreign=foreign, as_json=as_json):
        sys.exit(1)


def _show(result: suite.PLAYED, *, foreign: bool, as_json: bool) -> None:
    """One that was played: each as a line of JSON, or those that failed."""
    known = _known(result) if foreign else ""
    if as_json:
        line = {
            "case": result.name,
            "passed": not result.faults,
            "faults": result.faults,
            "known": known,
            "seconds": round(result.seconds, 3),
        }
        output.echo(output.to_json(line))
    elif result.faults and known:
        output.echo(f"known   {result.name}: the real one {known}")
    elif result.faults:
        output.echo(f"FAILED  {result.name}: {result.about}")
        for fault in result.faults:
            output.echo(f"          {fault}")


def _conclude(results: list[suite.PLAYED], skipped: list[Case], *, foreign: bool, as_json: bool) -> int:
    """Print what was skipped, and the counts; return how many failed."""
    faulty = [result for result in results if result.faults]
    failed = sum(not (foreign and _known(result)) for result in faulty)
    for case in skipped:
        needs = ", ".join(f"{name}={value}" for name, value in case.settings.items()) or "no settings"
        output.echo(f"skipped {case.name}: {case.read_only or f'it needs {needs}'}", err=True)
    passed, expected = len(results) - len(faulty), len(faulty) - failed
    also = f", {expected} differ as known" if expected else ""
    output.echo(f"{passed} of {len(results)} passed{also}, {failed} failed, {len(skipped)} skipped", err=as_json)
    return failed


def _known(result: suite.PLAYED) -> str:
    """What the real one is known to do instead; empty where it is as expected."""
    from emu.conformance.play import Result

    return result.case.why_ours if isinstance(result, Result) else ""


def _list(cases: list[Case], wires: list[Wire]) -> None:
    from emu.conformance import suite
    from emu.conformance.case import SEEN_ON, Known

    output.echo(f"Seen on {SEEN_ON}.")
    for settings, group in suite.groups(cases).items():
        needs = " ".join(f"{name}={value}" for name, value in json.loads(settings).items())
        output.echo(f"\n{needs or 'No settings'}")
        for case in group:
            known = "" if case.known is Known.SEEN else f" ({case.known.value}: {case.why_ours or case.read_only})"
            output.echo(f"  {case.name:24} {case.about}{known}")
    counts = Counter(wire.topic for wire in wires)
    output.echo(f"\n{len(wires)} strings: " + ", ".join(f"{topic} {count}" for topic, count in counts.items()))
