"""An expression at a time → series with a value each, by Prometheus' rules (promql/engine.go, functions.go,
quantile.go, version 3). Pure.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from emu.policy.promql.parsing import Aggregation, Call, Expression, Number, Operation, Selector
from emu.policy.promql.series import LOOKBACK_S, Memory, Sample
from emu.policy.promql.text import Labels

Vector = dict[Labels, float]
_Points = Sequence[tuple[float, float]]
_NEAR = 1.1
"""A range that ends so many sample distances from the first or last sample is taken to be covered by half of one."""


@dataclass(frozen=True)
class Evaluator:
    """`time_scale` shortens ranges and the lookback; rates are in seconds all the same, and an increase is that of
    the range as it is written.
    """

    memory: Memory
    time_scale: float = 1.0

    def at(self, now: float, expression: Expression) -> Vector | float:
        """Series, or a number."""
        match expression:
            case Number():
                return expression.value
            case Selector():
                return self._instant(now, expression)
            case Aggregation():
                return _aggregated(expression, self._vector(now, expression.of))
            case Operation():
                return self._operation(now, expression)
            case Call():
                return self._call(now, expression)

    def _vector(self, now: float, expression: Expression) -> Vector:
        found = self.at(now, expression)
        assert isinstance(found, dict)
        return found

    def _number(self, now: float, expression: Expression) -> float:
        found = self.at(now, expression)
        assert isinstance(found, float)
        return found

    def _instant(self, now: float, selector: Selector) -> Vector:
        since, found = now - LOOKBACK_S / self.time_scale, {}
        for labels, samples in self.memory.matching(selector).items():
            last = next((one for one in reversed(samples) if one.at_s <= now), None)
            if last is not None and last.at_s > since and last.value is not None:
                found[labels] = last.value
        return found

    def _ranges(self, now: float, selector: Selector) -> dict[Labels, _Points]:
        assert selector.range_s is not None
        since = now - selector.range_s / self.time_scale
        return {
            labels: points
            for labels, samples in self.memory.matching(selector).items()
            if (points := _values(samples, since, now))
        }

    def _call(self, now: float, call: Call) -> Vector | float:
        name, first = call.function, call.arguments[0]
        if isinstance(first, Selector) and first.range_s is not None:
            range_s, span_s = first.range_s, first.range_s / self.time_scale
            found = {}
            for labels, points in self._ranges(now, first).items():
                value = _of_range(name, points, now - span_s, now, range_s)
                if value is not None:
                    found[labels] = value
            return found
        if name == "vector":
            return {(): self._number(now, first)}
        if name == "histogram_quantile":
            return _quantiles(self._number(now, first), self._vector(now, call.arguments[1]))
        values = self._vector(now, first)
        if name == "scalar":
            return next(iter(values.values())) if len(values) == 1 else math.nan
        limit = self._number(now, call.arguments[1]) if len(call.arguments) > 1 else 0.0
        return {labels: _EACH[name](value, limit) for labels, value in values.items()}

    def _operation(self, now: float, operation: Operation) -> Vector | float:
        left, right = self.at(now, operation.left), self.at(now, operation.right)
        if operation.sign == "or":
            assert isinstance(left, dict)
            assert isinstance(right, dict)
            return {**right, **left}
        do = _ARITHMETIC[operation.sign]
        if isinstance(left, float) and isinstance(right, float):
            return do(left, right)
        if isinstance(left, float):
            assert isinstance(right, dict)
            return {labels: do(left, value) for labels, value in right.items()}
        if isinstance(right, float):
            return {labels: do(value, right) for labels, value in left.items()}
        return {labels: do(value, right[labels]) for labels, value in left.items() if labels in right}


def _values(samples: Sequence[Sample], since: float, now: float) -> _Points:
    """Those of a range, which is open at its beginning."""
    return [(at, value) for at, value in samples if since < at <= now and value is not None]


def _of_range(name: str, points: _Points, since: float, now: float, range_s: float) -> float | None:
    values = [value for _, value in points]
    match name:
        case "rate" | "increase" | "delta":
            return _extrapolated(points, since, now, range_s, name)
        case "irate":
            return _last_rate(points)
        case "avg_over_time":
            return sum(values) / len(values)
        case "sum_over_time":
            return sum(values)
        case "count_over_time":
            return float(len(values))
        case "max_over_time":
            return max(values)
        case "min_over_time":
            return min(values)
        case _:
            return values[-1]


def _extrapolated(points: _Points, since: float, now: float, range_s: float, name: str) -> float | None:
    """From the first to the last sample, and from there to the ends of the range as far as it may have gone on."""
    if len(points) < 2:
        return None
    counter = name != "delta"
    (first_s, first), (last_s, last) = points[0], points[-1]
    risen = last - first
    if counter:
        risen += sum(before for (_, before), (_, after) in pairwise(points) if after < before)
    sampled_s = last_s - first_s
    between_s = sampled_s / (len(points) - 1)
    before_s, after_s = first_s - since, now - last_s
    if before_s >= between_s * _NEAR:
        before_s = between_s / 2
    if counter and risen > 0 and first >= 0:
        before_s = min(before_s, sampled_s * first / risen)
    if after_s >= between_s * _NEAR:
        after_s = between_s / 2
    whole = risen * (sampled_s + before_s + after_s) / sampled_s
    per_second = whole / (now - since)
    return per_second if name == "rate" else per_second * range_s


def _last_rate(points: _Points) -> float | None:
    if len(points) < 2:
        return None
    (before_s, before), (last_s, last) = points[-2:]
    return (last if last < before else last - before) / (last_s - before_s)


def _aggregated(aggregation: Aggregation, values: Mapping[Labels, float]) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in values.items():
        kept = tuple((label, text) for label, text in labels if (label in aggregation.labels) != aggregation.without)
        groups.setdefault(kept, []).append(value)
    return {labels: _TOGETHER[aggregation.operator](group) for labels, group in groups.items()}


def _quantiles(quantile: float, buckets: Mapping[Labels, float]) -> Vector:
    """Of each histogram, whose buckets differ in the label le."""
    histograms: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        try:
            bound = float(dict(labels)["le"])
        except (KeyError, ValueError):
            continue
        rest = tuple(one for one in labels if one[0] != "le")
        histograms.setdefault(rest, []).append((bound, count))
    return {labels: _quantile(quantile, sorted(each)) for labels, each in histograms.items()}


def _quantile(quantile: float, buckets: Sequence[tuple[float, float]]) -> float:
    if math.isnan(quantile) or len(buckets) < 2 or buckets[-1][0] != math.inf or buckets[-1][1] <= 0:
        return math.nan
    if not 0 <= quantile <= 1:
        return math.copysign(math.inf, quantile)
    counts, most = [], 0.0
    for _, count in buckets:
        most = max(most, count)
        counts.append(most)
    rank = quantile * counts[-1]
    at = next(index for index, count in enumerate(counts) if count >= rank)
    if at == len(buckets) - 1:
        return buckets[-2][0]
    upper = buckets[at][0]
    if at == 0 and upper <= 0:
        return upper
    lower, below = (buckets[at - 1][0], counts[at - 1]) if at else (0.0, 0.0)
    within = counts[at] - below
    return lower + (upper - lower) * ((rank - below) / within) if within else lower


def _divided(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
}
_TOGETHER: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "avg": _mean,
    "max": max,
    "min": min,
    "count": lambda values: float(len(values)),
}
_EACH: Mapping[str, Callable[[float, float], float]] = {
    "abs": lambda value, _: abs(value),
    "ceil": lambda value, _: _whole(value, math.ceil),
    "floor": lambda value, _: _whole(value, math.floor),
    "round": lambda value, _: _whole(value, lambda one: math.floor(one + 0.5)),
    "clamp_min": lambda value, least: max(value, least),
    "clamp_max": lambda value, most: min(value, most),
}


def _whole(value: float, rounded: Callable[[float], int]) -> float:
    return float(rounded(value)) if math.isfinite(value) else value
