"""A listening socket and its connections, from the first to the last."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from emu.daemon.http import http1
from emu.daemon.http.known import Known
from emu.daemon.http.server_connection import Exchange, KnownRequest, ServerConnection
from emu.policy.timeouts import Deadlines

if TYPE_CHECKING:
    import ssl

Http2 = Callable[[asyncio.Transport, str, bytes, tuple[bytes, http1.Head] | None], None]
"""(transport, the peer's address, what was read, upgrade): from here on the connection is another's. `upgrade` is
the client's settings and its request in HTTP/1, if that asked for HTTP/2.
"""


class Server:
    """A listening socket and its connections."""

    def __init__(
        self,
        exchanges: Callable[[ServerConnection, http1.Head], Exchange],
        *,
        head_limit_s: float | None = None,
        http2: Http2 | None = None,
        known: Known[KnownRequest] | None = None,
        full_duplex: bool = True,
        two_framings: bool = False,
    ) -> None:
        self._exchanges = exchanges
        self.http2 = http2
        """Takes over a connection on which HTTP/2 is spoken; None where it is not."""
        self.known: Known[KnownRequest] = known if known is not None else Known()
        """Requests that came before; whoever makes the exchanges fills it, or leaves it empty."""
        self.full_duplex = full_duplex
        """Whether an answer may be written while its request is still read (HTTP/1)."""
        self.two_framings = two_framings
        """Whether a request that two hops may read differently is taken, as Go's server does."""
        self._heads: Deadlines[ServerConnection] = Deadlines(head_limit_s)
        self._head_limit_s = head_limit_s
        self._head_timer: asyncio.TimerHandle | None = None
        self.connections: set[ServerConnection] = set()
        self._most = 0
        self.stopping = False
        self._listener: asyncio.Server | None = None
        self._idle: asyncio.Event | None = None

    async def listen(self, host: str, port: int, backlog: int, tls: ssl.SSLContext | None = None) -> int:
        """Open the port (0 is any) and return its number."""
        # A socket of our own: given a name, uvloop would start threads to resolve it, and keep them.
        listener = socket.create_server((host, port), backlog=backlog)
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: ServerConnection(self, self._exchanges), sock=listener, backlog=backlog, ssl=tls
        )
        return int(listener.getsockname()[1])

    async def listen_unix(self, path: str, backlog: int) -> None:
        """Open a unix socket that everybody on the machine may connect to; a file that a dead listener left goes."""
        Path(path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        Path(path).chmod(0o666)  # the folder and the tokens say who may do what
        self._listener = await asyncio.get_running_loop().create_unix_server(
            lambda: ServerConnection(self, self._exchanges), sock=listener, backlog=backlog
        )

    def awaits_head(self, connection: ServerConnection) -> None:
        """A connection's next head is due, from its first byte on (or from the connection's first moment)."""
        if self._head_limit_s is None or connection in self._heads:
            return
        self._heads.start(connection, time.monotonic())
        if self._head_timer is None:
            self._head_timer = asyncio.get_running_loop().call_later(self._head_limit_s, self._look_at_heads)

    def has_head(self, connection: ServerConnection) -> None:
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

    async def stop(self, grace_s: float | None = None) -> bool:
        """Stop listening, let the requests in flight finish; True when all did within `grace_s` (None: no limit)."""
        self.stopping = True
        if self._listener is not None:
            self._listener.close()
        self._idle = asyncio.Event()
        for connection in list(self.connections):
            connection.close_if_idle()
        self.connection_gone()
        try:
            await asyncio.wait_for(self._idle.wait(), grace_s)
        except TimeoutError:
            return False
        return True

    def connection_came(self, connection: ServerConnection) -> None:
        """A connection was accepted."""
        self.connections.add(connection)
        self._most = max(self._most, len(self.connections))

    def most_connections(self) -> int:
        """How many there were at once, at most, since this was asked last."""
        most, self._most = self._most, len(self.connections)
        return most

    def connection_gone(self) -> None:
        """A connection ended; whoever waits for the last is told."""
        if self._idle is not None and not self.connections:
            self._idle.set()
