"""The functions that Go's text/template has built in, and how it writes and judges values. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus


def true(value: Any) -> bool:
    """Whether `if` takes it: not false, zero, nil or empty."""
    return bool(value)


def shown(value: Any) -> str:
    """As Go prints it (%v)."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, list | tuple):
        return f"[{' '.join(shown(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{shown(value[key])}' for key in sorted(value))}]"
    return str(value)


def go_float(value: float) -> str:
    """A float as Go's fmt writes it (%v): an exponent below 1e-4 and from 1e21 on."""
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    if "e" not in text:
        return text
    digits, exponent = text.split("e")
    power = int(exponent)
    if -5 < power < 21:
        return f"{value:f}"
    return f"{digits}e{'-' if power < 0 else '+'}{abs(power):02}"


_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def _js(*values: Any) -> str:
    text = _print(*values)
    return "".join(_JS.get(char) or (f"\\u{ord(char):04X}" if ord(char) < 32 else char) for char in text)


def _print(*values: Any) -> str:
    return "".join(shown(value) for value in values)


def _println(*values: Any) -> str:
    return " ".join(shown(value) for value in values) + "\n"


_VERB = re.compile(r"%([-+# 0]*\d*(?:\.\d+)?)([a-zA-Z%])")


def _printf(form: str, *values: Any) -> str:
    left = list(values)

    def one(found: re.Match[str]) -> str:
        flags, verb = found[1], found[2]
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        if verb == "q":
            return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        if verb in "vst":
            return f"%{flags}s" % shown(value)
        if verb == "T":
            return {bool: "bool", int: "int", float: "float64", str: "string"}.get(type(value), "interface {}")
        return str(f"%{flags}{verb}" % value)

    return _VERB.sub(one, form)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, [] if any(isinstance(entry, list) for entry in value.values()) else "")
        else:
            value = value[key]
    return value


def _lazy(*values: Any) -> Any:
    raise AssertionError("`and` and `or` look at their arguments one by one, where those are computed")


def _slice(value: Any, *bounds: int) -> Any:
    if not isinstance(value, str | list | tuple) or any(bound < 0 or bound > len(value) for bound in bounds):
        raise IndexError("index out of range")
    begin, end = (bounds or (0,))[0], bounds[1] if len(bounds) > 1 else len(value)
    return value[begin:end]


def _call(function: Any, *values: Any) -> Any:
    if not callable(function):
        raise TypeError("call of non-function")
    return function(*values)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "js": _js,
    "html": lambda *values: html.escape(_print(*values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "urlquery": lambda *values: quote_plus(_print(*values)),
    "print": _print,
    "println": _println,
    "printf": _printf,
    "len": len,
    "index": _index,
    "not": lambda value: not true(value),
    "slice": _slice,
    "call": _call,
    "and": _lazy,
    "or": _lazy,
    "eq": lambda left, *others: any(left == other for other in others),
    "ne": lambda left, right: bool(left != right),
    "lt": lambda left, right: bool(left < right),
    "le": lambda left, right: bool(left <= right),
    "gt": lambda left, right: bool(left > right),
    "ge": lambda left, right: bool(left >= right),
}
