"""The functions that Go's text/template has built in. Pure. What they refuse is a TemplateError."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from emu.daemon.queue_proxy.goformat import NO_VALUE, Nil, formatted, sprint, sprintf, true
from emu.daemon.queue_proxy.golexer import TemplateError

_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def _shown(values: tuple[Any, ...]) -> str:
    if len(values) == 1:
        return "<no value>" if values[0] is None else formatted(values[0])
    return sprint(*values)


def _js(*values: Any) -> str:
    def one(char: str) -> str:
        code = ord(char)
        if char in _JS:
            return _JS[char]
        if code < 32 or code == 127:
            return f"\\u{code:04X}"
        return char if code < 127 or char.isprintable() else f"\\u{code:04X}"

    return "".join(map(one, _shown(values)))


def _html(*values: Any) -> str:
    text = html.escape(_shown(values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    return text.replace("\0", "\ufffd")


def _println(*values: Any) -> str:
    return " ".join(formatted(value) for value in values) + "\n"


def _printf(form: Any, *values: Any) -> str:
    if not isinstance(form, str):
        raise TemplateError("wrong type for value; expected string")
    return sprintf(form, *values)


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list | tuple | Mapping):
        return len(value)
    raise TemplateError("error calling len: len of what has none")


def _place(key: Any, most: int, what: str) -> int:
    if isinstance(key, bool) or not isinstance(key, int):
        raise TemplateError(f"cannot index slice/array with type {type(key).__name__}")
    if not 0 <= key < most:
        raise TemplateError(f"error calling {what}: index out of range: {key}")
    return key


def _index(value: Any, *keys: Any) -> Any:
    if isinstance(value, Nil) or value is None or value is NO_VALUE:
        raise TemplateError("error calling index: index of untyped nil")
    for key in keys:
        if isinstance(value, Mapping):
            if not isinstance(key, str):
                raise TemplateError("error calling index: value has another type; should be string")
            value = value.get(key, [])
        elif isinstance(value, str):
            data = value.encode()
            value = data[_place(key, len(data), "index")]
        elif isinstance(value, list | tuple):
            value = value[_place(key, len(value), "index")]
        else:
            raise TemplateError("error calling index: can't index item of another type")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, str | list | tuple):
        raise TemplateError("error calling slice: can't slice item of another type")
    data = value.encode() if isinstance(value, str) else value
    if len(bounds) > (2 if isinstance(value, str) else 3):
        raise TemplateError("error calling slice: too many slice indexes")
    places = [_place(bound, len(data) + 1, "slice") for bound in bounds]
    if places != sorted(places):
        raise TemplateError("error calling slice: invalid slice index")
    begin, end = (places or [0])[0], places[1] if len(places) > 1 else len(data)
    part = data[begin:end]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


def _call(function: Any, *_: Any) -> Any:
    raise TemplateError(f"error calling call: {'call of nil' if function is None else 'non-function'}")


def _kind(value: Any) -> str:
    for kind, types in (("bool", bool), ("int", int), ("float", float), ("string", str)):
        if isinstance(value, types):
            return kind
    return ""


def _eq(*values: Any) -> bool:
    if len(values) < 2:
        raise TemplateError("error calling eq: missing argument for comparison")
    first, others = values[0], values[1:]
    if isinstance(first, Mapping | list | tuple):
        raise TemplateError("error calling eq: uncomparable type")
    for other in others:
        one, two = _nothing(first), _nothing(other)
        if isinstance(other, Mapping | list | tuple) and not one:
            raise TemplateError("error calling eq: non-comparable type")
        if one or two:
            if one and two:
                return True
            continue
        if _kind(first) != _kind(other):
            raise TemplateError("error calling eq: incompatible types for comparison")
        if first is other or (_kind(first) and first == other):
            return True
    return False


def _nothing(value: Any) -> bool:
    return value is None or value is NO_VALUE or isinstance(value, Nil)


def _lt(first: Any, other: Any) -> bool:
    kind = _kind(first)
    if kind in ("", "bool") or not _kind(other):
        raise TemplateError("error calling lt: invalid type for comparison")
    if kind != _kind(other):
        raise TemplateError("error calling lt: incompatible types for comparison")
    return bool(first < other)


def _lazy(*values: Any) -> Any:
    raise AssertionError("`and` and `or` look at their arguments one by one, where those are computed")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "js": _js,
    "html": _html,
    "urlquery": lambda *values: quote_plus(_shown(values)),
    "print": sprint,
    "println": _println,
    "printf": _printf,
    "len": _len,
    "index": _index,
    "not": lambda value: not true(value),
    "slice": _slice,
    "call": _call,
    "and": _lazy,
    "or": _lazy,
    "eq": _eq,
    "ne": lambda left, right: not _eq(left, right),
    "lt": _lt,
    "le": lambda left, right: _lt(left, right) or _eq(left, right),
    "gt": lambda left, right: not (_lt(left, right) or _eq(left, right)),
    "ge": lambda left, right: not _lt(left, right),
}
