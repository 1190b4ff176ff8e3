"""The record of requests that ended badly here, and of those that waited for a place.

Each request that queue-proxy or the activator answered itself, or broke, or whose client left, is noted: when and
why it ended, how long it had waited, and how long it was in the app. So is the wait of each request that waited.
A line has several of them, so a flood costs little; requests that neither wait nor end badly never come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emu.messages import REQUESTS_ENDED, REQUESTS_WAITED

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.request import Placed

ENDS_PER_LINE = 64
WAITS_PER_LINE = 256
ENDS_HELD_S = 0.1
"""A line is written so long after the first end on it; a process that is killed loses what it has not written."""
WAITS_HELD_S = 1.0
HELD_STILL = -1.0
"""Stands for how long a request waited for its app to be resumed, while it does."""

Write = Callable[[str, dict[str, Any]], None]
"""(kind of line, its facts)."""


class Ends:
    """Gathers ends and waits, and writes a line of them when it is full or old enough."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._groups: dict[tuple[int, str, str], dict[str, Any]] = {}
        self._ended = 0
        self._waits: list[float] = []
        """Pairs, one after the other: when a request had its place, and since when it had waited."""
        self._ends_timer: asyncio.TimerHandle | None = None
        self._waits_timer: asyncio.TimerHandle | None = None

    def ended(
        self,
        request: Placed,
        now: float,
        reason: str,
        status: int,
        why: str = "",
        **facts: object,
    ) -> None:
        """A request is over. `status` is the answer's, 0 without one; `why` is in Go's words where it has any."""
        sent_at, held_s = request.sent_at, request.held_s
        waited_s = (now if sent_at is None else sent_at) - request.begun_at
        in_app_s = None
        if held_s == HELD_STILL and sent_at is not None:
            held_s = now - sent_at
        elif sent_at is not None:
            in_app_s = round(now - sent_at - held_s, 6)
        key = (status, reason, why.rpartition(": ")[2])  # what comes before may name the connection's ports
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = {"status": status, "reason": reason, "why": why, **facts, "each": []}
        group["each"].append([round(now, 6), round(waited_s, 6), round(held_s, 6), in_app_s])
        self._ended += 1
        if self._ended >= ENDS_PER_LINE:
            self._flush_ends()
        elif self._ends_timer is None:
            self._ends_timer = asyncio.get_running_loop().call_later(ENDS_HELD_S, self._flush_ends)

    def waited(self, since: float, now: float) -> None:
        """A request that waited has its place."""
        waits = self._waits
        waits.append(now)
        waits.append(since)
        if len(waits) >= 2 * WAITS_PER_LINE:
            self._flush_waits()
        elif self._waits_timer is None:
            self._waits_timer = asyncio.get_running_loop().call_later(WAITS_HELD_S, self._flush_waits)

    def flush(self) -> None:
        """Write what there is."""
        self._flush_ends()
        self._flush_waits()

    def _flush_ends(self) -> None:
        if self._ends_timer is not None:
            self._ends_timer.cancel()
            self._ends_timer = None
        groups, self._groups, self._ended = self._groups, {}, 0
        for facts in groups.values():
            self._write(REQUESTS_ENDED, facts)

    def _flush_waits(self) -> None:
        if self._waits_timer is not None:
            self._waits_timer.cancel()
            self._waits_timer = None
        waits, self._waits = self._waits, []
        if waits:
            # Whole numbers, as they are made much faster: under full load each request waits.
            began = round(waits[0], 6)
            at = [int((now - began) * 1e6) for now in waits[::2]]
            waited = [int((now - since) * 1e6) for now, since in zip(waits[::2], waits[1::2], strict=True)]
            self._write(REQUESTS_WAITED, {"since": began, "at": at, "waited": waited})
