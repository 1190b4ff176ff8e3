"""Names of images, as an engine reads them, and whether it has the one that a manifest names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

ImageChoice = Literal["auto", "engine", "stand-in"]
"""What runs in a container whose image a manifest names."""
_HUB = "docker.io"
_HUBS = (_HUB, "index.docker.io")
_OF_HUB = "library/"


class Chosen(NamedTuple):
    """What runs in a container."""

    image: str | None
    """By the engine's name for it; None: emu's stand-in."""
    why: str = ""
    """Why a stand-in runs: what completes `the image X, …`."""


def familiar(name: str) -> str:
    """The shortest of an image's names, with its tag or digest: `docker.io/library/nginx` is `nginx:latest`. Where a
    name has both, the digest decides, and the tag is dropped.
    """
    rest, at, digest = name.partition("@")
    repository, tag = _split(rest)
    host, slash, path = repository.partition("/")
    if slash and host in _HUBS:
        repository = path.removeprefix(_OF_HUB)
    elif repository.startswith(_OF_HUB):
        repository = repository.removeprefix(_OF_HUB)
    return f"{repository}@{digest}" if at else f"{repository}:{tag or 'latest'}"


def _split(name: str) -> tuple[str, str]:
    """A name without a digest → repository and tag. A colon before the last slash is a registry's port."""
    before, slash, last = name.rpartition("/")
    base, _, tag = last.partition(":")
    return f"{before}{slash}{base}", tag


def choose(wanted: str, choice: ImageChoice, there: Collection[str] | None) -> Chosen:
    """Whether the image that a manifest names is run. `there` are the names that the engine has, tags and digests;
    None: there is no engine. An image that must be there is chosen whether it is or not: whoever runs it says so.
    """
    if choice == "stand-in":
        return Chosen(None, "which `images: stand-in` forgoes")
    if there is None:
        return Chosen(None, "which needs Docker, and this is `runtime: process`")
    name = familiar(wanted)
    known = {familiar(one): one for one in there if not one.startswith("<none>")}
    if name in known:
        return Chosen(known[name])
    return Chosen(wanted) if choice == "engine" else Chosen(None, _lacking(name, known))


def _lacking(name: str, known: Collection[str]) -> str:
    """What the engine has of the same repository helps to see a wrong tag."""
    repository, _, digest = name.partition("@")
    if not digest:
        repository = repository.rpartition(":")[0]
    of_it = sorted(one.rpartition(":")[2] for one in known if "@" not in one and one.rpartition(":")[0] == repository)
    if not of_it:
        return "which the engine does not have"
    return f"which the engine does not have{' by this digest' if digest else ''} (it has the tag {', '.join(of_it)})"
