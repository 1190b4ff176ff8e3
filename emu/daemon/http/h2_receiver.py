"""The half of an HTTP/2 connection that reads: bytes to frames, DATA passed on as it comes.

What it reads is given to the methods at the end, which a connection fills.
"""

from __future__ import annotations

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.h2_frames import ErrorCodes, FrameError, ProtocolError, TornFrameError
from emu.daemon.http.h2_heads import HeadReader
from emu.daemon.http.h2_stream import Stream, turn
from emu.daemon.http.server_connection import PREFACE

STREAM_WINDOW_BYTES = 1 << 20
"""Of a request's body, this much is taken ahead per stream, and per connection (golang.org/x/net/http2)."""
MAX_FRAME_BYTES = 1 << 20
READ_BYTES = 128 * 1024
VIEW_BYTES = 64 * 1024
"""From this size on what was read is looked at where it is, and only what is passed on is copied; bytes are faster to
look at, and many small frames are not read at once.
"""
MOST_KEPT_BYTES = 32 * 1024
"""As much of a frame that is not whole is put before what is read next; more is gathered until it is."""

_buffer = memoryview(bytearray(READ_BYTES))


def _kept(rest: bytearray) -> int:
    return len(rest) if len(rest) <= MOST_KEPT_BYTES else 0


class Receiver(HeadReader):
    """The half of a connection that reads."""

    window = STREAM_WINDOW_BYTES
    conn_window = STREAM_WINDOW_BYTES

    def __init__(self, *, client_side: bool) -> None:
        super().__init__()
        self.client_side = client_side
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
        self._room = self.conn_window
        self._unacked = 0
        self.ending = False
        """Streams that are begun now are passed over: GOAWAY went out."""
        self.newest = 0
        """The newest stream: on a server, of the client's; on a client, its own."""
        self._frame_of = 0
        """The stream of the frame that is looked at."""

    # --- the transport's side

    def get_buffer(self, sizehint: int) -> memoryview:
        kept = _kept(self._rest)
        _buffer[:kept] = self._rest[:kept]
        return _buffer[kept:]

    def buffer_updated(self, nbytes: int) -> None:
        begin = _kept(self._rest)
        end = begin + nbytes
        if begin and end >= self._needed:
            self._rest.clear()
            begin = 0
        read = _buffer[begin:end]
        self.receive(read.tobytes() if len(read) < VIEW_BYTES else read)

    def receive(self, data: bytes | memoryview) -> None:
        """Take in what was read; a view is not kept."""
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
            if not (self.client_side or isinstance(wrong, FrameError)):
                self.newest = max(self.newest, self._frame_of)
            # In x/net one write is under way, and what is made meanwhile is lost with the connection. DATA is a head
            # and its payload.
            under_way = 1 + (self._out[0][3] == frames.DATA) if self._out and not self.acks else 0
            del self._out[under_way:]
            if not isinstance(wrong, TornFrameError):
                self.say_goodbye(wrong.code)
                self.write_out()
            self.broken(wrong)
        finally:
            turn.end()

    def _take(self, data: bytes | memoryview) -> None:
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
                raise FrameError("frame too large", ErrorCodes.FRAME_SIZE_ERROR)
            stop = at + frames.HEAD_BYTES + size
            if kind == frames.DATA:
                if not flags and stop <= end and stream_id in self.streams:
                    at = self._take_run(data, at, stop, stream_id)
                    continue
                padded = flags & frames.PADDED
                whole = self.client_side and size <= frames.DEFAULT_FRAME_BYTES  # x/net reads each frame whole
                wanted = stop if whole else at + frames.HEAD_BYTES + bool(padded and size)
                if end < wanted:
                    self._needed = wanted - at
                    break
                at += frames.HEAD_BYTES
                self._begin_data(stream_id & 0x7FFFFFFF, flags, size, data[at] if padded and size else 0)
                at += bool(padded)
                continue
            if stop > end:
                self._needed = stop - at
                break
            self._frame(kind, flags, stream_id & 0x7FFFFFFF, bytes(data[at + frames.HEAD_BYTES : stop]))
            at = stop
        if at < end and not self.closed:
            self._rest += data[at:]
            if end - at < frames.HEAD_BYTES:
                self._needed = frames.HEAD_BYTES

    def _take_preface(self, data: bytes | memoryview) -> int:
        """Where frames begin; -1 where more of the preface is to come."""
        size = len(self._preface)
        if len(data) < size:
            self._rest += data
            self._needed = size
            return -1
        if data[:size] != self._preface:
            raise TornFrameError("no preface")
        self._preface = b""
        self.on_preface()
        return size

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._head_of is not None and kind != frames.CONTINUATION:
            raise FrameError("a head is not complete")
        self._frame_of = stream_id
        if kind == frames.HEADERS:
            self.headers_frame(flags, stream_id, payload)
        elif kind == frames.CONTINUATION:
            self.continuation_frame(flags, stream_id, payload)
        else:
            self.on_frame(kind, flags, stream_id, payload)

    def expect_settled(self) -> None:
        """See that SETTINGS came before all else. What is wrong with a frame by itself is seen before."""
        if not self.settled:
            raise ProtocolError("no SETTINGS at the beginning")

    # --- data

    def _begin_data(self, stream_id: int, flags: int, size: int, pad: int) -> None:
        if self._head_of is not None:
            raise FrameError("DATA out of place")
        frames.of_stream(stream_id)
        padded = bool(flags & frames.PADDED)
        if padded and pad >= size:
            raise FrameError("padding") if size else TornFrameError("padding")
        self._frame_of = stream_id
        self.expect_settled()
        over = size > self._room
        if over:
            self._exceeded()
            self._unacked -= size  # it was never theirs, and is not given back
        else:
            self._room -= size
        stream = self.streams.get(stream_id)
        self.body_left = size - pad - padded
        self._padding = pad
        self._last = bool(flags & frames.END_STREAM)
        if stream is None:
            if not self.is_idle(stream_id):
                self.late(stream_id, over)
            elif not self.ending:
                raise ProtocolError("DATA on an idle stream")
        elif stream.remote_done or not self.takes_data(stream):
            stream_error(stream, ErrorCodes.STREAM_CLOSED if stream.remote_done else ErrorCodes.PROTOCOL_ERROR)
            stream = None
        else:
            stream.room -= size
            if stream.room < 0 or over:
                self._exceeded()
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

    def _exceeded(self) -> None:
        """More came than a window: that ends an app's connection, and of a client's the stream alone."""
        if self.client_side:
            raise ProtocolError("more than the window", ErrorCodes.FLOW_CONTROL_ERROR)

    def _take_run(self, data: bytes | memoryview, at: int, stop: int, stream_id: int) -> int:
        """DATA frames of a stream that follow each other count as one; where the frame after them begins."""
        whole, stop, last = frames.data_run(data, at, stop, stream_id)
        self._begin_data(stream_id & 0x7FFFFFFF, last, len(whole), 0)
        if self.body_left:
            self.body_left = 0
            self._data_over(whole)
        return stop

    def _more_data(self, data: bytes | memoryview, at: int) -> int:
        """Pass on what there is of a DATA frame; where the next begins."""
        stop = min(at + self.body_left, len(data))
        if stop > at:
            piece = bytes(data[at:stop])
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

    def _skip_padding(self, data: bytes | memoryview, at: int) -> int:
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

    # --- what a connection does with it

    def on_preface(self) -> None:
        """The preface is whole."""

    def on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """A frame of the other kinds."""
        raise NotImplementedError

    def say_goodbye(self, code: ErrorCodes) -> None:
        """Nothing more is taken; for a fault or because the end was asked for."""
        raise NotImplementedError

    def read_all(self) -> None:
        """All that was read is understood."""

    def takes_data(self, stream: Stream) -> bool:
        """Whether the head came before."""
        return True

    def is_idle(self, stream_id: int) -> bool:
        """Whether a stream was never opened."""
        return stream_id > self.newest or (stream_id & 1) == 0

    def late(self, stream_id: int, over: bool) -> None:
        """Data came on a stream that is over; `over` if it was more than the connection's window."""

    def short(self, stream: Stream) -> None:
        """A body ended before its declared length."""
        stream_error(stream, ErrorCodes.PROTOCOL_ERROR)

    def broken(self, why: Exception) -> None:
        """The other side does not keep to the protocol."""


def stream_error(stream: Stream, code: ErrorCodes) -> None:
    """End a stream for what the peer did on it."""
    stream.reset(int(code))
    stream.on_fault(int(code))
    stream.conn.on_reset(stream)
