"""Queries: what triggers are written in is read, and anything else is refused with what is."""

from __future__ import annotations

import pytest

from emu.policy.promql.parsing import (
    Aggregation,
    Call,
    Matcher,
    Number,
    Operation,
    QueryError,
    Selector,
    is_number,
    parse,
    selectors,
)

RATE = Call("rate", (Selector("x", (Matcher("a", "=", "b"),), 60.0),))


@pytest.mark.parametrize(
    ("query", "expression"),
    [
        ("sum(x)", Aggregation("sum", Selector("x"))),
        ('sum(rate(x{a="b"}[1m]))', Aggregation("sum", RATE)),
        ('sum by (pod) (rate(x{a="b"}[1m]))', Aggregation("sum", RATE, ("pod",))),
        ("sum(rate(x{a='b',}[1m])) by (pod,)", Aggregation("sum", RATE, ("pod",))),
        ("avg without (pod) (x)", Aggregation("avg", Selector("x"), ("pod",), without=True)),
        ('{__name__="vllm:num_requests_running"}', Selector("vllm:num_requests_running")),
        ("x[1h30m]".join(("max_over_time(", ")")), Call("max_over_time", (Selector("x", (), 5400.0),))),
        (
            "-1 + 2 * x",
            Operation("+", Operation("*", Number(-1.0), Number(1.0)), Operation("*", Number(2.0), Selector("x"))),
        ),
        ("x or vector(0)  # none is 0", Operation("or", Selector("x"), Call("vector", (Number(0.0),)))),
        ('x{a=~"b|c",d!~`e.*`}', Selector("x", (Matcher("a", "=~", "b|c"), Matcher("d", "!~", "e.*")))),
    ],
)
def test_what_triggers_are_written_in(query: str, expression: object) -> None:
    """Grouping may stand before or after, a comma may end a list, and strings have three kinds of quotes."""
    assert parse(query) == expression


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "the query is empty"),
        ("sum(", "unexpected end of input"),
        ("sum(x", "unexpected end of input: ) is missing"),
        ("rate(x)", "rate() needs the samples of a range: write rate(METRIC[1m])"),
        ("sum(x[5m])", "a range by itself has no value; apply rate() or another function of a range to it"),
        ("x[5m]", "a range by itself has no value; apply rate() or another function of a range to it"),
        ("sum(x) > 1", "emu does not evaluate `>`; it evaluates "),
        ("x offset 5m", "emu does not evaluate `offset`; it evaluates "),
        ("max_over_time(rate(x[1m])[5m:])", "emu does not evaluate subqueries; it evaluates "),
        ("quantile(0.9, x)", "emu does not evaluate quantile(); it evaluates "),
        ("rate(x[0s])", "duration must be greater than 0"),
        ("sum(1)", "sum() takes series, not a number"),
        ("histogram_quantile(x, y)", "histogram_quantile() has arguments of other types: a number and the rate"),
        ("clamp_min(x)", "clamp_min() takes 2 arguments, not 1"),
        ('x{a~"b"}', "unexpected character: '~'"),
        ('x{a=~"("}', "'(' is no regular expression: "),
        ('{a="b"}', 'emu evaluates selectors of one metric by its name: write METRIC{LABEL="VALUE"}'),
        ("(" * 60 + "x" + ")" * 60, "it is nested more than 50 deep"),
        ("1 or x", 'set operator "or" not allowed in binary scalar expression'),
    ],
)
def test_anything_else_is_refused(query: str, why: str) -> None:
    """In one sentence, which names what is evaluated."""
    with pytest.raises(QueryError) as refused:
        parse(query)
    assert str(refused.value).startswith(why)


def test_a_query_has_selectors_and_a_type() -> None:
    """What it asks of the samples, and whether it comes to a number."""
    found = parse("sum(rate(a[1m])) / scalar(b) + 1")
    assert [one.name for one in selectors(found)] == ["a", "b"]
    assert not is_number(found) and is_number(parse("1 + scalar(b)"))
