"""Mappings and lists → the lines of a YAML file, with a comment where one is given."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Lines = dict[str, Any]
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9 _./,?-]*|[1-9][0-9]*(s|ms|m|Ki|Mi|Gi)")
_KEY = re.compile(r"[A-Za-z/_][A-Za-z0-9_./-]*")
_NO_TEXT = re.compile(r"true|false|null|yes|no|on|off|y|n|~", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """A value, and what the reader should know of it."""

    value: Any
    comment: str


def written(mapping: Mapping[str, Any], indent: int = 0) -> list[str]:
    """The lines of a block mapping. An empty line comes before each mapping at the top."""
    lines: list[str] = []
    for key, given in mapping.items():
        value, comment = (given.value, f" # {given.comment}") if isinstance(given, Said) else (given, "")
        lead = " " * indent + f"{key if _KEY.fullmatch(key) and not _NO_TEXT.fullmatch(key) else json.dumps(key)}:"
        if isinstance(value, Mapping) and value:
            lines += ([""] if not indent else []) + [lead + comment, *written(value, indent + 2)]
        elif isinstance(value, list) and value:
            lines.append(lead + comment)
            for item in value:
                first, *rest = written(item, indent + 4) if isinstance(item, Mapping) else [_scalar(item)]
                lines += [" " * (indent + 2) + "- " + first.lstrip(), *rest]
        else:
            lines.append(f"{lead} {_scalar(value)}{comment}")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and not _NO_TEXT.fullmatch(value) and value.strip() == value
        return value if plain else json.dumps(value)
    if isinstance(value, Mapping):
        return "{}"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
