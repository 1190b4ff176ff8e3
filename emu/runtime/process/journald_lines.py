"""A container's output as lines for journald, as Docker's journald log driver has them."""

from __future__ import annotations

from emu.machine.journald import SOCKET, Journald

_LONGEST = 48 * 1024
"""Bytes of a line at which it is sent in parts, so that a datagram takes it."""


class JournalLines:
    """Takes output as it comes and sends whole lines, under the container's name. What journald does not take is lost
    there only: it never holds the container up.
    """

    def __init__(self, name: str, ident: str, path: str = SOCKET) -> None:
        self._journald = Journald(name, path)
        self._fields = {"CONTAINER_NAME": name, "CONTAINER_ID": ident[:12], "CONTAINER_ID_FULL": ident}
        self._begun = b""

    def take(self, part: bytes) -> None:
        """More of what it prints."""
        *lines, self._begun = (self._begun + part).split(b"\n")
        for line in lines:
            self._send(line)
        while len(self._begun) >= _LONGEST:
            self._send(self._begun[:_LONGEST])
            self._begun = self._begun[_LONGEST:]

    def end(self) -> None:
        """It prints no more: a line without an end is one too."""
        if self._begun:
            self._send(self._begun)
        self._journald.close()

    def _send(self, line: bytes) -> None:
        if line:
            self._journald.send(line.decode(errors="replace"), self._fields)
