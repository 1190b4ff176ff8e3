"""Starts pods in threads of its own, as many at a time as there are processors, while the run's loop keeps turning.

A pod is its thread's until it has started: the loop does nothing with it, and keeps what it hears of it for later.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from emu.kubelet.facts import Fact
from emu.kubelet.worker import PodWorker
from emu.runtime.api import EngineGone


class Starter:
    """Of one node. `wake` is called, from a thread, whenever a pod has started."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="start")
        self._starting: dict[PodWorker, Future[None]] = {}
        self._kept: dict[PodWorker, list[Fact]] = {}

    def start(self, worker: PodWorker) -> None:
        """Start a pod when it is its turn: first come, first served."""
        self._kept[worker] = []
        self._starting[worker] = self._pool.submit(worker.start)
        self._starting[worker].add_done_callback(lambda _: self._wake())

    def has(self, worker: PodWorker) -> bool:
        """Whether a pod is still to be left alone. Whatever went wrong with its start is raised here, once."""
        future = self._starting.get(worker)
        if future is None or not future.done():
            return future is not None
        self._end(worker)
        return False

    def keep(self, worker: PodWorker, fact: Fact) -> None:
        """Something happened to a pod that it has."""
        self._kept[worker].append(fact)

    def settle(self, worker: PodWorker) -> None:
        """A pod is to end: if its start has not begun, it never does, else it is waited for. That the engine is gone
        is said by whoever follows its events.
        """
        future = self._starting.get(worker)
        if future is not None:
            future.cancel()
            with suppress(EngineGone):
                self._end(worker)

    def close(self) -> None:
        """Begin no further start."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _end(self, worker: PodWorker) -> None:
        # Taken off first: `result` may raise, and is to do so once.
        future, facts = self._starting.pop(worker), self._kept.pop(worker)
        if not future.cancelled():
            future.result()
        for fact in facts:
            worker.take(fact)
