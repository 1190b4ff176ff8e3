"""What both ends of an HTTP/2 connection share beside reading and sending: settings, windows, resets, ends.

Only imported once somebody speaks HTTP/2. What a peer sends is acknowledged (its window is opened again) only when it
has been passed on, so that a slow reader on one side stops the writer on the other; what is held for a stream is at
most the window it was given. DATA is passed on as it comes, whatever the size of its frame.
"""

# ruff: noqa: D102  the callbacks are described by asyncio and in h2_receiver
from __future__ import annotations

import asyncio
import base64

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.endings import LINGER_S
from emu.daemon.http.flow import WRITE_BUFFER_BYTES
from emu.daemon.http.h2_frames import ErrorCodes, ProtocolError, TornFrameError
from emu.daemon.http.h2_receiver import MAX_FRAME_BYTES, Receiver, stream_error
from emu.daemon.http.h2_stream import Stream
from emu.daemon.http.server_connection import PREFACE

MAX_STREAMS = 250
"""Streams a client may have open at once (golang.org/x/net/http2, defaultMaxStreams)."""
_BOOLEAN = (frames.ENABLE_PUSH, frames.ENABLE_CONNECT_PROTOCOL, frames.NO_RFC7540_PRIORITIES)
REMEMBERED = 128
"""Streams that we reset of which we know it: what the peer sent before it heard of it is passed over."""


class Connection(Receiver):
    """One HTTP/2 connection."""

    def __init__(self, *, client_side: bool) -> None:
        super().__init__(client_side=client_side)
        self._gone: dict[int, None] = {}
        self.acknowledged = False
        """The peer acknowledged our SETTINGS."""
        self.peer_streams: int | None = None
        """How many streams the peer takes at once, once it said so."""

    def open(self, transport: asyncio.Transport, max_streams: int, upgraded: bytes | None = None) -> None:
        """Say the preface or its answer. ProtocolError for settings of an upgrade that cannot be."""
        self.transport = transport
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        values = {
            frames.INITIAL_WINDOW_SIZE: self.window,
            frames.MAX_HEADER_LIST_SIZE: frames.MAX_HEADER_LIST_BYTES,
            frames.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
        }
        if max_streams:
            values[frames.MAX_CONCURRENT_STREAMS] = max_streams
        if self.client_side:
            values[frames.ENABLE_PUSH] = 0
            self._out.append(PREFACE)
        self._out.append(frames.settings_frame(values))
        more = self.conn_window - frames.DEFAULT_WINDOW
        self._out.append(frames.number_frame(frames.WINDOW_UPDATE, 0, more))
        if upgraded is not None:
            self._set(base64.urlsafe_b64decode(upgraded + b"=" * (-len(upgraded) % 4)))
            self.newest = 1
        self.write_out()

    # --- frames

    def on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == frames.WINDOW_UPDATE:
            self._window_update(stream_id, frames.exactly(payload, 4))
        elif kind == frames.RST_STREAM:
            self._reset(stream_id, int.from_bytes(frames.exactly(payload, 4), "big"))
        elif kind == frames.SETTINGS:
            self._settings(flags, stream_id, payload)
        elif kind == frames.PING:
            frames.exactly(payload, 8)
            frames.of_connection(stream_id)
            if not flags & frames.ACK:
                self.control(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.GOAWAY:
            frames.of_connection(stream_id)
            if len(payload) < 8:
                raise ProtocolError("GOAWAY", ErrorCodes.FRAME_SIZE_ERROR)
            self.on_goaway(int.from_bytes(payload[:4], "big") & 0x7FFFFFFF, int.from_bytes(payload[4:8], "big"))
        elif kind == frames.PRIORITY:
            frames.of_stream(stream_id)
            if frames.its_own_parent(stream_id, frames.exactly(payload, 5)):
                self.refuse(stream_id, ErrorCodes.PROTOCOL_ERROR)
        elif kind == frames.PRIORITY_UPDATE:
            frames.of_connection(stream_id)
            if len(payload) < 4:
                raise ProtocolError("PRIORITY_UPDATE", ErrorCodes.FRAME_SIZE_ERROR)
            frames.of_stream(int.from_bytes(payload[:4], "big") & 0x7FFFFFFF)
        elif kind == frames.PUSH_PROMISE:
            if stream_id and len(payload) < 4 + bool(flags & frames.PADDED):
                raise TornFrameError("PUSH_PROMISE")
            raise ProtocolError("PUSH_PROMISE")

    def _window_update(self, stream_id: int, payload: bytes) -> None:
        more = int.from_bytes(payload, "big") & 0x7FFFFFFF
        if not stream_id:
            self.credit += more
            if not more:
                raise ProtocolError("WINDOW_UPDATE of 0")
            if self.credit > frames.MOST_WINDOW:
                raise ProtocolError("window too large", ErrorCodes.FLOW_CONTROL_ERROR)
            return
        if not more:
            self.refuse(stream_id, ErrorCodes.PROTOCOL_ERROR)
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._not_begun(stream_id)
            return
        stream.credit += more
        if stream.credit > frames.MOST_WINDOW:
            stream_error(stream, ErrorCodes.FLOW_CONTROL_ERROR)

    def _reset(self, stream_id: int, code: int) -> None:
        frames.of_stream(stream_id)
        stream = self.streams.get(stream_id)
        if stream is not None:
            self.forget(stream)
            stream.reset_code = code
            stream.give_up()
            stream.on_reset(code)
            self.on_reset(stream)
        else:
            self._not_begun(stream_id)

    def _not_begun(self, stream_id: int) -> None:
        """A frame is of a stream that is not there: a fault where it never was (x/net asks that of clients alone)."""
        if self.is_idle(stream_id) and not self.client_side and not self.ending:
            raise ProtocolError("a frame on an idle stream")

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & frames.ACK:
            frames.exactly(payload, 0)
        frames.of_connection(stream_id)
        self.settled = True
        if flags & frames.ACK:
            if self.acknowledged:
                raise ProtocolError("SETTINGS were acknowledged that were not sent")
            self.acknowledged = True
            return
        self._set(payload)
        self.acks += frames.frame(frames.SETTINGS, frames.ACK, 0)
        self.owe()

    def _set(self, payload: bytes) -> None:
        if len(payload) % 6:
            raise ProtocolError("SETTINGS", ErrorCodes.FRAME_SIZE_ERROR)
        said = list(frames.unpack_setting(payload))
        if not self.client_side and not len({name for name, _ in said}) == len(said) <= frames.MOST_SETTINGS:
            raise ProtocolError("SETTINGS that say a thing twice, or too much")
        for name, value in said:
            if name == frames.INITIAL_WINDOW_SIZE:
                self._set_window(value)
            elif name == frames.MAX_FRAME_SIZE:
                if not frames.DEFAULT_FRAME_BYTES <= value < 1 << 24:
                    raise ProtocolError("SETTINGS_MAX_FRAME_SIZE")
                self.most_frame = min(value, MAX_FRAME_BYTES)
            elif value > 1 and name in _BOOLEAN and not (name == frames.NO_RFC7540_PRIORITIES and self.client_side):
                raise ProtocolError("SETTINGS that is neither 0 nor 1")
            elif name == frames.MAX_CONCURRENT_STREAMS:
                self.peer_streams = value
            elif name == frames.HEADER_TABLE_SIZE:
                self._resized = b"\x20"

    def _set_window(self, value: int) -> None:
        if value > frames.MOST_WINDOW:
            raise ProtocolError("SETTINGS_INITIAL_WINDOW_SIZE", ErrorCodes.FLOW_CONTROL_ERROR)
        more, self.peer_window = value - self.peer_window, value
        for stream in list(self.streams.values()):
            stream.credit += more
            if stream.credit > frames.MOST_WINDOW:
                raise ProtocolError("window too large", ErrorCodes.FLOW_CONTROL_ERROR)

    def on_goaway(self, last: int, code: int) -> None:
        """The other side opens, or takes, no more streams than `last`; `code` is HTTP/2's."""

    # --- streams that are over

    def late(self, stream_id: int) -> None:
        # Fine where we ended it, and the peer cannot have known.
        if stream_id not in self._gone and not self.client_side:
            self.control(frames.number_frame(frames.RST_STREAM, stream_id, ErrorCodes.STREAM_CLOSED))

    def refuse(self, stream_id: int, code: ErrorCodes) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream_error(stream, code)
        elif not self.client_side:
            self.control(frames.number_frame(frames.RST_STREAM, stream_id, code))
            self.on_refused()

    def on_refused(self) -> None:
        """A stream was reset that never was."""

    def was_reset(self, stream_id: int) -> bool:
        """Whether we reset this stream not long ago."""
        return stream_id in self._gone

    def _remember(self, stream_id: int) -> None:
        self._gone[stream_id] = None
        if len(self._gone) > REMEMBERED:
            del self._gone[next(iter(self._gone))]

    def reset_stream(self, stream: Stream, code: int) -> None:
        self._remember(stream.id)
        super().reset_stream(stream, code)

    # --- ends

    def say_goodbye(self, code: ErrorCodes) -> None:
        # Once: what ends it later is sent only in place of one that is not on its way yet.
        if self.goodbye or not self.ending:
            self.goodbye = frames.goaway_frame(0 if self.client_side else self.newest, code)
            self.later()
        self.ending = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._lose_all(exc)

    def _lose_all(self, exc: Exception | None) -> None:
        streams, self.streams = self.streams, {}
        self._waiting.clear()
        for stream in streams.values():
            stream.give_up()
            self.lost(stream, exc)

    def broken(self, why: Exception) -> None:
        """The other side does not keep to the protocol: it gets the time to read why."""
        self._lose_all(why)
        if isinstance(why, TornFrameError):
            self.transport.close()
        else:
            asyncio.get_running_loop().call_later(LINGER_S, self.transport.close)

    def lost(self, stream: Stream, exc: Exception | None) -> None:
        """The connection ended under a stream."""
        stream.on_reset(int(ErrorCodes.CANCEL))
