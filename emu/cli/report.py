"""`emu show`, `journal`, `report` and `export`: results of a finished run. `emu.cli.main` adds them to its group."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from emu.errors import EmuError
from emu.files import outfile
from emu.machine import output
from emu.machine.paths import runs_dir
from emu.record.rundir import RunDir
from emu.scenario.problems import shown


def _is_run(path: Path) -> bool:
    run = RunDir(path)
    try:
        return path.is_dir() and (run.begun() or run.samples.exists() or run.summary.exists())
    except (OSError, ValueError):  # no file can have such a name
        return False


def known_runs() -> list[Path]:
    """The run directories in ./runs, the newest last (their names begin with the UTC time)."""
    try:
        return sorted((path for path in runs_dir().iterdir() if _is_run(path)), key=lambda path: path.name)
    except OSError:
        return []


def find_run(name: str | None) -> RunDir:
    """The run with this name: a directory, or a unique part of a name in ./runs; None is the newest.

    EmuError, with similar names, if it matches none or several.
    """
    if name is not None and _is_run(Path(name)):
        return RunDir(Path(name))
    runs = known_runs()
    if name is None:
        if not runs:
            raise EmuError(
                "there is no run to show", f"{runs_dir()} has none", "create one with emu run, or name a directory"
            )
        return RunDir(runs[-1])
    exact = [path for path in runs if path.name == name]
    matching = exact or [path for path in runs if name in path.name]
    if len(matching) == 1:
        return RunDir(matching[0])
    if matching:
        raise EmuError(
            f"{shown(name)} matches {len(matching)} runs",
            f"these names in ./runs contain it: {_some(matching)}",
            "give more of the name, or the directory",
        )
    near = difflib.get_close_matches(name, [path.name for path in runs], n=3, cutoff=0.4)
    if os.path.isdir(name) and not os.access(name, os.R_OK | os.X_OK):  # noqa: PTH112  a name of any length
        raise EmuError(
            f"the run {shown(name)} cannot be read",
            "this user has no access to its directory",
            "ask as whoever ran it",
        )
    if "\0" not in name and os.path.lexists(name):
        why = "it exists, but is not a run directory: no events.jsonl, samples.raw.zst or summary.json"
    else:
        nearest = ", ".join(near) or _some(runs[::-1])
        why = f"there is no such directory, and no name in ./runs contains it; similar: {nearest}"
    raise EmuError(
        f"there is no run {shown(name)}", why, "`ls runs` lists the runs; without a name emu takes the newest"
    )


def _some(paths: list[Path]) -> str:
    names = [path.name for path in paths[:5]]
    return ", ".join(names) + (" …" if len(paths) > 5 else "") if names else "none"


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names in ./runs, the newest first; directories complete as files do."""
    names = [path.name for path in reversed(known_runs()) if incomplete in path.name]
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="dir")]


run_argument = click.argument("run", required=False, shell_complete=_complete)


@click.command()
@run_argument
@click.option(
    "--json", "as_json", is_flag=True, help="Print summary.json on standard output, and nothing else there."
)
def show(run: str | None, as_json: bool) -> None:
    """Show what happened in RUN, and why. RUN is a directory, or part of a name in ./runs; default: the newest.

    \b
    Examples:
      emu show
      emu show queue-proxy-oom --json | jq .verdict.headline
    """
    from emu.report.finish import look, render

    chosen = find_run(run)
    report = look(chosen)
    if as_json:
        output.echo(output.to_json(report.summary, indent=2))
        return
    console = output.console()
    render(report, console)
    if chosen.report.exists():
        console.print(f"\nreport: {chosen.report}", soft_wrap=True)
    else:
        console.print(f"\nno report yet: emu report {chosen.path}", soft_wrap=True)


def refuse_variants(run: RunDir, what: str, command: str) -> None:
    """EmuError for a run with variants, each of which has its own."""
    if run.has_variants():
        first = next(iter(sorted(run.variants.iterdir())), run.variants / "NAME")
        why = "each of its variants was played separately, on its own clock"
        raise EmuError(f"{run.path.name} has no {what} of its own", why, f"name one of them: {command} {first}")


@click.command()
@run_argument
@click.option("--oom", "selection", flag_value="oom", help="Only the kernel's OOM reports.")
@click.option("--kernel", "selection", flag_value="kernel", help="All kernel lines.")
@click.option(
    "--all",
    "selection",
    flag_value="all",
    help="Everything except requests, including Docker's events and container output.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def journal(run: str | None, selection: str | None, as_json: bool) -> None:
    """Print a chronological log of RUN, including kernel messages. Default: the newest run.

    Times are seconds since the run began; the kernel's timestamps are converted to that clock.

    \b
    Examples:
      emu journal
      emu journal --oom
      emu journal queue-proxy-oom --kernel --json | jq -r .text
    """
    from emu.report.journal import entries
    from emu.study.study import read_study

    found = find_run(run)
    refuse_variants(found, "journal", "emu journal")
    study = read_study(found)
    chosen = entries(study, selection or "notable")  # type: ignore[arg-type]
    before = None
    for entry in chosen:
        if selection == "oom" and not as_json and before is not None and "invoked oom-killer" in entry.text:
            output.echo()
        output.echo(entry.to_json() if as_json else entry.to_text())
        before = entry
    if not chosen and not as_json:
        what = {"oom": "no OOM report", "kernel": "no line"}.get(selection or "", "nothing")
        output.echo(f"the recorded kernel log has {what}", err=True)


@click.command()
@run_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the page.  [default: RUN/report.html]",
)
def report(run: str | None, out: Path | None) -> None:
    """Regenerate summary.json and report.html of RUN from its record. Default: the newest run.

    \b
    Examples:
      emu report
      emu report /tmp/copied-run --out page.html
    """
    from emu.report.finish import finish

    chosen = find_run(run)
    try:
        finish(chosen, out)
    except OSError as error:
        raise EmuError(
            f"cannot write {error.filename}",
            error.strerror or str(error),
            "use --out to name a file that you can write",
        ) from error
    output.echo(out or chosen.report)


@click.command()
@run_argument
@click.option(
    "--to",
    "form",
    type=click.Choice(["kperf-csv", "kperf-json"]),
    required=True,
    help="Which tables, in which format.",
)
@click.option(
    "--of",
    "table",
    type=click.Choice(["creation", "scaling"]),
    default="creation",
    show_default=True,
    help="creation: stages from the pod's creation to ready (kperf service measure); scaling: how long requests "
    "waited for their first byte (kperf service scale).",
)
@click.option("--service", help="Of one service alone.  [default: a row for each]")
@click.option("--pod", help="Of one pod alone, by its name in `emu show`.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write it.  [default: standard output]"
)
def export(run: str | None, form: str, table: str, service: str | None, pod: str | None, out: Path | None) -> None:
    """Export RUN in another tool's format. Default: the newest run.

    The columns and names are kperf's, with fractions of a second where kperf has whole seconds. A stage without a
    counterpart here is empty (null in JSON), never 0.

    \b
    Examples:
      emu export --to kperf-csv
      emu export queue-proxy-oom --to kperf-json --of scaling --out ksvc_scaling_time.json
      emu export neighbours --to kperf-csv --of scaling --pod bystander
    """
    from emu.report import kperf
    from emu.report.kperf_rows import Whose
    from emu.report.words import time_scale_words
    from emu.study.study import read_study

    if service is not None and pod is not None:
        raise EmuError("--service and --pod exclude each other", "a pod is of one service", "leave out --service")

    makers = {
        ("creation", "kperf-csv"): kperf.creation_csv,
        ("creation", "kperf-json"): kperf.creation_json,
        ("scaling", "kperf-csv"): kperf.scaling_csv,
        ("scaling", "kperf-json"): kperf.scaling_json,
    }
    found = find_run(run)
    refuse_variants(found, "tables", f"emu export --to {form} --of {table}")
    study = read_study(found)
    if faster := time_scale_words(study.time_scale):
        output.echo(f"emu: {faster}", err=True)
    text = makers[(table, form)](study, Whose(service, pod))
    if out is None:
        output.echo(text, nl=False)
        return
    try:
        outfile.write(out, text)
    except OSError as error:
        raise EmuError(
            f"cannot write {out}", error.strerror or str(error), "use --out to name a file that you can write"
        ) from error
