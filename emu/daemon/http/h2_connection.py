"""What both ends of an HTTP/2 connection share beside reading and sending: settings, windows, resets, ends.

Only imported once somebody speaks HTTP/2. What a peer sends is acknowledged (its window is opened again) only when it
has been passed on, so that a slow reader on one side stops the writer on the other; what is held for a stream is at
most the window it was given. DATA is passed on as it comes, whatever the size of its frame.
"""

from __future__ import annotations

import asyncio
import base64

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.endings import LINGER_S
from emu.daemon.http.flow import WRITE_BUFFER_BYTES
from emu.daemon.http.h2_decoder import TABLE_BYTES
from emu.daemon.http.h2_frames import ErrorCodes, FrameError, ProtocolError, TornFrameError
from emu.daemon.http.h2_receiver import MAX_FRAME_BYTES, Receiver, stream_error
from emu.daemon.http.h2_stream import Stream
from emu.daemon.http.http1 import Headers
from emu.daemon.http.server_connection import PREFACE

MAX_STREAMS = 250
"""Streams a client may have open at once (golang.org/x/net/http2, defaultMaxStreams)."""
_BOOLEAN = (frames.ENABLE_PUSH, frames.ENABLE_CONNECT_PROTOCOL, frames.NO_RFC7540_PRIORITIES)


class Connection(Receiver):
    """One HTTP/2 connection."""

    def __init__(self, *, client_side: bool) -> None:
        super().__init__(client_side=client_side)
        self._resets: set[int] = set()
        """Streams of which the reset is not on its way yet: what else comes of them is passed over (x/net,
        resetQueued). After that they are as any other that is over.
        """
        self._refused: set[int] = set()
        """Of these, those that never were: the reset ends what begins on one meanwhile."""
        self.acknowledged = False
        """The peer acknowledged our SETTINGS."""
        self.peer_streams: int | None = None
        """How many streams the peer takes at once, once it said so."""

    def open(self, transport: asyncio.Transport, upgraded: bytes | None = None) -> None:
        """Say the preface or its answer. ProtocolError for settings of an upgrade that cannot be."""
        self.transport = transport
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        window, head = self.window, self.decoder.most_bytes
        if self.client_side:
            self._out.append(PREFACE)
            values = {
                frames.ENABLE_PUSH: 0,
                frames.INITIAL_WINDOW_SIZE: window,
                frames.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
            }
            values[frames.MAX_HEADER_LIST_SIZE] = head
        else:
            values = {frames.MAX_FRAME_SIZE: MAX_FRAME_BYTES, frames.MAX_CONCURRENT_STREAMS: MAX_STREAMS}
            values |= {frames.MAX_HEADER_LIST_SIZE: head, frames.HEADER_TABLE_SIZE: TABLE_BYTES}
            values |= {frames.INITIAL_WINDOW_SIZE: window, frames.NO_RFC7540_PRIORITIES: 1}
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
            self.expect_settled()
            if not flags & frames.ACK:
                self.control(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.GOAWAY:
            frames.of_connection(stream_id)
            if len(payload) < 8:
                raise FrameError("GOAWAY", ErrorCodes.FRAME_SIZE_ERROR)
            self.expect_settled()
            self.on_goaway(int.from_bytes(payload[:4], "big") & 0x7FFFFFFF, int.from_bytes(payload[4:8], "big"))
        elif kind == frames.PRIORITY:
            frames.of_stream(stream_id)
            frames.exactly(payload, 5)
            self.expect_settled()
            if frames.its_own_parent(stream_id, payload):
                self.refuse(stream_id, ErrorCodes.PROTOCOL_ERROR)
        elif kind == frames.PRIORITY_UPDATE:
            frames.of_connection(stream_id)
            if len(payload) < 4:
                raise FrameError("PRIORITY_UPDATE", ErrorCodes.FRAME_SIZE_ERROR)
            frames.of_stream(int.from_bytes(payload[:4], "big") & 0x7FFFFFFF)
            self.expect_settled()
        elif kind == frames.PUSH_PROMISE:
            if stream_id and len(payload) < 4 + bool(flags & frames.PADDED):
                raise TornFrameError("PUSH_PROMISE")
            raise ProtocolError("PUSH_PROMISE")
        else:
            self.expect_settled()

    def _window_update(self, stream_id: int, payload: bytes) -> None:
        more = int.from_bytes(payload, "big") & 0x7FFFFFFF
        if not stream_id:
            if not more:
                raise FrameError("WINDOW_UPDATE of 0")
            self.expect_settled()
            self.credit += more
            if self.credit > frames.MOST_WINDOW:
                raise ProtocolError("window too large", ErrorCodes.FLOW_CONTROL_ERROR)
            return
        if not more:
            self.refuse(stream_id, ErrorCodes.PROTOCOL_ERROR)
            return
        self.expect_settled()
        stream = self.streams.get(stream_id)
        if stream is None:
            self._not_begun(stream_id)
            return
        stream.credit += more
        if stream.credit > frames.MOST_WINDOW:
            stream_error(stream, ErrorCodes.FLOW_CONTROL_ERROR)

    def _reset(self, stream_id: int, code: int) -> None:
        frames.of_stream(stream_id)
        self.expect_settled()
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
        # It holds for open streams, too, whose windows may become negative by it (RFC 9113, 6.9.2).
        more, self.peer_window = value - self.peer_window, value
        for stream in list(self.streams.values()):
            stream.credit += more
            if stream.credit > frames.MOST_WINDOW:
                raise ProtocolError("window too large", ErrorCodes.FLOW_CONTROL_ERROR)

    def on_goaway(self, last: int, code: int) -> None:
        """The other side opens, or takes, no more streams than `last`; `code` is HTTP/2's."""

    def trailers(self, stream: Stream, headers: Headers, end: bool) -> None:
        """A head after the head."""
        if stream.remote_done:
            stream_error(stream, ErrorCodes.STREAM_CLOSED)
            return
        if not end or any(name.startswith(b":") for name, _ in headers):
            stream_error(stream, ErrorCodes.PROTOCOL_ERROR)
            return
        if stream.left:
            self.short(stream)
            return
        stream.remote_done = True
        stream.on_end(headers)

    # --- streams that are over

    def late(self, stream_id: int, over: bool) -> None:
        if stream_id not in self._resets and not self.client_side:
            code = ErrorCodes.FLOW_CONTROL_ERROR if over else ErrorCodes.STREAM_CLOSED
            self.control(frames.number_frame(frames.RST_STREAM, stream_id, code))

    def refuse(self, stream_id: int, code: ErrorCodes) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream_error(stream, code)
        elif not self.client_side:
            self._refused.add(stream_id)
            self.control(frames.number_frame(frames.RST_STREAM, stream_id, code))
            self.on_refused()

    def on_refused(self) -> None:
        """A stream was reset that never was."""

    def being_reset(self, stream_id: int) -> bool:
        """Whether we reset this stream just now."""
        return stream_id in self._resets or stream_id in self._refused

    def reset_stream(self, stream: Stream, code: int) -> None:
        self._resets.add(stream.id)
        super().reset_stream(stream, code)

    def write_out(self) -> None:
        if self._resets or self._refused:
            self._resets.clear()
            self._refused.clear()
        super().write_out()

    # --- ends

    def say_goodbye(self, code: ErrorCodes) -> None:
        # Once: what ends it later is sent only in place of one that is not on its way yet.
        if self.goodbye or not self.ending:
            goodbye = frames.goaway_frame(0 if self.client_side else self.newest, code)
            if self._out or self.acks:
                self.goodbye = goodbye
            else:
                self._out.append(goodbye)
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
