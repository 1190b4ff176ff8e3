"""Plain data into a page's script: long columns as base64 of floats, each once; nothing in it can end the script."""

from __future__ import annotations

import base64
import json
import sys
import zlib
from array import array
from typing import Any

LONG = 24
"""Shorter lists stay as they are."""


def pack(name: str, data: list[dict[str, Any]], layout: dict[str, Any], tree: dict[str, Any] | None = None) -> str:
    """A figure as JSON for page/page.js, and a tree for page/tree.js: `{"$a": 3}` is the fourth of `arrays`."""
    columns = _Columns()
    parts = {"data": columns.replace(data), "layout": layout, "tree": columns.replace(tree)}
    whole = {"name": name, **parts, "arrays": columns.packed}
    return script_json(whole)


def compressed(text: str) -> str:
    """Text for a page's script, which takes it apart again: zlib's format in base64."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def script_json(value: Any) -> str:
    """JSON that may stand inside `<script>`: no `<`, so no end tag and no comment."""
    plain = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Columns:
    """Long lists of numbers, each kept once: the panels share their times."""

    def __init__(self) -> None:
        self.packed: list[dict[str, str]] = []
        self._known: dict[bytes, int] = {}

    def replace(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.replace(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            if len(value) >= LONG and all(_is_number(one) for one in value):
                return {"$a": self._put(value)}
            return [self.replace(one) for one in value]
        return value

    def _put(self, values: list[Any] | tuple[Any, ...]) -> int:
        kind, raw = _floats([float("nan") if one is None else one for one in values])
        number = self._known.setdefault(raw, len(self.packed))
        if number == len(self.packed):
            self.packed.append({"k": kind, "b": base64.b64encode(raw).decode()})
        return number


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _floats(values: list[float]) -> tuple[str, bytes]:
    """Four bytes each where that is exact (whole pages in MiB are), else eight; None went in as NaN."""
    wide = array("d", values)
    narrow = array("f", values)
    exact = all(a == b or a != a for a, b in zip(wide, narrow, strict=True))
    chosen = narrow if exact else wide
    if sys.byteorder == "big":
        chosen.byteswap()
    return ("f4" if exact else "f8"), chosen.tobytes()
