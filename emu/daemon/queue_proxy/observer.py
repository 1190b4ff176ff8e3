"""What looks at each request on its way through queue-proxy: statistics; metrics and weight if asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from emu.policy.stats import RequestStats

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.footprint import Weight
    from emu.daemon.queue_proxy.proxy import ProxiedExchange
    from emu.policy.breaker import Breaker
    from emu.policy.metrics import QueueProxyMetrics


class Observer:
    """Called at each request's arrival, when it goes to the app, and when it is over. Probes do not come here."""

    __slots__ = ("breaker", "metrics", "stats", "weight")

    def __init__(self, breaker: Breaker[ProxiedExchange]) -> None:
        self.breaker = breaker
        self.stats = RequestStats(time.monotonic())
        self.metrics: QueueProxyMetrics | None = None
        self.weight: Weight | None = None

    def arrived(self, exchange: ProxiedExchange, now: float, proxied: bool) -> None:
        """It came, and the breaker has placed it or refused it."""
        self.stats.arrived(now, proxied)
        if self.weight is not None:
            self.weight.arrived(exchange.head.content_length != 0, self.breaker.waiting, now)

    def dispatched(self) -> None:
        """A request goes to the app."""
        if self.metrics is not None and self.breaker.limit:
            self.metrics.queue_depth = self.breaker.inside

    def left(self, exchange: ProxiedExchange, now: float, proxied: bool) -> None:
        """It is over."""
        self.stats.left(now, proxied)
        if self.weight is not None:
            self.weight.left(exchange.head.content_length != 0, exchange.status == 0)
        if self.metrics is not None:
            self.count(exchange, now)

    def count(self, exchange: ProxiedExchange, now: float) -> None:
        """Count it in the metrics."""
        assert self.metrics is not None
        sent_at = exchange.sent_at
        exchange.outcomes(self.metrics).ended(
            now - exchange.begun_at,
            None if sent_at is None else now - sent_at,
            exchange.head.content_length,
            exchange.sent_bytes,
        )
