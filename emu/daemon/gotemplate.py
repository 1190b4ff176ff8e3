"""As much of Go's text/template as a request log's template needs. Pure: text and values → text.

Understood: fields (.Request.Method), variables ($x := …, $), literals, pipelines and parentheses, comments, trim
markers, if / else if / else / end, with, range, and the functions js, html, urlquery, print, printf, println, len,
index, not, and, or, eq, ne, lt, le, gt, ge. A method without arguments is a field whose value may be a callable.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<number>[+-]?\d+(?:\.\d+)?)|(?P<var>\$\w*)|"""
    r"""(?P<path>(?:\.\w+)+)|(?P<dot>\.)|(?P<word>\w+)|(?P<sign>:=|=|[|()]))(?P<tail>(?:\.\w+)*)"""
)


class TemplateError(Exception):
    """A template that cannot be read, or that fails on these values; in one line."""


Node = tuple[Any, ...]


def parse(text: str) -> list[Node]:
    """The template, ready for `render`. TemplateError when it is none."""
    pieces: list[tuple[str, str]] = []
    at = 0
    trim = False
    for found in _ACTION.finditer(text):
        before = text[at : found.start()]
        pieces.append(("text", _trimmed(before, trim, bool(found[1]))))
        pieces.append(("action", found[2].strip()))
        at, trim = found.end(), bool(found[3])
    rest = _trimmed(text[at:], trim, False)
    if "{{" in rest:
        raise TemplateError("template: requestLog:1: unclosed action")
    pieces.append(("text", rest))
    nodes, left, ended = _block(pieces, 0)
    if ended:
        raise TemplateError(f"template: requestLog:1: unexpected {{{{{ended}}}}}")
    assert left == len(pieces)
    return nodes


def _trimmed(text: str, left: bool, right: bool) -> str:
    text = text.lstrip() if left else text
    return text.rstrip() if right else text


def _block(pieces: list[tuple[str, str]], at: int) -> tuple[list[Node], int, str]:
    nodes: list[Node] = []
    while at < len(pieces):
        kind, text = pieces[at]
        at += 1
        if kind == "text":
            nodes.append(("text", text))
            continue
        word = text.split(None, 1)[0] if text else ""
        if text.startswith("/*"):
            continue
        if word in ("end", "else"):
            return nodes, at, text
        if word in ("if", "with", "range"):
            node, at = _branch(pieces, at, word, text[len(word) :])
            nodes.append(node)
        else:
            nodes.append(("show", _pipeline(text)))
    return nodes, at, ""


def _branch(pieces: list[tuple[str, str]], at: int, word: str, condition: str) -> tuple[Node, int]:
    pipeline = _pipeline(condition)
    then, at, ended = _block(pieces, at)
    other: list[Node] = []
    if ended.startswith("else"):
        rest = ended[4:].strip()
        if rest.startswith(("if ", "with ")):
            inner, at = _branch(pieces, at, rest.split()[0], rest.split(None, 1)[1])
            return (word, pipeline, then, [inner]), at
        other, at, ended = _block(pieces, at)
    if ended != "end":
        raise TemplateError("template: requestLog:1: unexpected EOF")
    return (word, pipeline, then, other), at


def _tokens(text: str) -> list[tuple[str, str, str]]:
    found = []
    at = 0
    text = text.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or token.end() == at:
            raise TemplateError(f"template: requestLog:1: unexpected {text[at:]!r} in command")
        found.append((token.lastgroup if token.lastgroup != "tail" else _kind(token), _body(token), token["tail"]))
        at = token.end()
    if not found:
        raise TemplateError("template: requestLog:1: missing value for command")
    return found  # type: ignore[return-value]


def _kind(token: re.Match[str]) -> str:
    return next(name for name, value in token.groupdict().items() if value is not None and name != "tail")


def _body(token: re.Match[str]) -> str:
    return token[_kind(token)]


def _pipeline(text: str) -> Node:
    tokens = _tokens(text)
    name = None
    if len(tokens) > 2 and tokens[0][0] == "var" and tokens[1][1] in (":=", "="):
        name, tokens = tokens[0][1], tokens[2:]
    commands, at = _commands(tokens, 0)
    if at != len(tokens):
        raise TemplateError("template: requestLog:1: unexpected right paren")
    return ("pipe", name, commands)


def _commands(tokens: list[tuple[str, str, str]], at: int) -> tuple[list[list[Node]], int]:
    commands: list[list[Node]] = [[]]
    while at < len(tokens):
        kind, body, tail = tokens[at]
        at += 1
        if body == "|" and kind == "sign":
            commands.append([])
        elif body == ")" and kind == "sign":
            at -= 1
            break
        elif body == "(" and kind == "sign":
            inner, at = _commands(tokens, at)
            if at >= len(tokens):
                raise TemplateError("template: requestLog:1: unclosed left paren")
            commands[-1].append(("pipe-in", inner, tokens[at][2]))
            at += 1
        else:
            commands[-1].append(_operand(kind, body, tail))
    if not all(commands):
        raise TemplateError("template: requestLog:1: missing value for command")
    return commands, at


def _operand(kind: str, body: str, tail: str) -> Node:
    if kind == "string":
        text = body[1:-1]
        return ("value", text if body[0] == "`" else text.encode().decode("unicode_escape"))
    if kind == "number":
        return ("value", float(body) if "." in body else int(body))
    if kind == "path":
        return ("field", body[1:].split("."))
    if kind == "dot":
        return ("dot",)
    if kind == "var":
        return ("var", body, tail[1:].split(".") if tail else [])
    if body in ("true", "false", "nil"):
        return ("value", {"true": True, "false": False, "nil": None}[body])
    if body not in _FUNCTIONS:
        raise TemplateError(f'template: requestLog:1: function "{body}" not defined')
    return ("call", body)


def render(nodes: list[Node], dot: Any) -> str:
    """The text for these values. TemplateError when a field is absent or a function cannot do its work."""
    out: list[str] = []
    try:
        _render(nodes, dot, {"$": dot}, out)
    except (TypeError, ValueError, IndexError, KeyError, ArithmeticError) as wrong:
        raise TemplateError(str(wrong)) from wrong
    return "".join(out)


def _render(nodes: list[Node], dot: Any, variables: dict[str, Any], out: list[str]) -> None:
    for node in nodes:
        kind = node[0]
        if kind == "text":
            out.append(node[1])
            continue
        value = _pipe(node[1], dot, variables)
        if kind == "show":
            if node[1][1] is None:
                out.append(_shown(value))
        elif kind == "if":
            _render(node[2] if _true(value) else node[3], dot, variables, out)
        elif kind == "with":
            taken = _true(value)
            _render(node[2] if taken else node[3], value if taken else dot, variables, out)
        else:
            items = list(value.values()) if isinstance(value, Mapping) else list(value or ())
            for item in items:
                _render(node[2], item, variables, out)
            if not items:
                _render(node[3], dot, variables, out)


def _pipe(node: Node, dot: Any, variables: dict[str, Any]) -> Any:
    value = _run(node[2], dot, variables)
    if node[1] is not None:
        variables[node[1]] = value
    return value


_NOTHING = object()


def _run(commands: list[list[Node]], dot: Any, variables: dict[str, Any]) -> Any:
    value: Any = _NOTHING
    for command in commands:
        first = command[0]
        found = [_value(node, dot, variables) for node in command[1:]]
        args = [each() if callable(each) else each for each in found]
        if value is not _NOTHING:
            args.append(value)
        if first[0] == "call":
            value = _FUNCTIONS[first[1]](*args)
            continue
        value = _value(first, dot, variables)
        if callable(value):
            value = value(*args)
        elif args:
            raise TemplateError("can't give argument to non-function")
    return value() if callable(value) else value


def _value(node: Node, dot: Any, variables: dict[str, Any]) -> Any:
    kind = node[0]
    if kind == "value":
        return node[1]
    if kind == "dot":
        return dot
    if kind == "field":
        return _field(dot, node[1])
    if kind == "var":
        if node[1] not in variables:
            raise TemplateError(f'undefined variable "{node[1]}"')
        return _field(variables[node[1]], node[2])
    if kind == "pipe-in":
        return _field(_run(node[1], dot, variables), node[2][1:].split(".") if node[2] else [])
    return _FUNCTIONS[node[1]]()


def _field(value: Any, names: list[str]) -> Any:
    for name in names:
        if callable(value):
            value = value()
        if isinstance(value, Mapping) and not (hasattr(type(value), name) and name[:1].isupper()):
            if name not in value:
                raise TemplateError(f"can't evaluate field {name}")
            value = value[name]
        elif hasattr(value, name) and not name.startswith("_"):
            value = getattr(value, name)
        else:
            raise TemplateError(f"can't evaluate field {name}")
    return value


def _true(value: Any) -> bool:
    return bool(value)


def _shown(value: Any) -> str:
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, list | tuple):
        return f"[{' '.join(_shown(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_shown(value[key])}' for key in sorted(value))}]"
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
    return "".join(_shown(value) for value in values)


def _println(*values: Any) -> str:
    return " ".join(_shown(value) for value in values) + "\n"


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
            return f"%{flags}s" % _shown(value)
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


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: test(left, right)


def _and(*values: Any) -> Any:
    return next((value for value in values if not _true(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if _true(value)), values[-1])


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "js": _js,
    "html": lambda *values: html.escape(_print(*values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "urlquery": lambda *values: quote_plus(_print(*values)),
    "print": _print,
    "println": _println,
    "printf": _printf,
    "len": len,
    "index": _index,
    "not": lambda value: not _true(value),
    "and": _and,
    "or": _or,
    "eq": lambda left, *others: any(left == other for other in others),
    "ne": _compare(lambda left, right: bool(left != right)),
    "lt": _compare(lambda left, right: bool(left < right)),
    "le": _compare(lambda left, right: bool(left <= right)),
    "gt": _compare(lambda left, right: bool(left > right)),
    "ge": _compare(lambda left, right: bool(left >= right)),
}
