"""What a listening socket with TLS accepts."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl

import pytest

from emu.daemon.http import tls_listener
from emu.daemon.http.tls_listener import TlsListener

LOOKS = 50
DEADLINE_S = 120.0


class _Counting(socket.socket):
    asked = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        return super().accept()


def test_it_waits_for_room_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a free descriptor it does not ask again and again, and later it accepts who came meanwhile."""
    monkeypatch.setattr(tls_listener, "PAUSE_S", 0.05)
    asyncio.run(_without_descriptors())


async def _without_descriptors() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _Counting() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client.connect(listener.getsockname())
        made = TlsListener(listener, context, (b"h2",), asyncio.Protocol, DEADLINE_S)
        free = os.dup(client.fileno())
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
        try:
            for _ in range(LOOKS):
                await asyncio.sleep(0)
            assert 1 <= listener.asked < LOOKS // 2
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        async with asyncio.timeout(DEADLINE_S):
            while not made._shaking:
                await asyncio.sleep(0.01)
        made.close()
        await asyncio.gather(*made._shaking, return_exceptions=True)
