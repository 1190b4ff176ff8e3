"""A listening socket and its connections, from the first to the last."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from emu.daemon import http1
from emu.daemon.server_connection import Exchange, ServerConnection


class Server:
    """A listening socket and its connections."""

    def __init__(self, exchanges: Callable[[ServerConnection, http1.Head], Exchange]) -> None:
        self._exchanges = exchanges
        self.connections: set[ServerConnection] = set()
        self.stopping = False
        self._listener: asyncio.Server | None = None
        self._idle: asyncio.Event | None = None

    async def listen(self, host: str, port: int, backlog: int) -> int:
        """Open the port (0 is any) and return its number."""
        # A socket of our own: given a name, uvloop would start threads to resolve it, and keep them.
        listener = socket.create_server((host, port), backlog=backlog)
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: ServerConnection(self, self._exchanges), sock=listener, backlog=backlog
        )
        return int(listener.getsockname()[1])

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

    def connection_gone(self) -> None:
        """A connection ended; whoever waits for the last is told."""
        if self._idle is not None and not self.connections:
            self._idle.set()
