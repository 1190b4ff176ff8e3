"""The tokens of a Go template → its tree (text/template/parse, parse.go). Pure.

Nodes are tuples that begin with their kind. Variables and functions that are not there are refused here, as in Go.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from emu.daemon.queue_proxy.golexer import TemplateError, Token, fault, pieces

Node = tuple[Any, ...]
_MOST_INT = 2**63 - 1
_LITERALS = ("dot", "nil", "value")
_ESCAPE = re.compile(
    r"""\\(?:([abfnrtv\\'"])|([0-7]{3})|x([0-9a-fA-F]{2})|(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}))""", re.ASCII
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass
class Template:
    """A template, and those that are defined in it."""

    nodes: list[Node] = field(default_factory=list)
    named: dict[str, list[Node]] = field(default_factory=dict)


class Parser:
    """One text."""

    def __init__(self, text: str, functions: Collection[str]) -> None:
        self.template = Template()
        self._functions = functions
        self._pieces = list(pieces(text))
        self._at = 0
        self._variables = ["$"]
        self._ranges = 0
        self.template.nodes, ended = self._list(top=True)
        if ended:
            raise fault(f"unexpected {{{{{ended[0].text}}}}}")
        self.template.named.setdefault("requestLog", self.template.nodes)

    def _list(self, *, top: bool = False) -> tuple[list[Node], list[Token]]:
        """Nodes up to `end` or `else`, whose tokens come second; none at the end of the text."""
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            self._at += 1
            if isinstance(piece, str):
                if piece:
                    nodes.append(("text", piece))
                continue
            if not piece:
                raise fault("missing value for command")
            word = piece[0].text if piece[0].kind == "word" else ""
            if word in ("end", "else"):
                if word == "end" and len(piece) > 1:
                    raise fault(f"unexpected {piece[1].text!r} in end")
                return nodes, piece
            if word == "define":
                if not top:
                    raise fault("unexpected {{define}}")
                self._define(piece[1:])
            else:
                nodes.append(self._action(word, piece))
        return nodes, []

    def _action(self, word: str, tokens: list[Token]) -> Node:
        if word in ("if", "with", "range"):
            return self._control(word, tokens[1:])
        if word in ("break", "continue"):
            if len(tokens) > 1:
                raise fault(f"unexpected {tokens[1].text!r} in {word}")
            if not self._ranges:
                raise fault(f"{{{{{word}}}}} outside {{{{range}}}}")
            return (word,)
        if word == "block":
            name, rest = self._name(tokens[1:], "block clause")
            pipeline = self._whole(rest, "block clause")
            self._body(name)
            return ("template", pipeline, name)
        if word == "template":
            name, rest = self._name(tokens[1:], "template clause")
            return ("template", self._whole(rest, "template clause") if rest else None, name)
        return ("show", self._whole(tokens, "command"))

    def _name(self, tokens: list[Token], where: str) -> tuple[str, list[Token]]:
        if not tokens or tokens[0].kind not in ("string", "raw"):
            raise fault(f"unexpected {tokens[0].text if tokens else '{{end}}'!r} in {where}")
        return unquoted(tokens[0]), tokens[1:]

    def _define(self, tokens: list[Token]) -> None:
        name, rest = self._name(tokens, "define clause")
        if rest:
            raise fault(f"unexpected {rest[0].text!r} in define clause")
        self._body(name)

    def _body(self, name: str) -> None:
        outer, self._variables = self._variables, ["$"]
        ranges, self._ranges = self._ranges, 0
        body, ended = self._list()
        self._variables, self._ranges = outer, ranges
        if not ended or ended[0].text != "end":
            raise fault(f"unexpected {{{{{ended[0].text}}}}} in define clause" if ended else "unexpected EOF")
        before = self.template.named.get(name)
        if before is not None and not _empty(before):
            if not _empty(body):
                raise TemplateError(f'template: multiple definition of template "{name}"')
            return
        self.template.named[name] = body

    def _control(self, word: str, tokens: list[Token]) -> Node:
        mark = len(self._variables)
        pipeline = self._whole(tokens, word, ranging=word == "range")
        self._ranges += word == "range"
        then, ended = self._list()
        self._ranges -= word == "range"
        other: list[Node] = []
        if ended and ended[0].text == "else":
            inner = ended[1].text if len(ended) > 1 else ""
            if (inner and inner != word) or inner == "range":
                raise fault(f"unexpected <{inner}> in input")
            if inner:
                other = [self._control(inner, ended[2:])]
                ended = [Token("word", "end", False)]
            else:
                other, ended = self._list()
        if not ended:
            raise fault("unexpected EOF")
        if ended[0].text != "end":
            raise fault("expected end; found {{else}}")
        del self._variables[mark:]
        return (word, pipeline, then, other)

    # --- pipelines

    def _whole(self, tokens: list[Token], where: str, *, ranging: bool = False) -> Node:
        pipeline, at = self._pipeline(tokens, 0, where, ranging=ranging)
        if at != len(tokens):
            raise fault(f"unexpected {tokens[at].text!r} in {where}")
        return pipeline

    def _pipeline(self, tokens: list[Token], at: int, where: str, *, ranging: bool = False) -> tuple[Node, int]:
        names, new, at = self._declared(tokens, at, ranging)
        commands: list[list[Node]] = []
        while at < len(tokens) and tokens[at].kind != ")":
            if tokens[at].kind == "|" and not commands:
                raise fault(f'unexpected "|" in {where}')
            command, at = self._command(tokens, at)
            commands.append(command)
            if at < len(tokens) and tokens[at].kind == "|":
                at += 1
        if not commands:
            raise fault(f"missing value for {where}")
        for stage, command in enumerate(commands[1:], 2):
            if command[0][0] in _LITERALS:
                raise fault(f"non executable command in pipeline stage {stage}")
        return ("pipe", tuple(names), commands, new), at

    def _declared(self, tokens: list[Token], at: int, ranging: bool) -> tuple[list[str], bool, int]:
        names: list[str] = []
        start = at
        while at < len(tokens) and tokens[at].kind == "variable":
            after = tokens[at + 1].kind if at + 1 < len(tokens) else ""
            names.append(tokens[at].text)
            if after in (":=", "="):
                if after == "=":
                    for name in names:
                        self._known(name)
                self._variables += names if after == ":=" else []
                return names, after == ":=", at + 2
            if after != "," or not ranging or len(names) > 1:
                break
            at += 2
        return [], False, start

    def _known(self, name: str) -> None:
        if name not in self._variables:
            raise fault(f'undefined variable "{name}"')

    def _command(self, tokens: list[Token], at: int) -> tuple[list[Node], int]:
        found: list[Node] = []
        while at < len(tokens) and tokens[at].kind not in ("|", ")"):
            if found and not tokens[at].space:
                raise fault(f"unexpected {tokens[at].text!r} in operand")
            node, at = self._operand(tokens, at)
            found.append(node)
        if not found:
            raise fault("empty command")
        return found, at

    def _operand(self, tokens: list[Token], at: int) -> tuple[Node, int]:
        node, at = self._term(tokens, at)
        names: list[str] = []
        while at < len(tokens) and tokens[at].kind == "field" and not tokens[at].space:
            names.append(tokens[at].text[1:])
            at += 1
        if not names:
            return node, at
        if node[0] in _LITERALS:
            raise fault(f"unexpected . after term {tokens[at - len(names) - 1].text!r}")
        if node[0] in ("field", "variable"):
            return (*node[:-1], [*node[-1], *names]), at
        return ("chain", node, names), at

    def _term(self, tokens: list[Token], at: int) -> tuple[Node, int]:
        token = tokens[at]
        kind, text = token.kind, token.text
        if kind == "(":
            inner, end = self._pipeline(tokens, at + 1, "parenthesized pipeline")
            return ("parens", inner), end + 1
        if kind == "field":
            return ("field", [text[1:]]), at + 1
        if kind == "variable":
            self._known(text)
            return ("variable", text, []), at + 1
        if kind == "dot":
            return ("dot",), at + 1
        if kind in ("string", "raw", "char"):
            value = unquoted(token)
            return ("value", ord(value) if kind == "char" else value), at + 1
        if kind == "number":
            return ("value", _number(text)), at + 1
        if kind != "word":
            raise fault(f"unexpected {text!r} in command")
        if text in ("true", "false"):
            return ("value", text == "true"), at + 1
        if text == "nil":
            return ("nil",), at + 1
        if text not in self._functions:
            raise fault(f'function "{text}" not defined')
        return ("call", text), at + 1


def _empty(nodes: list[Node]) -> bool:
    return all(node[0] == "text" and not node[1].strip() for node in nodes)


def unquoted(token: Token) -> str:
    """The value of a Go literal (strconv.Unquote)."""
    if token.kind == "raw":
        return token.text[1:-1]
    is_char, body = token.kind == "char", token.text[1:-1]
    if "\\" in _ESCAPE.sub("", body):
        raise fault("invalid syntax")
    found, at = bytearray(), 0
    for escape in _ESCAPE.finditer(body):
        found += body[at : escape.start()].encode() + _escaped(escape, is_char=is_char)
        at = escape.end()
    value = (found + body[at:].encode()).decode(errors="replace")
    if is_char and len(value) != 1:
        raise fault(f"malformed character constant: {token.text}")
    return value


def _escaped(escape: re.Match[str], *, is_char: bool) -> bytes:
    """An escape of a text is one byte or a character, of a character constant always a character."""
    plain, octal, byte, code = escape.group(1, 2, 3, 4)
    if plain:
        if plain == ('"' if is_char else "'"):
            raise fault("invalid syntax")
        return _PLAIN.get(plain, plain).encode()
    value = int(octal, 8) if octal else int(byte or code[1:], 16)
    if value > (0x10FFFF if code else 255) or 0xD800 <= value < 0xE000:
        raise fault("invalid syntax")
    return chr(value).encode() if code or is_char else bytes((value,))


def _number(text: str) -> int | float:
    plain = text.replace("_", "")
    try:
        if "x" in plain.lower():
            if "." in plain or "p" in plain.lower():
                return float.fromhex(plain)
            value = int(plain, 0)
        elif plain.lstrip("+-").isdigit():
            digits = plain.lstrip("+-")
            value = int(digits, 8 if digits[0] == "0" and len(digits) > 1 else 10) * (-1 if plain[0] == "-" else 1)
        elif "b" in plain.lower() or "o" in plain.lower():
            value = int(plain, 0)
        else:
            return float(plain)
    except ValueError:
        raise fault(f"bad number syntax: {text!r}") from None
    if not -_MOST_INT - 1 <= value < 2**64:
        raise fault(f'integer overflow: "{text}"')
    return value
