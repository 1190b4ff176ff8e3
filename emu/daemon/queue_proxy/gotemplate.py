"""Go's text/template, for a request log's template. Pure: text and values → text.

Understood: all actions (if, with and what follows else; range with its variables, break and continue; define,
template and block), variables and their scopes, literals, pipelines and parentheses, comments, trim markers, and the
functions of `gofuncs`. A method without arguments is a field whose value may be a callable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emu.daemon.queue_proxy.gofuncs import FUNCTIONS, shown, true

_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<number>[+-]?\d+(?:\.\d+)?)|(?P<var>\$\w*)|"""
    r"""(?P<path>(?:\.\w+)+)|(?P<dot>\.)|(?P<word>\w+)|(?P<sign>:=|=|[|(),]))(?P<tail>(?:\.\w+)*)"""
)
_NAME = re.compile(r'("(?:[^"\\\n]|\\.)*"|`[^`]*`)\s*(.*)', re.DOTALL)
_RANGE = re.compile(r"\s*(\$\w+)(?:\s*,\s*(\$\w+))?\s*(:=|=)\s*(.*)", re.DOTALL)
_DEEPEST = 100
"""Templates within templates; Go's own bound is its stack's."""


class TemplateError(Exception):
    """A template that cannot be read, or that fails on these values; in one line."""


Node = tuple[Any, ...]


@dataclass
class Template:
    """A template, and those that are defined in it."""

    nodes: list[Node] = field(default_factory=list)
    named: dict[str, list[Node]] = field(default_factory=dict)


def parse(text: str) -> Template:
    """The template, ready for `render`. TemplateError when it is none."""
    return _Parser(text).template


def _fault(words: str) -> TemplateError:
    return TemplateError(f"template: requestLog:1: {words}")


def _trimmed(text: str, left: bool, right: bool) -> str:
    text = text.lstrip() if left else text
    return text.rstrip() if right else text


class _Parser:
    def __init__(self, text: str) -> None:
        self.template = Template()
        self._pieces: list[tuple[str, str]] = []
        self._at = 0
        self._split(text)
        self.template.nodes, ended = self._block(top=True)
        if ended:
            raise _fault(f"unexpected {{{{{ended}}}}}")

    def _split(self, text: str) -> None:
        at, trim = 0, False
        for found in _ACTION.finditer(text):
            self._pieces.append(("text", _trimmed(text[at : found.start()], trim, bool(found[1]))))
            self._pieces.append(("action", found[2].strip()))
            at, trim = found.end(), bool(found[3])
        rest = _trimmed(text[at:], trim, False)
        if "{{" in rest:
            raise _fault("unclosed action")
        self._pieces.append(("text", rest))

    def _block(self, *, top: bool = False, ranging: bool = False) -> tuple[list[Node], str]:
        """Nodes up to `end` or `else` (returned, with what follows it), or to the end of the text."""
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            kind, text = self._pieces[self._at]
            self._at += 1
            if kind == "text":
                nodes.append(("text", text))
                continue
            word = text.split(None, 1)[0] if text else ""
            if text.startswith("/*"):
                continue
            if word in ("end", "else"):
                return nodes, text
            if word == "define" and not top:
                raise _fault("unexpected {{define}}")
            nodes += self._action(word, text[len(word) :], text, ranging)
        return nodes, ""

    def _action(self, word: str, rest: str, text: str, ranging: bool) -> list[Node]:
        if word in ("if", "with", "range"):
            return [self._branch(word, rest, ranging)]
        if word in ("break", "continue"):
            if not ranging:
                raise _fault(f"{{{{{word}}}}} outside {{{{range}}}}")
            return [(word,)]
        if word in ("define", "block", "template"):
            return self._named(word, rest)
        return [("show", _pipeline(text))]

    def _named(self, word: str, rest: str) -> list[Node]:
        found = _NAME.fullmatch(rest.strip())
        if found is None:
            raise _fault(f"missing name in {word} clause")
        name = _unquoted(found[1])
        if word == "define" and found[2]:
            raise _fault(f"unexpected {found[2]!r} in define clause")
        if word == "block" and not found[2]:
            raise _fault("missing value for block clause")
        if word != "template":
            body, ended = self._block()
            if ended != "end":
                raise _fault(f"unexpected {{{{{ended}}}}}" if ended else "unexpected EOF")
            if name in self.template.named:
                raise TemplateError(f"template: multiple definition of template {found[1]}")
            self.template.named[name] = body
        return [] if word == "define" else [("template", _pipeline(found[2]) if found[2] else None, name)]

    def _branch(self, word: str, condition: str, ranging: bool) -> Node:
        names: tuple[str | None, ...] = ()
        if word == "range" and (found := _RANGE.fullmatch(condition)):
            names, condition = (found[1], found[2], found[3]), found[4]
        pipeline = _pipeline(condition)
        then, ended = self._block(ranging=ranging or word == "range")
        other: list[Node] = []
        if ended.startswith("else"):
            rest = ended[4:].strip()
            if rest.startswith(("if ", "with ")):
                inner = self._branch(rest.split()[0], rest.split(None, 1)[1], ranging)
                return (word, pipeline, then, [inner], names)
            other, ended = self._block(ranging=ranging)
        if ended != "end":
            raise _fault("unexpected EOF")
        return (word, pipeline, then, other, names)


def _unquoted(text: str) -> str:
    return text[1:-1] if text[0] == "`" else text[1:-1].encode().decode("unicode_escape")


def _tokens(text: str) -> list[tuple[str, str, str]]:
    found = []
    at = 0
    text = text.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or token.end() == at:
            raise _fault(f"unexpected {text[at:]!r} in command")
        found.append((token.lastgroup if token.lastgroup != "tail" else _kind(token), _body(token), token["tail"]))
        at = token.end()
    if not found:
        raise _fault("missing value for command")
    return found  # type: ignore[return-value]


def _kind(token: re.Match[str]) -> str:
    return next(name for name, value in token.groupdict().items() if value is not None and name != "tail")


def _body(token: re.Match[str]) -> str:
    return token[_kind(token)]


def _pipeline(text: str) -> Node:
    tokens = _tokens(text)
    name = None
    new = False
    if len(tokens) > 2 and tokens[0][0] == "var" and tokens[1][1] in (":=", "="):
        name, new, tokens = tokens[0][1], tokens[1][1] == ":=", tokens[2:]
    commands, at = _commands(tokens, 0)
    if at != len(tokens):
        raise _fault("unexpected right paren")
    return ("pipe", name, commands, new)


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
                raise _fault("unclosed left paren")
            commands[-1].append(("pipe-in", inner, tokens[at][2]))
            at += 1
        else:
            commands[-1].append(_operand(kind, body, tail))
    if not all(commands):
        raise _fault("missing value for command")
    return commands, at


def _operand(kind: str, body: str, tail: str) -> Node:
    if kind == "string":
        return ("value", _unquoted(body))
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
    if body not in FUNCTIONS:
        raise _fault(f'function "{body}" not defined')
    return ("call", body)


def render(template: Template, dot: Any) -> str:
    """The text for these values. TemplateError when a field is absent or a function cannot do its work."""
    rendering = _Rendering(template)
    try:
        rendering.nodes(template.nodes, dot, _Scope(dot))
    except (TypeError, ValueError, IndexError, KeyError, ArithmeticError) as wrong:
        raise TemplateError(str(wrong)) from wrong
    return "".join(rendering.out)


class _Scope:
    """Variables: new ones are forgotten at the end of their block, those from outside can be set again."""

    def __init__(self, dot: Any) -> None:
        self._values: list[tuple[str, Any]] = [("$", dot)]

    def mark(self) -> int:
        return len(self._values)

    def forget(self, mark: int) -> None:
        del self._values[mark:]

    def add(self, name: str, value: Any) -> None:
        self._values.append((name, value))

    def set(self, name: str, value: Any) -> None:
        self._values[self._index(name)] = (name, value)

    def get(self, name: str) -> Any:
        return self._values[self._index(name)][1]

    def _index(self, name: str) -> int:
        for index in range(len(self._values) - 1, -1, -1):
            if self._values[index][0] == name:
                return index
        raise TemplateError(f'undefined variable "{name}"')


class _Break(Exception):  # noqa: N818  no errors: how a range is left early
    """The rest of a range is left out."""


class _Continue(Exception):  # noqa: N818
    """The rest of one round is left out."""


class _Rendering:
    def __init__(self, template: Template) -> None:
        self.out: list[str] = []
        self._named = template.named
        self._depth = 0

    def nodes(self, nodes: list[Node], dot: Any, scope: _Scope) -> None:
        for node in nodes:
            kind = node[0]
            if kind == "text":
                self.out.append(node[1])
            elif kind == "show":
                value = _pipe(node[1], dot, scope)
                if node[1][1] is None:
                    self.out.append(shown(value))
            elif kind == "template":
                self._template(node, dot, scope)
            elif kind == "break":
                raise _Break
            elif kind == "continue":
                raise _Continue
            else:
                mark = scope.mark()
                try:
                    self._branch(node, dot, scope)
                finally:
                    scope.forget(mark)

    def _template(self, node: Node, dot: Any, scope: _Scope) -> None:
        _, pipeline, name = node
        if name not in self._named:
            raise TemplateError(f'template "{name}" not defined')
        if self._depth >= _DEEPEST:
            raise TemplateError(f"exceeded maximum template depth ({_DEEPEST})")
        given = None if pipeline is None else _pipe(pipeline, dot, scope)
        self._depth += 1
        self.nodes(self._named[name], given, _Scope(given))
        self._depth -= 1

    def _branch(self, node: Node, dot: Any, scope: _Scope) -> None:
        kind, pipeline, then, other, _ = node
        value = _pipe(pipeline, dot, scope)
        if kind == "range":
            self._range(value, node, dot, scope)
        elif kind == "with":
            self.nodes(then if true(value) else other, value if true(value) else dot, scope)
        else:
            self.nodes(then if true(value) else other, dot, scope)

    def _range(self, value: Any, node: Node, dot: Any, scope: _Scope) -> None:
        _, _, then, other, names = node
        pairs = _pairs(value)
        if not pairs:
            self.nodes(other, dot, scope)
            return
        mark = scope.mark()
        for key, item in pairs:
            scope.forget(mark)
            for name, given in _named_values(names, key, item):
                (scope.add if names[2] == ":=" else scope.set)(name, given)
            try:
                self.nodes(then, item, scope)
            except _Continue:
                continue
            except _Break:
                break


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    """What a range goes through: a map by its sorted keys, a list by its indices, a number from 0."""
    if isinstance(value, Mapping):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(value)]
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise TemplateError(f"range can't iterate over {shown(value)}")
    return list(enumerate(value))


def _named_values(names: tuple[str | None, ...], key: Any, item: Any) -> list[tuple[str, Any]]:
    """A range's variables: with one name the element, with two its key before it."""
    if not names or names[0] is None:
        return []
    return [(names[0], item)] if names[1] is None else [(names[0], key), (names[1], item)]


def _pipe(node: Node, dot: Any, scope: _Scope) -> Any:
    value = _run(node[2], dot, scope)
    if node[1] is not None:
        (scope.add if node[3] else scope.set)(node[1], value)
    return value


_NOTHING = object()


def _run(commands: list[list[Node]], dot: Any, scope: _Scope) -> Any:
    value: Any = _NOTHING
    for command in commands:
        first = command[0]
        if first[0] == "call" and first[1] in ("and", "or"):
            value = _lazily(first[1], command[1:], value, dot, scope)
            continue
        found = [_value(node, dot, scope) for node in command[1:]]
        args = [each() if callable(each) else each for each in found]
        if value is not _NOTHING:
            args.append(value)
        if first[0] == "call":
            value = FUNCTIONS[first[1]](*args)
            continue
        value = _value(first, dot, scope)
        if callable(value):
            value = value(*args)
        elif args:
            raise TemplateError("can't give argument to non-function")
    return value() if callable(value) else value


def _lazily(name: str, nodes: list[Node], last: Any, dot: Any, scope: _Scope) -> Any:
    """`and` and `or`: what comes after the one that decides is not looked at."""
    value: Any = _NOTHING
    for node in nodes:
        value = _value(node, dot, scope)
        value = value() if callable(value) else value
        if true(value) == (name == "or"):
            return value
    if last is not _NOTHING:
        value = last
    if value is _NOTHING:
        raise TemplateError(f"wrong number of args for {name}: want at least 1 got 0")
    return value


def _value(node: Node, dot: Any, scope: _Scope) -> Any:
    kind = node[0]
    if kind == "value":
        return node[1]
    if kind == "dot":
        return dot
    if kind == "field":
        return _field(dot, node[1])
    if kind == "var":
        return _field(scope.get(node[1]), node[2])
    if kind == "pipe-in":
        return _field(_run(node[1], dot, scope), node[2][1:].split(".") if node[2] else [])
    return FUNCTIONS[node[1]]()


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
