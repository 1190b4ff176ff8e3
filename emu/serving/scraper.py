"""Each second it asks the queue-proxies of a revision's ready pods what they serve, or so many as Knative asks."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import NamedTuple

from emu.machine import http_client
from emu.messages import QUEUE_STATS_PORT
from emu.policy.autoscaling.scraping import PodStat, for_all, sample
from emu.policy.scaling import SCRAPE_S
from emu.policy.stats import Stat
from emu.record.events import now

_SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: queue-proxy\r\nConnection: close\r\n\r\n"
_SCRAPE_LIMIT_S = 3.0
_MOST_STAT_BYTES = 4096
_MOST_AT_ONCE = 16
"""Knative asks no more, of however many pods."""
_JOIN_S = 5.0


class Ready(NamedTuple):
    """A ready pod: where its metrics are, and how old it is."""

    address: str
    made: float
    """When it was made, on the clock of the records."""


class Scraper:
    """A thread of its own. `pods` says whom to ask from now on."""

    def __init__(
        self,
        window_s: float,
        port: int = QUEUE_STATS_PORT,
        shuffle: Callable[[list[str]], None] = random.shuffle,
        period_s: float = SCRAPE_S,
    ) -> None:
        """`window_s`: the stable window; pods that are younger are asked last. `period_s`: between two scrapes."""
        self.pods: tuple[Ready, ...] = ()
        self._window_s = window_s
        self._period_s = period_s
        self._port = port
        self._shuffle = shuffle
        self._said: queue.SimpleQueue[tuple[float, PodStat]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrape", daemon=True)
        self._askers = ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="ask")

    def begin(self) -> None:
        """Start to ask."""
        self._thread.start()

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join(_JOIN_S)
        self._askers.shutdown(cancel_futures=True)

    def found(self) -> list[tuple[float, PodStat]]:
        """What all pods together said since, with when."""
        every = []
        while True:
            try:
                every.append(self._said.get_nowait())
            except queue.Empty:
                return every

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            pods = self.pods
            stat = self.ask(pods) if pods else None
            # What pods said that are all gone by now says nothing of those that came.
            if stat is not None and not set(pods).isdisjoint(self.pods):
                self._said.put((now(), stat))

    def ask(self, pods: tuple[Ready, ...]) -> PodStat | None:
        """What the pods serve all together; None where too few of them answer."""
        order, enough = sample([(one.address, one.made) for one in pods], now(), self._window_s, self._shuffle)
        left = deque(order)
        answers = [
            one for one in self._askers.map(lambda _: self._next_answer(left), range(enough)) if one is not None
        ]
        return for_all(answers, len(pods)) if len(answers) == enough else None

    def _next_answer(self, left: deque[str]) -> PodStat | None:
        """Ask one pod after another until one answers; None when all were asked."""
        while True:
            try:
                address = left.popleft()  # atomic: the askers share the deque without a lock
            except IndexError:
                return None
            stat = scrape(address, self._port)
            if stat is not None:
                return stat


def scrape(address: str, port: int) -> PodStat | None:
    """What one queue-proxy says; None where it does not say."""
    deadline = time.monotonic() + _SCRAPE_LIMIT_S
    try:
        reply = http_client.fetch(address, port, _SCRAPE, deadline, most_bytes=_MOST_STAT_BYTES)
        if reply.status != HTTPStatus.OK:
            return None
        stat = Stat.decoded(reply.body)
    except (OSError, ValueError):
        return None
    return PodStat(
        stat.average_concurrent_requests,
        stat.average_proxied_concurrent_requests,
        stat.request_count,
        stat.proxied_request_count,
    )
