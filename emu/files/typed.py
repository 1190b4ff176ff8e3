"""JSON from a file → values of the types that a dataclass has, or a ValueError: the one door for what was recorded.

A record may be damaged, of another version, or written by anybody, and whoever reads it relies on the types: a value
of another type is refused here, and so is a number that no record can hold. Standard library only: containers import
it.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

LARGEST_INT = 2**63
"""What the kernel counts fits in 64 bits."""
LARGEST_FLOAT = 1e15
Made = TypeVar("Made")
Check = Callable[[Any], bool]


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The object in a JSON text. ValueError for whatever else it is."""
    try:
        data = _DECODER.decode(text if isinstance(text, str) else text.decode())
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(data, dict):
        raise ValueError("it is no object")
    return data


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def make(kind: type[Made], data: Mapping[str, Any]) -> Made:
    """A dataclass of an object's values. Names that it does not know are left out; ValueError where one is missing or
    of another type.
    """
    checks, needed = _plan(kind)  # type: ignore[arg-type]
    values = {}
    for name, check in checks.items():
        if name in data:
            if not check(value := data[name]):
                raise ValueError(f"{name} cannot be that")
            values[name] = value
        elif name in needed:
            raise ValueError(f"{name} is missing")
    return kind(**values)


def fitting(kind: type, data: Mapping[str, Any], names: Iterable[str] | None = None) -> dict[str, Any]:
    """Those values of an object that are what the dataclass's fields can be, of all fields or of those named."""
    checks, _ = _plan(kind)
    chosen = checks if names is None else names
    return {name: data[name] for name in chosen if name in data and checks[name](data[name])}


def is_number(value: Any) -> bool:
    """Whether it is a number that a record can hold; true and false are none."""
    if type(value) is int:
        return -LARGEST_INT < value < LARGEST_INT
    return type(value) is float and -LARGEST_FLOAT < value < LARGEST_FLOAT


@cache
def _plan(kind: type) -> tuple[dict[str, Check], frozenset[str]]:
    """How each field is checked, and which there must be."""
    hints = get_type_hints(kind)
    own = [entry for entry in fields(kind) if entry.init]
    needed = (one.name for one in own if one.default is MISSING and one.default_factory is MISSING)
    return {entry.name: check_for(hints[entry.name]) for entry in own}, frozenset(needed)


def check_for(hint: Any) -> Check:
    """The check whether a value from JSON is of a type. A list does for a tuple, a whole number for a float; a text
    does for whatever texts a later version may add to a Literal.
    """
    if hint is Any:
        return _bounded
    if hint in (bool, str):
        return lambda value: type(value) is hint
    if hint is int:
        return lambda value: type(value) is int and -LARGEST_INT < value < LARGEST_INT
    if hint is float:
        return is_number
    if hint in (None, types.NoneType):
        return lambda value: value is None
    if is_dataclass(hint):
        return lambda value: isinstance(value, dict) and _bounded(value)  # whoever takes it apart looks closer
    return _generic(get_origin(hint), get_args(hint))


def _generic(origin: Any, parts: tuple[Any, ...]) -> Check:
    if origin is Literal:
        kinds = {type(part) for part in parts}
        return lambda value: type(value) in kinds
    below = [check_for(part) for part in parts if part is not Ellipsis]
    if origin in (Union, types.UnionType):
        return lambda value: any(check(value) for check in below)
    if origin is list or (origin is tuple and parts[-1] is Ellipsis):
        return lambda value: isinstance(value, list | tuple) and all(map(below[0], value))
    if origin is tuple:
        return lambda value: (
            isinstance(value, list | tuple)
            and len(value) == len(below)
            and all(check(one) for check, one in zip(below, value, strict=True))
        )
    if origin is dict:
        name, one = below
        return lambda value: isinstance(value, dict) and all(map(name, value)) and all(map(one, value.values()))
    return lambda value: False


def _bounded(value: Any) -> bool:
    """Whatever it is, no number in it is beyond all measure."""
    if isinstance(value, dict):
        return all(map(_bounded, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_bounded, value))
    return value is None or isinstance(value, str | bool) or is_number(value)
