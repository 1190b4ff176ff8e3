"""The connections that one server has accepted: how it serves them, which there are, whose head is overdue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from emu.daemon.http import http1
from emu.daemon.http.exchange import AnyKnownRequest
from emu.daemon.http.known import Known
from emu.policy.timeouts import Deadlines

Http2 = Callable[[asyncio.Transport, str, bytes, tuple[bytes, http1.Head] | None], None]
"""(transport, the peer's address, what was read, upgrade): from here on the connection is another's. `upgrade` is
the client's settings and its request in HTTP/1, if that asked for HTTP/2.
"""


class Accepted(Protocol):
    """A connection, as its server sees it."""

    def __hash__(self) -> int:
        """By identity."""

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""

    @property
    def fresh(self) -> bool:
        """Whether no request was read of it."""

    def close_if_idle(self) -> None:
        """Close unless a request is being answered."""

    def head_overdue(self) -> None:
        """A head took too long."""


class Registry:
    """What the connections of one server share, and where they are listed."""

    def __init__(
        self,
        *,
        head_limit_s: float | None = None,
        http2: Http2 | None = None,
        known: Known[AnyKnownRequest] | None = None,
        full_duplex: bool = True,
        two_framings: bool = False,
        fresh_for_s: float = 0.0,
    ) -> None:
        self.http2 = http2
        """Takes over a connection on which HTTP/2 is spoken; None where it is not."""
        self.known: Known[AnyKnownRequest] = known if known is not None else Known()
        """Requests that came before; whoever makes the exchanges fills it, or leaves it empty."""
        self.full_duplex = full_duplex
        """Whether an answer may be written while its request is still read (HTTP/1)."""
        self.two_framings = two_framings
        """Whether a request that two hops may read differently is taken, as Go's server does."""
        self._fresh_for_s = fresh_for_s
        """A server that stops leaves a connection open so long that has sent no request, from its first moment on."""
        self.stopping = False
        self.connections: set[Accepted] = set()
        self._most = 0
        self._idle: asyncio.Event | None = None
        self.head_limit_s = head_limit_s
        self._heads: Deadlines[Accepted] = Deadlines(head_limit_s)
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_came(self, connection: Accepted) -> None:
        """A connection was accepted; its first head is due."""
        self.connections.add(connection)
        self._most = max(self._most, len(self.connections))
        self.awaits_head(connection)

    def connection_gone(self, connection: Accepted) -> None:
        """A connection ended, or serves no more HTTP/1."""
        self.connections.discard(connection)
        self.has_head(connection)
        if self._idle is not None and not self.connections:
            self._idle.set()

    def most_connections(self) -> int:
        """How many there were at once, at most, since this was asked last."""
        most, self._most = self._most, len(self.connections)
        return most

    async def drain(self, grace_s: float | None) -> bool:
        """Let the requests in flight finish; True when all did within `grace_s` (None: no limit)."""
        self.stopping = True
        self._idle = asyncio.Event()
        loop, now = asyncio.get_running_loop(), time.monotonic()
        for connection in list(self.connections):
            left = self._fresh_for_s - self._heads.age_s(connection, now) if connection.fresh else 0.0
            if left > 0:
                loop.call_later(left, self._close_if_idle, connection)
            else:
                connection.close_if_idle()
        if not self.connections:
            self._idle.set()
        try:
            await asyncio.wait_for(self._idle.wait(), grace_s)
        except TimeoutError:
            return False
        return True

    def _close_if_idle(self, connection: Accepted) -> None:
        if connection in self.connections:
            connection.close_if_idle()

    # --- heads that take too long

    def awaits_head(self, connection: Accepted) -> None:
        """A connection's next head is due, from its first byte on (or from the connection's first moment)."""
        period_s = self._heads.period_s
        if period_s is None or connection in self._heads:
            return
        self._heads.start(connection, time.monotonic())
        if self._head_timer is None:
            self._head_timer = asyncio.get_running_loop().call_later(period_s, self._look_at_heads)

    def has_head(self, connection: Accepted) -> None:
        """The head is read, or will not come."""
        self._heads.stop(connection)

    def _look_at_heads(self) -> None:
        self._head_timer = None
        now = time.monotonic()
        for connection in self._heads.due(now):
            connection.head_overdue()
        next_at = self._heads.next_at()
        if next_at is not None:
            self._head_timer = asyncio.get_running_loop().call_later(next_at - now, self._look_at_heads)
