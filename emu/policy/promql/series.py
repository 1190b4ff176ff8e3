"""The samples of what was scraped, as Prometheus keeps them for its queries. Time is an argument. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from emu.policy.promql.parsing import Selector
from emu.policy.promql.text import Labels, Scraped

LOOKBACK_S = 300.0
"""--query.lookback-delta: a sample counts for so long, unless its series ended."""


class Sample(NamedTuple):
    """When, and how much; None: the series ended, or its target did not answer (a stale marker)."""

    at_s: float
    value: float | None


class Target(NamedTuple):
    """One page of one pod's."""

    labels: Mapping[str, str]
    """What is known of it before it is scraped; they win over the page's own."""
    found: Iterable[Scraped] | None
    """None: it did not answer."""


class Memory:
    """The stored samples of the metrics that queries ask for."""

    def __init__(self, names: Iterable[str], keep_s: float) -> None:
        """`names` are the metrics of all queries; samples older than `keep_s` are let go."""
        self._names = frozenset(names)
        self._keep_s = keep_s
        self._series: dict[tuple[str, Labels], list[Sample]] = {}
        self._lasting: set[tuple[str, Labels]] = set()
        """Those with a value at the last scrape."""
        self.seen: set[str] = set()
        """The names of all metrics at the last scrape that found any."""
        self.scraped_s: float | None = None

    def take(self, now: float, targets: Iterable[Target]) -> None:
        """One scrape of all targets. A series that is not in it any more has ended."""
        found: dict[tuple[str, Labels], float] = {}
        seen = set()
        for target in targets:
            for name, labels, value in target.found or ():
                seen.add(name)
                if name in self._names:
                    found[name, _together(labels, target.labels)] = value
        self.seen, self.scraped_s = seen or self.seen, now
        for key, value in found.items():
            self._series.setdefault(key, []).append(Sample(now, value))
        for key in self._lasting - set(found):
            self._series[key].append(Sample(now, None))
        self._lasting = set(found)
        self._forget(now - self._keep_s)

    def _forget(self, before: float) -> None:
        for key, samples in list(self._series.items()):
            while samples and samples[0].at_s <= before:
                samples.pop(0)
            if not samples:
                del self._series[key]

    def matching(self, selector: Selector) -> dict[Labels, list[Sample]]:
        """The series that a selector names."""
        return {
            labels: samples
            for (name, labels), samples in self._series.items()
            if name == selector.name and all(one.holds(dict(labels).get(one.label, "")) for one in selector.matchers)
        }

    def labels_of(self, name: str) -> list[Labels]:
        """The series of a metric, by their labels."""
        return sorted(labels for known, labels in self._series if known == name)


def _together(labels: Labels, of_target: Mapping[str, str]) -> Labels:
    """honor_labels: false: the target's labels win, and the page's are kept as exported_LABEL."""
    own = {(f"exported_{name}" if name in of_target else name): value for name, value in labels}
    return tuple(sorted({**own, **of_target}.items()))
