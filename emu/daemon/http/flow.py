"""Flow control of a client's connection: whether it is read, and whether the client reads what was written."""

from __future__ import annotations

import asyncio

BODY_READ_BYTES = 32 * 1024
"""Read at most this much of a body at once (Knative's buffer for each copy, pkg/http/proxy/bufferpool.go)."""
WRITE_BUFFER_BYTES = 32 * 1024
"""Beyond this much unwritten, a connection says that it is full; what comes before it learns is one more read."""

LARGE_BYTES = 8 * 1024
"""From so much on it is cheaper to pass a view on and have several written at once than to put them together."""


class Stuck:
    """Clients that read more slowly than was written, in this process: what they cost decides how much is read."""

    count = 0


class FlowControl:
    """Both directions of one connection."""

    __slots__ = ("_transport", "paused", "stuck")

    def __init__(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        self._transport = transport
        self.paused = False
        """Nothing is read; what the client sends stays in the kernel."""
        self.stuck = False
        """The client reads more slowly than was written so far."""

    def read(self, wanted: bool) -> None:
        """Read on, or not."""
        if wanted == self.paused and not self._transport.is_closing():
            self.paused = not wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def pause_writing(self) -> None:
        """More is written than the client has read."""
        if not self.stuck:
            self.stuck = True
            Stuck.count += 1

    def resume_writing(self) -> None:
        """The client has read it, or is gone."""
        if self.stuck:
            self.stuck = False
            Stuck.count -= 1
