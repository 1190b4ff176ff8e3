"""What looks at each request on its way through queue-proxy: statistics; metrics and weight if asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from emu.policy.stats import RequestStats

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.footprint import Weight
    from emu.daemon.queue_proxy.request import Counted
    from emu.policy.breaker import Breaker
    from emu.policy.metrics import QueueProxyMetrics


class Observer:
    """Called at each request's arrival, when it goes to the app, and when it is over. Probes do not come here."""

    __slots__ = ("breaker", "metrics", "stats", "weight")

    def __init__(self, breaker: Breaker[Any]) -> None:
        self.breaker = breaker
        self.stats = RequestStats(time.monotonic())
        self.metrics: QueueProxyMetrics | None = None
        self.weight: Weight | None = None

    def arrived(self, request: Counted, now: float, proxied: bool) -> None:
        """It came, and the breaker has placed it or refused it."""
        self.stats.arrived(now, proxied)
        if self.weight is not None:
            self.weight.arrived(request.head.content_length != 0, self.breaker.waiting, now)

    def dispatched(self) -> None:
        """A request goes to the app."""
        if self.metrics is not None and self.breaker.limit:
            self.metrics.queue_depth = self.breaker.inside

    def left(self, request: Counted, now: float, proxied: bool) -> None:
        """A request ended, in whatever way: concurrency falls, and metrics count it."""
        self.stats.left(now, proxied)
        if self.weight is not None:
            self.weight.left(request.head.content_length != 0, request.status == 0)
        if self.metrics is not None:
            self.count(request, now)

    def count(self, request: Counted, now: float) -> None:
        """Add the request's duration, size and status to the metrics."""
        assert self.metrics is not None
        sent_at = request.sent_at
        request.outcomes(self.metrics).ended(
            now - request.begun_at,
            None if sent_at is None else now - sent_at,
            request.head.content_length,
            request.sent_bytes,
        )
