"""`emu why` and `emu pods`: a run's autoscaler, and its pods at a time. `emu.cli.main` adds them to its group."""

from __future__ import annotations

import click

from emu.cli.report import find_run, refuse_variants, run_argument
from emu.errors import EmuError
from emu.machine import output
from emu.study.model.services import Service
from emu.units import format_seconds, parse_seconds


@click.command()
@run_argument
@click.option("--at", "moment", metavar="TIME", help="Only the decision in force at that time (12.5, 1m30s).")
@click.option("--service", "name", metavar="NAME", help="Only this service, or this revision of one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per decision.")
def why(run: str | None, moment: str | None, name: str | None, as_json: bool) -> None:
    """Explain how many pods RUN had: every decision of its autoscaler, with its inputs. Default: the newest run.

    Times are seconds since the run began.

    \b
    Examples:
      emu why
      emu why --at 12.5
      emu why kserve-concurrency --json | jq 'select(.panicking) | .why'
    """
    from emu.report import why as words
    from emu.study.study import read_study

    found = find_run(run)
    refuse_variants(found, "decisions", "emu why")
    t = None if moment is None else _seconds(moment)
    study = read_study(found)
    for number, service in enumerate(_chosen(study.services, found.path.name, name)):
        if as_json:
            for one in words.as_data(service, t):
                output.echo(output.to_json(one))
            continue
        if number:
            output.echo()
        several = sum(one.name == service.name for one in study.services) > 1
        lines = words.lines_at(service, t, several=several) if t is not None else words.decision_lines(service)
        for line in (words.heading(service, study.time_scale), *lines) if t is None else lines:
            output.echo(line)
    shown = [] if as_json or t is not None else _chosen(study.services, found.path.name, name)
    for service_name in dict.fromkeys(one.name for one in shown):
        moved = [one for one in study.rollouts if one.service == service_name]
        for line in ("", *words.rollout_lines(moved)) if moved else ():
            output.echo(line)
    mine = {pod.pod for one in shown for pod in one.pods}
    preempted = [one for one in study.preemptions if {one.pod, one.detail["by"]} & mine]
    for line in ("", *words.preemption_lines(preempted)) if preempted else ():
        output.echo(line)


@click.command()
@run_argument
@click.option("--at", "moment", metavar="TIME", help="Seconds since the run began.  [default: its end]")
@click.option("--service", "name", metavar="NAME", help="Only this service, or this revision of one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per pod.")
def pods(run: str | None, moment: str | None, name: str | None, as_json: bool) -> None:
    """List the pods of RUN as kubectl would have at a given time. Default: the newest run.

    A run stops its pods at its end; without --at they are listed as they were just before that.

    \b
    Examples:
      emu pods
      emu pods kserve-concurrency --at 12.5
    """
    from emu.report.pods_at import HEADS, rows_at
    from emu.report.words import in_columns, time_scale_words
    from emu.study.study import read_study

    found = find_run(run)
    refuse_variants(found, "pods", "emu pods")
    study = read_study(found)
    if faster := time_scale_words(study.time_scale):
        output.echo(f"emu: {faster}", err=True)
    at = study.duration_s if moment is None else _seconds(moment)
    rows = rows_at(study, at)
    if name is not None:
        mine = {pod.pod for one in _chosen(study.services, found.path.name, name) for pod in one.pods}
        rows = [row for row in rows if row[0] in mine]
    if as_json:
        for row in rows:
            output.echo(output.to_json({head.lower(): cell for head, cell in zip(HEADS, row, strict=True)}))
        return
    for line in in_columns([HEADS, *rows]) if rows else [f"No pod was there at {format_seconds(at)}."]:
        output.echo(line)


def _seconds(text: str) -> float:
    try:
        return parse_seconds(text)
    except ValueError as wrong:
        raise EmuError("--at is no time", str(wrong), "give seconds since the run began: --at 12.5") from None


def _chosen(services: list[Service], run: str, name: str | None) -> list[Service]:
    """The services that `--service` names, or all of them. EmuError where the run has none, or none of that name."""
    if not services:
        raise EmuError(
            f"{run} has no decisions of an autoscaler",
            "its pod was not to be scaled, or the run was recorded before decisions were",
            "give the pod `autoscaling:`, as in scenarios/scale-to-zero.yaml",
        )
    chosen = [one for one in services if name in (None, one.name, one.revision)]
    if not chosen:
        known = ", ".join(one.name for one in services)
        raise EmuError(
            f"{run} has no service {name!r}", f"its services: {known}", "give one of them, or leave it out"
        )
    return chosen
