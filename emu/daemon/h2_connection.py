"""What both ends of an HTTP/2 connection share: the h2 state machine on a transport, flow control, bounded buffers.

Only imported once somebody speaks HTTP/2: the h2 library alone weighs several megabytes.

What a peer sends is acknowledged (its window is opened again) only when it has been passed on, so that a slow
reader on one side stops the writer on the other; what is held for a stream is at most the window it was given.
"""

# ruff: noqa: D102  a Protocol's callbacks are described by asyncio
from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings

from emu.daemon.http1 import Headers
from emu.daemon.server_connection import WRITE_BUFFER_BYTES

STREAM_WINDOW_BYTES = 1 << 20
"""Of a request's body, this much is taken ahead per stream, and per connection (golang.org/x/net/http2)."""
MAX_FRAME_BYTES = 1 << 20
MAX_STREAMS = 250
"""Streams a client may have open at once (golang.org/x/net/http2, defaultMaxStreams)."""
READ_BYTES = 64 * 1024
MAX_HEADER_LIST_BYTES = (1 << 20) + 320


_buffer = memoryview(bytearray(READ_BYTES))


class _UncountedConnection(H2Connection):
    """h2, but a client that opens too many streams is refused those (x/net), not cut off with all the others."""

    @property
    def open_inbound_streams(self) -> int:
        super().open_inbound_streams  # noqa: B018  it forgets the closed ones
        return 0


class Stream:
    """One direction's worth of unsent data, and its end."""

    __slots__ = ("conn", "ended", "id", "pending", "reset_code", "trailers")

    def __init__(self, conn: Connection, stream_id: int) -> None:
        self.conn = conn
        self.id = stream_id
        self.pending: deque[tuple[bytes, Any]] = deque()
        """Data not sent yet, each with what is to be told when it is."""
        self.ended = False
        """Nothing is to follow what is pending."""
        self.trailers: Headers | None = None
        self.reset_code: int | None = None

    def send(self, data: bytes, sent: Any = None) -> None:
        """Send as windows allow; `sent()` is called once it is all out."""
        self.pending.append((data, sent))
        self.conn.flush_stream(self)

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
        while self.pending:
            _, sent = self.pending.popleft()
            if sent is not None:
                sent()

    # --- what the other side does

    def on_data(self, data: bytes, size: int) -> None:
        """Data came; `size` of the window is to be given back once it was passed on."""

    def on_end(self, trailers: Headers | None) -> None:
        """The other side ended its direction."""

    def on_reset(self, code: int) -> None:
        """The other side, or the connection, ended the stream; `code` is HTTP/2's."""


class Connection(asyncio.BufferedProtocol):
    """One HTTP/2 connection."""

    def __init__(self, *, client_side: bool) -> None:
        kind = H2Connection if client_side else _UncountedConnection
        self.h2 = kind(
            H2Configuration(client_side=client_side, header_encoding=None, validate_outbound_headers=False)
        )
        self.streams: dict[int, Stream] = {}
        self._waiting: dict[int, Stream] = {}
        """Streams that have something to send, in the order in which they got stuck."""
        self._dirty = False
        self._stuck = False
        self.transport: asyncio.Transport
        self.closed = False

    def open(
        self,
        transport: asyncio.Transport,
        max_streams: int,
        window: int,
        conn_window: int,
        upgraded: bytes | None = None,
    ) -> None:
        """Say the preface or its answer."""
        self.transport = transport
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        values = {
            SettingCodes.INITIAL_WINDOW_SIZE: window,
            SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_BYTES,
            SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
        }
        if max_streams:
            values[SettingCodes.MAX_CONCURRENT_STREAMS] = max_streams
        if self.h2.config.client_side:
            values[SettingCodes.ENABLE_PUSH] = 0
        self.h2.local_settings = Settings(client=self.h2.config.client_side, initial_values=values)
        self.h2.max_inbound_frame_size = MAX_FRAME_BYTES
        self.h2.decoder.max_header_list_size = MAX_HEADER_LIST_BYTES
        if upgraded is None:
            self.h2.initiate_connection()
        else:
            self.h2.initiate_upgrade_connection(upgraded)
        self.h2.increment_flow_control_window(conn_window - 65535)
        self.write_out()

    # --- the transport's side

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.receive(bytes(_buffer[:nbytes]))

    def receive(self, data: bytes) -> None:
        """Take in what was read."""
        try:
            happened = self.h2.receive_data(data)
        except ProtocolError as wrong:
            self.write_out()
            self.broken(wrong)
            return
        for event in happened:
            self._on_event(event)
        self._flush_waiting()
        self.write_out()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        streams, self.streams = self.streams, {}
        self._waiting.clear()
        for stream in streams.values():
            stream.give_up()
            self.lost(stream, exc)

    def pause_writing(self) -> None:
        self._stuck = True

    def resume_writing(self) -> None:
        self._stuck = False
        self._flush_waiting()
        self.write_out()

    def broken(self, why: Exception) -> None:
        """The other side does not keep to the protocol."""
        self.closed = True
        if not self.transport.is_closing():
            self.transport.close()

    def lost(self, stream: Stream, exc: Exception | None) -> None:
        """The connection ended under a stream."""
        stream.on_reset(int(ErrorCodes.CANCEL))

    # --- events

    def _on_event(self, event: events.Event) -> None:
        stream_id = getattr(event, "stream_id", None)
        stream = self.streams.get(stream_id) if stream_id else None
        if isinstance(event, events.DataReceived):
            size = event.flow_controlled_length or 0
            if stream is None or stream.reset_code is not None:
                self.acknowledge(event.stream_id, size)
            else:
                stream.on_data(event.data or b"", size)
        elif isinstance(event, events.StreamEnded):
            if stream is not None:
                stream.on_end(None)
        elif isinstance(event, events.TrailersReceived):
            if stream is not None:
                stream.on_end([(bytes(name), bytes(value)) for name, value in event.headers or ()])
        elif isinstance(event, events.StreamReset):
            if stream is not None:
                self.forget(stream)
                stream.reset_code = int(event.error_code or 0)
                stream.give_up()
                stream.on_reset(stream.reset_code)
        elif isinstance(event, events.ConnectionTerminated):
            self.on_goaway(event)
        else:
            self.on_other(event)

    def on_goaway(self, event: events.ConnectionTerminated) -> None:
        """The other side opens, or takes, no more streams."""

    def all_sent(self, stream: Stream) -> None:
        """Our direction of a stream has ended."""

    def on_other(self, event: events.Event) -> None:
        """Heads of requests or answers."""

    # --- sending

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Give back this much of the window: it was passed on."""
        if size and not self.closed:
            try:
                self.h2.acknowledge_received_data(size, stream_id)
            except StreamClosedError:
                pass
            except ProtocolError:
                return
            self.later()

    def flush_stream(self, stream: Stream) -> None:
        """Send what the windows and the transport allow of a stream; the rest waits."""
        if self.closed or stream.reset_code is not None:
            return
        if self._stuck:
            self._waiting[stream.id] = stream
            return
        try:
            done = self._send_pending(stream)
        except ProtocolError:
            self._waiting.pop(stream.id, None)
            return
        if done:
            self._waiting.pop(stream.id, None)
        else:
            self._waiting[stream.id] = stream
        self.later()

    def _send_pending(self, stream: Stream) -> bool:
        pending = stream.pending
        while pending:
            data, sent = pending[0]
            room = min(self.h2.local_flow_control_window(stream.id), self.h2.max_outbound_frame_size)
            if data and room <= 0:
                return False
            if self._stuck:
                return False
            last = stream.ended and len(pending) == 1 and len(data) <= room and stream.trailers is None
            self.h2.send_data(stream.id, data[:room], end_stream=last)
            if len(data) > room:
                pending[0] = (data[room:], sent)
                self.write_out()
                continue
            pending.popleft()
            if sent is not None:
                sent()
            if last:
                self.all_sent(stream)
                return True
            self.write_out()
        if stream.ended:
            if stream.trailers is not None:
                self.h2.send_headers(stream.id, stream.trailers, end_stream=True)
            else:
                self.h2.send_data(stream.id, b"", end_stream=True)
            self.all_sent(stream)
        return True

    def _flush_waiting(self) -> None:
        for stream in list(self._waiting.values()):
            if self._stuck:
                return
            self.flush_stream(stream)

    def reset_stream(self, stream: Stream, code: int) -> None:
        """Tell the other side that a stream ended early."""
        self.forget(stream)
        if self.closed:
            return
        try:
            self.h2.reset_stream(stream.id, code)
        except ProtocolError:
            return
        self.later()

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        self.streams.pop(stream.id, None)
        self._waiting.pop(stream.id, None)

    def later(self) -> None:
        """Write soon what was made, in one go."""
        if not self._dirty:
            self._dirty = True
            asyncio.get_running_loop().call_soon(self.write_out)

    def write_out(self) -> None:
        """Write what the state machine has for the other side."""
        self._dirty = False
        if not self.transport.is_closing():
            data = self.h2.data_to_send()
            if data:
                self.transport.write(data)


__all__ = ["Connection", "ErrorCodes", "SettingCodes", "Stream", "events"]
