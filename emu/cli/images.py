"""`emu images`: builds, lists and loads the images that containers run. `emu.cli.main` adds it to its group."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from emu.errors import EmuError
from emu.machine import output
from emu.machine.paths import own_cache_dir
from emu.machine.unfinished import unfinished
from emu.policy.image_names import familiar
from emu.runtime import archives
from emu.runtime import images as builder

_VM = "vm"
_PLACES = click.Choice(["auto", "host", "sandbox"])


@click.group(invoke_without_command=True)
@click.option("--rebuild", is_flag=True, help="Build them even if they are up to date.")
@click.option("--list", "only_list", is_flag=True, help="Only list the engine's images.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option(
    "--on",
    "place",
    type=click.Choice([*_PLACES.choices, _VM]),
    default="auto",
    help="Which engine to use; of the virtual machine only --list, of the images that are kept for it.",
)
@click.pass_context
def images(context: click.Context, rebuild: bool, only_list: bool, as_json: bool, place: str) -> None:
    """Build the images that containers run, list the engine's images, or load your own image.

    \b
    Examples:
      emu images
      emu images --list --json
      emu images load my-app.tar
    """
    if context.invoked_subcommand is not None:
        return
    if place == _VM:
        _list_for_vm(only_list=only_list, as_json=as_json)
        return
    from emu.runtime.docker import Engine

    if _sandbox(place):
        if not only_list:
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
    _list(engine.image_tags(), as_json=as_json)


def _list(found: Sequence[tuple[str, int]], *, as_json: bool) -> None:
    if as_json:
        output.echo(output.to_json([{"tag": tag, "bytes": size} for tag, size in found]))
        return
    for tag, size in found:
        output.echo(f"{tag:40} {size / 1e6:8.1f} MB")


def _list_for_vm(*, only_list: bool, as_json: bool) -> None:
    """Its engine runs only during a run, so it cannot be asked; what is kept for it is known without it."""
    if not only_list:
        raise EmuError(
            "emu images builds nothing for the virtual machine",
            "it builds emu's own images itself before its first run with Docker, and keeps them on a disk of its own",
            "start a run: emu run SCENARIO --on vm; `emu images --list --on vm` lists your own that are kept for it",
        )
    found = archives.kept()
    if not found:
        _say("no image of your own is kept for the virtual machine; `emu images load --on vm FILE.tar` keeps one")
    _list(found, as_json=as_json)


@images.command()
@click.argument("archive", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--from-docker", "name", metavar="NAME", help="Take it from this machine's Docker engine.")
@click.option(
    "--on",
    "place",
    type=click.Choice([*_PLACES.choices, _VM]),
    default="auto",
    help="Which engine to load it into; vm keeps it for the next run with --on vm.",
)
def load(archive: Path | None, name: str | None, place: str) -> None:
    """Load your own image where runs take place: a scenario can name it (pod.app.image), and a manifest that does has
    it run.

    ARCHIVE is a file written by docker save. The sandbox and the virtual machine have engines of their own: emu keeps
    the archive in the cache, for both, and loads it again whenever one of them lacks it.

    \b
    Examples:
      emu images load my-app.tar
      emu images load --from-docker registry.example.com/my-app:1.2
    """
    if (archive is None) == (name is None):
        raise click.UsageError("name either an archive or, with --from-docker, an image")
    if name is not None:
        _load_from_docker(name, place)
        return
    assert archive is not None
    names = archives.names_in(archive)
    if place == _VM:
        _keep_for_vm(archive, names)
    elif _sandbox(place):
        _give_sandbox(archive, names)
    else:
        _load_here(archive)
    for one in names:
        output.echo(f"loaded {one}")


def _load_from_docker(name: str, place: str) -> None:
    from emu.runtime.docker import Engine

    engine = Engine()
    engine.connect()
    if engine.image_id(name) is None:
        have = ", ".join(tag for tag, _ in engine.image_tags()) or "none"
        raise EmuError(
            f"there is no image {name!r}",
            f"the Docker engine of this machine does not have it (it has: {have})",
            f"pull it first: docker pull {name}",
        )
    if place != _VM and not _sandbox(place):
        output.echo(f"{name} is already available where runs take place")
        return
    with unfinished(own_cache_dir()) as folder:
        archive = folder / "image.tar"
        _say(f"saving the image {name}")
        engine.save_image(familiar(name), archive)
        (_keep_for_vm if place == _VM else _give_sandbox)(archive, archives.names_in(archive))
    output.echo(f"loaded {name}")


def _give_sandbox(archive: Path, names: dict[str, str]) -> None:
    """Keep it for every later sandbox, and check now that the engine there loads it."""
    from emu.sandbox.uml import guest

    _say("keeping the image in the cache, for the sandbox")
    archives.keep(archive, names)
    argv = [sys.executable, "-m", "emu", "images", "provide", *names]
    status = guest.run(guest.Guest(say=_say, shares=[own_cache_dir()]), argv)
    if status != 0:  # it has said why
        archives.forget(names)
        sys.exit(status)


def _keep_for_vm(archive: Path, names: dict[str, str]) -> None:
    """The engine there comes and goes with each run, and a boot takes minutes: it is loaded when a run names it."""
    own_cache_dir()
    _say("keeping the image in the cache; a run with --on vm that names it loads it")
    archives.keep(archive, names)


@images.command(hidden=True)
@click.argument("names", nargs=-1)
def provide(names: tuple[str, ...]) -> None:
    """Load the kept archives into this machine's engine: the sandbox's part of `emu images load`."""
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
    sys.exit(guest.run(guest.Guest(say=_say, shares=[own_cache_dir()]), argv))


def _say(text: str) -> None:
    output.echo(text, err=True)
