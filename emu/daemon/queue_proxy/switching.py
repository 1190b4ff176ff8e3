"""The app answers 101: the client's connection and the app's become one, of another protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from emu.daemon.http import forward, http1
from emu.daemon.http.goquote import quoted
from emu.daemon.http.tunnel import Tunnel


class SwitchError(Exception):
    """The client did not ask for what the app switches to."""

    def __init__(self, words: bytes) -> None:
        super().__init__(words)
        self.words = words
        """In Go's words."""


class Switch:
    """A request that becomes a tunnel. SwitchError where the protocols differ."""

    __slots__ = ("_head", "_tunnel", "_tunnels")

    def __init__(self, asked: bytes, reason: bytes, headers: http1.Headers, tunnels: set[Tunnel]) -> None:
        self._head, protocol = forward.switched(reason, headers)
        self._tunnels = tunnels
        self._tunnel: Tunnel | None = None
        if not protocol and not asked:
            raise SwitchError(b"internal error: 101 switching protocols response with non-writable body\n")
        if protocol.lower() != asked.lower():
            words = b"backend tried to switch protocol %b when %b was requested\n"
            raise SwitchError(words % (quoted(protocol), quoted(asked)))

    @property
    def joined(self) -> bool:
        """Whether the two connections are one."""
        return self._tunnel is not None

    def join(
        self,
        client: asyncio.Transport,
        early: bytes,
        app: asyncio.Transport,
        said: bytes,
        ended: Callable[[], None],
    ) -> None:
        """Pass the answer on, and what either side has said since; `ended` is called once the tunnel is over."""
        client.write(self._head + said)
        if early:
            app.write(early)

        def over() -> None:
            if self._tunnel is not None:
                self._tunnels.discard(self._tunnel)
                self._tunnel = None
            ended()

        self._tunnel = Tunnel(client, app, over)
        self._tunnels.add(self._tunnel)

    def cut(self) -> None:
        """End both connections."""
        if self._tunnel is not None:
            self._tunnel.cut()
