"""Queries on scraped samples: Prometheus' rules of ranges, resets, stale series and histograms."""

from __future__ import annotations

import math

import pytest

from emu.policy.promql.evaluating import Evaluator
from emu.policy.promql.parsing import parse
from emu.policy.promql.series import Memory, Target
from emu.policy.promql.text import samples_of

NAMES = {"x", "y", "d_bucket"}


def scraped(*pages: tuple[float, dict[str, str | None]]) -> Memory:
    """What is known after those scrapes: when, and each pod's page; None: it did not answer."""
    memory = Memory(NAMES, 900.0)
    for at, by_pod in pages:
        memory.take(
            at,
            [Target({"pod": pod}, None if page is None else list(samples_of(page))) for pod, page in by_pod.items()],
        )
    return memory


def counter(*values: float, every_s: float = 15.0) -> Memory:
    """One pod's counter x at its scrapes, from 0 s on."""
    return scraped(*((at * every_s, {"a": f"x {value}"}) for at, value in enumerate(values)))


def only(memory: Memory, query: str, at: float, time_scale: float = 1.0) -> float | None:
    """The value of the only series; None without one."""
    found = Evaluator(memory, time_scale).at(at, parse(query))
    assert isinstance(found, dict) and len(found) < 2
    return next(iter(found.values()), None)


@pytest.mark.parametrize(
    ("values", "at", "risen"),
    [
        ((100, 110, 120, 130, 140), 60.0, 30 * 60 / 45),  # the sample at 0 s is outside: a range is open there
        ((100, 110, 120, 130, 140), 65.0, 30 * 60 / 45),  # to both ends, which are near
        ((100, 110, 120, 130, 140), 85.0, 20 * (30 + 5 + 7.5) / 30),  # no sample near the end: half a step
        ((3, 13, 23), 30.0, 20 * (30 + 4.5) / 30),  # no further back than where the counter was 0
    ],
)
def test_a_rate_is_extrapolated(values: tuple[float, ...], at: float, risen: float) -> None:
    """To the ends of the range where samples are near them, else half a step, and never below 0."""
    assert only(counter(*values), "rate(x[1m])", at) == pytest.approx(risen / 60)


def test_a_counter_that_falls_was_reset() -> None:
    """What it had before counts; an increase is the rate over the whole range; a gauge may fall."""
    memory = counter(0, 30, 5, 15, 25)
    inside = (5 + 10 + 10) * (45 + 15) / 45  # from 30 at 15 s, whose zero is further away than the range's beginning
    assert only(memory, "increase(x[1m])", 60.0) == pytest.approx(inside)
    assert only(memory, "rate(x[1m])", 60.0) == pytest.approx(inside / 60)
    assert only(memory, "delta(x[1m])", 60.0) == pytest.approx(-5 * 60 / 45)
    assert only(memory, "irate(x[1m])", 60.0) == pytest.approx(10 / 15)


def test_a_rate_takes_two_samples() -> None:
    """With an interval of a minute, a range of a minute never has them."""
    assert only(counter(0, 60, 120, every_s=60.0), "rate(x[1m])", 121.0) is None
    assert only(counter(0, 60, 120, every_s=60.0), "rate(x[2m])", 121.0) == pytest.approx(1.0)


def test_a_time_scale_shortens_ranges() -> None:
    """Rates stay in seconds, and an increase is that of the range as it is written."""
    memory = counter(100, 103, 106, 109, 112, every_s=1.5)
    assert only(memory, "rate(x[1m])", 6.0, time_scale=10) == pytest.approx(2.0)
    assert only(memory, "increase(x[1m])", 6.0, time_scale=10) == pytest.approx(120.0)


def test_a_pod_that_is_gone_has_no_value() -> None:
    """Its series ends at the scrape that finds it no more; one that was not scraped again lasts five minutes."""
    memory = scraped((0.0, {"a": "x 1", "b": "x 2"}), (15.0, {"a": "x 1", "b": None}))
    assert only(memory, "sum(x)", 10.0) == 3.0
    assert only(memory, "sum(x)", 16.0) == 1.0
    assert only(memory, "sum(x)", 314.0) == 1.0 and only(memory, "sum(x)", 316.0) is None
    assert only(memory, "sum(x) or vector(0)", 316.0) == 0.0


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("sum(x)", 6.0),
        ("avg(x)", 3.0),
        ("max(x) - min(x)", 2.0),
        ("count(x)", 2.0),
        ('x{pod="a"}', 2.0),
        ('sum(x{pod=~"b|c"})', 4.0),
        ('sum(x{pod!~"b.*",other=""})', 2.0),
        ("sum(x) / sum(y)", 1.5),
        ("sum(x) / 0", math.inf),
        ("ceil(sum(x) / 4)", 2.0),
        ("clamp_max(sum(x), 5)", 5.0),
        ("sum(x) + scalar(sum(y))", 10.0),
    ],
)
def test_values_together(query: str, value: float) -> None:
    """Aggregations, matchers, and arithmetic of series with the same labels."""
    memory = scraped((0.0, {"a": "x 2\ny 3", "b": "x 4\ny 1"}))
    assert only(memory, query, 1.0) == value


def test_a_quantile_is_interpolated_in_its_bucket() -> None:
    """Between the bounds of the bucket; in the last one it is the largest bound that there is."""
    page = 'd_bucket{le="0.1"} 10\nd_bucket{le="0.5"} 20\nd_bucket{le="+Inf"} 21\n'
    memory = scraped((0.0, {"a": page}))
    assert only(memory, "histogram_quantile(0.5, sum by (le) (d_bucket))", 1.0) == pytest.approx(0.12)
    assert only(memory, "histogram_quantile(0.99, d_bucket)", 1.0) == 0.5


def test_a_page_is_read_as_prometheus_reads_it() -> None:
    """Comments, escapes, time stamps and exemplars; a line that is none spoils the page. The target's labels win."""
    page = '# HELP x\nx{a="b\\"c\\\\",d=""} 1.5e3 1700000000000\ny 2 # {trace="1"} 1\n'
    first, second = samples_of(page)
    assert first == ("x", (("a", 'b"c\\'), ("d", "")), 1500.0) and second.value == 2.0
    with pytest.raises(ValueError, match="not a sample"):
        list(samples_of("<html>"))
    memory = Memory({"x"}, 60.0)
    memory.take(0.0, [Target({"pod": "a"}, list(samples_of('x{pod="b"} 1')))])
    assert memory.labels_of("x") == [(("exported_pod", "b"), ("pod", "a"))]
