"""Heads on an HTTP/2 connection: put together from their frames, decoded, and known when they come again."""

from __future__ import annotations

from typing import Any

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.h2_decoder import Decoder
from emu.daemon.http.h2_frames import ErrorCodes, FrameError, MalformedError, ProtocolError, TornFrameError
from emu.daemon.http.h2_stream import Sender
from emu.daemon.http.http1 import Headers

MOST_BLOCKS = 16
"""Heads known on one connection."""


class HeadReader(Sender):
    """The part of a connection that reads heads; `on_head` is given each."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = self._make_decoder()
        self._head_of: tuple[int, bool] | None = None
        """Of a head of which more frames are to come: its stream, and whether it is the last."""
        self._judge = frames.Judge()
        """Of the fields that came of it."""
        self._pieced = False
        """The head that is there now came in several frames, and is decoded."""
        self._own_parent = 0
        """A stream whose head said that it depends on itself."""
        self._blocks: dict[Any, Any] = {}
        """What was made of heads on this connection, by their bytes; good until the dynamic table changes."""
        self._free: dict[Any, tuple[Any, Headers]] = {}
        """What was made of those that do not depend on the table, and what they enter into it."""
        self._stable = False
        """Decoding the last head left the dynamic table as it was."""

    def _make_decoder(self) -> Decoder:
        """For the heads of this side."""
        return Decoder()

    def on_head(self, stream_id: int, block: bytes, end: bool) -> None:
        """The head of a request or an answer, or trailers."""
        raise NotImplementedError

    def refuse(self, stream_id: int, code: ErrorCodes) -> None:
        """A head, or another frame, of a stream cannot be understood: that ends the stream, if it was ever begun."""
        raise NotImplementedError

    def headers_frame(self, flags: int, stream_id: int, payload: bytes) -> None:
        """A HEADERS frame: a whole head, or how one begins."""
        frames.of_stream(stream_id)
        if flags & (frames.PADDED | frames.PRIORITIZED):
            try:
                payload = self._unpadded(flags, stream_id, payload)
            except MalformedError:
                self.refuse(stream_id, ErrorCodes.PROTOCOL_ERROR)
                return
        if flags & frames.END_HEADERS:
            self.on_head(stream_id, payload, bool(flags & frames.END_STREAM))
        else:
            self._head_of = (stream_id, bool(flags & frames.END_STREAM))
            self._judge = frames.Judge()
            self.decoder.begin()
            self.decoder.feed(payload)

    def _unpadded(self, flags: int, stream_id: int, payload: bytes) -> bytes:
        at, pad = 0, 0
        if flags & frames.PADDED:
            if not payload:
                raise TornFrameError("padding")
            at, pad = 1, payload[0]
        if flags & frames.PRIORITIZED:
            priority = payload[at : at + 5]
            if len(priority) < 5:
                raise TornFrameError("priority")
            if frames.its_own_parent(stream_id, priority):
                self._own_parent = stream_id
            at += 5
        if pad > len(payload) - at:
            raise MalformedError("padding")
        return payload[at : len(payload) - pad]

    def continuation_frame(self, flags: int, stream_id: int, payload: bytes) -> None:
        """A CONTINUATION frame: more of a head."""
        if self._head_of is None or stream_id != self._head_of[0]:
            raise FrameError("CONTINUATION")
        decoder = self.decoder
        if (payload and decoder.truncated) or self._judge.fault_of(decoder.headers):
            # What follows of a head that is too long, or wrong, is not counted: x/net reads none of it.
            raise ProtocolError("more of a head that is wrong")
        decoder.feed(payload)
        if flags & frames.END_HEADERS:
            end, self._head_of = self._head_of[1], None
            decoder.end()
            self._pieced = True
            self.on_head(stream_id, b"", end)
            self._pieced = False

    def known(self, block: Any) -> Any:
        """The reading of a head that came before, with its work on the dynamic table done; otherwise None."""
        if self._pieced:
            return None
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
        """A head's fields, as far as they are taken (`decoder.truncated`)."""
        decoder = self.decoder
        if self._pieced:
            self._stable = decoder.free = False
            self._blocks.clear()
            return decoder.headers
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
