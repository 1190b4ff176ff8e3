"""Lines for journald with fields of their own, so that `journalctl EMU_RUN=…` finds them (systemd.journal-fields(7)).

The native protocol is a datagram of `FIELD=value` lines. Where no journald listens, nothing is sent.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"


class Journald:
    """A way to the journal. A line that it does not take is lost there; it never holds the caller up."""

    def __init__(self, identifier: str, path: str = SOCKET) -> None:
        self._identifier = identifier
        self._path = path
        self._socket: socket.socket | None = None

    def send(self, message: str, fields: Mapping[str, str], *, priority: int = 6) -> bool:
        """One entry: 6 is info, 4 warning, 3 error. False if it was not taken."""
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        fields = {
            "MESSAGE": message,
            "PRIORITY": str(priority),
            "SYSLOG_IDENTIFIER": self._identifier,
            **{name: value for name, value in fields.items() if value},
        }
        try:
            self._socket.sendto(b"".join(_field(*pair) for pair in fields.items()), self._path)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the way; a later line opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _field(name: str, value: str) -> bytes:
    data = value.encode()
    if b"\n" in data:
        return b"%b\n%b%b\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
    return b"%b=%b\n" % (name.encode(), data)
