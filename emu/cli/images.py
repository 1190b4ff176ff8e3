"""`emu images`: builds, lists and takes in the images that containers run. `emu.cli.main` adds it to its group."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from emu.errors import EmuError
from emu.machine import output
from emu.machine.paths import own_cache_dir
from emu.runtime import archives
from emu.runtime import images as builder

_PLACES = click.Choice(["auto", "host", "sandbox"])


@click.group(invoke_without_command=True)
@click.option("--rebuild", is_flag=True, help="Build them even if they are up to date.")
@click.option("--list", "only_list", is_flag=True, help="Only list what the engine has.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("--on", "place", type=_PLACES, default="auto", help="Which engine's images.")
@click.pass_context
def images(context: click.Context, rebuild: bool, only_list: bool, as_json: bool, place: str) -> None:
    """Build the images that containers run, list what the engine has, or take in an image of your own.

    \b
    Examples:
      emu images
      emu images --list --json
      emu images load my-app.tar
    """
    if context.invoked_subcommand is not None:
        return
    from emu.runtime.docker import Engine

    if _sandbox(place):
        builder.prepare(_say)
        _in_sandbox(
            *(["--rebuild"] if rebuild else []),
            *(["--list"] if only_list else []),
            *(["--json"] if as_json else []),
        )
    engine = Engine()
    engine.connect()
    if not only_list:
        builder.ensure(engine, builder.prepare(_say), _say, rebuild=rebuild)
    found = engine.image_tags()
    if as_json:
        output.echo(output.to_json([{"tag": tag, "bytes": size} for tag, size in found]))
        return
    for tag, size in found:
        output.echo(f"{tag:40} {size / 1e6:8.1f} MB")


@images.command()
@click.argument("archive", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--from-docker", "name", metavar="NAME", help="Take it from the Docker engine of this machine.")
@click.option("--on", "place", type=_PLACES, default="auto", help="Which engine it is for.")
def load(archive: Path | None, name: str | None, place: str) -> None:
    """Put an image of your own where runs take place, so that a scenario can name it (pod.app.image).

    ARCHIVE is what docker save writes. The sandbox has an engine of its own: the archive is kept in the cache for it,
    and loaded again whenever a sandbox lacks it.

    \b
    Examples:
      emu images load my-app.tar
      emu images load --from-docker registry.example.com/my-app:1.2
    """
    if (archive is None) == (name is None):
        raise click.UsageError("name either an archive or, with --from-docker, an image")
    if name is not None:
        _load_from_docker(name, sandbox=_sandbox(place))
        return
    assert archive is not None
    names = archives.names_in(archive)
    if _sandbox(place):
        _give_sandbox(archive, names)
    else:
        _load_here(archive)
    for one in names:
        output.echo(f"loaded {one}")


def _load_from_docker(name: str, *, sandbox: bool) -> None:
    from emu.runtime.docker import Engine

    engine = Engine()
    engine.connect()
    if engine.image_id(name) is None:
        have = ", ".join(tag for tag, _ in engine.image_tags()) or "none"
        raise EmuError(
            f"there is no image {name!r}",
            f"the Docker engine of this machine does not have it (it has: {have})",
            f"have it there first: docker pull {name}",
        )
    if not sandbox:
        output.echo(f"{name} is where runs take place already")
        return
    with tempfile.TemporaryDirectory(prefix=".load-", dir=own_cache_dir()) as folder:
        archive = Path(folder) / "image.tar"
        _say(f"saving the image {name}")
        engine.save_image(archives.full_name(name), archive)
        _give_sandbox(archive, archives.names_in(archive))
    output.echo(f"loaded {name}")


def _give_sandbox(archive: Path, names: dict[str, str]) -> None:
    """Keep it for every sandbox to come, and see now that the engine there takes it."""
    from emu.sandbox.uml import guest

    _say("keeping the image in the cache, for the sandbox")
    archives.keep(archive, names)
    argv = [sys.executable, "-m", "emu", "images", "provide", *names]
    status = guest.run(argv, say=_say, shares=[own_cache_dir()])
    if status != 0:  # it has said why
        archives.forget(names)
        sys.exit(status)


@images.command(hidden=True)
@click.argument("names", nargs=-1)
def provide(names: tuple[str, ...]) -> None:
    """Have this machine's engine load what was kept: the sandbox's part of `emu images load`."""
    from emu.runtime.docker import Engine

    engine = Engine()
    engine.connect()
    archives.provide(engine, names, _say)


def _load_here(archive: Path) -> None:
    from emu.runtime.docker import Engine

    engine = Engine()
    engine.connect()
    engine.load_image(archive)


def _sandbox(place: str) -> bool:
    from emu.doctor.facts import gather_facts
    from emu.doctor.requirements import choose_where

    return choose_where(gather_facts(), None if place == "auto" else place) == "sandbox"


def _in_sandbox(*words: str) -> None:
    from emu.sandbox.uml import guest

    argv = [sys.executable, "-m", "emu", "images", "--on", "host", *words]
    sys.exit(guest.run(argv, say=_say, shares=[own_cache_dir()]))


def _say(text: str) -> None:
    output.echo(text, err=True)
