"""The half of an HTTP/2 connection that reads: bytes to frames, DATA passed on as it comes, heads put together.

What it reads is given to the methods at the end, which a connection fills.
"""

# ruff: noqa: D102  a Protocol's callbacks are described by asyncio
from __future__ import annotations

from typing import Any, NoReturn

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.h2_frames import ErrorCodes, MalformedError, ProtocolError
from emu.daemon.http.h2_stream import Sender, Stream, turn
from emu.daemon.http.http1 import Headers
from emu.daemon.http.server_connection import PREFACE

STREAM_WINDOW_BYTES = 1 << 20
"""Of a request's body, this much is taken ahead per stream, and per connection (golang.org/x/net/http2)."""
MAX_FRAME_BYTES = 1 << 20
READ_BYTES = 128 * 1024
MOST_EMPTY = 100
"""CONTINUATION frames for one head, beyond what its bytes need."""
MOST_BLOCKS = 16
"""Heads known on one connection."""

_buffer = memoryview(bytearray(READ_BYTES))


class Receiver(Sender):
    """The half of a connection that reads."""

    window = STREAM_WINDOW_BYTES
    conn_window = STREAM_WINDOW_BYTES

    def __init__(self, *, client_side: bool) -> None:
        super().__init__()
        self.client_side = client_side
        self.decoder = frames.Decoder()
        self._rest = bytearray()
        """Read, but not enough of it for a frame."""
        self._needed = 0
        """So much of it would be."""
        self._preface = b"" if client_side else PREFACE
        """Still to come before any frame."""
        self.settled = False
        """The peer's first SETTINGS came."""
        self.body_left = self._padding = 0
        """Of a DATA frame, what is still to come."""
        self._into: Stream | None = None
        self._last = False
        self._block: list[bytes] | None = None
        """Of a head in several frames, what came so far; then its stream and whether it is the last, and its size."""
        self._block_of = (0, False)
        self._block_bytes = 0
        self._room = self.conn_window
        self._unacked = 0
        self.newest = 0
        """The newest stream: on a server, of the client's; on a client, its own."""
        self._blocks: dict[Any, Any] = {}
        """What was made of heads on this connection, by their bytes; good until the dynamic table changes."""
        self._free: dict[Any, tuple[Any, Headers]] = {}
        """What was made of those that do not depend on the table, and what they enter into it."""
        self._stable = False
        """Decoding the last head left the dynamic table as it was."""

    # --- the transport's side

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.receive(_buffer[:nbytes].tobytes())

    def receive(self, data: bytes) -> None:
        """Take in what was read."""
        if self.closed:
            return
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        turn.reading = True
        try:
            self._take(data)
            self.read_all()
            if self._waiting:
                self.flush_waiting()
        except ProtocolError as wrong:
            self.closed = True
            self._out.append(frames.goaway_frame(0 if self.client_side else self.newest, wrong.code))
            self.write_out()
            self.broken(wrong)
        finally:
            turn.end()

    def _take(self, data: bytes) -> None:
        at = len(self._preface) and self._take_preface(data)
        end = len(data)
        if at < 0:
            return
        while not self.closed:
            if self.body_left or self._padding:
                at = self._more_data(data, at)
            if end - at < frames.HEAD_BYTES:
                break
            word, flags, stream_id = frames.unpack_head(data, at)
            size, kind = word >> 8, word & 0xFF
            if size > MAX_FRAME_BYTES:
                raise ProtocolError("frame too large", ErrorCodes.FRAME_SIZE_ERROR)
            stop = at + frames.HEAD_BYTES + size
            if kind == frames.DATA:
                padded = flags & frames.PADDED
                if padded and size and end - at == frames.HEAD_BYTES:
                    self._needed = frames.HEAD_BYTES + 1
                    break
                at += frames.HEAD_BYTES
                self._begin_data(stream_id & 0x7FFFFFFF, flags, size, data[at] if padded and size else 0)
                at += bool(padded)
                continue
            if stop > end:
                self._needed = stop - at
                break
            self._frame(kind, flags, stream_id & 0x7FFFFFFF, data[at + frames.HEAD_BYTES : stop])
            at = stop
        if at < end and not self.closed:
            self._rest += data[at:]
            if end - at < frames.HEAD_BYTES:
                self._needed = frames.HEAD_BYTES

    def _take_preface(self, data: bytes) -> int:
        """Where frames begin; -1 where more of the preface is to come."""
        size = min(len(self._preface), len(data))
        if data[:size] != self._preface[:size]:
            raise ProtocolError("no preface")
        self._preface = self._preface[size:]
        return -1 if self._preface else size

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and kind != frames.CONTINUATION:
            raise ProtocolError("a head is not complete")
        if not self.settled and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ProtocolError("no SETTINGS at the beginning")
        if kind == frames.HEADERS:
            self._headers(flags, stream_id, payload)
        elif kind == frames.CONTINUATION:
            self._continuation(flags, stream_id, payload)
        else:
            self.on_frame(kind, flags, stream_id, payload)

    # --- data

    def _begin_data(self, stream_id: int, flags: int, size: int, pad: int) -> None:
        of_stream(stream_id)
        if self._block is not None or not self.settled:
            raise ProtocolError("DATA out of place")
        padded = bool(flags & frames.PADDED)
        if padded and pad >= size:
            raise ProtocolError("padding")
        self._room -= size
        if self._room < 0:
            raise ProtocolError("more than the connection's window", ErrorCodes.FLOW_CONTROL_ERROR)
        stream = self.streams.get(stream_id)
        self.body_left = size - pad - padded
        self._padding = pad
        self._last = bool(flags & frames.END_STREAM)
        if stream is None:
            if self.is_idle(stream_id):
                raise ProtocolError("DATA on an idle stream")
            self.late(stream_id)
        elif stream.remote_done or not self.takes_data(stream):
            stream_error(stream, ErrorCodes.STREAM_CLOSED if stream.remote_done else ErrorCodes.PROTOCOL_ERROR)
            stream = None
        else:
            stream.room -= size
            if stream.room < 0:
                stream_error(stream, ErrorCodes.FLOW_CONTROL_ERROR)
                stream = None
            elif stream.left is not None:
                stream.left -= self.body_left
                if stream.left < 0:
                    stream_error(stream, ErrorCodes.PROTOCOL_ERROR)
                    stream = None
        self._into = stream
        if padded:
            self._give_back(stream, pad + 1)
        if not self.body_left and not self._padding:
            self._data_over(b"")

    def _more_data(self, data: bytes, at: int) -> int:
        """Pass on what there is of a DATA frame; where the next begins."""
        stop = min(at + self.body_left, len(data))
        if stop > at:
            piece = data[at:stop]
            self.body_left -= stop - at
            stream = self._into
            if stream is None or stream.reset_code is not None:
                self._give_back(None, len(piece))
            elif self.body_left or self._padding:
                stream.on_data(piece)
                return self._skip_padding(data, stop)
            else:
                self._data_over(piece)
                return stop
        return self._skip_padding(data, stop)

    def _skip_padding(self, data: bytes, at: int) -> int:
        if self.body_left or not self._padding:
            return at
        stop = min(at + self._padding, len(data))
        self._padding -= stop - at
        if not self._padding:
            self._data_over(b"")
        return stop

    def _data_over(self, piece: bytes) -> None:
        """The last piece of a DATA frame is there."""
        stream, self._into = self._into, None
        if stream is None or stream.reset_code is not None:
            self._give_back(None, len(piece))
        elif not self._last:
            if piece:
                stream.on_data(piece)
        elif stream.left:
            self._give_back(None, len(piece))
            self.short(stream)
        else:
            stream.remote_done = True
            if piece:
                stream.on_last(piece)
            else:
                stream.on_end(None)

    def acknowledge(self, stream: Stream, size: int) -> None:
        if not self.closed and size:
            self._give_back(stream, size)

    def _give_back(self, stream: Stream | None, size: int) -> None:
        self._unacked += size
        if self._unacked >= self.conn_window >> 2:
            self.control(frames.number_frame(frames.WINDOW_UPDATE, 0, self._unacked))
            self._room += self._unacked
            self._unacked = 0
        if stream is not None and not stream.remote_done and stream.reset_code is None:
            stream.unacked += size
            if stream.unacked >= self.window >> 2:
                self.control(frames.number_frame(frames.WINDOW_UPDATE, stream.id, stream.unacked))
                stream.room += stream.unacked
                stream.unacked = 0

    # --- heads

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        of_stream(stream_id)
        if flags & (frames.PADDED | frames.PRIORITIZED):
            payload = self._unpadded(flags, stream_id, payload)
        if flags & frames.END_HEADERS:
            self.on_head(stream_id, payload, bool(flags & frames.END_STREAM))
        else:
            self._block = [payload]
            self._block_bytes = len(payload)
            self._block_of = (stream_id, bool(flags & frames.END_STREAM))

    def _unpadded(self, flags: int, stream_id: int, payload: bytes) -> bytes:
        at, pad = 0, 0
        if flags & frames.PADDED:
            if not payload:
                raise ProtocolError("padding", ErrorCodes.FRAME_SIZE_ERROR)
            at, pad = 1, payload[0]
        if flags & frames.PRIORITIZED:
            check_parent(stream_id, exactly(payload[at : at + 5], 5))
            at += 5
        if pad > len(payload) - at:
            raise ProtocolError("padding")
        return payload[at : len(payload) - pad]

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None or stream_id != self._block_of[0]:
            raise ProtocolError("CONTINUATION")
        self._block.append(payload)
        self._block_bytes += len(payload)
        if (
            self._block_bytes > frames.MAX_HEADER_LIST_BYTES
            or len(self._block) > MOST_EMPTY + self._block_bytes // 1024
        ):
            raise ProtocolError("header list too long", ErrorCodes.ENHANCE_YOUR_CALM)
        if flags & frames.END_HEADERS:
            block, self._block = self._block, None
            self.on_head(stream_id, b"".join(block), self._block_of[1])

    def known(self, block: Any) -> Any:
        """What was made of a head that came before, whose work on the dynamic table is done then; otherwise None."""
        found = self._blocks.get(block)
        if found is None and self._free:
            value = self._free.get(block)
            if value is not None:
                found, entered = value
                if entered:
                    self.decoder.enter(entered)
                    self._blocks.clear()
        return found

    def decode(self, block: bytes) -> Headers:
        """A head's fields."""
        decoder = self.decoder
        before = decoder.changes
        headers = decoder.decode(block)
        self._stable = decoder.changes == before
        if not self._stable:
            self._blocks.clear()
        return headers

    def keep(self, block: Any, value: Any) -> None:
        """Know a head, the one decoded last, when it comes again."""
        if self.decoder.free:
            if len(self._free) >= MOST_BLOCKS:
                self._free.clear()
            self._free[block] = (value, self.decoder.entered)
        elif self._stable:
            if len(self._blocks) >= MOST_BLOCKS:
                self._blocks.clear()
            self._blocks[block] = value

    def trailers(self, stream: Stream, headers: Headers, end: bool) -> None:
        """A head after the head."""
        if stream.remote_done:
            stream_error(stream, ErrorCodes.STREAM_CLOSED)
            return
        try:
            frames.check(headers, frames.NO_PSEUDO)
            if not end:
                raise MalformedError("trailers without an end")
        except MalformedError:
            stream_error(stream, ErrorCodes.PROTOCOL_ERROR)
            return
        if stream.left:
            self.short(stream)
            return
        stream.remote_done = True
        stream.on_end(headers)

    # --- what a connection does with it

    def on_head(self, stream_id: int, block: bytes, end: bool) -> None:
        """The head of a request or an answer, or trailers."""
        raise NotImplementedError

    def on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """A frame of the other kinds."""
        raise NotImplementedError

    def read_all(self) -> None:
        """All that was read is understood."""

    def takes_data(self, stream: Stream) -> bool:
        """Whether the head came before."""
        return True

    def is_idle(self, stream_id: int) -> bool:
        """Whether a stream was never opened."""
        return stream_id > self.newest or (stream_id & 1) == 0

    def late(self, stream_id: int) -> None:
        """Data came on a stream that is over."""

    def short(self, stream: Stream) -> None:
        """A body ended before its declared length."""
        stream_error(stream, ErrorCodes.PROTOCOL_ERROR)

    def broken(self, why: Exception) -> None:
        """The other side does not keep to the protocol."""


def stream_error(stream: Stream, code: ErrorCodes) -> None:
    """End a stream for what the peer did on it."""
    stream.reset(int(code))
    stream.on_reset(int(code))
    stream.conn.on_reset(stream)


def exactly(payload: bytes, size: int) -> bytes:
    """The payload, if it is of this size."""
    if len(payload) != size:
        raise ProtocolError("frame size", ErrorCodes.FRAME_SIZE_ERROR)
    return payload


def of_stream(stream_id: int) -> None:
    """See that a frame is one of a stream."""
    if not stream_id:
        _no("a frame of a stream on the connection")


def of_connection(stream_id: int) -> None:
    """See that a frame is one of the connection."""
    if stream_id:
        _no("a frame of the connection on a stream")


def check_parent(stream_id: int, priority: bytes) -> None:
    """See that a stream does not depend on itself."""
    if int.from_bytes(priority[:4], "big") & 0x7FFFFFFF == stream_id:
        _no("a stream that depends on itself")


def _no(why: str) -> NoReturn:
    raise ProtocolError(why)
