"""One stream of an HTTP/2 connection, and how what it has to say goes out: windows, turns, one write for many."""

from __future__ import annotations

import asyncio
from collections import deque

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.flow import LARGE_BYTES, write_pieces
from emu.daemon.http.http1 import Headers

WRITE_AT_BYTES = 64 * 1024
"""Gathered for one write at most, before it is asked whether the transport is full."""
PIECE_BYTES = 1024
"""Pieces that are smaller than this on average are joined before they are written."""
MOST_OWED = 10_000
"""Control frames kept for a peer that does not read; one for whom there would be more is cut (x/net,
maxQueuedControlFrames).
"""


Piece = bytes | memoryview
"""Of a body. A view keeps all that was read with it, so what has to wait is copied."""


class Turn:
    """One turn of reading: frames from one connection go out on others, each of which writes once."""

    __slots__ = ("dirty", "reading")

    def __init__(self) -> None:
        self.reading = False
        self.dirty: list[Sender] = []

    def end(self) -> None:
        """All that was read is understood."""
        self.reading = False
        dirty, self.dirty = self.dirty, []
        for each in dirty:
            each.write_out()


turn = Turn()
"""One for the process, which has one loop."""


class Stream:
    """A request and its answer, as one connection sees them."""

    __slots__ = (
        "conn",
        "credit",
        "ended",
        "id",
        "left",
        "local_done",
        "pending",
        "remote_done",
        "reset_code",
        "room",
        "trailers",
        "unacked",
    )

    def __init__(self, conn: Sender, stream_id: int) -> None:
        self.conn = conn
        self.id = stream_id
        self.pending: deque[tuple[bytes, Stream | None, int]] | None = None
        """Data not sent yet, each with the stream that it came from and what of that one's window it holds."""
        self.ended = False
        """Nothing is to follow what is pending."""
        self.trailers: Headers | None = None
        self.reset_code: int | None = None
        self.local_done = self.remote_done = False
        """The end of our direction was sent; of theirs, received."""
        self.credit = conn.peer_window
        """What we may send."""
        self.room = conn.window
        """What they may send."""
        self.unacked = 0
        """Of what they sent, passed on, but not yet theirs to send again."""
        self.left: int | None = None
        """Of a body of a declared length, what is still to come."""

    def send_head(self, block: bytes, end: bool = False) -> None:
        """Send a head; after it nothing, if `end`."""
        if self.conn.stuck or self.pending:
            # As data would: a peer that does not read has this stream open, and so not more than it may have.
            self._keep(block, None, -2 if end else -1)
            self.conn.wait(self)
        else:
            self.conn.write_head(self, block, end)

    def send(self, data: Piece, source: Stream | None = None, size: int = 0) -> None:
        """Send as windows allow; then the source's window is opened by `size` again."""
        self._send(data, source, size, False)

    def send_last(self, data: Piece, source: Stream | None = None, size: int = 0) -> None:
        """Send, and end our direction with it."""
        self.ended = True
        self._send(data, source, size, True)

    def _send(self, data: Piece, source: Stream | None, size: int, last: bool) -> None:
        conn = self.conn
        over = self.reset_code is not None or conn.closed
        if not over and (self.pending or conn.stuck or len(data) > self.credit or len(data) > conn.credit):
            self._keep(bytes(data), source, size)
            conn.flush_stream(self)
            return
        if not over:
            conn.write_data(self, data, last)
            conn.later()
        if source is not None:
            source.conn.acknowledge(source, size)
        if last and not over:
            conn.all_sent(self)

    def _keep(self, data: bytes, source: Stream | None, size: int) -> None:
        if self.pending is None:
            self.pending = deque()
        self.pending.append((data, source, size))

    def end(self, trailers: Headers | None = None) -> None:
        """End our direction after what is pending."""
        self.ended = True
        self.trailers = trailers
        self.conn.flush_stream(self)

    def reset(self, code: int) -> None:
        """End both directions at once."""
        if self.reset_code is None:
            self.reset_code = code
            self.give_up()
            self.conn.reset_stream(self, code)

    def give_up(self) -> None:
        """Forget what was not sent; the windows that it held open for others are theirs again."""
        pending, self.pending = self.pending, None
        for _, source, size in pending or ():
            if source is not None:
                source.conn.acknowledge(source, size)

    # --- what the other side does

    def on_data(self, data: Piece) -> None:
        """Data came; as much of the window is to be given back (`conn.acknowledge`) once it was passed on."""

    def on_end(self, trailers: Headers | None) -> None:
        """The other side ended its direction."""

    def on_last(self, data: Piece) -> None:
        """Data came, and with it the end."""
        self.on_data(data)
        self.on_end(None)

    def on_reset(self, code: int) -> None:
        """The other side, or the connection, ended the stream; `code` is HTTP/2's."""

    def on_fault(self, code: int) -> None:
        """It was reset here, for what the other side did on it."""
        self.on_reset(code)


class Sender(asyncio.BufferedProtocol):
    """The half of a connection that sends."""

    window = frames.DEFAULT_WINDOW
    """What a peer may send on a stream, ahead of what was passed on."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self._waiting: dict[int, Stream] = {}
        """Streams that have something to send, in the order in which they got stuck."""
        self.peer_window = self.credit = frames.DEFAULT_WINDOW
        """What we may send: on a new stream; on the connection."""
        self.most_frame = frames.DEFAULT_FRAME_BYTES
        self._out: list[bytes | memoryview] = []
        self._out_bytes = 0
        self.goodbye = self.acks = b""
        """GOAWAY, and that SETTINGS came: they go before all else."""
        self._owed = 0
        self._resized = b""
        """The peer changed how large our dynamic table may be: the next head says that it is of size 0."""
        self._dirty = False
        self.stuck = False
        """The peer does not read."""
        self.transport: asyncio.Transport
        self.closed = False

    # --- for streams

    def write_head(self, stream: Stream, block: bytes, end: bool) -> None:
        """A head goes out now."""
        if self.closed or stream.reset_code is not None or stream.local_done:
            return
        # In front of the first head after the peer's change (RFC 7541, 4.2).
        if self._resized:
            block, self._resized = self._resized + block, b""
        self._out.append(frames.head_frames(stream.id, block, end, self.most_frame))
        self._out_bytes += len(block)
        self.later()
        if end:
            stream.ended = stream.local_done = True
            self.all_sent(stream)

    def write_data(self, stream: Stream, data: Piece, end: bool) -> None:
        """Data for which there is room in the windows goes out now."""
        size = len(data)
        stream.credit -= size
        self.credit -= size
        stream.local_done = end
        flags = frames.END_STREAM if end else 0
        out, most = self._out, self.most_frame
        if size <= most:
            out.append(frames.data_head(size, flags, stream.id))
            out.append(data)
        else:
            view = memoryview(data)
            for at in range(0, size, most):
                piece = view[at : at + most]
                out.append(frames.data_head(len(piece), flags if at + most >= size else 0, stream.id))
                out.append(piece)
        self._out_bytes += size
        if self._out_bytes >= WRITE_AT_BYTES:
            self.write_out()

    def flush_stream(self, stream: Stream) -> None:
        """Send what the windows and the transport allow of a stream; the rest waits."""
        if self.closed or stream.reset_code is not None or stream.local_done:
            return
        if self.stuck or not self._send_pending(stream):
            self._waiting[stream.id] = stream
        else:
            self._waiting.pop(stream.id, None)
        self.later()

    def wait(self, stream: Stream) -> None:
        """A stream has something to send that cannot go now."""
        self._waiting[stream.id] = stream

    def _send_pending(self, stream: Stream) -> bool:
        """Whether nothing is left to send."""
        pending = stream.pending
        while pending:
            if self.stuck:
                return False
            data, source, size = pending[0]
            if size < 0:
                pending.popleft()
                self.write_head(stream, data, size == -2)
                continue
            room = min(stream.credit, self.credit)
            if data and room <= 0:
                return False
            if len(data) > room:
                self.write_data(stream, data[:room], False)
                pending[0] = (data[room:], source, size)
                continue
            pending.popleft()
            last = stream.ended and not pending and stream.trailers is None
            self.write_data(stream, data, last)
            if source is not None:
                source.conn.acknowledge(source, size)
            if last:
                self.all_sent(stream)
        stream.pending = None
        if stream.ended and not stream.local_done and stream.reset_code is None:
            if stream.trailers is not None:
                self.write_head(stream, frames.encode(stream.trailers), True)
            else:
                self.write_data(stream, b"", True)
                self.all_sent(stream)
        return True

    def flush_waiting(self) -> None:
        """Let streams that got stuck write again; one that gets stuck again waits behind the others."""
        for stream in list(self._waiting.values()):
            if self.stuck:
                return
            self._waiting.pop(stream.id, None)
            self.flush_stream(stream)

    def reset_stream(self, stream: Stream, code: int) -> None:
        """Report to the other side that a stream ended early."""
        self.forget(stream)
        if not self.closed:
            self.control(frames.number_frame(frames.RST_STREAM, stream.id, code))

    def acknowledge(self, stream: Stream, size: int) -> None:
        """Give back this much of the window: it was passed on."""
        raise NotImplementedError

    def on_reset(self, stream: Stream) -> None:
        """The peer reset a stream that was open, or made us do it."""

    def all_sent(self, stream: Stream) -> None:
        """Our direction of a stream has ended."""

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        self.streams.pop(stream.id, None)
        self._waiting.pop(stream.id, None)

    # --- to the transport

    def control(self, what: bytes) -> None:
        """A frame that no window holds back goes out soon."""
        self._out.append(what)
        self.owe()

    def owe(self) -> None:
        """One more control frame goes out soon; a peer that reads none of too many is cut."""
        self.later()
        if self.stuck:
            self._owed += 1
            if self._owed > MOST_OWED:
                self.closed = True
                self.transport.abort()

    def later(self) -> None:
        """Write what was made in one go: once what is being read is understood, or soon."""
        if not self._dirty:
            self._dirty = True
            if turn.reading:
                turn.dirty.append(self)
            else:
                asyncio.get_running_loop().call_soon(self.write_out)

    def write_out(self) -> None:
        """Write what was made for the other side."""
        # Before anything is written: what is added meanwhile is due again.
        self._dirty = False
        out = self._out
        if self.goodbye or self.acks:
            out.insert(0, self.goodbye + self.acks)
            self.goodbye = self.acks = b""
        if out:
            large = self._out_bytes >= max(LARGE_BYTES, PIECE_BYTES * len(out))
            self._out = []
            self._out_bytes = 0
            if not self.transport.is_closing():
                if large:
                    write_pieces(self.transport, out)
                else:
                    self.transport.write(b"".join(out))

    def pause_writing(self) -> None:
        """The transport is full."""
        self.stuck = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self.stuck = False
        self._owed = 0
        self.flush_waiting()
        self.write_out()
