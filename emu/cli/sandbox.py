"""`emu sandbox`: commands in the User-Mode Linux sandbox, its disks and its kernel."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from emu.errors import EXIT_INTERRUPTED, EmuError
from emu.machine import output
from emu.sandbox.uml import disk, fetching, guest, kernels, parts
from emu.sandbox.uml.console import SandboxError
from emu.units import parse_bytes, parse_seconds

_TO_TRY_BYTES = 512 * 2**20
"""The memory of the guest that tries a fetched kernel."""


def _bytes(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    try:
        return parse_bytes(value)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from wrong


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    try:
        return parse_seconds(value)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from wrong


_OPTIONS = (
    click.option(
        "--memory",
        "memory_bytes",
        metavar="SIZE",
        default="3Gi",
        show_default=True,
        callback=_bytes,
        help="The guest's memory.",
    ),
    click.option(
        "--swap",
        "swap_bytes",
        default="2Gi",
        show_default=True,
        callback=_bytes,
        help="The guest's swap; 0 for none.",
    ),
    click.option(
        "--share",
        "shares",
        multiple=True,
        metavar="DIR",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="A directory that the guest can write to, at the same path; repeatable.",
    ),
    click.option(
        "--console-log",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write the guest kernel's console output to this file.",
    ),
    click.option(
        "--boot-deadline",
        "boot_deadline_s",
        metavar="DURATION",
        default="3m",
        show_default=True,
        callback=_seconds,
        help="Give up if the guest is not ready by then.",
    ),
    click.option(
        "--docker/--no-docker",
        default=True,
        show_default=True,
        help="Start a Docker engine, which takes most of the boot.",
    ),
    click.option(
        "--kernel",
        type=click.Choice(kernels.CHOICES),
        default=kernels.AUTO,
        show_default=True,
        help="Which kernel to boot; auto is the fetched one where there is one (emu sandbox kernel).",
    ),
    click.option("--quiet", "-q", is_flag=True, help="Print nothing about the boot."),
)


def _guest_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _say(quiet: bool) -> Callable[[str], None]:
    """Progress on standard error, so that standard output has only the command's output."""
    return (lambda _text: None) if quiet else (lambda text: output.echo(f"emu sandbox: {text}", err=True))


def _run(argv: list[str], *, quiet: bool, interactive: bool = False, **options: Any) -> None:
    try:
        status = guest.run(guest.Guest(say=_say(quiet), **options), argv, interactive=interactive)
    except KeyboardInterrupt:  # while booting; later on the command gets the signal
        status = EXIT_INTERRUPTED
    except SandboxError as wrong:
        output.echo(f"emu: {wrong}", err=True)
        status = guest.EXIT_SANDBOX
    sys.exit(status)


@click.group()
def sandbox() -> None:
    """A Linux kernel with cgroup v2, swap and Docker, for machines that lack them.

    It is User-Mode Linux: a whole kernel that runs as one ordinary process and needs neither a hypervisor nor root.
    The guest sees this machine's files. Writes to the working directory and to every --share go through to this
    machine; all other writes are discarded at the end. Images stay on the sandbox's own disk between runs. The
    sandbox contains accidents; it is not a security boundary: docs/sandbox.md.
    """


@sandbox.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_guest_options
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...], **options: Any) -> None:
    """Boot, run COMMAND, power off; exit with COMMAND's exit status.

    Output is streamed live, with standard output and standard error kept separate. Ctrl-C reaches COMMAND as SIGINT;
    it has a minute to clean up, and a third Ctrl-C kills it at once. The status is 128+n if signal n ended COMMAND,
    127 if there is no such command, 125 if the sandbox itself failed, 2 if a requirement is missing.

    \b
    Examples:
      emu sandbox run -- docker info
      emu sandbox run --memory 4G -- emu run app-oom
      emu sandbox run -- sh -c 'cat /sys/fs/cgroup/cgroup.controllers; free -m'
      emu sandbox run -q -- journalctl -k -o json > kernel.jsonl
      emu sandbox run --share /data -- python3 measure.py /data/out
    """
    _run(list(command), **options)


@sandbox.command()
@_guest_options
def shell(**options: Any) -> None:
    """Boot and open a shell; leaving it powers the sandbox off.

    \b
    Example:
      emu sandbox shell --memory 1Gi
    """
    _run([os.environ.get("SHELL") or "/bin/sh"], interactive=True, **options)


@sandbox.command()
def reset() -> None:
    """Remove the image disks; the next run builds the images again.

    \b
    Example:
      emu sandbox reset
    """
    removed = disk.reset()
    for path in removed:
        output.echo(f"removed {path}")
    if not removed:
        output.echo("there is no image disk to remove")


@sandbox.command("kernel")
@click.option("--fetch", is_flag=True, help="Get the newest that Debian has, and boot it once to see that it works.")
@click.option("--if-none", is_flag=True, help="With --fetch: do nothing where one is here already.")
@click.option("--remove", is_flag=True, help="Remove what was fetched.")
def kernel_(fetch: bool, if_none: bool, remove: bool) -> None:
    """Show which kernel the sandbox boots, or get a newer one.

    The distribution's User-Mode Linux works. A newer one runs processes under seccomp instead of ptrace, which makes
    runs in the sandbox faster. --fetch gets Debian's newest with apt, which checks its signature, and puts it in
    emu's cache together with the C library that it needs. Nothing is installed. sandbox.kernel in a scenario,
    --kernel of the other commands or EMU_SANDBOX_KERNEL chooses between the two: docs/sandbox.md.

    \b
    Examples:
      emu sandbox kernel
      emu sandbox kernel --fetch
      emu run app-oom --set sandbox.kernel=distribution
      EMU_SANDBOX_KERNEL=distribution emu run app-oom
    """
    if remove and fetch:
        raise click.UsageError("--fetch and --remove exclude each other.")
    if remove:
        removed = kernels.remove()
        for path in removed:
            output.echo(f"removed {path}")
        if not removed:
            output.echo("there is no fetched kernel to remove")
        return
    if fetch and not (if_none and kernels.fetched()):
        _fetch_kernel()
    chosen = kernels.choose()
    output.echo(f"fetched: {_fetched_kernel(kernels.fetched())}")
    output.echo(f"distribution: {parts.which('linux.uml') or 'not installed'}")
    output.echo(f"the sandbox boots the {'distribution' if chosen is None else 'fetched'} one")


def _fetched_kernel(kernel: kernels.Kernel | None) -> str:
    if kernel is None:
        return "none" if (why := fetching.obstacle()) is None else f"none ({why})"
    return f"Linux {kernel.release} (user-mode-linux {kernel.version}, {kernel.folder})"


def _fetch_kernel() -> None:
    """Get the newest, boot it, and drop older ones."""
    say = _say(quiet=False)
    fetched = fetching.fetch(say)
    if fetched.release:
        return
    with guest.Guest(memory_bytes=_TO_TRY_BYTES, swap_bytes=0, say=say, docker=False, fetched=fetched) as tried:
        status = tried.run(["true"], stdin=None)
        if status != 0 or tried.facts is None:
            raise EmuError(
                "the fetched kernel does not work here",
                f"a guest booted it, and `true` ended there with status {status}",
                "the sandbox continues with the distribution's; please report it",
            )
    fetched.booted(tried.facts.kernel)
    kernels.remove(keep=fetched)
