"""The tree of keys that a scenario may have, read off the models: for `--set`, hints, completion and the docs."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from emu.messages.work import FOREVER
from emu.spec import (
    NO_LIMIT,
    Bytes,
    Control,
    FileName,
    FileRef,
    Folder,
    HoldFor,
    Limit,
    Millicores,
    Model,
    Name,
    Rate,
    ScenarioSpec,
    Seconds,
)

NAMED_CHANGES = "mapping of changes"
"""The kind of `variants`: names, and below each of them paths with values."""


@dataclass(frozen=True)
class Key:
    """A key of a mapping. `below` are the keys of its value, or of each of its items if `many`."""

    name: str
    kind: str
    """What its value is, for people: `size`, `duration`, `list of …`."""
    meaning: str
    default: Any
    required: bool
    below: type[Model] | None
    many: bool = False
    free: bool = False
    """A mapping with names of the user's own (env, headers, expect, variants)."""
    choices: tuple[str, ...] = ()


_KINDS: tuple[tuple[Any, str], ...] = (
    (Bytes, "size"),
    (Limit, f"size or `{NO_LIMIT}`"),
    (Control, f"size, or `{NO_LIMIT}`"),
    (Seconds, "duration"),
    (HoldFor, f"duration or `{FOREVER}`"),
    (Millicores, "CPU"),
    (Rate, "number"),
    (Name, "name"),
    (FileName, "file name"),
    (FileRef, "file"),
    (Folder, "folder"),
    (bool, "true or false"),
    (int, "whole number"),
    (float, "number"),
    (str, "text"),
    (Any, "any value"),
)


@cache
def keys_of(model: type[Model]) -> Mapping[str, Key]:
    """The keys of a mapping that the model describes, by their names in the file, in the model's order."""
    hints = get_type_hints(model, include_extras=True)
    keys = (_key(name, info, hints[name]) for name, info in model.model_fields.items())
    return MappingProxyType({key.name: key for key in keys})


def find(path: Sequence[str | int]) -> Key | None:
    """The key, or item of a list or of a free mapping, that a path from the top leads to; None: it leads nowhere."""
    model: type[Model] | None = ScenarioSpec
    key: Key | None = None
    for step in path:
        if key is not None and key.free:
            kind = "mapping" if key.kind == NAMED_CHANGES else "text"
            return replace(key, name=str(step), kind=kind, free=False)
        if isinstance(step, int):
            key = _item(key) if key is not None else None
        else:
            key = keys_of(model).get(step) if model is not None else None
        if key is None:
            return None
        model = key.below
    return key


def _item(key: Key) -> Key | None:
    if not key.many:
        return None
    return replace(key, kind="mapping" if key.below else key.kind.removeprefix("list of "), many=False)


def model_at(path: Sequence[str | int]) -> type[Model] | None:
    """The model of the mapping at a path; None where there is no mapping of fixed keys."""
    if not path:
        return ScenarioSpec
    key = find(path)
    return key.below if key is not None else None


@cache
def all_paths() -> Sequence[tuple[str, Key]]:
    """Every key with its path; items of a list are `[]`, as in `load.phases[].rate`."""
    return tuple(_paths(ScenarioSpec, ""))


def _paths(model: type[Model], before: str) -> Iterator[tuple[str, Key]]:
    for key in keys_of(model).values():
        path = f"{before}{key.name}{'[]' if key.many and key.below else ''}"
        yield path, key
        if key.below is not None:
            yield from _paths(key.below, f"{path}.")


def _key(name: str, info: FieldInfo, annotation: Any) -> Key:
    default = None if info.is_required() else info.get_default(call_default_factory=True, validated_data={})
    return Key(
        name=info.alias or name,
        meaning=" ".join((info.description or "").split()),
        default=default,
        required=info.is_required(),
        **_shape_of(annotation),
    )


def _shape_of(annotation: Any) -> dict[str, Any]:
    for known, kind in _KINDS:
        if _same(annotation, known):
            return {"kind": kind, "below": None}
    origin = get_origin(annotation)
    if origin is Annotated:
        return _shape_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return _shape_of(next(part for part in get_args(annotation) if part is not type(None)))
    if origin is Literal:
        choices = tuple(str(choice) for choice in get_args(annotation))
        return {"kind": ", ".join(f"`{choice}`" for choice in choices), "below": None, "choices": choices}
    if origin is tuple:
        item = _shape_of(get_args(annotation)[0])
        return {"kind": "list" if item["below"] else f"list of {item['kind']}", "below": item["below"], "many": True}
    if origin is dict:
        inner = get_args(annotation)[1]
        nested = get_origin(get_args(inner)[0] if get_origin(inner) is Annotated else inner) is dict
        return {"kind": NAMED_CHANGES if nested else "mapping of text", "below": None, "free": True}
    assert isinstance(annotation, type) and issubclass(annotation, Model), annotation
    return {"kind": "mapping", "below": annotation}


def _same(annotation: Any, known: Any) -> bool:
    if annotation is known:
        return True
    if get_origin(annotation) is not Annotated or get_origin(known) is not Annotated:
        return False
    wanted = get_args(known)
    return get_args(annotation)[: len(wanted)] == wanted
