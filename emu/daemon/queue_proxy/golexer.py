"""A Go template's text → its pieces: plain text and the tokens of each action (text/template/parse, lex.go). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_SPACES = " \t\r\n"
_WORD = re.compile(r"\w+")
_VARIABLE = re.compile(r"\$\w*")
_FIELD = re.compile(r"\.\w+")
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]+(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]+)?|0[bB][01_]+|0[oO][0-7_]+|"
    r"[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]+)?|\.[0-9][0-9_]*(?:[eE][+-]?[0-9_]+)?)"
)
_QUOTED = {
    '"': (re.compile(r'"(?:[^"\\\n]|\\[^\n])*"'), "unterminated quoted string"),
    "`": (re.compile(r"`[^`]*`"), "unterminated raw quoted string"),
    "'": (re.compile(r"'(?:[^'\\\n]|\\[^\n])*'"), "unterminated character constant"),
}
_KINDS = {'"': "string", "`": "raw", "'": "char"}
_AFTER_WORD = " \t\r\n.,|:)("


class TemplateError(Exception):
    """A template that cannot be read, or that fails on these values; in one line."""


class Token(NamedTuple):
    """A part of an action; `space` is whether there is room before it."""

    kind: str
    text: str
    space: bool


def fault(words: str) -> TemplateError:
    """What is wrong of a template's text."""
    return TemplateError(f"template: requestLog:1: {words}")


def pieces(text: str) -> Iterator[str | list[Token]]:
    """Texts and actions in turn; comments are left out, and so is the room that trim markers take away."""
    at, trim = 0, False
    while (begin := text.find("{{", at)) >= 0:
        inner = begin + 2
        left = text[inner : inner + 1] == "-" and text[inner + 1 : inner + 2] in tuple(_SPACES)
        before = text[at:begin]
        before = before.lstrip(_SPACES) if trim else before
        yield before.rstrip(_SPACES) if left else before
        inner += 2 if left else 0
        if text.startswith("/*", inner):
            at, trim = _comment(text, inner)
            continue
        tokens, at, trim = _action(text, inner)
        yield tokens
    rest = text[at:]
    yield rest.lstrip(_SPACES) if trim else rest


def _comment(text: str, at: int) -> tuple[int, bool]:
    end = text.find("*/", at)
    if end < 0:
        raise fault("unclosed comment")
    if closed := _closing(text, end + 2):
        return closed
    raise fault("comment ends before closing delimiter")


def _closing(text: str, at: int) -> tuple[int, bool] | None:
    """Where the text goes on, and whether room is taken away there, if an action ends here."""
    if text.startswith("}}", at):
        return at + 2, False
    if text[at : at + 1] in tuple(_SPACES) and text.startswith("-}}", at + 1):
        return at + 4, True
    return None


def _action(text: str, at: int) -> tuple[list[Token], int, bool]:
    found: list[Token] = []
    space, open_parens = False, 0
    while at < len(text):
        if closed := _closing(text, at):
            if open_parens:
                raise fault("unclosed left paren")
            return found, *closed
        if text[at] in _SPACES:
            at, space = at + 1, True
            continue
        kind, body = _token(text, at)
        open_parens += (kind == "(") - (kind == ")")
        if open_parens < 0:
            raise fault("unexpected right paren")
        found.append(Token(kind, body, space))
        at, space = at + len(body), False
    raise fault("unclosed action")


def _token(text: str, at: int) -> tuple[str, str]:
    char = text[at]
    if char in _QUOTED:
        pattern, words = _QUOTED[char]
        if quoted := pattern.match(text, at):
            return _KINDS[char], quoted[0]
        raise fault(words)
    if text.startswith(":=", at):
        return ":=", ":="
    if char in "=|(),":
        return char, char
    if number := _NUMBER.match(text, at):
        after = text[number.end() : number.end() + 1]
        if after == "i" or after.isalnum() or after == "_":
            raise fault(f"bad number syntax: {number[0] + after!r}")
        return "number", number[0]
    for kind, pattern in (("variable", _VARIABLE), ("field", _FIELD), ("word", _WORD)):
        if matched := pattern.match(text, at):
            _terminated(text, matched.end())
            return kind, matched[0]
    if char == ".":
        return "dot", "."
    raise fault(f"unrecognized character in action: U+{ord(char):04X} {char!r}")


def _terminated(text: str, at: int) -> None:
    after = text[at : at + 1]
    if after and after not in _AFTER_WORD and not text.startswith("}}", at):
        raise fault(f"bad character U+{ord(after):04X} {after!r}")
