"""`python -m emu.sandbox.qemu run [OPTION]… -- COMMAND…`: a command in a systemd guest; `build`: its disks."""

from __future__ import annotations

import signal
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from emu.machine import output, toplevel
from emu.sandbox.qemu import image as disks
from emu.sandbox.qemu.guest import PROJECT, Machine, run
from emu.sandbox.qemu.job import Share
from emu.units import parse_bytes, parse_seconds


@click.group()
def main() -> None:
    """A whole Debian with systemd in QEMU, for what the User-Mode Linux sandbox cannot show."""


@main.command("build")
@click.option("--sources", type=click.Path(path_type=Path), help="apt's sources, if not those of this host.")
def build_command(sources: Path | None) -> None:
    """Make the guest's disks, unless they are there already."""
    guest = disks.build_image(_say, sources=sources)
    disks.python_packages(guest, disks.guest_requirements((PROJECT / "pyproject.toml").read_text()), _say)
    output.echo(guest.directory)


@main.command("run", context_settings={"ignore_unknown_options": True})
@click.option("--memory", default="4Gi", show_default=True, help="The guest's memory.")
@click.option("--swap", default="2Gi", show_default=True, help="The guest's swap.")
@click.option("--cpus", default=2, show_default=True, help="The guest's CPUs.")
@click.option("--timeout", help="End the command after this long.")
@click.option("--boot-deadline", default="300s", show_default=True, help="Give up a boot after this long.")
@click.option("--share", "shares", multiple=True, metavar="HOST_DIR[:GUEST_DIR]", help="Mount read-only.")
@click.option("--results", type=click.Path(path_type=Path), help="A directory that is /results, writable.")
@click.option(
    "--images/--no-images",
    "with_images",
    help="Give its Docker the latest build of emu's container images, and what a newer one is built from.",
)
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="Set in the command's environment.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
def run_command(
    memory: str,
    swap: str,
    cpus: int,
    timeout: str | None,
    boot_deadline: str,
    shares: tuple[str, ...],
    results: Path | None,
    with_images: bool,
    variables: tuple[str, ...],
    argv: tuple[str, ...],
) -> None:
    """Run a command in a fresh guest, in a copy of this project, as root; end with its exit status."""
    try:
        machine = Machine(parse_bytes(memory), cpus, parse_bytes(swap), parse_seconds(boot_deadline))
        timeout_s = parse_seconds(timeout) if timeout else None
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from wrong
    outcome = run(
        argv,
        say=_say,
        machine=machine,
        env={name: value for name, _, value in (variable.partition("=") for variable in variables)},
        shares=[Share.parse(share) for share in shares],
        results=results,
        with_images=with_images,
        timeout_s=timeout_s,
    )
    _say(f"ready after {outcome.ready_s:.1f} s, the command took {outcome.job_s:.1f} s")
    sys.exit(outcome.status)


def _say(text: str) -> None:
    output.echo(f"guest: {text}", err=True)


def _stop(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    sys.exit(toplevel.run(partial(main, standalone_mode=False)))
