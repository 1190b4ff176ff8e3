"""A listening socket and its connections, from the first to the last."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from emu.daemon.http import http1
from emu.daemon.http.exchange import AnyKnownRequest, Exchange
from emu.daemon.http.known import Known
from emu.daemon.http.registry import Http2, Registry
from emu.daemon.http.server_connection import DownstreamConnection

if TYPE_CHECKING:
    import ssl

    from emu.daemon.http.tls_listener import TlsListener

ALPN = (b"h2", b"http/1.1")
"""The protocols to choose from over TLS, the first before the second."""


class Server(Registry):
    """A listening socket and its connections."""

    def __init__(
        self,
        exchanges: Callable[[DownstreamConnection, http1.Head], Exchange],
        *,
        head_limit_s: float | None = None,
        http2: Http2 | None = None,
        known: Known[AnyKnownRequest] | None = None,
        full_duplex: bool = True,
        two_framings: bool = False,
        fresh_for_s: float = 0.0,
    ) -> None:
        super().__init__(
            head_limit_s=head_limit_s,
            http2=http2,
            known=known,
            full_duplex=full_duplex,
            two_framings=two_framings,
            fresh_for_s=fresh_for_s,
        )
        self._exchanges = exchanges
        self._listener: asyncio.Server | TlsListener | None = None

    async def listen(self, host: str, port: int, backlog: int, tls: ssl.SSLContext | None = None) -> int:
        """Open the port (0 is any) and return its number."""
        # Its own socket: given a name, uvloop would start threads to resolve it, and keep them.
        listener = socket.create_server((host, port), backlog=backlog)
        bound = int(listener.getsockname()[1])

        def make() -> DownstreamConnection:
            return DownstreamConnection(self, self._exchanges)

        if tls is None:
            self._listener = await asyncio.get_running_loop().create_server(make, sock=listener, backlog=backlog)
        else:
            # Imported only now: most servers have no TLS.
            from emu.daemon.http.tls_listener import TlsListener

            self._listener = TlsListener(listener, tls, ALPN, make, self.head_limit_s)
        return bound

    def renew_tls(self, tls: ssl.SSLContext) -> None:
        """Speak TLS by this with who connects from now on."""
        from emu.daemon.http.tls_listener import TlsListener

        if isinstance(self._listener, TlsListener):
            self._listener.context = tls

    async def listen_unix(self, path: str, backlog: int) -> None:
        """Open a unix socket that everybody on the machine may connect to; a file that a dead listener left goes."""
        from pathlib import Path

        Path(path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        Path(path).chmod(0o666)  # the folder and the tokens say who may do what
        self._listener = await asyncio.get_running_loop().create_unix_server(
            lambda: DownstreamConnection(self, self._exchanges), sock=listener, backlog=backlog
        )

    async def stop(self, grace_s: float | None = None) -> bool:
        """Stop listening, let the requests in flight finish; True when all did within `grace_s` (None: no limit)."""
        if self._listener is not None:
            self._listener.close()
        return await self.drain(grace_s)
