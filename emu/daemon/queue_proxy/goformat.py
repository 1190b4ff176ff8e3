"""Values as Go's fmt writes them: %v and the other verbs, and how text/template judges and shows them. Pure.

A value of Go's is one of Python's here: nil None, numbers, texts, lists, maps; what is neither is one of the classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from emu.daemon.queue_proxy.golexer import TemplateError


class NoValue:
    """What a map does not have."""


class Nil:
    """A pointer, function or channel that is nil; `kind` is its type's, where that cannot be shown. Some methods work
    on a pointer that is nil.
    """

    def __init__(self, kind: str = "", methods: Mapping[str, Callable[..., Any]] = MappingProxyType({})) -> None:
        self.kind = kind
        self.methods = methods


class Struct:
    """A pointer to a struct: its public fields in order; methods are fields that can be called."""

    def __init__(
        self, name: str, fields: Mapping[str, Any], methods: Mapping[str, Callable[..., Any]] = MappingProxyType({})
    ) -> None:
        self.name = name
        self.fields = fields
        self.methods = methods


class Values(dict[str, Any]):
    """A map with methods, as http.Header and url.Values are."""

    def __init__(self, values: Mapping[str, Any], methods: Mapping[str, Callable[..., Any]], name: str) -> None:
        super().__init__(values)
        self.methods = methods
        self.name = name


NO_VALUE = NoValue()


def true(value: Any) -> bool:
    """Whether `if` takes it: not false, zero, nil or empty."""
    if isinstance(value, Struct):
        return True
    return not isinstance(value, NoValue | Nil) and bool(value)


def shown(value: Any) -> str:
    """As a template shows it."""
    if isinstance(value, NoValue) or value is None:
        return "<no value>"
    if isinstance(value, Nil) and value.kind and not value.methods:
        raise TemplateError(f"can't print nil of type {value.kind}")
    if isinstance(value, Struct) and "String" not in value.methods:
        return _struct(value, "v", "")[1:]
    return formatted(value)


def formatted(value: Any, flags: str = "", verb: str = "v") -> str:
    """By %v or %+v, or another verb for what is in a list or map."""
    if value is None or isinstance(value, Nil | NoValue):
        return "<nil>" if verb == "v" else f"%!{verb}(<nil>)"
    if isinstance(value, Struct):
        string = value.methods.get("String")
        return _text(string(), flags, None, verb) if string and verb in "vsqxX" else _struct(value, verb, flags)
    if isinstance(value, Mapping):
        pairs = (f"{formatted(key, flags, verb)}:{formatted(value[key], flags, verb)}" for key in sorted(value))
        return f"map[{' '.join(pairs)}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(formatted(item, flags, verb) for item in value)}]"
    return _scalar(value, flags, None, verb)


def _struct(value: Struct, verb: str, flags: str) -> str:
    named = "+" in flags
    shown_fields = (
        f"{name}:{formatted(each, flags, verb)}" if named else formatted(each, flags, verb)
        for name, each in value.fields.items()
    )
    return f"&{{{' '.join(shown_fields)}}}"


def kind_of(value: Any) -> str:
    """A type's name as %T writes it."""
    if value is None or isinstance(value, Nil | NoValue):
        return "<nil>"
    if isinstance(value, Struct | Values):
        return ("*" if isinstance(value, Struct) else "") + value.name
    names = {bool: "bool", int: "int", float: "float64", str: "string", list: "[]string"}
    return names.get(type(value), "interface {}")


def _scalar(value: Any, flags: str, precision: int | None, verb: str) -> str:
    if isinstance(value, bool):
        return str(value).lower() if verb in "vt" else _bad(value, verb)
    if isinstance(value, int):
        return _integer(value, flags, verb)
    if isinstance(value, float):
        return _float(value, flags, precision, verb)
    return _text(str(value), flags, precision, verb)


def _bad(value: Any, verb: str) -> str:
    return f"%!{verb}({kind_of(value)}={formatted(value)})"


_BASES = {"d": "d", "v": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_PREFIXES = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}


def _integer(value: int, flags: str, verb: str) -> str:
    if verb in _BASES:
        digits = format(abs(value), _BASES[verb])
        digits = ("0o" if verb == "O" else _PREFIXES.get(verb, "") if "#" in flags else "") + digits
        return ("-" if value < 0 else "+" if "+" in flags else " " if " " in flags else "") + digits
    if verb in "cqU" and 0 <= value <= 0x10FFFF:
        char = "\ufffd" if 0xD800 <= value < 0xE000 else chr(value)  # half of a pair is no character
        return f"U+{value:04X}" if verb == "U" else char if verb == "c" else f"'{quoted(char)[1:-1]}'"
    return _bad(value, verb)


def go_float(value: float) -> str:
    """A float as Go's fmt writes it (%v): the shortest digits, with an exponent below 1e-4 and from 1e6 on."""
    return _shortest(value)


def _shortest(value: float) -> str:
    if value in (float("inf"), float("-inf")) or value != value:
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    if not value:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rstrip("0") or "0"
    power = len(digits) + exponent - 1
    if -5 < power < _LARGE:
        plain = f"{Decimal(repr(value)):f}"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    tail = f".{text[1:]}" if len(text) > 1 else ""
    return f"{'-' if sign else ''}{text[0]}{tail}e{'-' if power < 0 else '+'}{abs(power):02}"


def _float(value: float, flags: str, precision: int | None, verb: str) -> str:
    if verb in "eEfFgG" and (precision is not None or verb in "eEfF"):
        kind = verb if verb != "F" else "f"
        text = f"{value:.{6 if precision is None else precision}{kind}}"
    elif verb in "vgG":
        text = _shortest(value) if precision is None else f"{value:.{precision}g}"
        text = text.upper() if verb == "G" else text
    else:
        return _bad(value, verb)
    return f"{'+' if '+' in flags else ' '}{text}" if value >= 0 and ("+" in flags or " " in flags) else text


_LARGE = 6
"""From this power of ten on there is an exponent (strconv, %g of the shortest digits)."""
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}


def quoted(text: str, plain: bool = False) -> str:
    """As %q writes it; `plain` leaves nothing beyond ASCII."""

    def one(char: str) -> str:
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char == '"':
            return '\\"'
        code = ord(char)
        if code < 32 or code == 127:
            return f"\\x{code:02x}"
        if (plain and code > 126) or not char.isprintable():
            return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
        return char

    return f'"{"".join(map(one, text))}"'


def _text(value: str, flags: str, precision: int | None, verb: str) -> str:
    value = value if precision is None else value[:precision]
    if verb == "v" and "#" in flags:
        return quoted(value)
    if verb in "vs":
        return value
    if verb == "q":
        return f"`{value}`" if "#" in flags and "`" not in value else quoted(value, "+" in flags)
    if verb in "xX":
        between = " " if " " in flags else ""
        digits = between.join(f"{byte:02x}" for byte in value.encode())
        return digits.upper() if verb == "X" else digits
    return _bad(value, verb)


_VERB = re.compile(r"%([-+# 0]*)(\[\d+\])?(\*|\d+)?(?:\.(\[\d+\])?(\*|\d*))?(\[\d+\])?(.?)", re.DOTALL)


class _Arguments:
    def __init__(self, values: tuple[Any, ...]) -> None:
        self._values = values
        self._at = 0
        self._reordered = False

    def jump(self, index: str | None) -> None:
        if index:
            self._at = int(index[1:-1]) - 1
            self._reordered = True

    def any(self) -> bool:
        return 0 <= self._at < len(self._values)

    def next(self) -> Any:
        self._at += 1
        return self._values[self._at - 1]

    def left(self) -> tuple[Any, ...]:
        return () if self._reordered else self._values[self._at :]


def sprintf(form: str, *values: Any) -> str:
    """As fmt.Sprintf, its complaints included."""
    arguments = _Arguments(values)

    def number(text: str | None) -> int | None:
        if text == "*":
            return int(arguments.next()) if arguments.any() else None
        return int(text) if text else None

    def one(found: re.Match[str]) -> str:
        flags, first, width_text, second, precision_text, third, verb = found.groups()
        if not verb:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        arguments.jump(first)
        width = number(width_text)
        arguments.jump(second)
        precision = None if precision_text is None else number(precision_text) or 0
        arguments.jump(third)
        if not arguments.any():
            return f"%!{verb}({'BADINDEX' if first or third else 'MISSING'})"
        return _verb(arguments.next(), flags, width, precision, verb)

    text = _VERB.sub(one, form)
    left = arguments.left()
    if left:
        extra = ", ".join(f"{kind_of(each)}={formatted(each)}" if each is not None else "<nil>" for each in left)
        text += f"%!(EXTRA {extra})"
    return text


def _verb(value: Any, flags: str, width: int | None, precision: int | None, verb: str) -> str:
    if verb == "v":
        flags = flags.replace("+", "") if isinstance(value, bool | int | float | str) else flags
    if verb == "T":
        text = kind_of(value)
    elif isinstance(value, bool | int | float | str):
        text = _scalar(value, flags, precision, verb)
    else:
        text = formatted(value, flags, verb)
    if width is None or text.startswith("%!") or isinstance(value, Mapping | list | tuple):
        return text
    if "-" in flags or width < 0:
        return text.ljust(abs(width))
    if "0" in flags and isinstance(value, int | float) and not isinstance(value, bool):
        return text.zfill(width)
    return text.rjust(width)


def sprint(*values: Any) -> str:
    """As fmt.Sprint: a blank between two of which neither is a text."""
    text = ""
    for at, value in enumerate(values):
        between = at and not isinstance(value, str) and not isinstance(values[at - 1], str)
        text += (" " if between else "") + formatted(value)
    return text
