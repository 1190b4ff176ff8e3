"""Request bodies that are files: their bytes become part of the scenario, so that its record has all of it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

from emu.errors import EmuError
from emu.files.regular import open_regular
from emu.files.yamlfile import CONTROL, Node
from emu.spec.request import MOST_BODY_BYTES

_FILE = "file"
_BODY_FILE = f"request.body.{_FILE}"


def take_in(root: Node, source: str) -> None:
    """Put the bytes of each body's `file` in its place, in the scenario and in what its variants change. `source` is
    the scenario's own path: a file is looked for beside it first. EmuError for one that cannot be read.
    """
    for body in _bodies(root):
        named = body.value.get(_FILE)
        if isinstance(named, Node) and isinstance(named.value, str):
            key, node = _content(named, source)
            del body.value[_FILE]
            _put(body, key, node)
    for changes in _variants(root):
        for path in [path for path in changes.value if path.endswith(_BODY_FILE)]:
            named = changes.value[path]
            if isinstance(named.value, str):
                key, node = _content(named, source)
                del changes.value[path]
                _put(changes, f"{path.removesuffix(_FILE)}{key}", node)


def _bodies(root: Node) -> Iterator[Node]:
    """Every `body` that is a mapping: of phases, of `starts`, and of variants that change a whole one."""
    phases = _below(root, "load", "phases")
    asked = [] if phases is None or not isinstance(phases.value, list) else list(phases.value)
    starts = _below(root, "starts")
    found = [_below(one, "request", "body") for one in (*asked, *([] if starts is None else [starts]))]
    found += [
        one for changes in _variants(root) for path, one in changes.value.items() if path.endswith("request.body")
    ]
    return (one for one in found if one is not None and isinstance(one.value, dict))


def _variants(root: Node) -> list[Node]:
    variants = _below(root, "variants")
    known = variants.value.values() if variants is not None and isinstance(variants.value, dict) else ()
    return [one for one in known if isinstance(one.value, dict)]


def _below(node: Node, *steps: str) -> Node | None:
    found: Node | None = node
    for step in steps:
        found = None if found is None else found.child(step)
    return found


def _content(named: Node, source: str) -> tuple[str, Node]:
    beside = Path(source).parent / named.value
    path = beside if os.path.isfile(beside) else Path(named.value)  # noqa: PTH113  it never raises
    fix = "name a file beside the scenario, or by its path from here"
    try:
        with open_regular(path) as file:
            data = file.read(MOST_BODY_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise EmuError(f"{named.mark}: cannot read the request's body {named.value!r}", why, fix) from None
    if len(data) > MOST_BODY_BYTES:
        raise EmuError(
            f"{named.mark}: the file {named.value!r} is too long for a request's body",
            f"it becomes part of the scenario, so it may have at most {MOST_BODY_BYTES // 1024} KiB",
            "if only the size matters, write `body: 1Mi`",
        )
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if CONTROL.search(text):
        return "base64", Node(named.mark, base64.b64encode(data).decode())
    return "text", Node(named.mark, text)


def _put(node: Node, key: str, value: Node) -> None:
    node.value[key] = value
    node.key_marks[key] = value.mark
