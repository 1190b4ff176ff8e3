"""`emu conformance`: wire cases against our queue-proxy or any other. `emu.cli` adds it to its group."""

from __future__ import annotations

import sys

import click

from emu import output


@click.command()
@click.option("--target", metavar="URL", help="A queue-proxy that runs already, such as http://127.0.0.1:8012.")
@click.option(
    "--app-port", default=8080, show_default=True, help="The port that the target forwards to; we listen there."
)
@click.option(
    "--setting",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable that the target was started with; cases that need just these are played.",
)
@click.option("--only", metavar="TEXT", help="Only cases whose name contains this.")
@click.option("--list", "only_list", is_flag=True, help="List the cases, and play none.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per case on standard output.")
def conformance(
    target: str | None, app_port: int, settings: tuple[str, ...], only: str | None, only_list: bool, as_json: bool
) -> None:
    """Play wire cases against queue-proxy: bytes in, what must come out, what the app must have seen.

    Without --target our own is started, with the settings that each case needs. With it, a scripted app listens on
    --app-port in its place, and cases that need other settings are skipped. The exit status is 1 if any failed.

    \b
    Examples:
      emu conformance
      emu conformance --only chunk
      emu conformance --target http://127.0.0.1:8012 --app-port 8080
      emu conformance --target http://127.0.0.1:8012 --setting CONTAINER_CONCURRENCY=1
    """
    from emu.conformance.case import Case
    from emu.conformance.cases import CASES
    from emu.conformance.play import Result
    from emu.conformance.suite import against_ours, against_target

    cases = [case for case in CASES if only is None or only in case.name]
    if only_list:
        for case in cases:
            needs = "".join(f" [{name}={value}]" for name, value in case.settings.items())
            output.echo(f"{case.name:24} {case.about}{needs}")
        return
    skipped: list[Case] = []

    def tell(result: Result) -> None:
        case = result.case
        if as_json:
            line = {
                "case": case.name,
                "passed": not result.faults,
                "faults": result.faults,
                "seconds": round(result.seconds, 3),
            }
            output.echo(output.to_json(line))
        elif result.faults:
            output.echo(f"FAILED  {case.name}: {case.about}")
            for fault in result.faults:
                output.echo(f"          {fault}")
            if case.why_ours and target is not None:
                output.echo(f"          (known: the real one {case.why_ours})")

    if target is None:
        results = against_ours(cases, tell)
    else:
        given = dict(setting.partition("=")[::2] for setting in settings)
        results = against_target(cases, target, app_port, given, tell, skipped.append)
    failed = sum(bool(result.faults) for result in results)
    for case in skipped:
        needs = ", ".join(f"{name}={value}" for name, value in case.settings.items()) or "no settings"
        output.echo(f"skipped {case.name}: it needs {needs}", err=True)
    output.echo(f"{len(results) - failed} of {len(results)} passed, {len(skipped)} skipped", err=as_json)
    if failed:
        sys.exit(1)
