"""The `emu` command: parse, call one function, print. The only place that prints errors and exits."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from emu import __version__, output, toplevel
from emu.cli_calibrate import calibrate
from emu.cli_conformance import conformance
from emu.cli_freezer import freezer
from emu.cli_report import export, journal, report, show
from emu.cli_run import record, run
from emu.cli_sandbox import doctor, sandbox
from emu.cli_scenarios import scenarios
from emu.errors import EXIT_INTERRUPTED
from emu.output import ReaderGone

HELP_OPTIONS = ["-h", "--help"]


class _Group(click.Group):
    """A group whose commands' errors are printed, and end `emu` with their own status."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add it; asked for help it knows the same two names, also where it is called alone."""
        super().add_command(cmd, name)
        for command in _all(cmd):
            command.context_settings.setdefault("help_option_names", HELP_OPTIONS)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as gone:  # click would end with 1, which means something else here
            raise ReaderGone from gone
        except KeyboardInterrupt:
            output.echo("emu: interrupted", err=True)
            sys.exit(EXIT_INTERRUPTED)

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line and, as a command does (`standalone_mode`), end the process with its exit status."""
        if not options.pop("standalone_mode", True):
            return super().main(*args, standalone_mode=False, **options)  # type: ignore[call-overload]
        sys.exit(toplevel.run(lambda: self._command(*args, **options)))

    def _command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().main(*args, standalone_mode=False, **options)  # type: ignore[call-overload]
        except click.Abort:
            output.echo("emu: interrupted", err=True)
            return EXIT_INTERRUPTED
        except click.ClickException as wrong:
            text = io.StringIO()
            wrong.show(text)
            output.echo(text.getvalue(), err=True, nl=False)
            return wrong.exit_code


def _all(command: click.Command) -> Iterator[click.Command]:
    yield command
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _all(below)


@click.group(cls=_Group, context_settings={"help_option_names": HELP_OPTIONS, "max_content_width": 110})
@click.version_option(__version__, prog_name="emu")
def main() -> None:
    """Runs what a Knative or KServe pod is to the kernel, under real memory limits, and explains what happened.

    \b
    Start here:
      emu doctor                what this machine offers
      emu scenarios             the questions that come with it
      emu run                   the default one: an unlimited queue-proxy and a slow app
      emu show                  the newest run again
      emu journal --oom         what the kernel said of its kills

    \b
    Tab completion:
      eval "$(_EMU_COMPLETE=bash_source emu)"
    """


@main.command()
@click.option("--rebuild", is_flag=True, help="Build them even if they are up to date.")
@click.option("--list", "only_list", is_flag=True, help="Only list what the engine has.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option(
    "--on", "place", type=click.Choice(["auto", "host", "sandbox"]), default="auto", help="Which engine's images."
)
def images(rebuild: bool, only_list: bool, as_json: bool, place: str) -> None:
    """Build the images that containers run, or list what the engine has.

    \b
    Examples:
      emu images
      emu images --list --json
    """
    from emu import images as builder
    from emu.containers import Engine
    from emu.host import gather_facts
    from emu.requirements import choose_where

    def say(text: str) -> None:
        output.echo(text, err=True)

    if choose_where(gather_facts(), None if place == "auto" else place) == "sandbox":
        from emu.paths import cache_dir
        from emu.sandbox import uml

        builder.prepare(say)
        words = [
            *(["--rebuild"] if rebuild else []),
            *(["--list"] if only_list else []),
            *(["--json"] if as_json else []),
        ]
        argv = [sys.executable, "-m", "emu", "images", "--on", "host", *words]
        sys.exit(uml.run(argv, say=say, shares=[cache_dir(), *uml.usual_shares()]))
    engine = Engine()
    engine.connect()
    if not only_list:
        builder.ensure(engine, builder.prepare(say), say, rebuild=rebuild)
    found = engine.image_tags()
    if as_json:
        output.echo(output.to_json([{"tag": tag, "bytes": size} for tag, size in found]))
        return
    for tag, size in found:
        output.echo(f"{tag:40} {size / 1e6:8.1f} MB")


@main.command()
def clean() -> None:
    """Remove what killed runs left behind: containers, volumes, cgroups and guests of ours, and nothing else."""
    from emu.cleaning import clean as sweep

    count = 0
    for thing in sweep(lambda text: output.echo(f"emu: {text}", err=True)):
        count += 1
        output.echo(f"removed {thing.kind} {thing.name}")
    if not count:
        output.echo("nothing was left behind")


@main.command("queue-proxy", hidden=True)
def queue_proxy() -> None:
    """The queue-proxy process, configured by Knative's environment variables."""
    from emu.daemon.queue_proxy import main as daemon

    sys.exit(daemon(os.environ))


@main.command("app", hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def app(words: tuple[str, ...]) -> None:
    """The app process: an HTTP server whose requests do what they ask."""
    from emu.daemon.app import main as daemon

    sys.exit(daemon(list(words), os.environ))


for command in (
    doctor,
    scenarios,
    run,
    calibrate,
    record,
    show,
    report,
    journal,
    export,
    sandbox,
    conformance,
    freezer,
):
    main.add_command(command)
