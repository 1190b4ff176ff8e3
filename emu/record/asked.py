"""Samples that the load generator asks for: one between two phases of the load, so that what either of them has read
is counted to it alone, however busy the machine is.

The two processes share a pair of sockets. A number there asks for a sample, and the same number answers once each
file of it has been read.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress

from emu.messages import SAMPLE_NUMBER_BYTES


class Asked:
    """The recorder's end. No I/O in the constructor."""

    def __init__(self, descriptor: int | None, poll: select.poll, take: Callable[[], None]) -> None:
        """`descriptor`: of the socket; None where no process asks. `take` takes a sample."""
        self._descriptor = descriptor
        self._poll = poll
        self._take = take
        self._socket: socket.socket | None = None

    @property
    def fileno(self) -> int:
        """Readable when a sample is asked for, as the poll knows; -1 where no process asks."""
        return -1 if self._socket is None else self._socket.fileno()

    def open(self) -> None:
        """Listen from now on."""
        if self._descriptor is not None:
            self._socket = socket.socket(fileno=self._descriptor)
            self._socket.setblocking(False)
            self._poll.register(self._socket, select.POLLIN)

    def serve(self) -> None:
        """Take a sample if one has been asked for, and answer when it has been taken; one may do for several."""
        numbers = self._read()
        if numbers:
            self._take()
        for number in numbers:
            if self._socket is not None:
                with suppress(OSError):  # the load generator has ended meanwhile
                    self._socket.send(number)

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            self._poll.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self) -> list[bytes]:
        numbers: list[bytes] = []
        if self._socket is None:
            return numbers
        try:
            while number := self._socket.recv(SAMPLE_NUMBER_BYTES):
                numbers.append(number)
        except BlockingIOError:
            return numbers
        except OSError:
            pass
        self.close()  # the load generator has ended
        return numbers
