"""What crosses the serial line between the host and the guest's agent: frames of a kind, a stream number and bytes.

One line carries everything, so the end of a command can never overtake its last output, and the command's status
is never guessed from a console. Shared by both ends; standard library only, because the agent runs without more.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

_HEADER = struct.Struct("!BBI")
MAX_PAYLOAD = 32 * 1024
"""Bytes of data per frame: small enough that a signal never waits long behind output."""
STDIN_WINDOW = 256 * 1024
"""Bytes of standard input that may be under way before the command has read them."""
LINE_WINDOW = 3072
"""Bytes towards the guest that it has not acknowledged. Its terminal layer holds 4096; asked to stop, UML's serial
driver forgets to start again (line_throttle in Linux 6.1), so it must never be asked to."""

# guest → host
PROGRESS = 1  # text: a step of the boot that is done
READY = 2  # JSON: what came up
FAILED = 3  # text: why the boot, or a command, cannot continue
BEAT = 4  # nothing: the agent is alive
EXIT = 5  # JSON {"status": n}: the command has ended and its output is all sent
CREDIT = 6  # JSON {"bytes": n}: so much of standard input has been passed on
RECEIVED = 7  # JSON {"bytes": n}: so many bytes have been read off the line

# both ways
DATA = 10  # stream 0 (to the command), 1 or 2 (from it)
CLOSE = 11  # that stream is at its end; towards the guest for 1 or 2: it has no reader any more

# host → guest
START = 20  # JSON: argv, cwd, env, tty, rows, columns
SIGNAL = 21  # JSON {"number": n}: for the command's process group
RESIZE = 22  # JSON {"rows": n, "columns": n}
STOP = 23  # shut down in order and power off


@dataclass(frozen=True)
class Frame:
    """One message: its kind, the stream it concerns (0 where none), its bytes."""

    kind: int
    stream: int = 0
    payload: bytes = b""

    def json(self) -> dict[str, Any]:
        """The payload of a frame that carries a JSON object."""
        value = json.loads(self.payload)
        if not isinstance(value, dict):
            raise ValueError(f"a frame of kind {self.kind} carries {value!r} instead of an object")
        return value


def encode(frame: Frame) -> bytes:
    """The bytes of one frame on the line."""
    return _HEADER.pack(frame.kind, frame.stream, len(frame.payload)) + frame.payload


def message(kind: int, **values: object) -> bytes:
    """The bytes of a frame that carries a JSON object."""
    return encode(Frame(kind, 0, json.dumps(values).encode()))


class Decoder:
    """Bytes as they arrive, in pieces of any size, to whole frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return the frames that they complete, in order."""
        self._pending += data
        frames = []
        while len(self._pending) >= _HEADER.size:
            kind, stream, length = _HEADER.unpack_from(self._pending)
            end = _HEADER.size + length
            if len(self._pending) < end:
                break
            frames.append(Frame(kind, stream, bytes(self._pending[_HEADER.size : end])))
            del self._pending[:end]
        return frames
