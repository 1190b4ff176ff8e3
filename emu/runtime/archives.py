"""Images of the user's own, as archives that `docker save` made: kept for the sandbox, which has its own engine.

An image disk of the sandbox may be new, or dropped, or a second one beside a busy first. So the archive is kept in
the cache, under a digest of the image's name, and an engine that lacks the image loads it from there before a run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from emu.errors import EmuError
from emu.files.regular import open_regular
from emu.machine.paths import own_cache_dir
from emu.machine.unfinished import unfinished
from emu.policy.image_names import familiar

if TYPE_CHECKING:
    from emu.runtime.docker_images import DockerImages
    from emu.runtime.images import Progress

_MANIFEST = "manifest.json"
_MOST_MANIFEST = 2**20
_SAVE = "save it by its name: docker save NAME -o FILE.tar"


def names_in(archive: Path) -> dict[str, str]:
    """The images in an archive: name → id. EmuError where it is none that `docker save` makes, or names none."""
    what = f"cannot load an image from {archive}"
    try:
        with open_regular(archive) as opened, tarfile.open(fileobj=opened) as files:
            file = files.extractfile(_MANIFEST)
            images = json.loads(file.read(_MOST_MANIFEST)) if file is not None else []
        names = {str(name): _id(image["Config"]) for image in images for name in image.get("RepoTags") or ()}
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as wrong:
        raise EmuError(what, f"it is not an image archive ({wrong})", _SAVE) from wrong
    except OSError as wrong:
        raise EmuError(what, wrong.strerror or str(wrong), "name a file that can be read") from wrong
    except KeyError as wrong:
        raise EmuError(what, f"it is not an archive written by docker save ({wrong.args[0]})", _SAVE) from wrong
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError) as wrong:
        raise EmuError(what, f"its {_MANIFEST} cannot be read ({wrong})", _SAVE) from wrong
    if not names:
        raise EmuError(what, "its image has no name, so a scenario cannot refer to it", _SAVE)
    return names


def _id(config: str) -> str:
    """An image's id is the digest of its configuration, which is the name of that file."""
    return f"sha256:{PurePosixPath(config).name.removesuffix('.json')}"


def keep(archive: Path, names: dict[str, str]) -> None:
    """Copy an archive into the cache, for each of the names in it."""
    places = [_place(name) for name in names]
    first = places[0]
    try:
        first.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(first.parent) as folder:
            whole = Path(shutil.copyfile(archive, folder / "image.tar"))
            for place, image in zip(places, names.values(), strict=True):
                place.unlink(missing_ok=True)
                place.hardlink_to(whole)
                place.with_suffix(".id").write_text(image)
    except OSError as wrong:
        fix = f"make room, or set XDG_CACHE_HOME to a directory with room for {archive}"
        raise EmuError(f"cannot keep the image in {first.parent}", wrong.strerror or str(wrong), fix) from wrong


def kept() -> list[tuple[str, int]]:
    """The images that are kept, by name, with the sizes of their archives; without such as cannot be read."""
    found: dict[str, int] = {}
    for archive in own_cache_dir().glob("loaded/*.tar"):
        with contextlib.suppress(EmuError, OSError):
            size = archive.stat().st_size
            found |= {name: size for name in names_in(archive) if _place(name) == archive}
    return sorted(found.items())


def forget(names: Iterable[str]) -> None:
    """Drop what was kept of images."""
    for name in names:
        for suffix in (".tar", ".id"):
            _place(name).with_suffix(suffix).unlink(missing_ok=True)


def provide(engine: DockerImages, images: Iterable[str], progress: Progress) -> None:
    """Have the engine load those of the images that were kept and that it lacks, or has an older one of."""
    for image in images:
        archive = _place(image)
        if not archive.is_file():
            continue
        with contextlib.suppress(OSError):
            if archive.with_suffix(".id").read_text() == engine.image_id(image):
                continue
        progress(f"loading the image {image}")
        engine.load_image(archive)


def _place(name: str) -> Path:
    digest = hashlib.sha256(familiar(name).encode()).hexdigest()
    return own_cache_dir() / "loaded" / f"{digest[:24]}.tar"
