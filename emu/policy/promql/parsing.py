"""A query → an expression (promql/parser). What is not of the part that is evaluated is refused in a sentence that
says what is. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

from emu.policy.promql.text import unescaped

RANGE_FUNCTIONS = (
    "rate", "irate", "increase", "delta", "avg_over_time", "max_over_time", "min_over_time", "sum_over_time",
    "count_over_time", "last_over_time",
)  # fmt: skip
FUNCTIONS = ("abs", "ceil", "floor", "round", "clamp_min", "clamp_max", "histogram_quantile", "scalar", "vector")
_ARGUMENTS = {"clamp_min": 2, "clamp_max": 2, "histogram_quantile": 2}
AGGREGATIONS = ("sum", "avg", "max", "min", "count")
READS = (
    "selectors with = != =~ !~ and a range; "
    f"{', '.join(AGGREGATIONS)} with by and without; {', '.join((*RANGE_FUNCTIONS, *FUNCTIONS))}; + - * / and or"
)
"""The part that is evaluated."""

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<duration>\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI]nf\b|NaN\b)
    | (?P<name>[a-zA-Z_:][\w:]*)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^(){}\[\],=<>@:])
    )""",
    re.VERBOSE | re.ASCII,
)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_DEEPEST = 50


class QueryError(ValueError):
    """A query that is no PromQL, or not of the part that is evaluated."""


@dataclass(frozen=True)
class Matcher:
    """A condition on one label."""

    label: str
    sign: str
    value: str

    def holds(self, found: str) -> bool:
        """Of a label's value; an absent label has the empty one. A pattern has to match all of it."""
        if self.sign in ("=", "!="):
            return (found == self.value) == (self.sign == "=")
        return (re.fullmatch(self.value, found, re.DOTALL) is not None) == (self.sign == "=~")

    def __str__(self) -> str:
        return f'{self.label}{self.sign}"{self.value}"'


@dataclass(frozen=True)
class Number:
    """A scalar: a number that is no series."""

    value: float


@dataclass(frozen=True)
class Selector:
    """Series of one metric; with a range, their samples of that time."""

    name: str
    matchers: tuple[Matcher, ...] = ()
    range_s: float | None = None


@dataclass(frozen=True)
class Call:
    """A function of them, or of what comes of them."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Aggregation:
    """One value for each group of series."""

    operator: str
    of: Expression
    labels: tuple[str, ...] = ()
    without: bool = False


@dataclass(frozen=True)
class Operation:
    """Two operands."""

    sign: Literal["+", "-", "*", "/", "or"]
    left: Expression
    right: Expression


Expression = Number | Selector | Call | Aggregation | Operation


def parse(query: str) -> Expression:
    """The expression; QueryError says what is wrong with it."""
    return _Reader(query).whole()


def selectors(expression: Expression) -> Iterator[Selector]:
    """Everything that it asks of the samples."""
    match expression:
        case Selector():
            yield expression
        case Call():
            for one in expression.arguments:
                yield from selectors(one)
        case Aggregation():
            yield from selectors(expression.of)
        case Operation():
            yield from selectors(expression.left)
            yield from selectors(expression.right)
        case Number():
            return


def is_number(expression: Expression) -> bool:
    """Whether it comes to a number, and not to series."""
    match expression:
        case Number():
            return True
        case Call():
            return expression.function == "scalar"
        case Operation():
            return is_number(expression.left) and is_number(expression.right)
        case Selector() | Aggregation():
            return False


_NO_SUBQUERIES = f"emu does not evaluate subqueries; it evaluates {READS}"
_BARE_RANGE = "a range by itself has no value; apply rate() or another function of a range to it"


def _has_range(found: Expression) -> bool:
    """Whether an operand is a range that no function is applied to."""
    match found:
        case Selector():
            return found.range_s is not None
        case Operation():
            return _has_range(found.left) or _has_range(found.right)
        case _:
            return False


class _Reader:
    """By recursive descent."""

    def __init__(self, query: str) -> None:
        self._tokens = list(_tokens(query))
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        if not self._tokens:
            raise QueryError("the query is empty")
        found = self._either()
        if self._at < len(self._tokens):
            self._unread()
        return found

    def _either(self, ranges: bool = False) -> Expression:
        """`ranges`: the samples of a range may stand here, for a function of them."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryError(f"it is nested more than {_DEEPEST} deep")
        found = self._sum()
        while self._take("or"):
            other = self._sum()
            if is_number(found) or is_number(other):
                raise QueryError('set operator "or" not allowed in binary scalar expression')
            found = Operation("or", found, other)
        self._depth -= 1
        if _has_range(found) and not (ranges and isinstance(found, Selector)):
            raise QueryError(_BARE_RANGE)
        return found

    def _sum(self) -> Expression:
        found = self._product()
        while (sign := self._next) in ("+", "-"):
            self._at += 1
            found = Operation("+" if sign == "+" else "-", found, self._product())
        return found

    def _product(self) -> Expression:
        found = self._one()
        while (sign := self._next) in ("*", "/"):
            self._at += 1
            found = Operation("*" if sign == "*" else "/", found, self._one())
        return found

    def _one(self) -> Expression:
        if self._take("-"):
            return Operation("*", Number(-1.0), self._one())
        if self._take("("):
            found = self._either()
            self._need(")")
            return found
        kind, text = self._token()
        if kind == "number":
            return Number(float(text))
        if text == "{" or kind == "name":
            self._at -= 1
            return self._named()
        return self._unread(-1)

    def _named(self) -> Expression:
        kind, name = self._token()
        if kind == "name" and name in AGGREGATIONS and self._next in ("(", "by", "without"):
            return self._aggregation(name)
        if kind == "name" and self._next == "(":
            return self._call(name)
        if kind != "name":
            self._at -= 1
            name = ""
        return self._selector(name)

    def _aggregation(self, operator: str) -> Aggregation:
        labels, without = self._grouping()
        self._need("(")
        of = self._either()
        self._need(")")
        if not labels and not without:
            labels, without = self._grouping()
        if is_number(of):
            raise QueryError(f"{operator}() takes series, not a number")
        return Aggregation(operator, of, labels, without)

    def _grouping(self) -> tuple[tuple[str, ...], bool]:
        word = self._next
        if word not in ("by", "without"):
            return (), False
        self._at += 1
        self._need("(")
        labels = []
        while not self._take(")"):
            kind, label = self._token()
            if kind != "name":
                self._unread(-1)
            labels.append(label)
            if self._next != ")":
                self._need(",")
        return tuple(labels), word == "without"

    def _call(self, function: str) -> Call:
        if function not in (*RANGE_FUNCTIONS, *FUNCTIONS):
            raise QueryError(f"emu does not evaluate {function}(); it evaluates {READS}")
        self._need("(")
        ranges = function in RANGE_FUNCTIONS
        arguments = [self._either(ranges)]
        while self._take(","):
            arguments.append(self._either(ranges))
        self._need(")")
        wanted = _ARGUMENTS.get(function, 1)
        if len(arguments) != wanted:
            raise QueryError(f"{function}() takes {wanted} argument{'s' if wanted > 1 else ''}, not {len(arguments)}")
        first = arguments[0]
        if ranges and not (isinstance(first, Selector) and first.range_s is not None):
            raise QueryError(f"{function}() needs the samples of a range: write {function}(METRIC[1m])")
        numbers = [is_number(one) for one in arguments]
        if numbers != _NUMBERS.get(function, [False]):
            raise QueryError(f"{function}() has arguments of other types: {_FORMS.get(function, 'one series')}")
        return Call(function, tuple(arguments))

    def _selector(self, name: str) -> Selector:
        matchers = []
        if self._take("{"):
            while not self._take("}"):
                matchers.append(self._matcher())
                if self._next != "}":
                    self._need(",")
        named = [one for one in matchers if one.label == "__name__" and one.sign == "="]
        if not name and len(named) == 1:
            name = named[0].value
            matchers.remove(named[0])
        if not name or any(one.label == "__name__" for one in matchers):
            raise QueryError('emu evaluates selectors of one metric by its name: write METRIC{LABEL="VALUE"}')
        range_s = None
        if self._take("["):
            range_s = self._duration()
            self._need("]")
        if self._next == "[":
            raise QueryError(_NO_SUBQUERIES)
        if self._next in ("offset", "@"):
            raise QueryError(f"emu does not evaluate `{self._next}`; it evaluates {READS}")
        return Selector(name, tuple(matchers), range_s)

    def _matcher(self) -> Matcher:
        kind, label = self._token()
        if kind != "name":
            self._unread(-1)
        _, sign = self._token()
        kind, value = self._token()
        if sign not in ("=", "!=", "=~", "!~") or kind != "string":
            raise QueryError(f'a matcher is LABEL="VALUE" with = != =~ or !~, not {label}{sign}{value}')
        text = value[1:-1] if value[0] == "`" else unescaped(value[1:-1].replace("\\'", "'"))
        if sign in ("=~", "!~"):
            try:
                re.compile(text)
            except re.error as error:
                raise QueryError(f"{text!r} is no regular expression: {error}") from None
        return Matcher(label, sign, text)

    def _duration(self) -> float:
        kind, text = self._token()
        if kind != "duration":
            raise QueryError(f"{text} is no duration: write 30s, 1m or 1h30m")
        seconds = sum(int(n) * _UNITS_S[unit] for n, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))
        if seconds <= 0:
            raise QueryError("duration must be greater than 0")
        if self._next == ":":
            raise QueryError(_NO_SUBQUERIES)
        return seconds

    @property
    def _next(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _token(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise QueryError("unexpected end of input")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, text: str) -> bool:
        if self._next != text or self._tokens[self._at][0] == "string":
            return False
        self._at += 1
        return True

    def _need(self, text: str) -> None:
        if not self._take(text):
            if self._at >= len(self._tokens):
                raise QueryError(f"unexpected end of input: {text} is missing")
            if self._next == "[":
                raise QueryError(_NO_SUBQUERIES)
            raise QueryError(f"{text} is expected before {self._next!r}")

    def _unread(self, step: int = 0) -> NoReturn:
        text = self._tokens[self._at + step][1]
        if text in (
            "==",
            "!=",
            ">",
            "<",
            ">=",
            "<=",
            "%",
            "^",
            "@",
            "and",
            "unless",
            "on",
            "ignoring",
            "bool",
            "offset",
        ):
            raise QueryError(f"emu does not evaluate `{text}`; it evaluates {READS}")
        raise QueryError(f"unexpected {text!r}; emu evaluates {READS}")


_NUMBERS = {
    "clamp_min": [False, True],
    "clamp_max": [False, True],
    "histogram_quantile": [True, False],
    "vector": [True],
}
"""Which arguments are numbers; the others are series."""
_FORMS = {
    "clamp_min": "a series and a number",
    "clamp_max": "a series and a number",
    "histogram_quantile": "a number and the rate of a histogram's buckets",
    "vector": "one number",
}


def _tokens(query: str) -> Iterator[tuple[str, str]]:
    text = re.sub(r"#[^\n\"']*$", "", query, flags=re.MULTILINE).rstrip()
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise QueryError(f"unexpected character: {text[at:].lstrip()[:1]!r}")
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()
