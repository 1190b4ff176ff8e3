"""`emu calibrate`: the memory use of any queue-proxy, as a profile for scenarios."""

from __future__ import annotations

import io
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from emu.errors import EmuError
from emu.files import outfile
from emu.machine import output
from emu.messages import QUEUE_PROXY
from emu.run.machine import where


@click.group()
def calibrate() -> None:
    """Measure a real queue-proxy's memory use."""


@calibrate.command(QUEUE_PROXY, context_settings={"ignore_unknown_options": True})
@click.argument("argv", metavar="[COMMAND]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--image", "tag", help="Run this image of the engine; COMMAND, if given, is then its command.")
@click.option("--name", default="mine", show_default=True, help="The profile's name.")
@click.option(
    "--source", help="A description of what was measured.  [default: the command or image, and this machine]"
)
@click.option(
    "--counts", default="100,1000,5000", show_default=True, metavar="N,N…", help="The numbers of requests to hold."
)
@click.option("--settle", default=4.0, show_default=True, help="Seconds before each reading.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file to write.  [default: NAME.yaml in the current folder]"
)
def queue_proxy(
    argv: tuple[str, ...],
    tag: str | None,
    name: str,
    source: str | None,
    counts: str,
    settle: float,
    out: Path | None,
) -> None:
    """Hold requests in a queue-proxy, measure its memory use, and write a footprint profile.

    emu starts it again for each number of requests, with the environment that Knative's controller sets, on port
    8012.

    \b
    Examples:
      emu calibrate queue-proxy -- ./queue
      emu calibrate queue-proxy --image my/queue:v1.23 --name knative-1.23-ours
      emu run queue-proxy-oom --set pod.queueProxy.footprint=./mine.yaml
    """
    from emu.run import calibrate as measure

    if not argv and tag is None:
        raise click.UsageError("give a COMMAND after --, or --image")
    try:
        numbers = sorted({int(text) for text in counts.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise click.UsageError(f"--counts {counts!r}: give numbers of requests, as in 100,1000")
    start: Any = partial(measure.command, argv) if tag is None else partial(measure.image, tag, argv or None)
    description = (
        source or f"{tag or shlex.join(argv)} {shlex.join(argv) if tag else ''}".strip() + f", measured on {where()}"
    )
    found = measure.calibrate(name, description, start, numbers, settle, lambda words: output.echo(words, err=True))
    path = out or Path(f"{name}.yaml")
    yaml = YAML()
    yaml.default_flow_style = False
    text = io.StringIO()
    yaml.dump(found.to_data(), text)
    try:
        outfile.write(path, "# Measured by `emu calibrate queue-proxy`.\n" + text.getvalue())
    except OSError as error:
        output.echo(text.getvalue(), nl=False)  # it took minutes to measure
        raise EmuError(
            f"cannot write {path}",
            error.strerror or str(error),
            "save the printed text, or name another --out",
        ) from error
    output.echo(path)
