"""YAML text to plain values, each with its place in the file. Safe for any bytes: what is wrong is one EmuError.

YAML 1.2's core schema, and less: no tags, no merge keys, bounded size, depth and number of values, so that no alias
bomb unfolds. What YAML 1.1 reads differently (010) is refused in a scenario, where its `yes`, `on` and `1_000` are
text; in a manifest they are 8, true and 1000, as Kubernetes reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from emu.errors import EmuError
from emu.policy.secrets import MASK

MOST_VALUES = 20_000
DEEPEST = 32
MOST_SHOWN = 500
_SEE_FORM = "`emu scenarios queue-proxy-oom` shows a valid file; docs/scenario-file.md documents every key"

_UNSAID = re.compile(r"\('(<.*?>)',\)")
"""The parser's name of a token, as Python shows it."""
_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"(?P<true>true|True|TRUE)|false|False|FALSE")
_BOOL_1_1 = re.compile(
    r"(?P<true>true|True|TRUE|y|Y|yes|Yes|YES|on|On|ON)|false|False|FALSE|n|N|no|No|NO|off|Off|OFF"
)
_INT = re.compile(r"[-+]?[0-9]+")
_BASED_INT = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_BASED_INT_1_1 = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_LONGEST_NUMBER = 40
_TEMPLATE = re.compile(r"^[^'\"#\n]*(\{\{[-~]?[ \t]*[.$\w]|\{%)", re.MULTILINE)
"""What Helm and Jinja fill in; in quotes it may be a template of something else, of a log's lines for example."""
_SECRETS = frozenset(("secrets", "stringData", "data"))
"""Keys of a scenario and of a manifest, below which are the values of Secrets (a ConfigMap has `data`, too)."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Dialect:
    """What kind of file it is."""

    what: str
    """What it holds, for errors."""
    see: str
    """Where its form is shown."""
    several: bool = False
    """It may have several documents."""
    yes_is_true: bool = False
    """`yes`, `on` and their like are true and false, and numbers may have underscores, as in YAML 1.1."""


SCENARIO = Dialect("scenario", _SEE_FORM)
MANIFEST = Dialect("manifest", "docs/manifests.md shows what is read", several=True, yes_is_true=True)


@dataclass(frozen=True)
class Mark:
    """A place: file (or `--set …`), line and column, both from 1; line 0 is the source as a whole."""

    source: str
    line: int = 0
    column: int = 0
    path: str = ""
    """How its key is called there, where that is not how it is read: of a scenario that was made of manifests."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass
class Node:
    """A value with its place: a scalar, a list of nodes or a dict of nodes."""

    mark: Mark
    value: Any
    text: str = ""
    """A scalar as it was written, without its quotes."""
    key_marks: dict[str, Mark] = field(default_factory=dict)
    """Where a dict's keys are."""

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def copy(self) -> Node:
        """It and all below, to be changed by itself; places are shared, as they never change."""
        value = self.value
        if isinstance(value, dict):
            value = {key: node.copy() for key, node in value.items()}
        elif isinstance(value, list):
            value = [node.copy() for node in value]
        return Node(self.mark, value, self.text, dict(self.key_marks))

    def child(self, step: str | int) -> Node | None:
        """The node below at a key or an index; None where there is none."""
        if isinstance(self.value, dict):
            found = self.value.get(str(step))
            return found if isinstance(found, Node) else None
        if isinstance(self.value, list) and isinstance(step, int) and 0 <= step < len(self.value):
            below = self.value[step]
            return below if isinstance(below, Node) else None
        return None


def parse(text: str, source: str, *, lines: bool = True) -> Node:
    """The one document in the text. EmuError, with line and column, for all that is not plain YAML. Without `lines`
    every place is the source as a whole.
    """
    nodes = _Builder(text, source, lines, SCENARIO).build()
    if not nodes:
        raise EmuError(f"{source}: empty", "it has no content except comments", _SEE_FORM)
    return nodes[0]


def first_value(text: str, key: str) -> str:
    """The text at a key of the top of a good file, read no further than to there; empty where it has none."""
    return _Builder(text, "", False, SCENARIO).value_at(key)


def parse_documents(text: str, source: str) -> list[Node]:
    """The documents of a manifest; those without content are left out. EmuError for all that is not plain YAML."""
    nodes = _Builder(text, source, True, MANIFEST).build()
    if not nodes:
        raise EmuError(f"{source}: empty", "it has no content except comments", MANIFEST.see)
    return nodes


def bad(mark: Mark, what: str, why: str, fix: str) -> EmuError:
    """An error at a place."""
    return EmuError(one_line(f"{mark}: {what}"), one_line(why), one_line(fix))


def one_line(text: str) -> str:
    """Text for an error: whatever was quoted in it, it is one line and not long."""
    flat = text.replace("\n", "\\n").replace("\t", "\\t")
    return flat if len(flat) <= MOST_SHOWN else f"{flat[:MOST_SHOWN]}…"


class _Builder:
    """Makes nodes of parser events, without recursion in the parser and with a bound on all that grows."""

    def __init__(self, text: str, source: str, lines: bool, dialect: Dialect) -> None:
        self._dialect = dialect
        self._text = text
        self._source = source
        self._lines = lines
        self._anchors: dict[str, Node] = {}
        self._values = 0
        self._path: list[str] = []
        self._events = self._parse()

    def build(self) -> list[Node]:
        """The documents' roots, apart from those without content."""
        roots: list[Node] = []
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                if roots and not self._dialect.several:
                    self._refuse(event, "a second document", "a file here is one document", "remove it and the `---`")
                self._anchors.clear()
                roots.append(self._node(next(self._events)))
        return [root for root in roots if root.value is not None or root.text]

    def value_at(self, key: str) -> str:
        """The scalar at a key of the first document's mapping, without what comes after it."""
        depth = 0
        for event in self._events:
            depth += isinstance(event, MappingStartEvent | SequenceStartEvent)
            depth -= isinstance(event, MappingEndEvent | SequenceEndEvent)
            if depth == 1 and isinstance(event, ScalarEvent) and event.value == key:
                return str(getattr(next(self._events), "value", ""))
        return ""

    def _parse(self) -> Iterator[Event]:
        try:
            yield from YAML(typ="safe", pure=True).parse(self._text)
        except ReaderError as error:
            mark = self._mark_at(int(error.position))
            what = f"a control character ({self._text[int(error.position)]!r})"
            raise bad(mark, what, "YAML allows only printable text", "remove it; is this the right file?") from None
        except MarkedYAMLError as error:
            raise self._not_yaml(error) from None
        except (
            YAMLError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            AssertionError,
        ) as error:
            # The parser meets some malformed escapes and directives with errors of Python's own.
            why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise EmuError(f"{self._source}: not valid YAML", why, self._dialect.see) from None
        except (NotImplementedError, RecursionError):
            raise EmuError(
                f"{self._source}: not valid YAML", "the parser cannot follow it", self._dialect.see
            ) from None

    def _not_yaml(self, error: MarkedYAMLError) -> EmuError:
        problem = (error.problem or "").strip().splitlines()
        mark = self._mark(error.problem_mark or error.context_mark)
        why = _UNSAID.sub(r"\1", problem[0][:200]) if problem else "the parser cannot read it"
        if error.context and error.context_mark:
            why += f" ({error.context.strip().splitlines()[0]} of line {error.context_mark.line + 1})"
        return bad(mark, "not valid YAML", why, self._yaml_hint(mark, why))

    def _of_template(self) -> str:
        """What to do where the text is a template that nobody has filled in."""
        if _TEMPLATE.search(self._text) is None:
            return ""
        return "it is a template: fill it in first, a chart with `helm template`"

    def _yaml_hint(self, mark: Mark, why: str) -> str:
        if fix := self._of_template():
            return fix
        lines = self._text.splitlines()
        line = lines[mark.line - 1] if 0 < mark.line <= len(lines) else ""
        if "\t" in line[: max(mark.column, len(line) - len(line.lstrip()))]:
            return "indent with spaces: YAML allows no tabs there"
        if "mapping values are not allowed" in why:
            return "check the indentation, and quote a text that has `: ` in it"
        if "could not find expected ':'" in why:
            return "write `key: value`, with a space after the colon"
        if "expected <block end>" in why or "expected ',' or" in why:
            return "check the indentation and the brackets above this line"
        if "start any token" in why:
            return "quote a text that begins with a special character"
        return self._dialect.see

    def _mark(self, mark: StreamMark | None) -> Mark:
        if mark is None or not self._lines:
            return Mark(self._source)
        return Mark(self._source, mark.line + 1, mark.column + 1)

    def _mark_at(self, position: int) -> Mark:
        before = self._text[:position]
        if not self._lines:
            return Mark(self._source)
        return Mark(self._source, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)

    def _refuse(self, event: Event, what: str, why: str, fix: str) -> NoReturn:
        key = ".".join(self._path)
        raise bad(self._mark(event.start_mark), f"{key}: {what}" if key else what, why, fix)

    def _shown(self, text: object) -> str:
        """A value in an error; of a Secret only that there is one."""
        return MASK if _SECRETS.intersection(self._path) else str(text)

    def _count(self, event: Event, values: int) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            self._refuse(
                event,
                f"more than {MOST_VALUES} values",
                f"a {self._dialect.what} has a few hundred; each use of an alias (*name) counts",
                "make it smaller",
            )

    def _node(self, event: Event) -> Node:
        self._count(event, 1)
        if isinstance(event, AliasEvent):
            return self._alias(event)
        assert isinstance(event, NodeEvent)
        tag = getattr(event, "tag", None)
        if tag:
            why = "tags are not supported"
            self._refuse(event, f"a tag ({self._shown(tag)})", why, "remove it; quote a value to make it text")
        node = self._scalar(event) if isinstance(event, ScalarEvent) else self._collection(event)
        if event.anchor:
            self._anchors[str(event.anchor)] = node
        return node

    def _collection(self, event: NodeEvent) -> Node:
        if len(self._path) >= DEEPEST:
            self._path.clear()
            self._refuse(
                event, f"nested more than {DEEPEST} deep", f"no {self._dialect.what} needs that", "reduce the nesting"
            )
        return self._mapping(event) if isinstance(event, MappingStartEvent) else self._sequence(event)

    def _below(self, step: str, event: Event) -> Node:
        self._path.append(step)
        node = self._node(event)
        self._path.pop()
        return node

    def _alias(self, event: AliasEvent) -> Node:
        node = self._anchors.get(str(event.anchor))
        if node is None:
            why = "no anchor before it has that name, or it is inside its own anchor"
            name = self._shown(event.anchor)
            self._refuse(event, f"the alias *{name} has no anchor", why, f"define &{name} before it")
        self._count(event, _size(node))
        return node.copy()

    def _sequence(self, event: NodeEvent) -> Node:
        assert isinstance(event, SequenceStartEvent)
        items: list[Node] = []
        for item in self._events:
            if isinstance(item, SequenceEndEvent):
                break
            items.append(self._below(str(len(items)), item))
        return Node(self._mark(event.start_mark), items)

    def _mapping(self, event: NodeEvent) -> Node:
        values: dict[str, Node] = {}
        marks: dict[str, Mark] = {}
        for item in self._events:
            if isinstance(item, MappingEndEvent):
                break
            key = self._key(item)
            if key in marks:
                first = marks[key].line
                self._path.append(key)
                self._refuse(item, "duplicate key", f"line {first} has it already", "keep one of them")
            marks[key] = self._mark(item.start_mark)
            node = self._below(key, next(self._events))
            if node.value is None and not node.text:
                node.mark = marks[key]  # nothing has no place of its own: the parser says where the next thing is
            values[key] = node
        return Node(self._mark(event.start_mark), values, key_marks=marks)

    def _key(self, event: Event) -> str:
        if not isinstance(event, ScalarEvent):
            fix = "check for a stray `?`, `[`, `{` or `*`"
            self._refuse(event, "a key that is not plain text", "a key is plain text", self._of_template() or fix)
        if event.value == "<<" and event.style is None:
            self._refuse(event, "a merge key (<<)", "merge keys are not supported", "write the keys out")
        return self._scalar(event).text

    def _scalar(self, event: ScalarEvent) -> Node:
        text = str(event.value)
        unfit = CONTROL.search(text)
        if unfit is not None:
            self._refuse(
                event,
                f"a control character ({unfit[0]!r})",
                f"values of a {self._dialect.what} cannot contain one",
                "remove it",
            )
        value: Any = text if event.style in ("'", '"', "|", ">") else self._plain_value(event, text)
        return Node(self._mark(event.start_mark), value, text)

    def _plain_value(self, event: ScalarEvent, text: str) -> Any:
        if _NULL.fullmatch(text):
            return None
        if (word := (_BOOL_1_1 if self._dialect.yes_is_true else _BOOL).fullmatch(text)) is not None:
            return bool(word["true"])
        number = text.replace("_", "") if self._dialect.yes_is_true and text[0] in "+-0123456789" else text
        if _LEADING_ZERO.fullmatch(number):
            if self._dialect.yes_is_true:
                return int(number, 10 if set(number) & set("89") else 8)
            self._refuse(
                event,
                f"{self._shown(text[:_LONGEST_NUMBER])} has a leading zero",
                "YAML 1.1 reads it in base 8, YAML 1.2 in base 10",
                "remove the zero, or quote it to make it text",
            )
        if _NOT_FINITE.fullmatch(text):
            self._refuse(
                event,
                f"{self._shown(text)} is not a usable number",
                "no value can be infinite",
                "write `max` for no limit",
            )
        found = self._number(event, number)
        return text if found is None else found

    def _number(self, event: ScalarEvent, text: str) -> int | float | None:
        based = (_BASED_INT_1_1 if self._dialect.yes_is_true else _BASED_INT).fullmatch(text)
        if not (_INT.fullmatch(text) or based or _FLOAT.fullmatch(text)):
            return None
        if len(text) > _LONGEST_NUMBER:
            self._refuse(event, f"a number of {len(text)} digits", "no value can be that large", "is a unit meant?")
        if based:
            return int(text, 0)
        if _INT.fullmatch(text):
            return int(text)
        number = float(text)
        if abs(number) == float("inf"):
            self._refuse(
                event, f"{self._shown(text)} is too large", "no value can be that large", "write a smaller number"
            )
        return int(number) if number.is_integer() and abs(number) < 2**63 and "." not in text else number


def _size(node: Node) -> int:
    below = node.value.values() if isinstance(node.value, dict) else node.value
    return 1 + sum(map(_size, below)) if isinstance(node.value, dict | list) else 1
