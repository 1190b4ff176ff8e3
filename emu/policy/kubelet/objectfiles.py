"""The files of a ConfigMap or Secret in a volume, as the kubelet makes them (pkg/volume/configmap and secret)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from emu.policy.kubelet.environment import Data, Kind

MODE = 0o644
"""Of a file, where nothing else is said."""


@dataclass(frozen=True)
class Item:
    """A key, and the file that it becomes."""

    key: str
    path: str
    mode: int | None = None


@dataclass(frozen=True)
class FilesOf:
    """A ConfigMap or Secret; without items each key is a file of its name."""

    kind: Kind
    name: str
    items: tuple[Item, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class ObjectFiles:
    """A volume of them; of two files at one path the later one counts."""

    sources: tuple[FilesOf, ...]
    mode: int = MODE


@dataclass(frozen=True)
class Content:
    """What a file of a ConfigMap's or Secret's volume holds, and its mode."""

    data: bytes
    mode: int


class MountError(ValueError):
    """The volume cannot be set up, and its pod waits: the kubelet's message."""


def contents(volume: ObjectFiles, objects: Mapping[Kind, Data]) -> dict[str, Content]:
    """Each file by its path in the volume. MountError."""
    found: dict[str, Content] = {}
    for source in volume.sources:
        found |= _contents(source, volume.mode, objects)
    return found


def _contents(source: FilesOf, mode: int, objects: Mapping[Kind, Data]) -> dict[str, Content]:
    data = objects.get(source.kind, {}).get(source.name)
    if why := missing(source, data):
        raise MountError(why)
    if data is None:
        return {}
    if not source.items:
        return {key: Content(value.encode(), mode) for key, value in data.items()}
    return {
        item.path: Content(data[item.key].encode(), mode if item.mode is None else item.mode)
        for item in source.items
        if item.key in data
    }


def missing(source: FilesOf, keys: Collection[str] | None) -> str:
    """What the kubelet says where an object with these keys lacks one, or there is no such object (None); empty where
    nothing is missing.
    """
    if source.optional:
        return ""
    if keys is None:
        return f'{source.kind.lower()} "{source.name}" not found'
    absent = [item.key for item in source.items if item.key not in keys]
    return f"references non-existent {_WORDS[source.kind]} key: {absent[0]}" if absent else ""


_WORDS = {"ConfigMap": "config", "Secret": "secret"}


def wrong_path(path: str) -> str:
    """What the API server refuses of an item's path; empty where nothing."""
    if not path:
        return "Required value"
    if path.startswith("/"):
        return f'Invalid value: "{path}": must be a relative path'
    if ".." in path.split("/"):
        return f"Invalid value: \"{path}\": must not contain '..'"
    return f"Invalid value: \"{path}\": must not start with '..'" if path.startswith("..") else ""


def wrong_key(key: str) -> list[str]:
    """What the API server refuses of a key of a ConfigMap or Secret: each of them may become a file of its name."""
    found = ["must be no more than 253 characters"] if len(key.encode()) > _LONGEST_KEY else []
    if not re.fullmatch(_KEY, key):
        found.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            f"'KEY_NAME',  or 'key-name', regex used for validation is '{_KEY}')"
        )
    if key in (".", ".."):
        found.append(f"must not be '{key}'")
    elif key.startswith(".."):
        found.append("must not start with '..'")
    return found


_KEY = "[-._a-zA-Z0-9]+"
_LONGEST_KEY = 253
