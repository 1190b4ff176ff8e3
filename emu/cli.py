"""The `emu` command: parse, call one function, print. The only place that prints errors and exits."""

from __future__ import annotations

import sys

import click

from emu.cli_sandbox import sandbox
from emu.errors import EmuError


class _Group(click.Group):
    """A group whose commands' EmuErrors are printed, and end `emu` with their own status."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except EmuError as wrong:
            click.echo(f"emu: {wrong}", err=True)
            sys.exit(wrong.exit_status)


@click.group(cls=_Group)
def main() -> None:
    """Runs what a Knative or KServe pod is to the kernel, and explains what happened."""


main.add_command(sandbox)
