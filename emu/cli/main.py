"""The `emu` command: parse, call one function, print. The only place that prints errors and exits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any

import click

from emu import __version__
from emu.errors import EXIT_INTERRUPTED
from emu.machine import output, toplevel
from emu.machine.output import ReaderGone
from emu.messages import APP, QUEUE_PROXY

HELP_OPTIONS = ["-h", "--help"]
_ELSEWHERE = {
    "calibrate": "calibrate",
    "conformance": "conformance",
    "doctor": "doctor",
    "explain": "explain",
    "export": "report",
    "freezer": "freezer",
    "images": "images",
    "init": "explain",
    "journal": "report",
    "pods": "why",
    "record": "run",
    "report": "report",
    "run": "run",
    "sandbox": "sandbox",
    "scenarios": "scenarios",
    "schema": "scenarios",
    "show": "report",
    "why": "why",
}
"""Commands and their modules. Only the called one is imported: importing all takes half a second, and several seconds
in the sandbox.
"""


class _Group(click.Group):
    """A group whose commands are imported when they are needed; their errors are printed, and end `emu` with their
    own status.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, including those not imported yet."""
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported if it has to be."""
        if cmd_name in _ELSEWHERE and cmd_name not in self.commands:
            self.add_command(getattr(import_module(f"emu.cli.{_ELSEWHERE[cmd_name]}"), cmd_name))
        return super().get_command(ctx, cmd_name)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add it, with the same two names of the help option, even if it is called alone."""
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
        sys.exit(toplevel.run(partial(super().main, *args, standalone_mode=False, **options)))


def _all(command: click.Command) -> Iterator[click.Command]:
    yield command
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _all(below)


@click.group(cls=_Group, context_settings={"help_option_names": HELP_OPTIONS, "max_content_width": 110})
@click.version_option(__version__, prog_name="emu")
def main() -> None:
    """Run a Knative or KServe pod, as the kernel sees it, under real memory limits, and explain what happened.

    \b
    Start here:
      emu doctor                check what this machine offers
      emu scenarios             list the built-in scenarios
      emu run                   run the default one: an unlimited queue-proxy and a slow app
      emu show                  show the newest run
      emu journal --oom         show the kernel's OOM reports

    \b
    Tab completion:
      eval "$(_EMU_COMPLETE=bash_source emu)"
    """


@main.command()
def clean() -> None:
    """Remove what killed runs left behind: only containers, volumes, cgroups and guests that emu created."""
    from emu.run.cleaning import clean as sweep

    count = 0
    for thing in sweep(lambda text: output.echo(f"emu: {text}", err=True)):
        count += 1
        output.echo(f"removed {thing.kind} {thing.name}")
    if not count:
        output.echo("nothing to remove")


@main.command(QUEUE_PROXY, hidden=True)
def queue_proxy() -> None:
    """The queue-proxy process, configured by Knative's environment variables."""
    from emu.daemon.queue_proxy.main import main as daemon

    sys.exit(daemon(os.environ))


@main.command(APP, hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def app(words: tuple[str, ...]) -> None:
    """The app process: an HTTP server that does what each request asks for."""
    from emu.daemon.app.main import main as daemon

    sys.exit(daemon(list(words), os.environ))


def all_commands() -> dict[str, click.Command]:
    """Every command by its name, imported."""
    with click.Context(main) as context:
        for name in main.list_commands(context):
            main.get_command(context, name)
    return dict(main.commands)
