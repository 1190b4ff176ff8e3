"""The guest's end of the serial line (wire.py)."""

from __future__ import annotations

import os
import time
import tty

from emu.sandbox.uml.inside import wire

_LINE = "/dev/ttyS0"


class Line:
    """The serial line: whole frames in, frames out, neither ever blocking."""

    def __init__(self) -> None:
        self.fd = os.open(_LINE, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        tty.setraw(self.fd)
        self._decoder = wire.Decoder()
        self._unsent = bytearray()

    @property
    def backlog(self) -> int:
        """Bytes that the host has yet to take."""
        return len(self._unsent)

    def send(self, data: bytes) -> None:
        """Queue an encoded frame."""
        self._unsent += data

    def flush(self) -> None:
        """Write what the host takes now."""
        try:
            while self._unsent:
                written = os.write(self.fd, self._unsent[: wire.MAX_PAYLOAD])
                del self._unsent[:written]
        except BlockingIOError:
            pass

    def drain(self) -> None:
        """Write everything, waiting for the host."""
        while self._unsent:
            self.flush()
            time.sleep(0.005)

    def receive(self) -> list[wire.Frame]:
        """The frames that have arrived."""
        frames: list[wire.Frame] = []
        try:
            while data := os.read(self.fd, 65536):
                frames += self._decoder.feed(data)
                self.send(wire.message(wire.RECEIVED, bytes=len(data)))
        except BlockingIOError:
            pass
        return frames
