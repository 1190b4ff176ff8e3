"""Go's text/template, for a request log's template. Pure: text and values → text.

All of it, as Go 1.27 has it, but complex numbers: actions, variables and their scopes, pipelines, chains and
parentheses, comments and trim markers, templates within templates, and the functions of `gofuncs`. What a request has
of fields and methods is `gorequest`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.daemon.queue_proxy.goformat import NO_VALUE, Nil, Struct, Values, formatted, shown, true
from emu.daemon.queue_proxy.gofuncs import FUNCTIONS
from emu.daemon.queue_proxy.golexer import TemplateError, fault
from emu.daemon.queue_proxy.goparser import Node, Parser, Template

_DEEPEST = 100
"""Templates within templates; Go's own bound is its stack's."""
_MOST_INT = 2**63 - 1
_NOTHING = object()

__all__ = ["Template", "TemplateError", "parse", "render"]


def parse(text: str) -> Template:
    """The template, ready for `render`. TemplateError when it is none."""
    try:
        return Parser(text, FUNCTIONS).template
    except RecursionError:
        raise fault("max expression depth exceeded") from None


def render(template: Template, dot: Any) -> str:
    """The text for these values. TemplateError when a field is absent or a function cannot do its work."""
    rendering = _Rendering(template)
    try:
        rendering.nodes(template.nodes, dot, _Scope(dot))
    except (TypeError, ValueError, IndexError, KeyError, ArithmeticError, AttributeError) as wrong:
        raise TemplateError(str(wrong)) from wrong
    except RecursionError:
        raise TemplateError("exceeded maximum template depth") from None
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
        raise TemplateError(f"undefined variable: {name}")


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
                if not node[1][1]:
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
        given = NO_VALUE if pipeline is None else _pipe(pipeline, dot, scope)
        self._depth += 1
        self.nodes(self._named[name], given, _Scope(given))
        self._depth -= 1

    def _branch(self, node: Node, dot: Any, scope: _Scope) -> None:
        kind, pipeline, then, other = node
        if kind == "range":
            self._range(_run(pipeline[2], dot, scope), node, dot, scope)
            return
        value = _pipe(pipeline, dot, scope)
        if not true(value):
            self.nodes(other, dot, scope)
        else:
            self.nodes(then, value if kind == "with" else dot, scope)

    def _range(self, value: Any, node: Node, dot: Any, scope: _Scope) -> None:
        _, (_, names, _, new), then, other = node
        pairs = _pairs(value, names)
        if not pairs:
            self.nodes(other, dot, scope)
            return
        mark = scope.mark()
        for key, item in pairs:
            scope.forget(mark)
            given = (item,) if len(names) == 1 else (key, item)
            for name, each in zip(names, given, strict=False):
                (scope.add if new else scope.set)(name, each)
            try:
                self.nodes(then, item, scope)
            except _Continue:
                continue
            except _Break:
                break


def _pairs(value: Any, names: tuple[str, ...]) -> list[tuple[Any, Any]]:
    """What a range goes through: a map by its sorted keys, a list by its indices, a number from 0."""
    if isinstance(value, Mapping):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, int) and not isinstance(value, bool):
        if len(names) > 1:
            raise TemplateError(f"can't use {value} to iterate over more than one variable")
        return [(number, number) for number in range(value)]
    if value is None or value is NO_VALUE:
        return []
    if not isinstance(value, list | tuple):
        raise TemplateError(f"range can't iterate over {formatted(value)}")
    return list(enumerate(value))


def _pipe(node: Node, dot: Any, scope: _Scope) -> Any:
    value = _run(node[2], dot, scope)
    for name in node[1]:
        (scope.add if node[3] else scope.set)(name, value)
    return value


def _run(commands: list[list[Node]], dot: Any, scope: _Scope) -> Any:
    value: Any = _NOTHING
    for command in commands:
        value = _command(command, value, dot, scope)
    return value


def _command(command: list[Node], last: Any, dot: Any, scope: _Scope) -> Any:
    first, nodes = command[0], command[1:]
    kind = first[0]
    if kind == "call":
        return _called(first[1], nodes, last, dot, scope)
    if kind in ("field", "variable", "chain"):
        args = [_value(node, dot, scope) for node in nodes] + ([] if last is _NOTHING else [last])
        return _chained(first, args, dot, scope)
    if nodes or last is not _NOTHING:
        raise TemplateError("can't give argument to non-function")
    if kind == "nil":
        raise TemplateError("nil is not a command")
    value = _value(first, dot, scope)
    if kind == "value" and isinstance(value, int) and value > _MOST_INT:
        raise TemplateError(f"{value} overflows int")
    return value


def _called(name: str, nodes: list[Node], last: Any, dot: Any, scope: _Scope) -> Any:
    if name in ("and", "or"):
        return _lazily(name, nodes, last, dot, scope)
    args = [_value(node, dot, scope) for node in nodes] + ([] if last is _NOTHING else [last])
    return FUNCTIONS[name](*args)


def _lazily(name: str, nodes: list[Node], last: Any, dot: Any, scope: _Scope) -> Any:
    """`and` and `or`: what comes after the one that decides is not looked at."""
    value: Any = _NOTHING
    for node in nodes:
        value = _value(node, dot, scope)
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
    if kind == "nil":
        return None
    if kind == "parens":
        return _pipe(node[1], dot, scope)
    if kind == "call":
        return _called(node[1], [], _NOTHING, dot, scope)
    return _chained(node, [], dot, scope)


def _chained(node: Node, args: list[Any], dot: Any, scope: _Scope) -> Any:
    """Field after field; what is given is for the last."""
    kind, names = node[0], node[-1]
    if kind == "variable" and not names and args:
        raise TemplateError("can't give argument to non-function")
    value = dot if kind == "field" else scope.get(node[1]) if kind == "variable" else _value(node[1], dot, scope)
    for at, name in enumerate(names):
        value = _field(value, name, args if at == len(names) - 1 else [])
    return value


def _field(value: Any, name: str, args: list[Any]) -> Any:
    if isinstance(value, Nil) and name not in value.methods:
        raise TemplateError(f"nil pointer evaluating {value.kind}.{name}")
    if isinstance(value, Struct | Values | Nil) and name in value.methods:
        return value.methods[name](*args)
    if isinstance(value, Struct) and name in value.fields:
        found = value.fields[name]
    elif isinstance(value, Mapping):
        found = value.get(name, NO_VALUE)
    else:
        raise TemplateError(f"can't evaluate field {name}")
    if args:
        raise TemplateError(f"{name} has arguments but cannot be invoked as function")
    return found
