"""The zstd frames that samples are kept in: written so that a kill costs nothing, read with a bound on everything.

Each sample ends a block that is flushed, so that whatever was written can be read. Each frame stands alone: one that
is damaged costs itself. Frames are small, and foreign bytes may not cost more than a frame of emu's would: neither in
memory nor, over a whole file, in bytes unpacked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import zstandard

from emu.files.regular import skip_hole
from emu.record.events import Damage

MAGIC = b"\x28\xb5\x2f\xfd"
FRAME_BYTES = 2**18
"""Unpacked: a frame that has so much is ended; some four seconds of a pod of two containers."""
_WINDOW_LOG = 16
_HASH_LOG = 13
"""Both small, for the sake of the recorder's memory; larger ones make the file no smaller (measured)."""
_MOST_FRAME_BYTES = 2**23
_MOST_RATIO = 250
"""Bytes unpacked of one in the file; samples in which nothing changed have some 50."""
_PIECE = 512
"""Bytes given to the decompressor at once: what they can unpack to is all that is ever made too much."""
_SEARCH = 2**16


class FrameWriter:
    """Packs blocks. What `block` returns can be read by whoever has what was returned before it."""

    def __init__(self) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            1, window_log=_WINDOW_LOG, hash_log=_HASH_LOG, write_content_size=False, write_checksum=True
        )
        self._compressor = zstandard.ZstdCompressor(compression_params=parameters)
        self._frame: zstandard.ZstdCompressionObj | None = None
        self._size = 0

    def block(self, text: bytes) -> tuple[bytes, bool]:
        """The bytes of one more block, and whether they end the frame."""
        if self._frame is None:
            self._frame, self._size = self._compressor.compressobj(), 0
        self._size += len(text)
        packed = self._frame.compress(text)
        if self._size >= FRAME_BYTES:
            return packed + self.end(), True
        return packed + self._frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK), False

    def end(self) -> bytes:
        """The bytes that end the frame under way; none if there is none."""
        frame, self._frame = self._frame, None
        return b"" if frame is None else frame.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


@dataclass(frozen=True)
class Frame:
    """What a frame unpacked to. `lost`: something before it was damaged, and what was known may be out of date."""

    text: bytes
    lost: bool


def is_packed(file: BinaryIO) -> bool:
    """Whether a file, at its beginning, has frames; it is still there afterwards."""
    head = file.read(len(MAGIC))
    file.seek(0)
    return head == MAGIC


def read_frames(file: BinaryIO, damage: Damage) -> Iterator[Frame]:
    """The frames of a file. A damaged one is passed over and counted; of the last one as much is given as can be
    read, and that a kill tore it is no damage.
    """
    left = _MOST_FRAME_BYTES + _MOST_RATIO * os.fstat(file.fileno()).st_size
    begin: int | None = 0
    lost = False
    while begin is not None:
        file.seek(begin)
        found = _unpack(file, left)
        if found.torn:
            yield Frame(found.text, lost)
            return
        left -= len(found.text)
        if found.whole:
            yield Frame(found.text, lost)
            begin, lost = begin + found.packed, False
            continue
        damage.frames += 1
        begin = _find(file, begin + 1) if left > 0 else None
        if begin is None:
            yield Frame(found.text, lost)
        lost = True


@dataclass(frozen=True)
class _Unpacked:
    text: bytes
    packed: int
    whole: bool = False
    torn: bool = False


def _unpack(file: BinaryIO, most: int) -> _Unpacked:
    """The frame that begins where the file is, or what can be read of it."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=2**_WINDOW_LOG).decompressobj()
    most = min(most, _MOST_FRAME_BYTES)
    parts: list[bytes] = []
    packed = size = 0
    while size <= most and packed <= _MOST_FRAME_BYTES:
        piece = file.read(_PIECE)
        if not piece:
            return _Unpacked(b"".join(parts), packed, torn=True)
        packed += len(piece)
        try:
            parts.append(unpacker.decompress(piece))
        except zstandard.ZstdError:
            break
        size += len(parts[-1])
        if unpacker.eof:
            return _Unpacked(b"".join(parts), packed - len(unpacker.unused_data), whole=size <= most)
    return _Unpacked(b"".join(parts), packed)


def _find(file: BinaryIO, begin: int) -> int | None:
    """Where the next frame seems to begin."""
    file.seek(begin)
    held = b""
    while more := file.read(_SEARCH):
        held += more
        at = held.find(MAGIC)
        if at >= 0:
            return begin + at
        begin += max(0, len(held) - 3)
        held = held[-3:]
        if not any(held):
            skip_hole(file)
            begin, held = file.tell(), b""
    return None
