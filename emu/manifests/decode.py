"""A document → an object of a kind, as the API server's decoder takes it: what has the wrong type is refused, what no
object has is dropped, and both are reported with their place.

Of the object only what is set is kept: null, and an empty text, 0 or false where that is the same as absent, are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from emu.files.yamlfile import Mark, Node
from emu.manifests.gourl import url_error
from emu.manifests.schema import OBJECTS, go_name
from emu.policy.quantity import parse_amount

_WORDS = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}


@dataclass(frozen=True)
class Misfit:
    """A value of the wrong type."""

    mark: Mark
    path: str
    words: str
    """As Go's decoder says it."""
    node: Node | None = None
    """The value."""


@dataclass(frozen=True)
class Unknown:
    """A field that no object of the kind has."""

    mark: Mark
    path: str
    name: str
    known: tuple[str, ...]
    around: tuple[tuple[str, str], ...] = ()
    """The objects that it is in, the nearest last: the path and kind of each."""


@dataclass
class Decoded:
    """A document, decoded, and its faults."""

    value: dict[str, Any]
    misfits: list[Misfit] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)


def decode(node: Node, kind: str) -> Decoded:
    """A document as an object of that kind."""
    reader = _Reader()
    value = reader.read(node, kind, [])
    return Decoded(value if isinstance(value, dict) else {}, reader.misfits, reader.unknown)


class _Reader:
    def __init__(self) -> None:
        self.misfits: list[Misfit] = []
        self.unknown: list[Unknown] = []
        self._around: list[tuple[str, str]] = []

    def read(self, node: Node, kind: str, path: list[str]) -> Any:
        if kind.startswith("*"):
            return self.read(node, kind[1:], path)
        if kind == "any":
            return node.plain()
        if kind.startswith("[]"):
            return self._list(node, kind, path)
        if kind.startswith("{}"):
            return self._map(node, kind, path)
        if kind.partition(":")[0] in OBJECTS:
            return self._object(node, kind, path)
        return self._scalar(node, kind, path)

    def _object(self, node: Node, kind: str, path: list[str]) -> Any:
        if node.value is None:
            return {}
        if not isinstance(node.value, dict):
            return self._misfit(node, kind, path)
        fields, found = OBJECTS[kind.partition(":")[0]], {}
        self._around.append((".".join(path), kind.partition(":")[0]))
        for name in sorted(node.value):
            below = node.value[name]
            if name not in fields:
                mark = node.key_marks.get(name, below.mark)
                around = tuple(self._around)
                self.unknown.append(Unknown(mark, ".".join([*path, name]), name, tuple(fields), around))
                continue
            value = self.read(below, fields[name], [*path, name])
            if below.value is not None and _is_set(value, fields[name]):
                found[name] = value
        self._around.pop()
        return found

    def _list(self, node: Node, kind: str, path: list[str]) -> Any:
        if node.value is None:
            return []
        if not isinstance(node.value, list):
            return self._misfit(node, kind, path)
        return [self.read(below, kind[2:], [*path, str(number)]) for number, below in enumerate(node.value)]

    def _map(self, node: Node, kind: str, path: list[str]) -> Any:
        if node.value is None:
            return {}
        if not isinstance(node.value, dict):
            return self._misfit(node, kind, path)
        return {name: self.read(node.value[name], kind[2:], [*path, name]) for name in sorted(node.value)}

    def _scalar(self, node: Node, kind: str, path: list[str]) -> Any:
        value, shape = node.value, kind.partition(":")[0]
        if shape == "q":
            return self._quantity(node, path)
        if shape == "url":
            return self._url(node, path)
        if value is None:
            return {"s": "", "bytes": "", "b": False}.get(shape, 0)
        if shape in ("s", "bytes") and isinstance(value, str):
            return value
        if kind == "b" and isinstance(value, bool):
            return value
        if kind == "port" and isinstance(value, str):
            return value
        if kind in ("i32", "i64", "port") and not isinstance(value, bool) and isinstance(value, int | float):
            return self._whole(node, kind, path)
        return self._misfit(node, kind, path)

    def _url(self, node: Node, path: list[str]) -> Any:
        """Decoded by a function of its own, which says neither field nor object."""
        if node.value is None or isinstance(node.value, str):
            wrong = url_error(node.value or "")
        else:
            wrong = f"json: cannot unmarshal {_WORDS[type(node.value)]} into Go value of type string"
        if wrong:
            self.misfits.append(Misfit(node.mark, ".".join(path), wrong, node))
        return "" if wrong else node.value or ""

    def _whole(self, node: Node, kind: str, path: list[str]) -> Any:
        bits = 64 if kind == "i64" else 32
        if node.value == int(node.value) and -(2 ** (bits - 1)) <= node.value < 2 ** (bits - 1):
            return int(node.value)
        return self._misfit(node, kind, path, f" {_json(node)}")

    def _quantity(self, node: Node, path: list[str]) -> Any:
        text = "0" if node.value is None else node.value.strip(" ") if isinstance(node.value, str) else _json(node)
        try:
            parse_amount(text)
        except ValueError as error:
            self.misfits.append(Misfit(node.mark, ".".join(path), str(error), node))
        return text

    def _misfit(self, node: Node, kind: str, path: list[str], shown: str = "") -> Any:
        if kind == "port":
            where = f"Go value of type {'int32' if shown else 'intstr.IntOrString'}"
        else:
            steps = ".".join(step.replace("~", "~0").replace("/", "~1") for step in path)
            numbered = re.search(r"\.[0-9]+$", f".{steps}")  # Go takes such a path for an index
            where = f"{'' if numbered else 'Go struct field '}.{steps} of type {go_name(kind)}"
        words = f"json: cannot unmarshal {_WORDS[type(node.value)]}{shown} into {where}"
        self.misfits.append(Misfit(node.mark, ".".join(path), words, node))
        return None


def _json(node: Node) -> str:
    value = node.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value) if isinstance(value, int | float) else "[]"


def _is_set(value: Any, kind: str) -> bool:
    if value is None:
        return False
    if kind.startswith(("*", "[]", "{}")) or kind == "any" or (kind == "port" and value == ""):
        return True  # an empty name of a port is no port 0
    return bool(value)
