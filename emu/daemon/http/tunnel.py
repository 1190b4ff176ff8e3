"""Two connections made one, after an upgrade: what comes from either side goes to the other, with back-pressure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from emu.daemon.http.flow import BODY_READ_BYTES, WRITE_BUFFER_BYTES

_buffer = memoryview(bytearray(BODY_READ_BYTES))


class Tunnel:
    """Joins two transports until both directions have ended, one is lost, or `cut`; `ended` is called once then."""

    __slots__ = ("_closed", "_ended", "_sides")

    def __init__(self, client: asyncio.Transport, app: asyncio.Transport, ended: Callable[[], None]) -> None:
        self._ended: Callable[[], None] | None = ended
        self._sides = (_Side(self, client), _Side(self, app))
        self._sides[0].other, self._sides[1].other = self._sides[1], self._sides[0]
        self._closed = 0
        for side in self._sides:
            side.transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
            side.transport.set_protocol(side)
            side.transport.resume_reading()

    def end_of(self, side: _Side) -> None:
        """One direction has ended: pass that to the other side; the other direction stays open."""
        other = side.other
        self._closed += 1
        if self._closed == 2 or not other.transport.can_write_eof():
            self.cut()
        else:
            other.transport.write_eof()

    def cut(self, abort: bool = False) -> None:
        """End both connections."""
        ended, self._ended = self._ended, None
        for side in self._sides:
            if abort:
                side.transport.abort()
            else:
                side.transport.close()
        if ended is not None:
            ended()


class _Side(asyncio.BufferedProtocol):
    __slots__ = ("_tunnel", "other", "transport")
    other: _Side

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.write(bytes(_buffer[:nbytes]))

    def eof_received(self) -> bool:
        self._tunnel.end_of(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.cut()

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()
