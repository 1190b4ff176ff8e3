"""Flow control of a client's connection: whether it is read, and whether the client reads what was written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

BODY_READ_BYTES = 32 * 1024
"""Read at most this much of a body at once (Knative's buffer for each copy, pkg/http/proxy/bufferpool.go)."""
WRITE_BUFFER_BYTES = 32 * 1024
"""Beyond this much unwritten, a connection says that it is full; what comes before it learns is one more read."""

LARGE_BYTES = 8 * 1024
"""From this size on, passing a view on and writing several pieces in one call is cheaper than joining them."""
_STANDARD = "asyncio.selector_events"


def write_pieces(transport: asyncio.Transport, pieces: Iterable[bytes | memoryview]) -> None:
    """Write them in one call, where the loop is uvloop's.

    The standard loop's `writelines` joins them in Python 3.11. In 3.12.0 to 3.12.8, 3.13.0 and 3.13.1 it never calls
    `pause_writing`, so all that a slow reader does not read would be kept; and it takes a lost connection for a good
    one in some versions after them, too.
    """
    if type(transport).__module__ == _STANDARD:
        transport.write(b"".join(pieces))
    else:
        transport.writelines(pieces)


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
        """Let the client's bytes in, or leave them in the kernel's buffer until its window is full."""
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
