"""The record of the requests that the activator forwarded: to which pod, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from emu.record.events import Event, RequestsForwarded

PER_LINE = 256
HELD_S = 0.1
"""A line is written so long after the first request on it; a process that is killed loses what it has not written."""


class Forwarded:
    """Gathers them by pod, and writes a line of them when it is full or old enough."""

    def __init__(self, append: Callable[[Event], None]) -> None:
        self._append = append
        self.port = 0
        """The activator's own."""
        self._pods: dict[str, _Gathered] = {}
        self._timer: asyncio.TimerHandle | None = None

    def note(self, pod: str, client: int, now: float, cold: bool) -> None:
        """A request of the client with that port goes to a pod; `cold`: there was none when it came."""
        some = self._pods.get(pod)
        if some is None:
            some = self._pods[pod] = _Gathered()
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(HELD_S, self.flush)
        at = some.at
        if cold:
            some.cold.append(len(at))
        some.clients.append(client)
        at.append(now)
        if len(at) >= PER_LINE:
            self._write(pod)

    def flush(self) -> None:
        """Write what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for pod in list(self._pods):
            self._write(pod)

    def _write(self, pod: str) -> None:
        some = self._pods.pop(pod)
        since = round(some.at[0], 6)
        at = [int((now - since) * 1e6 + 0.5) for now in some.at]  # made much faster than by `round`
        self._append(
            RequestsForwarded(
                t=some.at[-1],
                pod=pod,
                port=self.port,
                since=since,
                at=at,
                clients=some.clients,
                cold=some.cold,
            )
        )


class _Gathered:
    """Those of one pod, as a log line has them."""

    __slots__ = ("at", "clients", "cold")

    def __init__(self) -> None:
        self.at: list[float] = []
        self.clients: list[int] = []
        self.cold: list[int] = []
        """Their numbers, from 0."""
