"""A Prometheus of the run's own: it scrapes the pods of one Deployment, and answers the queries of its triggers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import NamedTuple

from emu.kubelet.worker import PodWorker
from emu.machine import http_client
from emu.messages import METRICS_PATH
from emu.policy.hpa.own_metrics import CPU, WORKING_SET, why_empty
from emu.policy.hpa.usage import Point
from emu.policy.kubelet.environment import NAMESPACE
from emu.policy.promql.evaluating import Evaluator
from emu.policy.promql.parsing import Expression, parse, selectors
from emu.policy.promql.series import LOOKBACK_S, Memory, Target
from emu.policy.promql.text import Scraped, samples_of
from emu.record.events import now
from emu.serving.metrics import scrape

_MOST_BYTES = 4 << 20
_LIMIT_S = 10.0
"""scrape_timeout."""
_MOST_AT_ONCE = 8


class _Place(NamedTuple):
    """A pod's page of metrics."""

    host: str
    port: int
    labels: Mapping[str, str]


class Prometheus:
    """`turn`, called from the run's own loop, scrapes where it is due; pages come in beside it."""

    def __init__(self, service: str, queries: Sequence[str], period_s: float, time_scale: float) -> None:
        """`period_s` is the scrape interval, divided by the time scale already."""
        self._service = service
        self._queries: dict[str, Expression] = {query: parse(query) for query in queries}
        asked = [one for each in self._queries.values() for one in selectors(each)]
        longest_s = max([LOOKBACK_S, *(one.range_s or 0.0 for one in asked)]) / time_scale
        self._memory = Memory({one.name for one in asked}, longest_s + 2 * period_s)
        self._evaluator = Evaluator(self._memory, time_scale)
        self._ranges_s = {
            query: max((one.range_s or 0.0 for one in selectors(each)), default=0.0) / time_scale
            for query, each in self._queries.items()
        }
        self._period_s = period_s
        self._pool: ThreadPoolExecutor | None = None
        self._coming: tuple[float, list[Target], list[tuple[_Place, Future[list[Scraped] | None]]]] | None = None
        self._next_s = 0.0

    def begin(self) -> None:
        """Begin to scrape half an interval from now: in a cluster that is chance."""
        self._pool = ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="prometheus")
        self._next_s = now() + self._period_s / 2

    def end(self) -> None:
        """Scrape no more."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def turn(self, pods: Sequence[PodWorker]) -> None:
        """Take in what came, and scrape the pods if it is time."""
        if self._coming is not None and all(page.done() for _, page in self._coming[2]):
            at, targets, pages = self._coming
            targets += [Target(place.labels, page.result()) for place, page in pages]
            self._memory.take(at, targets)
            self._coming = None
        if self._pool is None or self._coming is not None or now() < self._next_s:
            return
        while self._next_s <= now():
            self._next_s += self._period_s
        points = scrape(pods)
        targets = [
            Target({"namespace": NAMESPACE, "pod": pod, "container": container}, _of_cgroup(point))
            for pod, each in points.items()
            for container, point in each.items()
        ]
        places = [self._place(one) for one in pods if one.address and one.template.port is not None]
        self._coming = now(), targets, [(place, self._pool.submit(_page, place)) for place in places]

    def _place(self, worker: PodWorker) -> _Place:
        host, port = worker.entrance
        service = self._service
        labels = {"namespace": NAMESPACE, "pod": worker.pod, "container": worker.template.serving}
        return _Place(host, port, {**labels, "service": service, "job": service, "instance": f"{host}:{port}"})

    def result(self, query: str, at: float) -> list[float]:
        """The values of the series that a query comes to."""
        found = self._evaluator.at(at, self._queries[query])
        return [found] if isinstance(found, float) else list(found.values())

    def why_empty(self, query: str, at: float) -> str:
        """Why a query has no result."""
        return why_empty(self._memory, self._queries[query], at - self._ranges_s[query])


def _of_cgroup(point: Point) -> list[Scraped]:
    """As the kubelet serves it."""
    return [Scraped(CPU, (), point.cpu_usec / 1e6), Scraped(WORKING_SET, (), float(point.working_set_bytes))]


def _page(place: _Place) -> list[Scraped] | None:
    """What one pod says; None where it does not, or what it says is no page of metrics."""
    request = b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (METRICS_PATH, place.host.encode())
    try:
        reply = http_client.fetch(
            place.host, place.port, request, time.monotonic() + _LIMIT_S, most_bytes=_MOST_BYTES
        )
        if reply.status != HTTPStatus.OK:
            return None
        return list(samples_of(reply.body.decode("utf-8", "replace")))
    except (OSError, ValueError):
        return None
